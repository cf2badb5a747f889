"""The engine's five steps of a training.

Each is a function that may be called again: what is done is found in the MLflow run and is not done
twice. `stages.py` runs them, with a project's own steps between.

A service that loads a project's definitions imports their names, so what only a training needs is
imported inside.
"""

from goldpath.jobs.training.checks import (
    count_unlabelled,
    quarantine_share,
    refuse_future_rows,
    refuse_leaks,
    refuse_quarantined,
    rows_digest,
)
from goldpath.jobs.training.inputs import log_inputs
from goldpath.jobs.training.results import Divided, Extracted, Found, Judged, TrainingResult
from goldpath.jobs.training.segments import numbered_candidate
from goldpath.jobs.training.work import TrainingWork
from goldpath.jobs.windows.model_windows import require_windows_of_gold
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.learning.decision.choice import require_tunable
from goldpath.learning.metrics import main_metric
from goldpath.learning.search import Trial, unseen_scores
from goldpath.learning.segments.limits import least, require_usable, unused_families
from goldpath.learning.splitting import rows_to_search
from goldpath.learning.storable import require_storable_families
from goldpath.learning.threads import sensible_threads
from goldpath.presentation import step, trial_progress
from goldpath.registry.files.own_classes import require_restorable
from goldpath.registry.layout import RUN_KEY
from goldpath.source_contract import unused_parts


def extract(work: TrainingWork) -> Extracted:
    """Pin gold's snapshot, tag it so that it is never expired, and check that it is fit.

    Raises:
        CheckFailedError: If rows lie in the future, or too many were refused.
        LakehouseError: If gold was made with other window features.
    """
    if done := work.run.stage("extract", Extracted):
        return done
    if unused := unused_parts(work.settings.root, work.contract.base):
        step(unused)
    step("extract: pinning the gold table's snapshot")
    snapshot = gold_snapshot(work.lakehouse, work.contract)
    require_windows_of_gold(work.lakehouse, work.contract, snapshot)
    share = quarantine_share(work.lakehouse, work.contract)
    refuse_quarantined(share, work.contract, work.settings)
    unlabelled = count_unlabelled(work.lakehouse, work.contract, snapshot)
    if unlabelled:
        step(f"extract: {unlabelled:,} of {snapshot.rows:,} rows have no label yet, left out")
    work.lakehouse.tag(snapshot, f"train-{work.run.run_id}")
    extracted = Extracted(
        snapshot_id=snapshot.snapshot_id,
        table=str(snapshot.table),
        rows=snapshot.rows,
        committed_at=snapshot.committed_at,
        quarantine_share=share,
        unlabelled_rows=unlabelled,
    )
    log_inputs(work.manager, work.run.run_id, work.settings, work.contract, work.preparing)
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
    """Search families and parameters by cross-validation on the rows to learn from."""
    from goldpath.jobs.training.segment_search import find_best, planned
    from goldpath.judging.limits import require_gates  # a service imports this module's names

    if done := work.run.stage("train", Found):
        return done
    require_usable(work.contract, work.settings, work.settings.project.definitions)
    if unused := unused_families(work.contract, work.settings.project.definitions):
        step(unused)
    divided, rows, definitions = work.divided, work.train_rows, work.definitions
    limits, metric = work.settings.training, main_metric(work.contract, definitions.metric)
    if work.contract.has_target:
        require_storable_families(
            rows, work.contract, definitions, limits.seed, limits.families, require_restorable
        )
    require_tunable(work.contract, work.settings.decision, definitions)
    require_gates(work.contract, work.settings, definitions)
    known = work.run.trials()
    going_on = f", {len(known)} of them done" if known else ""
    trials = planned(work.contract, limits, definitions)
    more = ", one for each family" if trials > limits.trials else ""
    if not work.contract.has_target:
        more = ", one for each number of segments"
    searched = rows_to_search(rows, work.contract, limits)
    which = f"{len(rows)} rows"
    if len(searched) < len(rows):
        which = f"{len(searched)} drawn of {which} (training.search_rows); then a fit on all"
    step(f"train: {trials} trials{more}, on {which}{going_on}")
    with trial_progress(trials, len(known)) as show_trial:

        def on_trial(trial: Trial, best: float) -> None:
            work.run.log_trial(trial, metric)
            show_trial(trial.number + 1, best)

        floors = least(work.settings.validation.thresholds)
        best = find_best(searched, work.contract, limits, on_trial, known, definitions, floors)
    parameters, decided = (
        best.parameters,
        work.decided(
            lambda: unseen_scores(
                searched, work.contract, best.family, best.parameters, limits, definitions
            )
        ),
    )
    if not work.contract.has_target:
        parameters, decided = numbered_candidate(work, best)
    found = Found(
        family=best.family,
        parameters=dict(parameters),
        score=best.score,
        fold_scores=best.fold_scores,
        trials=len(best.trials),
        pruned=sum(trial.pruned for trial in best.trials),
        learned_rows=len(rows),
        learned_digest=rows_digest(rows) if work.preparing else divided.train_digest,
        ensemble=None,
        searched_rows=len(searched) if len(searched) < len(rows) else None,
        threshold=decided.threshold,
        unsure=decided.unsure,
        prediction_interval=decided.interval,
        thresholds=decided.thresholds,
        groups=decided.groups,
        segments=decided.segments,
    )
    work.run.finish_stage("train", found)
    return found


def evaluate_candidate(work: TrainingWork) -> Judged:
    """Judge the winner on rows that the search never saw, beside a baseline and the champion."""
    if done := work.run.stage("evaluate", Judged):
        return done
    from goldpath.jobs.training.record import write_evaluation

    step(f"evaluate: {len(work.split.test)} rows that the search never saw")
    with sensible_threads(len(work.split.train)):
        judged = write_evaluation(work)
    work.run.finish_stage("evaluate", judged)
    return judged


def register_candidate(work: TrainingWork) -> TrainingResult:
    """Log the model with everything that belongs to it, and register it as a version."""
    from goldpath.jobs.training.record import (
        log_candidate,
        logged_result,
        registered_result,
        training_result,
    )

    run_key = work.run.tags[RUN_KEY]
    if existing := work.manager.version_of_run_key(run_key):
        return logged_result(work.settings, work.manager, existing)
    step("register: logging the model to MLflow")
    result = training_result(work)
    with sensible_threads(len(work.split.train)):
        version = log_candidate(work, result)
    return registered_result(work.settings, result, version)
