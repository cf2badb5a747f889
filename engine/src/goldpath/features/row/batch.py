"""Row features of many rows, in NumPy: what batches, drift, explanations and training compute.

A column of numbers, truth values or times is float64 with NaN where a value is missing; a column of
texts is an array of objects with None there. Nothing else is needed: no result is ever NaN.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from goldpath.features.row.by_value import one_value
from goldpath.features.row.document import Definition, Expression, Node
from goldpath.features.row.operations import BEYOND_INTEGERS

Array: TypeAlias = "np.ndarray[Any, Any]"


def evaluate_batch(expression: Expression, columns: Mapping[str, Array], rows: int) -> Array:
    """The expression's values.

    Args:
        expression: A feature.
        columns: What it reads, each of shape (rows,), as this module has columns.
        rows: How many rows there are.

    Returns:
        Shape (rows,): float64 with NaN for a missing value, or objects with None for a missing one.
    """
    found: list[Array] = []
    with np.errstate(all="ignore"):
        for node in expression.nodes:
            found.append(_evaluate(node, found, columns, rows))
    return found[-1]


def with_features(
    definitions: Sequence[Definition], columns: Mapping[str, Array], rows: int
) -> dict[str, Array]:
    """The columns with their features; own columns of these names are replaced."""
    complete = dict(columns)
    for each in definitions:
        complete[each.name] = evaluate_batch(each.expression, complete, rows)
    return complete


def known_numbers(values: Array) -> Array:
    """Numbers or truth values as columns have them: float64, NaN where a value is missing."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def known_texts(values: Sequence[object]) -> Array:
    """Texts as columns have them: objects, None where a value is missing."""
    texts = np.empty(len(values), dtype=object)
    texts[:] = [each if isinstance(each, str) else None for each in values]
    return texts


def _evaluate(node: Node, found: Sequence[Array], columns: Mapping[str, Array], rows: int) -> Array:
    match node.operation:
        case "column":
            return columns[node.parameters[0]]
        case "literal" | "missing":
            value = node.parameters[0] if node.operation == "literal" else None
            if node.type == "text":
                return np.full(rows, value, dtype=object)
            return np.full(rows, np.nan if value is None else float(value))
    inputs = [found[place] for place in node.inputs]
    if node.operation in _FUNCTIONS:
        result = _FUNCTIONS[node.operation](*inputs)
        if node.type == "integer" and node.operation in _BOUNDED:
            result = np.where(np.abs(result) < BEYOND_INTEGERS, result, np.nan)
        return result
    return _by_value(node, inputs[0])


def _by_value(node: Node, values: Array) -> Array:
    """An operation on one value, computed once for each different one."""
    function = one_value(node)
    # Truth values stand as numbers here, and 1.0 finds the key True of a table.
    memory: dict[Any, Any] = {}
    as_object = node.type == "text"
    nothing = None if as_object else np.nan
    results: list[Any] = []
    for value in values.tolist():
        if value is None or value != value:
            results.append(nothing)
            continue
        if value not in memory:
            result = function(value)
            memory[value] = nothing if result is None else result
        results.append(memory[value])
    if not as_object:
        return np.array(results, dtype=np.float64)
    texts = np.empty(len(results), dtype=object)
    texts[:] = results
    return texts


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _divide(left: Array, right: Array) -> Array:
    return _finite(left / right)  # a division by zero is infinite, or NaN


def _modulo(left: Array, right: Array) -> Array:
    return _finite(np.fmod(np.fmod(left, right) + right, right))


def _rounded(to_whole: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda values: to_whole(np.where(np.abs(values) < BEYOND_INTEGERS, values, np.nan))


def _half_away(values: Array) -> Array:
    whole = np.trunc(values)
    return np.where(np.abs(values - whole) >= 0.5, whole + np.copysign(1, values), whole)


def _by_c_library(function: Callable[[float], float], lowest: float) -> Callable[[Array], Array]:
    """The C library's function, as one row has it: NumPy's own differ from it in a last bit."""

    def apply(values: Array) -> Array:
        known = values > lowest
        result = np.full(len(values), np.nan)
        result[known] = np.fromiter(map(function, values[known].tolist()), np.float64)
        return _finite(result)

    return apply


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _is_missing(values: Array) -> Array:
    if values.dtype == object:
        return np.array([value is None for value in values.tolist()], dtype=bool)
    return np.isnan(values)


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[Array, Array], Array]:
    def apply(left: Array, right: Array) -> Array:
        known = ~(_is_missing(left) | _is_missing(right))
        result = np.full(len(left), np.nan)
        result[known] = compare(left[known], right[known]).astype(np.float64)
        return result

    return apply


def _and(left: Array, right: Array) -> Array:
    return np.where((left == 0) | (right == 0), 0.0, left * right)


def _or(left: Array, right: Array) -> Array:
    return np.where((left == 1) | (right == 1), 1.0, left + right)


def _coalesce(*values: Array) -> Array:
    result = values[-1]
    for each in reversed(values[:-1]):
        result = np.where(_is_missing(each), result, each)
    return result


def _case(*values: Array) -> Array:
    result = values[-1]
    for place in range(len(values) - 3, -1, -2):
        result = np.where(values[place] == 1, values[place + 1], result)
    return result


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "add": lambda left, right: _finite(left + right),
    "subtract": lambda left, right: _finite(left - right),
    "multiply": lambda left, right: _finite(left * right),
    "divide": _divide,
    "modulo": _modulo,
    "abs": np.abs,
    "floor": _rounded(np.floor),
    "ceil": _rounded(np.ceil),
    "round": _rounded(_half_away),
    "sqrt": lambda values: np.sqrt(np.where(values >= 0, values, np.nan)),
    "log": _by_c_library(math.log, 0.0),
    "exp": _by_c_library(_exp, -math.inf),
    "equal": _compared(np.equal),
    "less": _compared(np.less),
    "less_or_equal": _compared(np.less_equal),
    "and": _and,
    "or": _or,
    "not": lambda values: 1.0 - values,
    "is_missing": lambda values: _is_missing(values).astype(np.float64),
    "coalesce": _coalesce,
    "case": _case,
}
_BOUNDED = ("add", "subtract", "multiply", "modulo")
