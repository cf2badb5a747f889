"""Training in six stages: extract, features, train, evaluate, register, deploy.

Each stage is a function that may be called again: what is done is found in the MLflow run and is
not done twice. `train` calls the first five; `pipelines.deployment` is the sixth.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from goldpath.contract import Contract
from goldpath.jobs.training.checks import (
    quarantine_share,
    refuse_future_rows,
    refuse_leaks,
    refuse_quarantined,
    rows_digest,
)
from goldpath.jobs.training.inputs import inputs_digest, log_inputs
from goldpath.jobs.training.record import RESULT_FILE, log_candidate, write_evaluation
from goldpath.jobs.training.work import TrainingWork, only_process
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.learning.frames import target_values
from goldpath.learning.metrics import area_under_roc, main_metric
from goldpath.learning.scoring import ModelVersion
from goldpath.learning.search import Trial, search
from goldpath.learning.threads import sensible_threads
from goldpath.presentation import step, trial_progress
from goldpath.privacy.erasure import uses_rows
from goldpath.project import unused_definitions
from goldpath.registry.layout import RUN_KEY, SEMANTIC_TAG
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.training_run import INPUTS, find_run, open_run, unfinished_run
from goldpath.reports import write_report
from goldpath.sample.customers import true_probabilities
from goldpath.settings import Settings

MOSTLY = 0.99


@dataclass(frozen=True)
class TrainingResult:
    """A registered candidate and what is known of it.

    Attributes:
        problem_type: Classification or regression.
        metric: The main metric; more is better.
        value: On the test rows.
        interval: Its 95 % bootstrap interval.
        baseline: The same metric of a model that ignores the features.
        champion: The same metric of the champion of that moment; None where there was none.
        noise_ceiling: AUC of the true probabilities on the test rows; the generated sample only.
        family: The family that won the search.
        trials: Configurations that were tried, and of these the pruned ones.
        n_train: Training rows.
        n_test: Test rows.
        split: How they were divided.
        worst_slice: Where the model errs most, beyond luck; empty where nowhere.
        model: The registered model.
        model_version: The candidate's version.
        semantic_version: What changed against the former version, as major.minor.patch.
        run_id: MLflow's run.
        gold_snapshot: The data that was read.
        predictions_digest: SHA-256 of the predictions of the test rows, to nine digits.
        plot: ROC, calibration and importances as a PNG.
        card: The model card.
    """

    problem_type: str
    metric: str
    value: float
    interval: tuple[float, float]
    baseline: float
    champion: float | None
    noise_ceiling: float | None
    family: str
    trials: str
    n_train: int
    n_test: int
    split: str
    worst_slice: str
    model: str
    model_version: str
    semantic_version: str
    run_id: str
    gold_snapshot: int
    predictions_digest: str
    plot: str
    card: str


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
def run_stage(
    settings: Settings, contract: Contract, stage: str, run_key: str
) -> Mapping[str, Any] | TrainingResult:
    """One stage in a process of its own; what it did before comes back.

    Args:
        settings: Its `training` section.
        contract: What a row is.
        stage: extract, features, train, evaluate or register.
        run_key: The training's name, the same for all of its stages.

    Raises:
        TrainingError: If a former stage is missing.
    """
    stages: Mapping[str, Callable[[TrainingWork], Mapping[str, Any] | TrainingResult]] = {
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


def extract(work: TrainingWork) -> dict[str, Any]:
    """Pin gold's snapshot, tag it so that it is never expired, and check that it is fit.

    Raises:
        CheckFailedError: If rows lie in the future, or too many were refused.
    """
    if done := work.run.stage("extract"):
        return done
    if unused := unused_definitions(work.contract.dataset):
        step(unused)
    step("extract: pinning the gold table's snapshot")
    snapshot = gold_snapshot(work.lakehouse, work.contract)
    share = quarantine_share(work.lakehouse, work.contract)
    refuse_quarantined(share, work.settings)
    work.lakehouse.tag(snapshot, f"train-{work.run.run_id}")
    values = {
        "snapshot_id": snapshot.snapshot_id,
        "table": str(snapshot.table),
        "rows": snapshot.rows,
        "committed_at": snapshot.committed_at.isoformat(),
        "quarantine_share": share,
    }
    log_inputs(work.manager, work.run.run_id, work.settings, work.contract)
    work.run.finish_stage("extract", values)
    return values


def prepare_features(work: TrainingWork) -> dict[str, Any]:
    """Split the rows, and refuse those that a model must not learn from.

    What the features are turned into is fitted inside the model's pipeline, on training rows.

    Raises:
        CheckFailedError: If a feature determines the target, or rows lie in the future.
    """
    if done := work.run.stage("features"):
        return done
    step("features: splitting, looking for leaks")
    refuse_future_rows(work.rows, work.contract, work.done("extract"))
    refuse_leaks(work.split.train, work.contract, work.settings)
    constant = [
        name
        for name in work.contract.feature_names
        if work.split.train[name].nunique(dropna=False) < 2
    ]
    values = {
        "split": work.split.rule,
        "train_rows": len(work.split.train),
        "test_rows": len(work.split.test),
        "train_digest": rows_digest(work.split.train),
        "test_digest": rows_digest(work.split.test),
        "constant_features": constant,
    }
    work.run.finish_stage("features", values)
    return values


def search_and_fit(work: TrainingWork) -> dict[str, Any]:
    """Search families and parameters on the training rows, then fit the winner on all of them."""
    if done := work.run.stage("train"):
        return done
    work.done("features")
    limits, definitions = work.settings.training, work.definitions
    metric = main_metric(work.contract, definitions.metric)
    known = work.run.trials()
    going_on = f", {len(known)} of them done" if known else ""
    step(f"train: {limits.trials} trials on {len(work.split.train)} rows{going_on}")
    with trial_progress(limits.trials, len(known)) as show_trial:

        def on_trial(trial: Trial, best: float) -> None:
            work.run.log_trial(trial, metric)
            show_trial(trial.number + 1, best)

        found = search(work.split.train, work.contract, limits, on_trial, known, definitions)
    values = {
        "family": found.family,
        "parameters": dict(found.parameters),
        "score": found.score,
        "fold_scores": list(found.fold_scores),
        "trials": len(found.trials),
        "pruned": sum(trial.pruned for trial in found.trials),
    }
    work.run.finish_stage("train", values)
    return values


def evaluate_candidate(work: TrainingWork) -> dict[str, Any]:
    """Judge the winner on rows that the search never saw, beside a baseline and the champion."""
    if done := work.run.stage("evaluate"):
        return done
    step(f"evaluate: {len(work.split.test)} rows that the search never saw")
    with sensible_threads(len(work.split.train)):
        values = write_evaluation(work)
    work.run.finish_stage("evaluate", values)
    return values


def register_candidate(work: TrainingWork) -> TrainingResult:
    """Log the model with everything that belongs to it, and register it as a version."""
    run_key = work.run.tags[RUN_KEY]
    if existing := work.manager.version_of_run_key(run_key):
        return logged_result(work.settings, work.manager, existing)
    step("register: logging the model to MLflow")
    split, trained = work.done("features"), work.done("train")
    judged = work.done("evaluate")
    result = TrainingResult(
        problem_type=work.contract.problem,
        metric=judged["metric"],
        value=judged["value"],
        interval=tuple(judged["interval"]),
        baseline=judged["baseline"],
        champion=judged["champion"],
        noise_ceiling=_noise_ceiling(work),
        family=trained["family"],
        trials=f"{trained['trials']}, {trained['pruned']} pruned",
        n_train=split["train_rows"],
        n_test=split["test_rows"],
        split=split["split"],
        worst_slice=judged["worst_slice"],
        model=work.contract.model_name,
        model_version="",
        semantic_version="",
        run_id=work.run.run_id,
        gold_snapshot=work.done("extract")["snapshot_id"],
        predictions_digest=judged["predictions_digest"],
        plot=judged["plot"],
        card=judged["card"],
    )
    with sensible_threads(len(work.split.train)):
        version = log_candidate(work, asdict(result), _metrics(result, judged))
    result = replace(
        result,
        model_version=version.version,
        semantic_version=version.tags.get(SEMANTIC_TAG, ""),
    )
    write_report(work.settings.reports / RESULT_FILE, asdict(result))
    return result


def logged_result(
    settings: Settings, manager: MLflowManager, version: ModelVersion
) -> TrainingResult:
    """The result that a former call with the same key logged."""
    manager.finish_registration(version)
    values = json.loads(
        manager.download_artifact(version.run_id, RESULT_FILE).read_text(encoding="utf-8")
    )
    values["interval"] = tuple(values["interval"])
    values["model_version"] = version.version
    values["semantic_version"] = version.tags.get(SEMANTIC_TAG, "")
    result = TrainingResult(**values)
    write_report(settings.reports / RESULT_FILE, asdict(result))
    return result


def _metrics(result: TrainingResult, judged: Mapping[str, Any]) -> Mapping[str, float]:
    """What the run's metrics are called."""
    metrics = {
        f"test_{result.metric}": result.value,
        f"test_{result.metric}_low": result.interval[0],
        f"test_{result.metric}_high": result.interval[1],
        f"baseline_{result.metric}": result.baseline,
        f"search_{result.metric}": judged["search_score"],
        **{f"test_{name}": value for name, (value, _, _) in judged["others"].items()},
    }
    optional = {"noise_ceiling": result.noise_ceiling, f"champion_{result.metric}": result.champion}
    metrics |= {name: value for name, value in optional.items() if value is not None}
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _noise_ceiling(work: TrainingWork) -> float | None:
    """AUC of the generating process's own probabilities on the test rows, where they are known."""
    contract, test = work.contract, work.split.test
    probabilities = true_probabilities(Path(work.settings.root / contract.source.path))
    if probabilities is None or work.done("evaluate")["metric"] != "roc_auc":
        return None
    known = probabilities.reindex(test[contract.entity_column]).to_numpy()
    drawn = ~np.isnan(known)  # not so a faulty row, unless a recipe has mended it
    if drawn.mean() < MOSTLY:
        return None
    truth = target_values(test, contract)[drawn]
    return area_under_roc(truth == contract.target.positive, known[drawn])
