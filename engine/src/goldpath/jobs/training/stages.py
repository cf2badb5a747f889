"""Training in six stages: extract, features, train, evaluate, register, deploy.

Each stage is a function that may be called again: what is done is found in the MLflow run and is
not done twice. `train` calls the first five; `pipelines.deployment` is the sixth.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from goldpath.contract import Contract
from goldpath.jobs.training.checks import (
    quarantine_share,
    refuse_future_rows,
    refuse_leaks,
    refuse_quarantined,
    rows_digest,
)
from goldpath.jobs.training.inputs import inputs_digest, log_inputs
from goldpath.jobs.training.record import (
    log_candidate,
    logged_result,
    registered_result,
    training_result,
    write_evaluation,
)
from goldpath.jobs.training.results import Divided, Extracted, Found, Judged, TrainingResult
from goldpath.jobs.training.work import TrainingWork, only_process
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.learning.metrics import main_metric
from goldpath.learning.search import Trial, search
from goldpath.learning.threads import sensible_threads
from goldpath.presentation import step, trial_progress
from goldpath.privacy.erasure import uses_rows
from goldpath.project import unused_definitions
from goldpath.registry.layout import RUN_KEY
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.training_run import INPUTS, find_run, open_run, unfinished_run
from goldpath.settings import Settings

StageResult = Extracted | Divided | Found | Judged | TrainingResult


@uses_rows
def train(settings: Settings, contract: Contract, run_key: str | None = None) -> TrainingResult:
    """Search, train, evaluate and register a candidate.

    Args:
        settings: Its `training` section.
        contract: What a row is.
        run_key: Name of this run. A second call with it goes on where the first one stopped;
            where it was registered, its result comes back. Without a name, a run with the same
            data, contract and settings that was killed is taken up again.

    Raises:
        CheckFailedError: If a feature gives the target away, or the data is not fit.
        NotEnoughDataError: If there are too few rows.
        TrainingError: If another process is at the same run.
    """
    manager = MLflowManager(settings, contract)
    if run_key and (existing := manager.version_of_run_key(run_key)):
        step(f"run {run_key} registered version {existing.version} already")
        return logged_result(settings, manager, existing)
    work = open_work(settings, contract, manager, run_key)
    with only_process(settings, work.run), work.run.marked():
        extract(work)
        prepare_features(work)
        search_and_fit(work)
        evaluate_candidate(work)
        return register_candidate(work)


@uses_rows
def run_stage(settings: Settings, contract: Contract, stage: str, run_key: str) -> StageResult:
    """One stage in a process of its own; what it did before comes back.

    Args:
        settings: Its `training` section.
        contract: What a row is.
        stage: extract, features, train, evaluate or register.
        run_key: The training's name, the same for all of its stages.

    Raises:
        TrainingError: If a former stage is missing.
    """
    stages: Mapping[str, Callable[[TrainingWork], StageResult]] = {
        "extract": extract,
        "features": prepare_features,
        "train": search_and_fit,
        "evaluate": evaluate_candidate,
        "register": register_candidate,
    }
    work = open_work(settings, contract, MLflowManager(settings, contract), run_key)
    with only_process(settings, work.run), work.run.marked():
        return stages[stage](work)


def open_work(
    settings: Settings, contract: Contract, manager: MLflowManager, run_key: str | None
) -> TrainingWork:
    """The training of this name, new or already begun."""
    snapshot = gold_snapshot(open_lakehouse(settings), contract)
    digest = inputs_digest(settings, contract, snapshot.snapshot_id)
    run = find_run(manager, run_key) if run_key else unfinished_run(manager, digest)
    if run is not None:
        step(f"going on with the training {run.run_id}")
    else:
        key = run_key or f"local-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        run = open_run(manager, key, {INPUTS: digest})
    return TrainingWork(settings, contract, manager, run)


def extract(work: TrainingWork) -> Extracted:
    """Pin gold's snapshot, tag it so that it is never expired, and check that it is fit.

    Raises:
        CheckFailedError: If rows lie in the future, or too many were refused.
    """
    if done := work.run.stage("extract", Extracted):
        return done
    if unused := unused_definitions(work.contract.dataset):
        step(unused)
    step("extract: pinning the gold table's snapshot")
    snapshot = gold_snapshot(work.lakehouse, work.contract)
    share = quarantine_share(work.lakehouse, work.contract)
    refuse_quarantined(share, work.settings)
    work.lakehouse.tag(snapshot, f"train-{work.run.run_id}")
    extracted = Extracted(
        snapshot_id=snapshot.snapshot_id,
        table=str(snapshot.table),
        rows=snapshot.rows,
        committed_at=snapshot.committed_at,
        quarantine_share=share,
    )
    log_inputs(work.manager, work.run.run_id, work.settings, work.contract)
    work.run.finish_stage("extract", extracted)
    return extracted


def prepare_features(work: TrainingWork) -> Divided:
    """Split the rows, and refuse those that a model must not learn from.

    What the features are turned into is fitted inside the model's pipeline, on training rows.

    Raises:
        CheckFailedError: If a feature determines the target, or rows lie in the future.
    """
    if done := work.run.stage("features", Divided):
        return done
    step("features: splitting, looking for leaks")
    train, test = work.split.train, work.split.test
    refuse_future_rows(work.rows, work.contract, work.extracted.committed_at)
    refuse_leaks(train, work.contract, work.settings)
    divided = Divided(
        split=work.split.rule,
        train_rows=len(train),
        test_rows=len(test),
        train_digest=rows_digest(train),
        test_digest=rows_digest(test),
        constant_features=tuple(
            name for name in work.contract.feature_names if train[name].nunique(dropna=False) < 2
        ),
    )
    work.run.finish_stage("features", divided)
    return divided


def search_and_fit(work: TrainingWork) -> Found:
    """Search families and parameters on the training rows, then fit the winner on all of them."""
    if done := work.run.stage("train", Found):
        return done
    divided, rows, definitions = work.divided, work.split.train, work.definitions
    limits, metric = work.settings.training, main_metric(work.contract, definitions.metric)
    known = work.run.trials()
    going_on = f", {len(known)} of them done" if known else ""
    step(f"train: {limits.trials} trials on {len(rows)} rows{going_on}")
    with trial_progress(limits.trials, len(known)) as show_trial:

        def on_trial(trial: Trial, best: float) -> None:
            work.run.log_trial(trial, metric)
            show_trial(trial.number + 1, best)

        best = search(rows, work.contract, limits, on_trial, known, definitions)
    found = Found(
        family=best.family,
        parameters=dict(best.parameters),
        score=best.score,
        fold_scores=best.fold_scores,
        trials=len(best.trials),
        pruned=sum(trial.pruned for trial in best.trials),
        learned_rows=len(rows),
        learned_digest=divided.train_digest,
        ensemble=None,
    )
    work.run.finish_stage("train", found)
    return found


def evaluate_candidate(work: TrainingWork) -> Judged:
    """Judge the winner on rows that the search never saw, beside a baseline and the champion."""
    if done := work.run.stage("evaluate", Judged):
        return done
    step(f"evaluate: {len(work.split.test)} rows that the search never saw")
    with sensible_threads(len(work.split.train)):
        judged = write_evaluation(work)
    work.run.finish_stage("evaluate", judged)
    return judged


def register_candidate(work: TrainingWork) -> TrainingResult:
    """Log the model with everything that belongs to it, and register it as a version."""
    run_key = work.run.tags[RUN_KEY]
    if existing := work.manager.version_of_run_key(run_key):
        return logged_result(work.settings, work.manager, existing)
    step("register: logging the model to MLflow")
    result = training_result(work)
    with sensible_threads(len(work.split.train)):
        version = log_candidate(work, result)
    return registered_result(work.settings, result, version)
