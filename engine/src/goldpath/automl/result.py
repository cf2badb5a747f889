"""What a search found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from goldpath.automl.structure.findings import Finding, Folds


@dataclass(frozen=True)
class LeaderboardEntry:
    """One configuration that was tried.

    Attributes:
        number: Order in which it was tried.
        family: A name in `families.portfolio.SEARCH_FAMILIES`.
        parameters: Its parameters.
        state: `complete`, `pruned` (clearly worse on the first folds), `failed` or `skipped`.
        score: Mean over the folds in the metric's units; None unless complete.
        fold_scores: The metric on each fold's validation rows.
        seconds: Spent on it.
        predict_microseconds: Per row, with all its fold models, in a batch; 0 if never measured.
        in_portfolio: Whether it came from the portfolio and not from the search.
        weight: Its share of the ensemble; 0 outside.
        reason: Why it failed or was skipped.
    """

    number: int
    family: str
    parameters: Mapping[str, Any]
    state: str
    score: float | None
    fold_scores: tuple[float, ...]
    seconds: float
    predict_microseconds: float
    in_portfolio: bool
    weight: float
    reason: str = ""


@dataclass(frozen=True)
class HistoryPoint:
    """The best score, single and of the ensemble, after so many seconds and configurations."""

    elapsed: float
    tried: int
    best_score: float
    ensemble_score: float


@dataclass(frozen=True)
class Option:
    """An ensemble that could have been taken.

    Attributes:
        families: Its members', the heaviest first.
        models: How many fitted models it asks for one row.
        score: On the held-out rows, in the metric's units.
        milliseconds: For one row, from its models' own times.
        can_be_compiled: Whether all members have a compiled form, with which a service answers in a
            fraction of that time.
        is_best: Whether no other is both better and faster (the Pareto front).
        is_chosen: Whether it is the result's model.
    """

    families: tuple[str, ...]
    models: int
    score: float
    milliseconds: float
    can_be_compiled: bool
    is_best: bool
    is_chosen: bool


@dataclass(frozen=True)
class AutoMLResult:
    """A fitted model and how it was found.

    Attributes:
        model: `EnsembleClassifier` or `EnsembleRegressor`: predicts for tables as they come.
        problem: `classification` or `regression`.
        metric: The metric that was optimised.
        greater_is_better: Whether more of it is better.
        score: The ensemble's, on held-out predictions of the training rows.
        best_single_score: The best single configuration's on the same predictions.
        baseline_score: The best constant prediction's.
        leaderboard: Best first; those without a score last.
        history: Learning curve of the search.
        left_out: Families that could not be used, and why.
        seconds: Spent, on the budget's clock.
        seed: That everything random was drawn from.
        rows: Training rows.
        folds: Folds of one repeat.
        held_out_rows: Numbers of the rows that the folds judged on.
        held_out_predictions: The ensemble's for these rows, made by models that did not learn from
            them: probabilities of shape (rows, classes), or values.
        interval: Where the score of as many new rows as a fold has judged is expected, with 95 %;
            from the spread over the folds. None for a single fold.
        folds_by: What the folds were made by.
        options: Ensembles that were set beside each other by score and milliseconds for one row.
        latency_ms: What the model takes for one row, measured at the end.
        findings: How the rows hang together, what was done because of it, and what is asked.
    """

    model: Any
    problem: str
    metric: str
    greater_is_better: bool
    score: float
    best_single_score: float
    baseline_score: float
    leaderboard: tuple[LeaderboardEntry, ...]
    history: tuple[HistoryPoint, ...]
    left_out: Mapping[str, str]
    seconds: float
    seed: int
    rows: int
    folds: int
    held_out_rows: np.ndarray = field(repr=False, compare=False)
    held_out_predictions: np.ndarray = field(repr=False, compare=False)
    interval: tuple[float, float] | None
    folds_by: Folds
    options: tuple[Option, ...]
    latency_ms: float
    findings: tuple[Finding, ...]

    @property
    def best(self) -> LeaderboardEntry:
        """The best single configuration."""
        return self.leaderboard[0]

    @property
    def questions(self) -> tuple[Finding, ...]:
        """What only somebody who knows the data can tell."""
        return tuple(finding for finding in self.findings if finding.question)
