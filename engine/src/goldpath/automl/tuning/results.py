"""What tuning an estimator found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from goldpath.automl.indexed import Indexed
from goldpath.automl.result import LeaderboardEntry


@dataclass(frozen=True)
class TuningResults(Indexed):
    """What tuning found; `results["best_params"]` reads the same as `results.best_params`.

    Attributes:
        run_id: Names this result.
        model_type: The search space's name, or `own`.
        method: How it was searched.
        problem_type: Classification or regression.
        metric: scikit-learn's name of the score; more is better.
        best_params: The winner's parameters; empty where the estimator was best as it was given.
        best_score: Its mean over the folds.
        default_score: The same of the estimator as it was given.
        metrics: Both scores by name.
        trials: Every configuration in order; the first is the estimator as it was given.
        leaderboard: The same, best first.
        resource: What Hyperband saved: a parameter's name, or `rows`; empty for other methods.
        folds: Of the cross-validation.
        seconds: What it took.
        budget_seconds: What it was given; None without a limit.
        seed: That everything random was drawn from.
        best_model: The winner, fitted on all rows.
    """

    run_id: str
    model_type: str
    method: str
    problem_type: str
    metric: str
    best_params: Mapping[str, Any]
    best_score: float
    default_score: float
    metrics: Mapping[str, float]
    trials: tuple[LeaderboardEntry, ...]
    leaderboard: tuple[LeaderboardEntry, ...]
    resource: str
    folds: int
    seconds: float
    budget_seconds: float | None
    seed: int
    best_model: Any = field(default=None, repr=False, compare=False)

    @property
    def model(self) -> Any:
        """The same as `best_model`."""
        return self.best_model
