"""Whether a regression's intervals hold what they are meant to."""

import numpy as np

from goldpath.contract import PredictionInterval
from goldpath.judging.evidence import Evidence
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.learning.decision.interval import ends

BEYOND_CHANCE = 1.645
"""Standard errors: a shortfall that chance alone gives one time in twenty."""


def check_coverage(evidence: Evidence) -> ValidationResult | None:
    """The intervals' share of true values; a shortfall beyond chance warns.

    It does not keep a candidate back: its predictions are no worse for it. `validation.thresholds`
    or a gate with the metric `coverage` does.
    """
    interval = evidence.contract.prediction_interval
    if interval is None:
        return None
    lower, upper = ends(interval, np.asarray(evidence.predictions.values, dtype=np.float64))
    share = float(((lower <= evidence.truth) & (evidence.truth <= upper)).mean())
    least = interval.level - BEYOND_CHANCE * _standard_error(interval, len(evidence.rows))
    fell_short = share < least
    of = f", of rows and of the {interval.errors} errors behind the width," * bool(interval.errors)
    said = f"; chance alone{of} explains {least:.3f} and more" if fell_short else ""
    return ValidationResult(
        "coverage",
        ValidationStatus.WARNING if fell_short else ValidationStatus.PASSED,
        f"{share:.3f} of {len(evidence.rows)} true values lie in their intervals (level "
        f"{interval.level:g}); mean width {float((upper - lower).mean()):.4g}{said}",
        score=share,
        threshold=least,
    )


def _standard_error(interval: PredictionInterval, rows: int) -> float:
    """Of the share on test rows less the level: both the rows and the width are a draw.

    The share that a width of n errors really holds varies around the level by about
    level (1 - level) / n itself (the Beta distribution of Vovk 2012, "Conditional validity of
    inductive conformal predictors"). A version that did not keep n counts the rows alone.
    """
    draws = 1 / rows + (1 / interval.errors if interval.errors else 0.0)
    return float(np.sqrt(interval.level * (1 - interval.level) * draws))
