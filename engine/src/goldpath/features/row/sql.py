"""Row features in SQL: what gold's columns are computed by, on DuckDB and on Athena.

SQL names a value wherever it is used, and DuckDB's own `nullif` names its first argument twice, so
an expression of ten operations could become one of thousands. Where it would, its parts are put
into columns of their own first, in stages (`sql_stages.py`). DuckDB reads `0.1` as a decimal, so a
number stands as a text that is cast.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add, and_, eq, invert, le, lt, mul, or_, sub
from sys import float_info
from typing import TYPE_CHECKING, Any, TypeAlias

from goldpath.features.row.document import Definition, Node
from goldpath.features.row.operations import BEYOND_INTEGERS, NUMBERS, Type, type_of
from goldpath.features.row.sql_stages import Graph, staged_columns
from goldpath.features.row.texts import (
    CAPITALS,
    DAY_SECONDS,
    HOUR_SECONDS,
    MINUTE_SECONDS,
    SMALL,
    TIME,
    compiled_pattern,
    with_end,
)

if TYPE_CHECKING:
    import ibis

Column: TypeAlias = Any
"""A column of Ibis."""

_SQL_TYPES: dict[Type, str] = {
    "number": "float64",
    "integer": "int64",
    "boolean": "boolean",
    "text": "string",
    "time": "float64",
}
"""The types of results; inside an expression, whole numbers are float64, too."""


def with_sql_features(definitions: Sequence[Definition], rows: "ibis.Table") -> "ibis.Table":
    """A table with its features as further columns; own columns of these names are replaced.

    Args:
        definitions: Each after those that it reads.
        rows: With the columns that they read, which hold what the contract allows.
    """
    graph = Graph(definitions)
    names = [name for name in rows.columns if name not in graph.results]
    columns, complete = staged_columns(graph, rows, _column)
    features = {
        each.name: column.cast(_SQL_TYPES[each.expression.type])
        for each, column in zip(definitions, columns, strict=True)
    }
    return complete.select(*names, **features)


def _column(node: Node, inputs: Sequence[Column], rows: "ibis.Table") -> Column:
    """An operation on columns."""
    import ibis

    match node.operation:
        case "column":
            name, kind = node.parameters
            return rows[name].cast("float64") if kind in NUMBERS else rows[name]
        case "literal":
            return _constant(node.parameters[0])
        case "missing":
            return ibis.null(_SQL_TYPES["number" if node.type in NUMBERS else node.type])
    if node.operation in _ARITHMETIC:
        result = _ARITHMETIC[node.operation](*inputs)
        return _whole(result) if node.type == "integer" else _finite(result)
    return _FUNCTIONS[node.operation](*inputs, *node.parameters)


def _constant(value: Any) -> Column:
    import ibis

    if type_of(value) in NUMBERS:
        return ibis.literal(repr(float(value))).cast("float64")
    return ibis.literal(value)


def _where(condition: Column, value: Column) -> Column:
    import ibis

    return ibis.cases((condition, value), else_=None)


def _finite(value: Column) -> Column:
    """A result, missing where it is not finite; NaN is above all numbers, or compares with none."""
    return _where(value.abs() <= _constant(float_info.max), value)


def _whole(value: Column) -> Column:
    return _where(value.abs() < _constant(BEYOND_INTEGERS), value)


def _rounded(to_whole: str) -> Callable[[Column], Column]:
    return lambda value: getattr(_whole(value), to_whole)().cast("float64")


def _divisor(value: Column) -> Column:
    return value.nullif(_constant(0))


def _modulo(left: Column, right: Column) -> Column:
    divisor = _divisor(right)
    return (left % divisor + divisor) % divisor


def _sqrt(value: Column) -> Column:
    return _where(value >= _constant(0), value).sqrt()


def _log(value: Column) -> Column:
    return _where(value > _constant(0), value).ln()


def _case(*values: Column) -> Column:
    import ibis

    return ibis.cases(*zip(values[:-1:2], values[1::2], strict=True), else_=values[-1])


def _coalesce(*values: Column) -> Column:
    import ibis

    return ibis.coalesce(*values)


def _map(value: Column, keys: Sequence[Any], values: Sequence[Any], default: Any) -> Column:
    """A table; what is missing has no default."""
    pairs = [(_constant(key), _constant(each)) for key, each in zip(keys, values, strict=True)]
    if default is None:
        return value.cases(*pairs)
    return _where(value.notnull(), value.cases(*pairs, else_=_constant(default)))


def _is_in(value: Column, *known: Any) -> Column:
    """DuckDB plans a join for an `IN` of more than five values; see `quality.checks`."""
    return reduce(or_, [value == _constant(each) for each in known])


def _extract(text: Column, pattern: str) -> Column:
    """DuckDB extracts an empty text where the pattern is not found."""
    read = with_end(pattern, r"\z")
    return _where(text.re_search(read), text.re_extract(read, compiled_pattern(pattern).groups))


def _to_time(text: Column) -> Column:
    """Seconds since 1970 in UTC."""
    import ibis

    pattern = rf"^{TIME}\z"

    def part(group: int, seconds: int) -> Column:
        figure = ("0" + text.re_extract(pattern, group).fill_null("")).cast("int64")
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
