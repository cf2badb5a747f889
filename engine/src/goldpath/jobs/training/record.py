"""What a training leaves in MLflow and in `reports/`: inputs, evaluation, reference, model."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from goldpath.errors import ProjectError
from goldpath.jobs.training.candidate_description import (
    CHANGELOG_FILE,
    describe_candidate,
    own_tags,
    version_description,
)
from goldpath.jobs.training.drift_reference import log_drift_reference
from goldpath.jobs.training.results import Found, Judged, TrainingResult
from goldpath.jobs.training.segments import PAGE_FILE, write_segments
from goldpath.jobs.training.work import TrainingWork
from goldpath.judging.baseline import baseline_name
from goldpath.judging.evaluation import plot_evaluation
from goldpath.learning.decision.choice import deciding_as
from goldpath.learning.decision.groups import described as described_groups
from goldpath.learning.decision.interval import described
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.metrics import area_under_roc, metric_value
from goldpath.learning.scoring import ModelVersion, Predictions
from goldpath.presentation import step
from goldpath.registry.layout import (
    CARD_FILE,
    ENGINES_TAGS,
    EVALUATION_FILE,
    GROUPS_TAG,
    INTERVAL_TAG,
    RUN_KEY,
    SEGMENTS_TAG,
    SEMANTIC_TAG,
    SNAPSHOT_TAG,
    THRESHOLD_TAG,
    UNSURE_TAG,
)
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.stored_result import result_as_json, result_from_json
from goldpath.reports import write_report
from goldpath.sample.customers import true_probabilities
from goldpath.settings import Settings

RESULT_FILE = "training.json"
PLOT_FILE = "evaluation.png"
DIGITS = 9
MOSTLY = 0.99


def write_evaluation(work: TrainingWork) -> Judged:
    """Log scores, slices, importances and plots; returns what the later stages need."""
    contract, evaluation = work.contract, work.evaluation
    manager, run_id = work.manager, work.run.run_id
    truth = target_values(work.split.test, contract)
    plot = work.settings.reports / PLOT_FILE
    plot_evaluation(evaluation, work.decided_contract, truth, plot)
    manager.log_file(run_id, plot, "plots")
    worst = next((item for item in evaluation.slices if item.worse), None)
    judged = Judged(
        metric=evaluation.score.metric,
        value=evaluation.score.value,
        interval=evaluation.score.interval,
        baseline=evaluation.baseline,
        champion=_champion_value(work, truth),
        search_score=work.found.score,
        others=dict(evaluation.others),
        worst_slice=""
        if worst is None
        else f"{worst.name}: loss {worst.loss:.3g}, elsewhere {worst.loss_elsewhere:.3g}",
        predictions_digest=predictions_digest(evaluation.predictions),
        plot=work.settings.shown(plot),
        card=work.settings.shown(work.settings.reports / CARD_FILE),
    )
    report = {
        **asdict(judged),
        "others": {
            name: [score.value, *score.interval] for name, score in evaluation.others.items()
        },
        "baseline_is": baseline_name(contract),
        "other_baselines": dict(evaluation.other_baselines),
        "importances": dict(evaluation.importances),
        "slices": [asdict(item) for item in evaluation.slices],
    }
    write_report(work.settings.reports / EVALUATION_FILE, report)
    manager.log_file(run_id, work.settings.reports / EVALUATION_FILE)
    return judged


def training_result(work: TrainingWork) -> TrainingResult:
    """What is known of a candidate before it is registered."""
    found, judged = work.found, work.judged
    return TrainingResult(
        problem_type=work.contract.problem,
        metric=judged.metric,
        value=judged.value,
        interval=judged.interval,
        baseline=judged.baseline,
        champion=judged.champion,
        noise_ceiling=_noise_ceiling(work),
        family=found.family,
        trials=f"{found.trials}, {found.pruned} pruned",
        n_train=found.learned_rows,
        n_test=work.divided.test_rows,
        split=work.divided.split,
        worst_slice=judged.worst_slice,
        model=work.contract.model_name,
        model_version="",
        semantic_version="",
        run_id=work.run.run_id,
        gold_snapshot=work.extracted.snapshot_id,
        predictions_digest=judged.predictions_digest,
        plot=judged.plot,
        card=judged.card,
        threshold=found.threshold,
        unsure=found.unsure,
        prediction_interval=found.prediction_interval,
        thresholds=found.thresholds,
        groups=found.groups,
        baseline_is=baseline_name(work.contract),
        others={name: score.value for name, score in judged.others.items()},
        searched_rows=found.searched_rows,
        segments=found.segments,
        segments_page=work.settings.shown(work.settings.reports / PAGE_FILE)
        if found.segments
        else "",
    )


def registered_result(
    settings: Settings, result: TrainingResult, version: ModelVersion
) -> TrainingResult:
    """The result with the version's numbers; it becomes `reports/training.json`."""
    semantic = version.tags.get(SEMANTIC_TAG, "")
    result = replace(result, model_version=version.version, semantic_version=semantic)
    write_report(settings.reports / RESULT_FILE, asdict(result))
    return result


def logged_result(
    settings: Settings, manager: MLflowManager, version: ModelVersion
) -> TrainingResult:
    """The result that a former call with the same key logged."""
    manager.finish_registration(version)
    text = manager.read_text(version.run_id, RESULT_FILE)
    result = result_from_json(
        TrainingResult, text, f"{RESULT_FILE} of version {version.version}'s run"
    )
    return registered_result(settings, result, version)


