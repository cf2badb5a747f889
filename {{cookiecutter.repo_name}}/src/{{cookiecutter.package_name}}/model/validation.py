"""The promotion gate: every check must pass, and a check that cannot be made has not passed."""

from dataclasses import dataclass

import numpy as np

from ..contract import Contract
from ..settings import TrainingSettings
from .metrics import Score, bootstrap_difference
from .scoring import Predictions


@dataclass(frozen=True)
class GateCheck:
    """One check, its answer, and the figures behind it."""

    name: str
    passed: bool
    detail: str


def check_test_rows(rows: int, settings: TrainingSettings) -> GateCheck:
    """A score on a handful of rows is no evidence."""
    return GateCheck(
        "enough test rows",
        rows >= settings.minimum_test_rows,
        f"{rows} test rows, {settings.minimum_test_rows} needed",
    )


def check_baseline(score: Score, baseline: float) -> GateCheck:
    """The interval's lower end must beat a model that ignores the features."""
    low, high = score.interval
    return GateCheck(
        "beats the baseline",
        bool(low > baseline),
        f"{score.metric} {score.value:.4f} [{low:.4f}, {high:.4f}] against {baseline:.4f}",
    )


def check_predictions(predictions: Predictions) -> GateCheck:
    """Every prediction must be a finite number, and not all may be the same."""
    scores = np.asarray(predictions.scores, dtype="float64")
    finite, distinct = bool(np.isfinite(scores).all()), len(np.unique(scores))
    return GateCheck(
        "predictions are usable",
        finite and distinct > 1,
        f"finite: {finite}; distinct scores: {distinct}",
    )


def check_champion(
    contract: Contract,
    truth: np.ndarray,
    candidate: Predictions,
    champion: Predictions,
    settings: TrainingSettings,
) -> GateCheck:
    """On the same rows the candidate may be worse than the champion by the tolerance at most."""
    difference, (low, high) = bootstrap_difference(
        contract, truth, candidate, champion, settings.bootstrap_samples, settings.seed
    )
    return GateCheck(
        "not worse than the champion",
        bool(difference >= -settings.champion_tolerance),
        f"difference {difference:+.4f} [{low:+.4f}, {high:+.4f}], "
        f"tolerance {settings.champion_tolerance:g}",
    )
