"""Two models on the same rows: is the candidate worse than the champion?

Where the main metric is the area under the ROC curve: DeLong's interval of the difference of two
correlated areas (DeLong et al. 1988), by midranks (Sun & Xu 2014). Else a paired bootstrap over
rows.
"""

from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.learning.metric import Metric
from goldpath.learning.metrics import bootstrap_difference, main_metric
from goldpath.learning.scoring import Predictions
from goldpath.settings import TrainingSettings, ValidationSettings

if TYPE_CHECKING:
    import pandas as pd

CHAMPION_CHECK = "not worse than the champion"
NORMAL_QUANTILE = 1.959963984540054
FEWEST_OF_A_CLASS = 10
"""Fewer rows of a class than this, and DeLong's normal approximation is not to be trusted."""


def check_champion(
    contract: Contract,
    truth: np.ndarray,
    candidate: Predictions,
    champion: Predictions,
    training: TrainingSettings,
    validation: ValidationSettings,
    own: Metric | None = None,
    rows: "pd.DataFrame | None" = None,
    champion_contract: Contract | None = None,
) -> ValidationResult:
    """Judge the difference by its interval.

    By default the candidate is refused where it is worse by more than the tolerance and surely
    worse. A retrained model that is as good scores lower half of the time, so the difference alone
    is no reason. Under `proven_not_worse` the whole interval must lie above minus the tolerance.

    Args:
        contract: The candidate's contract.
        truth: The target, shape (rows,).
        candidate: What the candidate says about the rows.
        champion: What the champion says about them.
        training: The tolerance, bootstrap samples and seed.
        validation: The rule.
        own: The project's own main metric; the comparison follows it.
        rows: The rows themselves, which a metric of one's own may look at.
        champion_contract: With the champion's threshold, band or interval, which a metric may look
            at; the candidate's where not given.
    """
    tolerance = training.champion_tolerance
    name = main_metric(contract, own)
    if contract.is_binary and own is None:
        positive = truth == contract.target.positive
        rarer = min(int(positive.sum()), int((~positive).sum()))
        if rarer < FEWEST_OF_A_CLASS:
            return ValidationResult(
                CHAMPION_CHECK,
                ValidationStatus.NOT_ENOUGH_DATA,
                f"{rarer} test rows of the rarer class, {FEWEST_OF_A_CLASS} needed",
            )
        difference, (low, high) = delong_difference(
            positive, np.asarray(candidate.scores), np.asarray(champion.scores)
        )
        method = "DeLong"
    else:
        difference, (low, high) = bootstrap_difference(
            contract,
            truth,
            candidate,
            champion,
            training.bootstrap_samples,
            training.seed,
            own,
            rows,
            champion_contract,
        )
        method = "paired bootstrap"
    if not np.isfinite([difference, low, high]).all():
        return ValidationResult(
            CHAMPION_CHECK,
            ValidationStatus.NOT_ENOUGH_DATA,
            f"{name} is not defined on these {len(truth)} rows: at least two values are needed",
        )
    strict = validation.champion_rule == "proven_not_worse"
    below = difference < -tolerance
    refused = low < -tolerance if strict else below and high < 0
    status = (
        ValidationStatus.FAILED
        if refused
        else ValidationStatus.WARNING
        if below
        else ValidationStatus.PASSED
    )
    note = ", which may be chance" if status is ValidationStatus.WARNING else ""
    return ValidationResult(
        CHAMPION_CHECK,
        status,
        f"{name}: difference {difference:+.4f} [{low:+.4f}, {high:+.4f}] ({method}), "
        f"tolerance {tolerance:g}{note}",
        score=difference,
        threshold=-tolerance,
    )


def delong_difference(
    positive: np.ndarray, candidate: np.ndarray, champion: np.ndarray
) -> tuple[float, tuple[float, float]]:
    """Candidate minus champion: the difference of the areas, and its 95 % interval.

    Args:
        positive: Booleans, shape (rows,).
        candidate: Scores, shape (rows,).
        champion: Scores of the same rows, shape (rows,).
    """
    areas, covariance = delong_areas(positive, np.stack([candidate, champion]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    half = NORMAL_QUANTILE * float(np.sqrt(max(variance, 0.0)))
    difference = float(areas[0] - areas[1])
    return difference, (difference - half, difference + half)


def delong_areas(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the ROC curve of several models on the same rows, and their covariance.

    Args:
        positive: Booleans, shape (rows,); at least two rows of each kind.
        scores: Shape (models, rows).

    Returns:
        Areas, shape (models,), and the covariance, shape (models, models).
    """
    above, below = scores[:, positive], scores[:, ~positive]
    positives, negatives = above.shape[1], below.shape[1]
    together = np.stack([midranks(row) for row in np.hstack([above, below])])
    among_positives = np.stack([midranks(row) for row in above])
    among_negatives = np.stack([midranks(row) for row in below])
    # The share of negatives below each positive, and of positives above each negative.
    wins = (together[:, :positives] - among_positives) / negatives
    losses = 1 - (together[:, positives:] - among_negatives) / positives
    covariance = np.cov(wins) / positives + np.cov(losses) / negatives
    return wins.mean(axis=1), np.atleast_2d(covariance)


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    upper = np.cumsum(counts)
    return np.asarray((upper - (counts - 1) / 2)[inverse])
