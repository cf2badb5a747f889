"""The interval around a regression's answer, from errors on rows that the model did not see.

Half the width is a quantile of the absolute errors of out-of-fold predictions, with the correction
for finitely many rows of split conformal prediction (Lei et al. 2018, "Distribution-free predictive
inference for regression"). Were the errors those of one model on rows that it never saw, an
interval would hold the true value of a new, exchangeable row with a probability of at least the
level, on average over rows. Here each fold's model is another one, and the model that answers has
learned from all rows: that is the cross-validation of Barber et al. 2021 ("Predictive inference
with the jackknife+"), which holds the level where the model hardly depends on a fold's rows, and
has no such bound in general. Hence the test rows tell what share the intervals really hold.
"""

import math

import numpy as np

from goldpath.contract import PredictionInterval
from goldpath.errors import NotEnoughDataError

DIGITS = 9
"""`0.7 * 10` is 7.000000000000001, which would ask for the eighth error."""


def chosen_interval(
    level: float, truth: np.ndarray, predicted: np.ndarray, targets: np.ndarray
) -> PredictionInterval:
    """The interval of a version.

    Args:
        level: The share of true values that it is meant to hold.
        truth: The target, shape (rows,).
        predicted: By models that did not see the row, shape (rows,).
        targets: Of all rows to learn from, of which some have no such prediction.

    Raises:
        NotEnoughDataError: If there are too few rows for the level.
    """
    return PredictionInterval(
        level=level,
        half_width=half_width(np.abs(truth - predicted), level),
        minimum=0.0 if targets.min() >= 0 else None,
        errors=len(truth),
    )


def half_width(errors: np.ndarray, level: float) -> float:
    """The error that at most 1 - `level` of new rows exceed: the ⌈(n + 1) level⌉-th of n.

    Args:
        errors: Absolute, shape (rows,).
        level: Between 0 and 1.

    Raises:
        NotEnoughDataError: If there are fewer rows than the rank.
    """
    rank = math.ceil(round((len(errors) + 1) * level, DIGITS))
    if rank > len(errors):
        needed = math.ceil(round(level / (1 - level), DIGITS))
        raise NotEnoughDataError(
            f"decision.interval={level:g} needs {needed} rows with a prediction by a model that "
            f"did not see them, and there are {len(errors)}",
            "lower decision.interval (config/decision.yaml, or the model's own file), or bring "
            "more rows: make data",
        )
    return float(np.partition(errors, rank - 1)[rank - 1])


def described(interval: PredictionInterval) -> str:
    """The interval for people."""
    cut = "" if interval.minimum is None else ", never below 0, as no training target is"
    return f"±{interval.half_width:.4g} at level {interval.level:.4g}{cut}"


def ends(interval: PredictionInterval, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower and the upper end around each answer, shape (rows,)."""
    # Zero is added, since of -0.0 and 0.0 a maximum takes either.
    lower, upper = values - interval.half_width + 0.0, values + interval.half_width + 0.0
    if interval.minimum is None:
        return lower, upper
    return np.maximum(lower, interval.minimum), np.maximum(upper, interval.minimum)


def ends_of(interval: PredictionInterval, value: float) -> tuple[float, float]:
    """The same of one answer, without an array."""
    lower, upper = value - interval.half_width + 0.0, value + interval.half_width + 0.0
    if interval.minimum is None:
        return lower, upper
    return max(lower, interval.minimum), max(upper, interval.minimum)
