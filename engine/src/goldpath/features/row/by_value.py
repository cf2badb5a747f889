"""Operations on one known value, in plain Python: what a batch and one row share, to the letter."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from goldpath.domain import PADDING
from goldpath.features.row.document import Node
from goldpath.features.row.operations import NUMBERS, Plain
from goldpath.features.row.texts import compiled_pattern, day_of, extracted, lower, seconds_of

Found: TypeAlias = Plain | None

_FUNCTIONS: dict[str, Callable[..., Any]] = {
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


def one_value(node: Node) -> Callable[[Any], Found]:
    """An operation on one known value, its parameters given; what it finds may be missing."""
    function = _FUNCTIONS[node.operation]
    return partial(function, *_prepared(node)) if node.parameters else function


def table_of(node: Node) -> tuple[dict[Any, Any], Any]:
    """The table of a `map`, and what holds for a value that it does not have."""
    keys, values, default = node.parameters
    shown = [as_found(node, each) for each in values]
    return dict(zip(keys, shown, strict=True)), as_found(node, default)


def as_found(node: Node, value: Any) -> Any:
    """A constant as results of a node are: whole numbers are floats, too."""
    return float(value) if value is not None and node.type in NUMBERS else value


def _prepared(node: Node) -> tuple[Any, ...]:
    """A node's parameters as its function takes them."""
    if node.operation == "extract":
        return (compiled_pattern(node.parameters[0]),)
    if node.operation == "is_in":
        return (frozenset(node.parameters),)
    return table_of(node) if node.operation == "map" else node.parameters
