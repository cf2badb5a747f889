"""What a window feature's function is given: rows of a source that write down what is asked.

Values of the rows are those of row features (`row/values.py`), so every expression of a row may
stand inside an aggregate. Nothing is computed here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from goldpath.errors import ProjectError
from goldpath.features.row.document import Expression
from goldpath.features.row.operations import OperationError, Type
from goldpath.features.row.tracer import Tracer, refused
from goldpath.features.row.values import Value
from goldpath.features.window.aggregates import Aggregation, result_type

Read: TypeAlias = Callable[[str], Type]
"""The type of a column of the source; refuses what is none."""


@dataclass(frozen=True, eq=False)
class Aggregate:
    """What a window feature returns: one aggregate of the rows in a window.

    Attributes:
        aggregation: Its name.
        value: What it is computed from; None: the rows themselves.
        condition: Which rows count; None: all.

    Example:
        >>> from goldpath import Aggregate, Rows, window_feature
        >>> @window_feature(source="payments", over="30d")
        ... def paid(payments: Rows) -> Aggregate:
        ...     return payments.where(payments.method == "card").amount.sum()
        >>> paid.source
        'payments'
    """

    aggregation: Aggregation
    value: Expression | None
    condition: Expression | None

    def __bool__(self) -> NoReturn:
        raise refused(
            "`if`, `and`, `or` or `not` asks an aggregate for a truth value, and a window feature "
            "is written down before there are rows",
            _IN_A_ROW_FEATURE,
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise refused(f"an aggregate has no operation {name!r}", _IN_A_ROW_FEATURE)

    def _refuse(self, *_: object) -> NoReturn:
        raise refused("an aggregate is computed with", _IN_A_ROW_FEATURE)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refuse
    __rtruediv__ = __floordiv__ = __mod__ = __pow__ = __neg__ = __abs__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __eq__ = __ne__ = _refuse
    __hash__ = object.__hash__


_IN_A_ROW_FEATURE = (
    "return it under a name, and compute with its column in a row feature: row.paid_total_30d / 30"
)


class _RowsTracer(Tracer):
    """The expressions over the rows that one filter leaves.

    Args:
        read: The types of the source's columns.
        conditions: Which rows are left: each of them holds.
    """

    def __init__(self, read: Read, conditions: tuple[Expression, ...] = ()) -> None:
        super().__init__()
        self.read = read
        self.conditions = conditions

    def condition(self, also: "Value | None" = None) -> Expression | None:
        """What must hold for a row to count, as one expression."""
        parts = [*self.conditions, *([] if also is None else [_expression(also)])]
        if not parts:
            return None
        joined = Tracer()
        places = [_copied(joined, each) for each in parts]
        place = places[0]
        for other in places[1:]:
            place = joined.add("and", (place, other), ())
        return _bounded(joined, place)


class RowsValue(Value):
    """A column of the rows, or what is computed from columns of the same row.

    All operations of a `Value` are here, too; the further ones aggregate.

    Example:
        >>> from goldpath import Aggregate, Rows, window_feature
        >>> @window_feature(source="payments", over="30d")
        ... def paid(payments: Rows) -> Aggregate:
        ...     return (payments.amount * payments.rate).sum()
        >>> paid.name
        'paid'
    """

    def count(self) -> Aggregate:
        """How many values are known."""
        return self._aggregate("count")

    def sum(self) -> Aggregate:
        """The sum; 0 where there are no values."""
        return self._aggregate("sum")

    def mean(self) -> Aggregate:
        """The mean."""
        return self._aggregate("mean")

    def std(self) -> Aggregate:
        """The standard deviation of a sample."""
        return self._aggregate("std")

    def min(self) -> Aggregate:
        """The smallest value."""
        return self._aggregate("min")

    def max(self) -> Aggregate:
        """The largest value."""
        return self._aggregate("max")

    def first(self) -> Aggregate:
        """The oldest known value in the window."""
        return self._aggregate("first")

    def last(self) -> Aggregate:
        """The newest known value in the window."""
        return self._aggregate("last")

    def distinct_count(self) -> Aggregate:
        """How many different values there are."""
        return self._aggregate("distinct_count")

    def _aggregate(self, aggregation: Aggregation) -> Aggregate:
        return _aggregate(aggregation, self, _tracer_of(self).condition())

    def _value(self, other: object) -> Value:
        if isinstance(other, Value) and other._tracer is not self._tracer:
            raise refused(
                "values of rows with different filters stand in one expression",
                "filter once, and take both from it: late = rows.where(…); late.a - late.b",
            )
        return super()._value(other)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        known = [each for kind in (RowsValue, Value) for each in vars(kind) if each[0] != "_"]
        raise refused(
            f"a value of rows has no operation {name!r}", f"it has: {', '.join(sorted(known))}"
        )


class Rows:
    """The rows of a source in a window: `payments.amount.sum()`, `payments["2nd fee"].max()`.

    Args:
        tracer: Writes down what is asked of them.

    Example:
        >>> from goldpath import Aggregate, Rows, window_feature
        >>> @window_feature(source="payments", over=("30d", "90d"))
        ... def paid(payments: Rows) -> dict[str, Aggregate]:
        ...     by_card = payments.where(payments.method == "card")
        ...     return {"total": by_card.amount.sum(), "count": payments.count()}
        >>> paid.over
        ('30d', '90d')
    """

    def __init__(self, tracer: _RowsTracer) -> None:
        self.__dict__["_tracer"] = tracer

    def __getattr__(self, name: str) -> RowsValue:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> RowsValue:
        tracer: _RowsTracer = self.__dict__["_tracer"]
        return RowsValue(tracer, tracer.add("column", (), (name, tracer.read(name))))

    def __setattr__(self, name: str, _: object) -> None:
        raise refused(
            f"the column {name!r} is set; a window feature only reads",
            "aggregate the expression itself: (payments.a * payments.b).sum()",
        )

    def __iter__(self) -> NoReturn:
        raise refused("a loop goes over the rows", "use an aggregate: payments.amount.sum()")

    def __len__(self) -> NoReturn:
        raise refused("len() of the rows", "use payments.count()")

    def where(self, condition: Value) -> "Rows":
        """The rows that a condition holds for; where it is missing it does not hold."""
        own: _RowsTracer = self.__dict__["_tracer"]
        kept = _condition_of(own, condition, "where")
        return Rows(_RowsTracer(own.read, (*own.conditions, _expression(kept))))

    def count(self) -> Aggregate:
        """How many rows there are."""
        return self._aggregate("count")

    def share(self, condition: Value) -> Aggregate:
        """The share of the rows that a condition holds for; missing where there is no row."""
        own: _RowsTracer = self.__dict__["_tracer"]
        return _aggregate("share", _condition_of(own, condition, "share"), own.condition())

    def seconds_since_last(self) -> Aggregate:
        """Seconds from the newest row in the window to the time that is asked for."""
        return self._aggregate("seconds_since_last")

    def days_since_last(self) -> Aggregate:
        """Days from the newest row in the window to the time asked for, with their fractions."""
        return self._aggregate("days_since_last")

    def _aggregate(self, aggregation: Aggregation) -> Aggregate:
        own: _RowsTracer = self.__dict__["_tracer"]
        return _aggregate(aggregation, None, own.condition())


def rows_of(read: Read) -> Rows:
    """All rows of a source.

    Args:
        read: The types of its columns; refuses what is none.
    """
    return Rows(_RowsTracer(read))


def _aggregate(
    aggregation: Aggregation, value: Value | None, condition: Expression | None
) -> Aggregate:
    kind = None if value is None else value._type
    try:
        result_type(aggregation, kind)
    except OperationError as error:
        raise refused(str(error), "see goldpath.features.window.aggregates") from error
    return Aggregate(aggregation, None if value is None else _expression(value), condition)


def _condition_of(rows: _RowsTracer, condition: object, what: str) -> Value:
    if not isinstance(condition, Value) or condition._type != "boolean":
        shown = condition._type if isinstance(condition, Value) else type(condition).__name__
        raise refused(
            f"{what} takes a condition on the rows, not a {shown}",
            'compare a column: payments.where(payments.method == "card")',
        )
    if _tracer_of(condition).read is not rows.read:
        raise refused(
            f"{what} takes a condition on rows of another feature",
            "name the columns of these rows",
        )
    return condition


def _tracer_of(value: Value) -> _RowsTracer:
    tracer = value._tracer
    assert isinstance(tracer, _RowsTracer)  # noqa: S101  only `Rows` makes values here
    return tracer


def _expression(value: Value) -> Expression:
    return _bounded(value._tracer, value._place)


def _bounded(tracer: Tracer, place: int) -> Expression:
    try:
        return tracer.expression(place)
    except ProjectError as error:
        raise refused(error.message, "aggregate a shorter expression") from error


def _copied(tracer: Tracer, expression: Expression) -> int:
    """Write an expression down again, and say at which place."""
    places: list[int] = []
    for node in expression.nodes:
        inputs = tuple(places[each] for each in node.inputs)
        places.append(tracer.add(node.operation, inputs, node.parameters))
    return places[-1]
