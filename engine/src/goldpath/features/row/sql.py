"""Row features in SQL: what gold's columns are computed by, on DuckDB and on Athena.

Ibis writes an expression out as a tree, so what an operation takes stands in it once wherever that
can be said: a bound is put as `nullif(least(greatest(x, low), high), low)`, not as a `CASE` that
names `x` three times. DuckDB reads `0.1` as a decimal, so a number stands as a text that is cast.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add, and_, eq, invert, le, lt, mul, or_, sub
from typing import TYPE_CHECKING, Any, TypeAlias

from goldpath.features.row.document import Definition, Expression, Node
from goldpath.features.row.one_row import BEYOND_INTEGERS
from goldpath.features.row.operations import NUMBERS, type_of
from goldpath.features.row.texts import (
    CAPITALS,
    DAY_SECONDS,
    HOUR_SECONDS,
    MINUTE_SECONDS,
    SMALL,
    TIME,
)

if TYPE_CHECKING:
    import ibis

Column: TypeAlias = Any
"""A column of Ibis."""

SQL_TYPES = {
    "number": "float64",
    "integer": "int64",
    "boolean": "boolean",
    "text": "string",
    "time": "float64",
}
"""The types of results; inside an expression, whole numbers are float64, too."""


def sql_column(expression: Expression, rows: "ibis.Table") -> Column:
    """The expression over the columns of a table, which hold what the contract allows."""
    found: list[Column] = []
    for node in expression.nodes:
        found.append(_column(node, found, rows))
    return found[-1].cast(SQL_TYPES[expression.type])


def with_sql_features(definitions: Sequence[Definition], rows: "ibis.Table") -> "ibis.Table":
    """A table with its features as further columns, each after those that it reads."""
    for each in definitions:
        rows = rows.mutate(**{each.name: sql_column(each.expression, rows)})
    return rows


def _column(node: Node, found: Sequence[Column], rows: "ibis.Table") -> Column:
    import ibis

    match node.operation:
        case "column":
            name, kind = node.parameters
            return rows[name].cast("float64") if kind in NUMBERS else rows[name]
        case "literal":
            return _constant(node.parameters[0])
        case "missing":
            kind = "number" if node.type in NUMBERS else node.type
            return ibis.null(SQL_TYPES[kind])
    inputs = [found[place] for place in node.inputs]
    if node.operation in _ARITHMETIC:
        result = _ARITHMETIC[node.operation](*inputs)
        return _whole(result) if node.type == "integer" else _finite(result)
    return _FUNCTIONS[node.operation](*inputs, *node.parameters)


def _constant(value: Any) -> Column:
    import ibis

    if type_of(value) in NUMBERS:
        return ibis.literal(repr(float(value))).cast("float64")
    return ibis.literal(value)


def _finite(value: Column) -> Column:
    return value.nullif(float("inf")).nullif(float("-inf"))


def _clamped(value: Column) -> Column:
    """The number, or the first one beyond the integers. DuckDB's bounds pass over a missing one."""
    import ibis

    low, high = _constant(-BEYOND_INTEGERS), _constant(BEYOND_INTEGERS)
    return ibis.least(ibis.greatest(value, low), high)


def _within(value: Column) -> Column:
    """A clamped number, missing where it is beyond the integers."""
    return value.nullif(_constant(-BEYOND_INTEGERS)).nullif(_constant(BEYOND_INTEGERS))


def _whole(value: Column) -> Column:
    return _within(_clamped(value))


def _rounded(to_whole: str) -> Callable[[Column], Column]:
    return lambda value: _within(getattr(_clamped(value), to_whole)().cast("float64"))


def _divisor(value: Column) -> Column:
    return value.nullif(_constant(0))


def _modulo(left: Column, right: Column) -> Column:
    divisor = _divisor(right)
    return _finite(left % divisor + divisor) % divisor


def _sqrt(value: Column) -> Column:
    import ibis

    return ibis.cases((value >= _constant(0), value), else_=None).sqrt()


