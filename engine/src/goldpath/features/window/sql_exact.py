"""The sums of `exact.py` in SQL: values cut into limbs, and limbs put together, in float64.

Every operation here is exact but the last one of each result, so all engines agree in every bit.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from goldpath.features.window import exact

Column: TypeAlias = Any
"""A column of Ibis."""


def constant(value: float) -> Column:
    """A number; DuckDB would read a plain one as a decimal."""
    import ibis

    return ibis.literal(repr(float(value))).cast("float64")


def limbs(value: Column, kind: str, *, whole: bool) -> list[Column]:
    """The limbs of a value, the largest first; missing where the value is missing.

    Args:
        value: A number.
        kind: `total` or `squares`, which cuts the value's square.
        whole: Whether it is a whole number.
    """
    number = value.cast("float64")
    small = number.abs() < constant(exact.LARGEST_VALUE)
    sign = constant(1) if kind == "squares" else number.sign().cast("float64")
    size = number * number if kind == "squares" else number.abs()
    step, found = constant(exact.LIMB), []
    if kind == "squares":
        highest, whole_steps = (size / (step * step)).floor(), (size / step).floor()
        found = [highest, whole_steps - highest * step]
        size = size - whole_steps * step
    if whole:
        found.append(size)
    else:
        part = size - size.floor()
        second = (part * step).floor()
        found += [size.floor(), second, (part * step * step - second * step).floor()]
    signed = [limb.cast("float64") * sign for limb in found]
    return [
        _chosen(number, small, limb, exact.TOO_LARGE if place == 0 else 0.0)
        for place, limb in enumerate(signed)
    ]


def _chosen(number: Column, small: Column, limb: Column, otherwise: float) -> Column:
    import ibis

    return ibis.cases((small, limb), (number.notnull(), constant(otherwise)), else_=None)


def _carried(sums: Sequence[Column]) -> tuple[Column, Column]:
    """The whole part and the fraction in units, of the sums of the last one or three limbs."""
    if len(sums) == 1:
        return sums[0], constant(0)
    whole, second, third = sums
    limb = constant(exact.LIMB)
    carry = (third / limb).floor()
    second = second + carry
    up = (second / limb).floor()
    return whole + up, (second - up * limb) * limb + (third - carry * limb)


def total(sums: Sequence[Column]) -> Column:
    """`exact.total_of` of the sums of limbs."""
    import ibis

    whole, fraction = _carried(sums)
    value = whole + fraction / constant(exact.UNITS)
    return ibis.cases((whole.abs() < constant(exact.LARGEST_TOTAL), value), else_=None)


def squares(sums: Sequence[Column]) -> Column:
    """`exact.squares_of` of the sums of limbs."""
    highest, high, *rest = sums
    whole, fraction = _carried(rest)
    step = constant(exact.LIMB)
    up = (whole / step).floor()
    above = highest * step + (high + up)
    return above * step + ((whole - up * step) + fraction / constant(exact.UNITS))


def mean(total_: Column, known: Column) -> Column:
    """`exact.mean_of`."""
    return total_ / known.cast("float64").nullif(constant(0))


def deviation(total_: Column, squares_: Column, known: Column) -> Column:
    """`exact.deviation_of`."""
    import ibis

    count = known.cast("float64")
    spread = squares_ - total_ * (total_ / count.nullif(constant(0)))
    is_noise = spread <= squares_ * constant(exact.NOISE)
    several = ibis.cases((count > constant(1), count - constant(1)), else_=None)
    root = ibis.cases((is_noise, constant(0)), else_=spread / several).sqrt()
    return ibis.cases((count > constant(1), root), else_=None)
