"""What a training leaves in MLflow and in `reports/`: inputs, evaluation, reference, model."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from goldpath.errors import ProjectError
from goldpath.jobs.training.automl_store import AUTOML, stored_held_out
from goldpath.jobs.training.candidate_description import (
    CARD_FILE,
    CHANGELOG_FILE,
    describe_candidate,
    version_description,
)
from goldpath.jobs.training.work import TrainingWork
from goldpath.judging.evaluation import plot_evaluation
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.metrics import metric_value
from goldpath.learning.scoring import ModelVersion, Predictions
from goldpath.learning.search import held_out_predictions
from goldpath.presentation import step
from goldpath.registry.layout import REFERENCE_FILE, RUN_KEY, SEMANTIC_TAG, SNAPSHOT_TAG
from goldpath.reports import write_report

RESULT_FILE = "training.json"
EVALUATION_FILE = "evaluation.json"
PLOT_FILE = "evaluation.png"
DIGITS = 9


def write_evaluation(work: TrainingWork) -> dict[str, Any]:
    """Log scores, slices, importances and plots; returns what the later stages need."""
    contract, evaluation = work.contract, work.evaluation
    manager, run_id = work.manager, work.run.run_id
    truth = target_values(work.split.test, contract)
    plot = work.settings.reports / PLOT_FILE
    plot_evaluation(evaluation, contract, truth, plot)
    manager.log_file(run_id, plot, "plots")
    worst = next((item for item in evaluation.slices if item.worse), None)
    values = {
        "metric": evaluation.score.metric,
        "value": evaluation.score.value,
        "interval": list(evaluation.score.interval),
        "baseline": evaluation.baseline,
        "champion": _champion_value(work, truth),
        "search_score": work.done("train")["score"],
        "others": {
            name: [score.value, *score.interval] for name, score in evaluation.others.items()
        },
        "worst_slice": ""
        if worst is None
        else f"{worst.name}: loss {worst.loss:.3g}, elsewhere {worst.loss_elsewhere:.3g}",
        "predictions_digest": predictions_digest(evaluation.predictions),
        "plot": work.settings.shown(plot),
        "card": work.settings.shown(work.settings.reports / CARD_FILE),
    }
    report = {
        **values,
        "importances": dict(evaluation.importances),
        "slices": [asdict(item) for item in evaluation.slices],
    }
    write_report(work.settings.reports / EVALUATION_FILE, report)
    manager.log_file(run_id, work.settings.reports / EVALUATION_FILE)
    return values


def log_candidate(
    work: TrainingWork, result: Mapping[str, Any], metrics: Mapping[str, float]
) -> ModelVersion:
    """Log the run's parameters, metrics and files, then store and register the model."""
    manager, run_id, found = work.manager, work.run.run_id, work.done("train")
    names = ("trials", "cv_folds", "test_fraction", "seed")
    search = {f"search_{name}": getattr(work.settings.training, name) for name in names}
    manager.log_parameters(run_id, {"family": found["family"], **found["parameters"], **search})
    manager.log_metrics(run_id, metrics)
    _log_reference(work)
    judged = work.done("evaluate")
    others = {name: value for name, (value, _, _) in judged["others"].items()}
    described = describe_candidate(work, {judged["metric"]: judged["value"], **others})
    (work.settings.reports / CARD_FILE).write_text(described.card, encoding="utf-8")
    manager.log_text(run_id, described.card, CARD_FILE)
    manager.log_text(run_id, described.changelog, CHANGELOG_FILE)
    # Before the version exists: a version without its result would be of no use to a later call.
    manager.log_text(run_id, json.dumps(result), RESULT_FILE)
    extracted = work.done("extract")
    tags = {
        RUN_KEY: work.run.tags[RUN_KEY],
        SNAPSHOT_TAG: str(extracted["snapshot_id"]),
        "gold_table": extracted["table"],
        "predictions_digest": result["predictions_digest"],
        SEMANTIC_TAG: described.semantic_version,
        "semantic_version_reason": described.reason,
    }
    with manager.translate("tagging the run"):
        for name, value in tags.items():
            manager.client.set_tag(run_id, name, value)
    version = manager.register(
        run_id,
        work.model,
        model_frame(work.split.train, work.contract),
        tags,
        version_description(result),
    )
    manager.finish_run(run_id)
    return version


def predictions_digest(predictions: Predictions) -> str:
    """SHA-256 of scores or probabilities, rounded to nine digits after the point."""
    values = (
        np.asarray(predictions.scores, dtype="float64")
        if predictions.probabilities is None
        else predictions.probabilities
    )
    return hashlib.sha256((np.round(values, DIGITS) + 0.0).tobytes()).hexdigest()


def _champion_value(work: TrainingWork, truth: np.ndarray) -> float | None:
    """The main metric of today's champion on the same rows; None where it cannot score them."""
    if work.champion is None:
        return None
    try:
        predictions = work.champion.predict(work.split.test)
    except (ProjectError, KeyError, ValueError) as error:
        step(f"the champion cannot score these rows: {error}")
        return None
    own = work.definitions.metric
    return metric_value(work.contract, truth, predictions, own, work.split.test)


def _log_reference(work: TrainingWork) -> None:
    """What drift checks compare with: training rows and predictions of them as if they were new."""
    settings, rows, found = work.settings, work.split.train, work.done("train")
    known = None
    if found["family"] == AUTOML:
        # The rows that the search's folds judged on; with an event time those are the newest ones.
        known = stored_held_out(work.manager, work.run.run_id)
        rows = rows.loc[known.index]
    if len(rows) > settings.monitoring.reference_rows:
        rows = rows.sample(settings.monitoring.reference_rows, random_state=settings.training.seed)
    rows = rows.sort_index()
    if known is not None:
        predicted = rows.assign(prediction=known.loc[rows.index])
    else:
        predicted = held_out_predictions(
            rows,
            work.contract,
            found["family"],
            found["parameters"],
            settings.training,
            work.definitions,
        )
    with TemporaryDirectory() as folder:
        file = Path(folder) / Path(REFERENCE_FILE).name
        predicted[[*work.contract.feature_names, "prediction"]].to_parquet(file, index=False)
        work.manager.log_file(work.run.run_id, file, str(Path(REFERENCE_FILE).parent))
