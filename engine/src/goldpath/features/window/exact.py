"""Sums that no order of the values changes, and the statistics that are computed from them.

A value is cut into limbs: its multiples of 1, of 2**-30 and of 2**-60. Each limb is a whole number
that is small enough for float64 to add millions of them without rounding, so SQL adds them in any
order, on any number of threads, and gets one result. In a tile a sum is one whole number, in units
of 2**-60. The functions here round its whole part and its fraction to one number; `sql_exact.py`
does the same in SQL, and both must change together.
"""

import math
from collections.abc import Sequence

from goldpath.features.window.aggregates import StateKind

LIMB_BITS = 30
LIMB: float = 2.0**LIMB_BITS
"""How much smaller the next limb is. Float64 adds 2**23 limbs, 8 million values, exactly."""

UNIT_BITS = 60
UNITS: int = 2**UNIT_BITS
"""Into how many parts a sum divides 1."""

LARGEST_VALUE = 2.0**43
"""A value beyond has no sum."""

TOO_LARGE, BEYOND = 2.0**100, 2.0**90
"""What stands for the limb of such a value, and what no sum of others comes near to."""

LARGEST_TOTAL: int = 2**53
"""The first total that is missing."""

NOISE = 2.0**-44
"""A variance below this part of the mean square cannot be told from rounding, and is 0."""


def shifts(kind: StateKind, *, whole: bool) -> tuple[int, ...]:
    """What the limbs of a sum count, as powers of two above its unit; the largest first.

    Args:
        kind: `total` or `squares`.
        whole: Whether the values are whole numbers, which have no fractions to add.
    """
    high = (UNIT_BITS + 2 * LIMB_BITS, UNIT_BITS + LIMB_BITS) if kind == "squares" else ()
    return (*high, UNIT_BITS) if whole else (*high, UNIT_BITS, LIMB_BITS, 0)


def units_of(limbs: Sequence[float], counts: Sequence[int]) -> int | None:
    """A sum in units; None where a value was too large.

    Args:
        limbs: The sums of the limbs.
        counts: Their `shifts`.
    """
    if any(abs(each) >= BEYOND for each in limbs):
        return None
    return sum(int(limb) << shift for limb, shift in zip(limbs, counts, strict=True))


def total_of(units: int | None) -> float | None:
    """A sum as a number; None where it is too large."""
    if units is None:
        return None
    whole, fraction = units >> UNIT_BITS, units & (UNITS - 1)
    if not -LARGEST_TOTAL < whole < LARGEST_TOTAL:
        return None
    return float(whole) + float(fraction) / UNITS


def squares_of(units: int) -> float:
    """A sum of squares as a number, rounded where `sql_exact.py` rounds."""
    whole, fraction = units >> UNIT_BITS, units & (UNITS - 1)
    high, low = whole >> LIMB_BITS, whole & (2**LIMB_BITS - 1)
    return float(high) * LIMB + (float(low) + float(fraction) / UNITS)


def mean_of(total: float | None, known: int) -> float | None:
    """The mean of some values."""
    return None if total is None or known == 0 else total / known


def deviation_of(total: float | None, squares: int | None, known: int) -> float | None:
    """The standard deviation of a sample."""
    if total is None or squares is None or known < 2:
        return None
    of_squares = squares_of(squares)
    spread = of_squares - total * (total / known)
    if spread <= of_squares * NOISE:
        return 0.0
    return math.sqrt(spread / (known - 1))
