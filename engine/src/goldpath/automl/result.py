"""What a search found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


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

    @property
    def best(self) -> LeaderboardEntry:
        """The best single configuration."""
        return self.leaderboard[0]
