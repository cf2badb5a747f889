"""Row features of one row, in plain Python: what the service computes before the model.

Numbers are floats here, whole ones too, so that this rounds where the other evaluators do.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from goldpath.domain import PADDING, truth_of
from goldpath.features.row.document import Definition, Expression, Node
from goldpath.features.row.operations import NUMBERS, Plain
from goldpath.features.row.texts import compiled_pattern, day_of, extracted, lower, seconds_of

Found: TypeAlias = Plain | None
_Step: TypeAlias = Callable[[Mapping[str, Any], Sequence[Any]], Found]

BEYOND_INTEGERS = 2.0**53
"""The first whole number that is no integer here; see `operations`."""


def row_evaluator(expression: Expression) -> Callable[[Mapping[str, Any]], Found]:
    """A function from a row to the expression's value.

    The row holds what the contract allows: numbers, whole numbers, truth values and texts by the
    names of their columns; None, NaN or no entry where a value is missing. The value is an int, a
    float, a bool or a str, or None where it is missing.
    """
    steps = [_step(node) for node in expression.nodes]
    as_integer = expression.type == "integer"

    def evaluate(row: Mapping[str, Any]) -> Found:
        found: list[Any] = []
        for step in steps:
            found.append(step(row, found))
        value = found[-1]
        return int(value) if as_integer and value is not None else value

    return evaluate


def rows_evaluator(
    definitions: Sequence[Definition],
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function from a row to the row with its features; its own values of these are not read."""
    evaluators = [(each.name, row_evaluator(each.expression)) for each in definitions]

    def evaluate(row: Mapping[str, Any]) -> dict[str, Any]:
        complete = dict(row)
        for name, value_of in evaluators:
            complete[name] = value_of(complete)
        return complete

    return evaluate


def _step(node: Node) -> _Step:
    if node.operation == "column":
        return _reader(*node.parameters)
    if node.operation in ("literal", "missing"):
        constant = _as_found(node, node.parameters[0] if node.operation == "literal" else None)
        return lambda _, __: constant
    function = _FUNCTIONS[node.operation]
    if node.parameters:
        function = partial(function, *_prepared(node))
    if node.type == "integer" and node.operation in ("add", "subtract", "multiply", "modulo"):
        function = partial(_whole, function)
    inputs = node.inputs
    if node.operation in _TAKES_MISSING:
        return lambda _, found: function(*[found[place] for place in inputs])
    if len(inputs) == 1:
        (only,) = inputs

        def one(_: Mapping[str, Any], found: Sequence[Any]) -> Found:
            return None if (value := found[only]) is None else function(value)

        return one
    first, second = inputs

    def two(_: Mapping[str, Any], found: Sequence[Any]) -> Found:
        left, right = found[first], found[second]
        return None if left is None or right is None else function(left, right)

    return two


def _prepared(node: Node) -> tuple[Any, ...]:
    """A node's parameters as its function takes them."""
    if node.operation == "extract":
        return (compiled_pattern(node.parameters[0]),)
    if node.operation == "is_in":
        return (frozenset(node.parameters),)
    if node.operation == "map":
        keys, values, default = node.parameters
        shown = [_as_found(node, each) for each in values]
        return (dict(zip(keys, shown, strict=True)), _as_found(node, default))
    return node.parameters


def _as_found(node: Node, value: Any) -> Any:
    """A constant as results of a node are: whole numbers are floats, too."""
    return float(value) if value is not None and node.type in NUMBERS else value


def _reader(name: str, kind: str) -> _Step:
    if kind in NUMBERS:

        def number(row: Mapping[str, Any], _: Sequence[Any]) -> Found:
            value = row.get(name)
            return None if value is None else _finite(float(value))

        return number
    if kind == "boolean":
        return lambda row, _: truth_of(row.get(name))

    def text(row: Mapping[str, Any], _: Sequence[Any]) -> Found:
        value = row.get(name)
        return value if isinstance(value, str) else None

    return text


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _whole(function: Callable[..., float | None], *values: float) -> float | None:
    """An integer, missing where it is beyond those that float64 holds."""
    result = function(*values)
    return None if result is None or abs(result) >= BEYOND_INTEGERS else result


def _divide(left: float, right: float) -> float | None:
    return None if right == 0 else _finite(left / right)


def _modulo(left: float, right: float) -> float | None:
    if right == 0:
        return None
    shifted = math.fmod(left, right) + right
    return math.fmod(shifted, right) if math.isfinite(shifted) else None


def _rounded(to_whole: Callable[[float], float], value: float) -> float | None:
    return None if abs(value) >= BEYOND_INTEGERS else float(to_whole(value))


def _half_away(value: float) -> float:
    whole = math.trunc(value)
    return whole + math.copysign(1, value) if abs(value - whole) >= 0.5 else whole


def _exp(value: float) -> float | None:
    try:
        return math.exp(value)
    except OverflowError:
        return None


def _and(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _or(left: bool | None, right: bool | None) -> bool | None:
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def _coalesce(*values: Found) -> Found:
    return next((each for each in values if each is not None), None)


def _case(*values: Found) -> Found:
    for place in range(0, len(values) - 1, 2):
        if values[place] is True:
            return values[place + 1]
    return values[-1]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": lambda left, right: _finite(left + right),
    "subtract": lambda left, right: _finite(left - right),
    "multiply": lambda left, right: _finite(left * right),
    "divide": _divide,
    "modulo": _modulo,
    "abs": abs,
    "floor": partial(_rounded, math.floor),
    "ceil": partial(_rounded, math.ceil),
    "round": partial(_rounded, _half_away),
    "sqrt": lambda value: math.sqrt(value) if value >= 0 else None,
    "log": lambda value: math.log(value) if value > 0 else None,
    "exp": _exp,
    "equal": lambda left, right: left == right,
    "less": lambda left, right: left < right,
    "less_or_equal": lambda left, right: left <= right,
    "and": _and,
    "or": _or,
    "not": lambda value: not value,
    "is_missing": lambda value: value is None,
    "coalesce": _coalesce,
    "case": _case,
    "is_in": lambda known, value: value in known,
    "map": lambda table, default, value: table.get(value, default),
    "lower": lower,
    "strip": lambda text: text.strip(PADDING),
    "length": lambda text: float(len(text)),
    "contains": lambda word, text: word in text,
    "starts_with": lambda word, text: text.startswith(word),
    "ends_with": lambda word, text: text.endswith(word),
    "extract": lambda pattern, text: extracted(text, pattern),
    "to_time": seconds_of,
    "year": lambda seconds: float(day_of(seconds).year),
    "month": lambda seconds: float(day_of(seconds).month),
    "day": lambda seconds: float(day_of(seconds).day),
}
_TAKES_MISSING = ("and", "or", "is_missing", "coalesce", "case")

TEXT_FUNCTIONS = {
    name: _FUNCTIONS[name]
    for name in (
        *("lower", "strip", "length", "contains", "starts_with", "ends_with", "extract"),
        *("to_time", "year", "month", "day", "map", "is_in"),
    )
}
"""What a batch computes once for each different value, by these same functions."""


def one_value(node: Node) -> Callable[[Any], Found]:
    """An operation on one known value, its parameters given."""
    function = TEXT_FUNCTIONS[node.operation]
    return partial(function, *_prepared(node)) if node.parameters else function
