"""Hundreds of conditions as one expression."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis


def joined(
    join: "Callable[[ibis.Value, ibis.Value], ibis.Value]",
    values: "Sequence[ibis.Value]",
    nothing: "ibis.Value",
) -> "ibis.Value":
    """The values joined pair by pair: a chain of hundreds is too deep for Ibis and the engines.

    Args:
        join: Joins two, such as `operator.or_`.
        values: In their order.
        nothing: The result where there is no value.
    """
    if not values:
        return nothing
    while len(values) > 1:
        values = [reduce(join, values[first : first + 2]) for first in range(0, len(values), 2)]
    return values[0]