def log_candidate(work: TrainingWork, result: TrainingResult) -> ModelVersion:
    """Log the run's parameters, metrics and files, then store and register the model."""
    manager, run_id, found, judged = work.manager, work.run.run_id, work.found, work.judged
    definitions = work.definitions
    # First: a function of the project that fails leaves nothing half done.
    own = own_tags(result, definitions.tags, ENGINES_TAGS)
    description = version_description(result, definitions.description)
    names = ("trials", "cv_folds", "test_fraction", "seed")
    search = {f"search_{name}": getattr(work.settings.training, name) for name in names}
    if not work.contract.has_target:
        search["search_trials"] = found.trials  # one for each number of segments
    search["search_rows"] = found.searched_rows or found.learned_rows
    manager.log_parameters(run_id, {"family": found.family, **found.parameters, **search})
    manager.log_metrics(run_id, _metrics(work, result))
    log_drift_reference(work)
    segments = write_segments(work)
    others = {name: score.value for name, score in judged.others.items()}
    described = describe_candidate(work, {judged.metric: judged.value, **others}, segments)
    (work.settings.reports / CARD_FILE).write_text(described.card, encoding="utf-8")
    manager.log_text(run_id, described.card, CARD_FILE)
    manager.log_text(run_id, described.changelog, CHANGELOG_FILE)
    # Before the version exists: a version without its result would be of no use to a later call.
    manager.log_text(run_id, result_as_json(result), RESULT_FILE)
    tags = {
        **own,
        RUN_KEY: work.run.tags[RUN_KEY],
        SNAPSHOT_TAG: str(work.extracted.snapshot_id),
        "gold_table": work.extracted.table,
        "predictions_digest": result.predictions_digest,
        SEMANTIC_TAG: described.semantic_version,
        "semantic_version_reason": described.reason,
    }
    tags |= _decision_tags(found)
    manager.log_tags(run_id, tags)
    version = manager.register(
        run_id,
        work.model,
        model_frame(work.split.train, work.contract),
        tags,
        description,
    )
    manager.finish_run(run_id)
    return version


def _decision_tags(found: Found) -> Mapping[str, str]:
    """What lists of versions show of the decision; the contract has it in full."""
    tags = {}
    if found.threshold is not None:
        tags[THRESHOLD_TAG] = f"{found.threshold:.9g}"
    if found.thresholds is not None:
        shown = (f"{name} {line:.9g}" for name, line in found.thresholds.items())
        tags[THRESHOLD_TAG] = ", ".join(shown) or "the most probable class"
    if found.unsure is not None:
        tags[UNSURE_TAG] = "{:.9g} to {:.9g}".format(*found.unsure)
    if found.groups is not None and found.threshold is not None:
        tags[GROUPS_TAG] = described_groups(found.groups, found.threshold)
    if found.prediction_interval is not None:
        tags[INTERVAL_TAG] = described(found.prediction_interval)
    if found.segments is not None:
        tags[SEGMENTS_TAG] = str(max(found.segments))
    return tags


def predictions_digest(predictions: Predictions) -> str:
    """SHA-256 of scores or probabilities, rounded to nine digits after the point."""
    values = (
        np.asarray(predictions.scores, dtype="float64")
        if predictions.probabilities is None
        else predictions.probabilities
    )
    return hashlib.sha256((np.round(values, DIGITS) + 0.0).tobytes()).hexdigest()


def _metrics(work: TrainingWork, result: TrainingResult) -> Mapping[str, float]:
    """What the run's metrics are called."""
    judged = work.judged
    metrics = {
        f"test_{result.metric}": result.value,
        f"test_{result.metric}_low": result.interval[0],
        f"test_{result.metric}_high": result.interval[1],
        f"baseline_{result.metric}": result.baseline,
        f"search_{work.search_metric}": judged.search_score,
        **{f"test_{name}": score.value for name, score in judged.others.items()},
        **{f"baseline_{name}": value for name, value in work.evaluation.other_baselines.items()},
    }
    optional = {"noise_ceiling": result.noise_ceiling, f"champion_{result.metric}": result.champion}
    metrics |= {name: value for name, value in optional.items() if value is not None}
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _noise_ceiling(work: TrainingWork) -> float | None:
    """AUC of the generating process's own probabilities on the test rows, where they are known.

    None where the main metric is another one: the ceiling of an AUC is none of its own.
    """
    contract, test = work.contract, work.split.test
    probabilities = true_probabilities(Path(work.settings.root / contract.source.path))
    if probabilities is None or not contract.is_binary or work.definitions.metric is not None:
        return None
    known = probabilities.reindex(test[contract.entity_column]).to_numpy()
    drawn = ~np.isnan(known)  # not so a faulty row, unless a recipe has mended it
    if drawn.mean() < MOSTLY:
        return None
    truth = target_values(test, contract)[drawn]
    ceiling = area_under_roc(truth == contract.target.positive, known[drawn])
    return ceiling if np.isfinite(ceiling) else None


def _champion_value(work: TrainingWork, truth: np.ndarray) -> float | None:
    """The main metric of today's champion on the same rows; None where it cannot score them."""
    if work.champion is None:
        return None
    try:
        predictions = work.champion.predict(work.split.test)
        contract = deciding_as(work.contract, work.champion.contract)
    except (ProjectError, KeyError, ValueError) as error:
        step(f"the champion cannot score these rows: {error}")
        return None
    if not contract.has_target:  # no figure of the test rows says that one grouping is better
        return None
    own = work.definitions.metric
    return metric_value(contract, truth, predictions, own, work.split.test)
