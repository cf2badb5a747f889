"""How far the reference's own windows lie apart: the noise that a shift must exceed.

Rows of one day are not independent: a day moves as a whole. So a p-value for rows is no p-value for
a day, and the unit here is the window. Each window of the reference is compared with the others of
its season, as a new one would be. From these distances follow, for each test, the variance between
windows beyond chance, and for the largest of all tests how large it gets when nothing happens.
"""

from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from goldpath.drift.bins import Flags, Floats
from goldpath.drift.distances import Distances, ShiftName, TailLaw, tail_law
from goldpath.drift.reference import ReferenceWindows

FEWEST_WINDOWS = 19
"""With fewer, the tail of the largest test cannot be told: rows are then taken as independent."""

TRIMMED, TRIMMED_MEAN = 0.05, 0.76
"""The farthest windows that a first estimate leaves out, and what that makes of a squared normal's
mean."""

ODD_WINDOW = 16.0
"""A window at four standard deviations, chance included, is left out of the variance: a holiday in
the reference must not blind the check for good."""

BEYOND_RECORDS, HIGHEST_RECORD = 3.0, 0.3
"""What is unseen counts from so many times the most that one of the reference's windows had on its
own; and from this distance on whatever they had. The highest of 57 days sets a record of its own in
one day of 57, and a column of few values shows that in many rows."""

HIGHEST_SCORE = 6.0
"""Scores above the median by more of the tail's scale than this count as that: one odd window must
not stretch the tail."""

EULER = 0.5772156649
QUARTILE_GAP = 0.8794
"""Between the median and the upper quartile of a standard Gumbel variable."""

FEW_WINDOWS = 2.6
"""A tail fitted on K windows is stretched by 1 + 2.6/K, so that its mean error is the stated one:
simulated for 19 to 365 windows at 1 and 2 %."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the reference's windows say about noise.

    Attributes:
        between: Variance between windows beyond chance, shape (tests,).
        scores: The largest score of each window, shape (windows,).
        location: Of the Gumbel law that the largest score follows.
        scale: Its scale.
    """

    between: Floats
    scores: Floats
    location: float
    scale: float

    def p_values(self, scores: Floats) -> Floats:
        """The chance that the largest of all tests reaches each of these scores without drift."""
        found: Floats = -np.expm1(-np.exp(-(scores - self.location) / self.scale))
        return found

    def critical_score(self, alpha: float) -> float:
        """The score whose chance is alpha."""
        return self.location - self.scale * float(np.log(-np.log1p(-alpha)))


def has_enough(windows: ReferenceWindows | None) -> TypeGuard[ReferenceWindows]:
    """Whether the reference's windows can say what is usual."""
    return windows is not None and len(windows) >= FEWEST_WINDOWS


def calibrate(
    windows: ReferenceWindows | None, tests: tuple[ShiftName, ...], floors: Floats
) -> Calibration | None:
    """Learn the noise; None where the reference has too few windows.

    Args:
        windows: The reference's own windows.
        tests: What is compared.
        floors: The smallest effect that counts, one for each test.
    """
    if not has_enough(windows):
        return None
    distances, inflation = windows.distances, windows.inflation[:, None]
    chance = distances.moments[0] / inflation
    others, all_windows = between_windows(
        np.nan_to_num(distances.squared / inflation - chance), np.nan_to_num(chance)
    )
    law = tail_law(distances, others * inflation, len(windows) - 1)
    found = scores(law, distances, tests, floors)
    largest = np.max(np.nan_to_num(found), axis=1)
    location, scale = fit_gumbel(largest)
    return Calibration(all_windows, largest, location, scale)


def record_floors(
    windows: ReferenceWindows | None, tests: tuple[ShiftName, ...], floors: Floats
) -> Floats:
    """The floors, raised for what is unseen where the reference's windows have had such records.

    Args:
        windows: The reference's own windows.
        tests: What is compared.
        floors: The smallest effect that counts, one for each test.
    """
    if not has_enough(windows):
        return floors
    is_unseen = np.array([test.test == "unseen" for test in tests])
    records = np.max(np.nan_to_num(windows.distances.effect), axis=0)
    raised = np.minimum(BEYOND_RECORDS * records, HIGHEST_RECORD)
    return np.where(is_unseen, np.maximum(floors, raised), floors)


def scores(
    law: TailLaw, distances: Distances, tests: tuple[ShiftName, ...], floors: Floats
) -> Floats:
    """Minus the logarithm of each test's p-value; NaN for what does not take part.

    A share takes part from its floor on. A few values beyond the reference's range, or a new name
    in one row of a thousand, are certain and no drift; they would set the limit of all others.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found = -np.log(law.p_values(distances.squared))
    is_share = np.array([test.test != "value" for test in tests])
    return np.where(is_share & ~(distances.effect >= floors), np.nan, found)


def between_windows(excess: Floats, chance: Floats) -> tuple[Floats, Floats]:
    """Variances between windows: without each window in turn, shape (K, tests), and of all.

    Args:
        excess: Squared distances less what chance explains, shape (K, tests).
        chance: What chance explains, shape (K, tests). A window is odd by its whole distance: held
            against the variance between windows alone, chance would make ordinary windows odd.
    """
    windows = len(excess)
    kept = windows - int(np.ceil(TRIMMED * windows))
    squared = excess + chance
    first = np.sort(squared, axis=0)[:kept].mean(axis=0) / TRIMMED_MEAN
    usual: Flags = (squared <= ODD_WINDOW * np.maximum(first, chance)) | (first == 0)
    total, count = np.sum(excess * usual, axis=0), np.sum(usual, axis=0)
    others = (total - excess * usual) / np.maximum(count - usual, 1)
    return np.maximum(others, 0.0), np.maximum(total / np.maximum(count, 1), 0.0)


def fit_gumbel(largest: Floats) -> tuple[float, float]:
    """Location and scale by L-moments, odd windows capped.

    The largest of many p-values' logarithms follows this law with scale 1 where the tests' own laws
    hold; a larger scale is what they miss.
    """
    middle, upper = np.quantile(largest, [0.5, 0.75])
    spread = max((upper - middle) / QUARTILE_GAP, 0.25)
    ordered = np.sort(np.minimum(largest, middle + HIGHEST_SCORE * spread))
    size = len(ordered)
    mean = float(ordered.mean())
    weighted = float(np.sum(ordered * np.arange(size))) / (size * (size - 1))
    scale = max((2 * weighted - mean) / np.log(2), 0.25)
    return mean - EULER * scale, scale * (1 + FEW_WINDOWS / size)