def _log(value: Column) -> Column:
    import ibis

    return _divisor(ibis.greatest(value, _constant(0))).ln()


def _case(*values: Column) -> Column:
    import ibis

    return ibis.cases(*zip(values[:-1:2], values[1::2], strict=True), else_=values[-1])


def _coalesce(*values: Column) -> Column:
    import ibis

    return ibis.coalesce(*values)


def _map(value: Column, keys: Sequence[Any], values: Sequence[Any], default: Any) -> Column:
    """A table; what is missing has no default."""
    import ibis

    pairs = [(_constant(key), _constant(each)) for key, each in zip(keys, values, strict=True)]
    if default is None:
        return value.cases(*pairs)
    return ibis.cases((value.notnull(), value.cases(*pairs, else_=_constant(default))), else_=None)


def _is_in(value: Column, *known: Any) -> Column:
    return value.isin([_constant(each) for each in known])


def _ends(pattern: str) -> str:
    """A pattern whose `$` is the end of the text, and not that of its last line."""
    ends = pattern.endswith("$") and not pattern.endswith("\\$")
    return pattern[:-1] + r"\z" if ends else pattern


def _extract(text: Column, pattern: str) -> Column:
    """DuckDB extracts an empty text where the pattern is not found."""
    import ibis

    group = 1 if "(" in pattern.replace("\\(", "") else 0
    read = _ends(pattern)
    return ibis.cases((text.re_search(read), text.re_extract(read, group)), else_=None)


def _to_time(text: Column) -> Column:
    """Seconds since 1970 in UTC."""
    import ibis

    pattern = rf"^{TIME}\z"

    def part(group: int, seconds: int) -> Column:
        figure = text.re_extract(pattern, group).try_cast("int64").fill_null(0)
        return figure.cast("float64") * _constant(seconds)

    day = text.re_extract(pattern, 1).try_cast("date")
    days = day.cast("timestamp").epoch_seconds().cast("float64")
    offset = part(6, HOUR_SECONDS) + part(7, MINUTE_SECONDS)
    is_behind = text.re_extract(pattern, 5) == "-"
    sign = ibis.cases((is_behind, _constant(1)), else_=_constant(-1))
    clock = reduce(add, (part(2, HOUR_SECONDS), part(3, MINUTE_SECONDS), part(4, 1)))
    return days + clock + offset * sign


def _date_part(name: str) -> Callable[[Column], Column]:
    def part(seconds: Column) -> Column:
        import ibis

        epoch = ibis.literal("1970-01-01").cast("timestamp")
        days = (seconds / _constant(DAY_SECONDS)).floor()
        return getattr(epoch + days.as_interval("D"), name)().cast("float64")

    return part


_ARITHMETIC: dict[str, Callable[..., Column]] = {
    "add": add,
    "subtract": sub,
    "multiply": mul,
    "divide": lambda left, right: left / _divisor(right),
    "modulo": _modulo,
    "exp": lambda value: value.exp(),
}
_FUNCTIONS: dict[str, Callable[..., Column]] = {
    "abs": lambda value: value.abs(),
    "floor": _rounded("floor"),
    "ceil": _rounded("ceil"),
    "round": _rounded("round"),
    "sqrt": _sqrt,
    "log": _log,
    "equal": eq,
    "less": lt,
    "less_or_equal": le,
    "and": and_,
    "or": or_,
    "not": invert,
    "is_missing": lambda value: value.isnull(),
    "coalesce": _coalesce,
    "case": _case,
    "is_in": _is_in,
    "map": _map,
    "lower": lambda text: text.translate(CAPITALS, SMALL),
    "strip": lambda text: text.strip(),
    "length": lambda text: text.length().cast("float64"),
    "contains": lambda text, word: text.contains(word),
    "starts_with": lambda text, word: text.startswith(word),
    "ends_with": lambda text, word: text.endswith(word),
    "extract": _extract,
    "to_time": _to_time,
    "year": _date_part("year"),
    "month": _date_part("month"),
    "day": _date_part("day"),
}
