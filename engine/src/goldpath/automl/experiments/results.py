"""What is known of an experiment and of its runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goldpath.automl.budget import Budget
from goldpath.automl.clustering import ClusteringEntry, ClusteringResult
from goldpath.automl.indexed import Indexed
from goldpath.automl.result import AutoMLResult, HistoryPoint, LeaderboardEntry, Option
from goldpath.automl.scores import prediction_metrics
from goldpath.automl.structure.findings import Finding
from goldpath.errors import ProjectError


class ExperimentError(ProjectError):
    """An experiment that is not there, or cannot be made."""


@dataclass(frozen=True)
class Experiment(Indexed):
    """What is known of an experiment.

    Attributes:
        experiment_id: Names it in all calls.
        name: For people.
        description: For people.
        dataset_info: What was said about the data.
        created_at: UTC, ISO 8601.
        runs: Its runs' ids, oldest first.
    """

    experiment_id: str
    name: str
    description: str
    dataset_info: Mapping[str, Any]
    created_at: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExperimentResults(Indexed):
    """A run of an experiment; `results["score"]` reads the same as `results.score`.

    Attributes:
        experiment_id: The experiment.
        run_id: This run.
        problem_type: Classification, regression or clustering.
        metric: What was optimised.
        greater_is_better: Whether more of it is better.
        score: The best model's, on rows that its parts did not learn from (clustering: on all).
        best_single_score: The best single configuration's.
        baseline_score: The best constant prediction's; None for clusters.
        best_family: Of the best single configuration.
        best_params: Its parameters.
        metrics: The best model's, on the same rows as `score`.
        leaderboard: Every configuration, best first.
        history: The learning curve of the search.
        left_out: Families that could not be used, and why.
        rows: How many were learnt from.
        features: Names of the columns.
        classes: Labels of a classification.
        seconds: What the search took.
        budget_seconds: What it was given.
        seed: That everything random was drawn from.
        finished_at: UTC, ISO 8601.
        folder: Where the files of the run are.
        interval: Where the score of new rows is expected, with 95 %; None where that is not known.
        folds_by: What the folds were made by: random, time, groups or own.
        findings: How the rows hang together, what was done because of it, and what is asked.
        latency_ms: What the model takes for one row; None where it was not measured.
        options: Ensembles that were set beside each other by score and milliseconds.
        model: The fitted model; predicts for tables like the one that was given.
        labels: Clustering: each row's cluster, -1 for rows that belong to none.
    """

    experiment_id: str
    run_id: str
    problem_type: str
    metric: str
    greater_is_better: bool
    score: float
    best_single_score: float
    baseline_score: float | None
    best_family: str
    best_params: Mapping[str, Any]
    metrics: Mapping[str, float]
    leaderboard: tuple[LeaderboardEntry, ...]
    history: tuple[HistoryPoint, ...]
    left_out: Mapping[str, str]
    rows: int
    features: tuple[str, ...]
    classes: tuple[str, ...]
    seconds: float
    budget_seconds: float | None
    seed: int
    finished_at: str
    folder: str
    interval: tuple[float, float] | None = None
    folds_by: str = "random"
    findings: tuple[Finding, ...] = ()
    latency_ms: float | None = None
    options: tuple[Option, ...] = ()
    model: Any = field(default=None, repr=False, compare=False)
    labels: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def questions(self) -> tuple[str, ...]:
        """What only somebody who knows the data can tell, each with the option that says it."""
        return tuple(finding.sentence for finding in self.findings if finding.question)

    @property
    def best_model(self) -> Any:
        """The fitted model."""
        return self.model

    @property
    def best_score(self) -> float:
        """The same as `score`."""
        return self.score


def results_of_search(
    experiment_id: str,
    run_id: str,
    folder: Path,
    table: pd.DataFrame,
    y: Any,
    budget: Budget,
    found: AutoMLResult,
) -> ExperimentResults:
    """What a search found, as the results of a run."""
    classes = getattr(found.model, "classes_", ())
    truth = np.asarray(y)[found.held_out_rows]
    return ExperimentResults(
        experiment_id=experiment_id,
        run_id=run_id,
        problem_type=found.problem,
        metric=found.metric,
        greater_is_better=found.greater_is_better,
        score=found.score,
        best_single_score=found.best_single_score,
        baseline_score=found.baseline_score,
        best_family=found.best.family,
        best_params=dict(found.best.parameters),
        metrics=prediction_metrics(found.problem, classes, truth, found.held_out_predictions),
        leaderboard=found.leaderboard,
        history=found.history,
        left_out=dict(found.left_out),
        rows=len(table),
        features=tuple(map(str, table.columns)),
        classes=tuple(map(str, classes)),
        seconds=found.seconds,
        budget_seconds=budget.seconds,
        seed=found.seed,
        finished_at=datetime.now(UTC).isoformat(),
        folder=str(folder),
        interval=found.interval,
        folds_by=found.folds_by,
        findings=found.findings,
        latency_ms=found.latency_ms,
        options=found.options,
        model=found.model,
    )


def results_of_clustering(
    experiment_id: str,
    run_id: str,
    folder: Path,
    table: pd.DataFrame,
    budget: Budget,
    found: ClusteringResult,
    seed: int,
) -> ExperimentResults:
    """What a clustering found, as the results of a run."""
    board = found.leaderboard
    best = board[0]
    return ExperimentResults(
        experiment_id=experiment_id,
        run_id=run_id,
        problem_type="clustering",
        metric=found.metric,
        greater_is_better=True,
        score=found.score,
        best_single_score=found.score,
        baseline_score=None,
        best_family=best.algorithm,
        best_params=dict(best.parameters),
        metrics={
            "clusters": float(found.clusters),
            "silhouette": best.silhouette,
            "davies_bouldin": best.davies_bouldin,
            "calinski_harabasz": best.calinski_harabasz,
            "noise": best.noise,
        },
        leaderboard=tuple(map(_clustering_entry, range(len(board)), board)),
        history=(),
        left_out=dict(found.left_out),
        rows=len(table),
        features=tuple(map(str, table.columns)),
        classes=(),
        seconds=found.seconds,
        budget_seconds=budget.seconds,
        seed=seed,
        finished_at=datetime.now(UTC).isoformat(),
        folder=str(folder),
        model=found.model,
        labels=found.labels,
    )


def _clustering_entry(number: int, entry: ClusteringEntry) -> LeaderboardEntry:
    return LeaderboardEntry(
        number=number,
        family=entry.algorithm,
        parameters=dict(entry.parameters),
        state="complete",
        score=entry.silhouette,
        fold_scores=(),
        seconds=entry.seconds,
        predict_microseconds=0.0,
        in_portfolio=True,
        weight=float(number == 0),
    )
