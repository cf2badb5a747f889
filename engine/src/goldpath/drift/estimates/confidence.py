"""Confidence-based performance estimation: how good predictions probably are, without labels.

A calibrated probability says how often it is right. So the probabilities of a window alone give an
expected confusion matrix at each threshold, and with it an expected area under the ROC curve. The
method is NannyML's CBPE (documentation of NannyML: "Confidence-based Performance Estimation"). It
sees what a shift of the rows does to quality. It cannot see concept drift: if the same rows have
other labels now, the probabilities do not change, and neither does the estimate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from goldpath.drift.bins import Floats, Integers

NORMAL_QUANTILE = 1.959963984540054

MANTISSA = 4096
"""Values are rounded to 12 binary digits before they are counted, so that a tally stays small."""


@dataclass(frozen=True, eq=False)
class Tally:
    """How often each value occurs. Tallies of two sets of rows add up to that of all of them.

    Attributes:
        values: The distinct values, increasing.
        counts: Rows of each.
    """

    values: Floats
    counts: Integers

    def __add__(self, other: "Tally") -> "Tally":
        """The tally of both sets of rows together."""
        values, places = np.unique(np.r_[self.values, other.values], return_inverse=True)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, places, np.r_[self.counts, other.counts])
        return Tally(values, counts)

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.counts.sum())


Tallies = Mapping[str, Tally]
"""What is known of some rows, by the name of the value."""


def tally(values: Floats) -> Tally:
    """The tally of some values as they are; NaN does not count.

    Example:
        >>> found = tally(np.array([0.5, 0.25])) + tally(np.array([0.5]))
        >>> found.values.tolist(), found.counts.tolist()
        ([0.25, 0.5], [1, 2])
    """
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return Tally(distinct, counts.astype(np.int64))


def rounded(values: Floats) -> Floats:
    """The values to 12 binary digits: off by an eight-thousandth of themselves at most."""
    mantissa, exponent = np.frexp(values)
    found: Floats = np.ldexp(np.round(mantissa * MANTISSA) / MANTISSA, exponent)
    return found


def rounded_probabilities(values: Floats) -> Floats:
    """Probabilities, of which the smaller one of it and the rest is rounded; others become NaN."""
    with np.errstate(invalid="ignore"):
        found = np.where(values > 0.5, 1 - rounded(1 - values), rounded(values))
        return np.where((values >= 0) & (values <= 1), found, np.nan)


@dataclass(frozen=True)
class Estimate:
    """A quality that was estimated without labels.

    Attributes:
        value: The expected value of the metric.
        interval: In 95 % of such windows the value that labels would give lies in it, if the
            probabilities are calibrated, or errors are what they were for such rows.
    """

    value: float
    interval: tuple[float, float]


def estimate_area(probabilities: Tally) -> Estimate | None:
    """The area under the ROC curve that labels would probably give.

    A row is a positive with its probability, and a negative with the rest. The interval is DeLong's
    with these weights in the place of labels.

    Args:
        probabilities: Of the positive class, in [0, 1].

    Returns:
        None where one class is not expected at all.
    """
    scores, rows = probabilities.values, probabilities.counts
    positives, negatives = scores * rows, (1 - scores) * rows
    expected, others = float(positives.sum()), float(negatives.sum())
    if min(expected, others) < 1:
        return None
    # Of each score: the share of expected negatives below it, and of expected positives above it.
    below = (np.cumsum(negatives) - negatives / 2) / others
    above = 1 - (np.cumsum(positives) - positives / 2) / expected
    # A row is no pair with itself.
    alone = float(np.sum(scores * (1 - scores) * rows))
    value = (float(np.sum(positives * below)) * others - alone / 2) / (expected * others - alone)
    spread = (
        float(np.sum(positives * (below - value) ** 2)) / expected**2
        + float(np.sum(negatives * (above - value) ** 2)) / others**2
    )
    half = NORMAL_QUANTILE * spread**0.5
    return Estimate(value, (max(0.0, value - half), min(1.0, value + half)))


def estimate_accuracy(confidences: Tally) -> Estimate | None:
    """The share of right predictions that labels would probably give.

    Args:
        confidences: The probability of the label that was predicted, in [0, 1].

    Returns:
        None where there are no rows.
    """
    rows = confidences.rows
    if rows == 0:
        return None
    value = float(confidences.values @ confidences.counts) / rows
    spread = float((confidences.values * (1 - confidences.values)) @ confidences.counts) / rows**2
    half = NORMAL_QUANTILE * spread**0.5
    return Estimate(value, (max(0.0, value - half), min(1.0, value + half)))
