"""What a window feature may compute, and what each aggregate means: the one place that says so.

A window feature is traced once from a function of the project (`rows.py`) and kept as a document
(`definition.py`). Two evaluators compute it: SQL for training and batches (`sql.py`), and plain
Python for the service, from the tiles of one entity (`tiles.py`). They give the same bits, since
each follows these rules; a test draws features, rows and questions and compares them.

Which rows count
    Time is cut into tiles of one width, counted from 1970 in UTC. At a time t the windows of a
    feature end with the last tile that was over at `t - lag`, and are as long as they say: with
    tiles of a day, `30d` at 15:20 is the thirty whole days before this midnight. A tile holds its
    first moment and not its end, so no row at or after t ever counts; with `including=True` a tile
    holds its end and not its first moment, and a row at t itself counts where t ends a tile. All
    windows of a feature share the width that suits the shortest one: a count over 90 days is never
    below that over 30. Rows without an entity or a time belong to nobody.

    Windows that end at the very second would need every raw row in the online store, since the old
    end of a window moves through rows, too; tiles bound what is stored for an entity that has a
    million rows. A total is never stored: it would be wrong tomorrow without any new event.

Missing values
    An aggregate takes the values that are known, of the rows that the filter's condition holds for.
    NaN and infinite numbers are missing. Without any row `count`, `distinct_count` and `sum` are 0,
    and everything else is missing; so it is for an entity that nobody knows.

Aggregates
    `count` of rows, or of known values. `share` of the rows that a condition holds for; rows where
    it is missing count among all. `min` and `max` of numbers and texts, texts by code points.
    `first` and `last` by time; of several values at one time the smallest is the first and the
    largest the last. `distinct_count` of known values. `seconds_since_last` and `days_since_last`
    from the newest row in the window to t, exact to the microsecond.
    `sum` adds exactly: of each value what is below 2**-60 (1e-18) is cut off, and only the total is
    rounded, to less than 2**-53 or a last bit beside the true one. No order of rows, tiles or
    threads changes a bit, and a late row does what it would have done in time. So it is up to 8
    million rows of an entity, and while their magnitudes add up to less than 2**53. `sum`, `mean`
    and `std` are missing where a value is beyond ±2**43, or a total beyond ±(2**53 - 1). `mean`
    divides the sum once. `std` is that of a sample (n - 1), missing below two values, from the
    exact sums of the values and of their squares; one below 2**-22 (2e-7) of the values' root mean
    square is 0, because nothing smaller can be told from rounding.
"""

from typing import Literal, TypeAlias, get_args

from goldpath.features.row.operations import NUMBERS, OperationError, Type

Aggregation: TypeAlias = Literal[
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "std",
    "first",
    "last",
    "distinct_count",
    "share",
    "seconds_since_last",
    "days_since_last",
]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)

StateKind: TypeAlias = Literal[
    "rows", "known", "total", "squares", "lowest", "highest", "first", "last", "distinct", "newest"
]
"""What tiles hold: parts that can be merged, and from which every aggregate is computed."""

_OF_NUMBERS = ("sum", "mean", "std")
_OF_ORDERED = ("min", "max")
_OF_VALUES = (*_OF_NUMBERS, *_OF_ORDERED, "first", "last", "distinct_count")
_OF_ROWS = ("seconds_since_last", "days_since_last")

STATES: dict[Aggregation, tuple[StateKind, ...]] = {
    "count": ("rows",),
    "sum": ("total",),
    "mean": ("known", "total"),
    "min": ("lowest",),
    "max": ("highest",),
    "std": ("known", "total", "squares"),
    "first": ("first",),
    "last": ("last",),
    "distinct_count": ("distinct",),
    "share": ("rows",),
    "seconds_since_last": ("newest",),
    "days_since_last": ("newest",),
}


def result_type(aggregation: str, value: Type | None) -> Type:
    """The type of an aggregate's result.

    Args:
        aggregation: Its name.
        value: The type of what it is computed from; None: the rows themselves.

    Raises:
        OperationError: If it does not suit the value.
    """
    if aggregation not in AGGREGATIONS:
        raise OperationError(f"is no aggregate: {aggregation!r}")
    if (value is None and aggregation in _OF_VALUES) or (
        value is not None and aggregation in _OF_ROWS
    ):
        raise OperationError(f"{aggregation} takes {'a column' if value is None else 'rows'}")
    if value == "time":
        raise OperationError(f"{aggregation} takes no time; take a part of it, such as hour()")
    if aggregation == "share":
        if value != "boolean":
            raise OperationError(f"share takes a condition, not a {value or 'row'}")
        return "number"
    if aggregation in ("count", "distinct_count"):
        return "integer"
    if aggregation in _OF_NUMBERS and value not in NUMBERS:
        raise OperationError(
            f"{aggregation} takes numbers, not a {value}"
            + ("; count the rows that fulfil it, or take their share" if value == "boolean" else "")
        )
    if aggregation in _OF_ORDERED and value not in (*NUMBERS, "text"):
        raise OperationError(f"{aggregation} takes numbers or texts, not a {value}")
    if aggregation in ("mean", "std", *_OF_ROWS):
        return "number"
    return value or "integer"
