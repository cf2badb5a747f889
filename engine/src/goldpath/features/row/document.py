"""An expression as a document: frozen, written as JSON, known by a digest.

A document is a list of nodes, each an operation on nodes before it, and the last one is the result.
What two parts of an expression have in common stands there once. Reading one checks all of it, so
that an evaluator may trust what it is given.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from goldpath.errors import ProjectError
from goldpath.features.row.operations import OPERATIONS, OperationError, Type
from goldpath.features.row.texts import lower

MOST_NODES = 500
MOST_DEEP = 100
"""Operations inside each other: SQL has a subquery for every few of them."""


class DocumentError(ProjectError):
    """A document that no evaluator knows."""


@dataclass(frozen=True)
class Node:
    """One operation of an expression.

    Attributes:
        operation: Its name in `OPERATIONS`.
        inputs: The places of the nodes that it takes.
        parameters: Constants beside them; sequences are tuples.
        type: The type of its result.
    """

    operation: str
    inputs: tuple[int, ...]
    parameters: tuple[Any, ...]
    type: Type


@dataclass(frozen=True)
class Expression:
    """An expression over the columns of a row.

    Attributes:
        nodes: The operations; the last one gives the result.

    Raises:
        DocumentError: If it is empty or too large.
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.nodes) <= MOST_NODES:
            raise DocumentError(
                f"an expression has {len(self.nodes)} operations; 1 to {MOST_NODES} are allowed",
                "make row features of its parts",
            )
        if self.depth > MOST_DEEP:
            raise DocumentError(
                f"an expression has {self.depth} operations inside each other; {MOST_DEEP} are "
                "allowed",
                "make row features of its parts",
            )

    @property
    def type(self) -> Type:
        """The type of the result."""
        return self.nodes[-1].type

    @cached_property
    def columns(self) -> dict[str, Type]:
        """The columns that it reads, with their types, in the order of their first use."""
        return {
            node.parameters[0]: node.parameters[1]
            for node in self.nodes
            if node.operation == "column"
        }

    @cached_property
    def depth(self) -> int:
        """How many operations stand inside each other."""
        depths: list[int] = []
        for node in self.nodes:
            depths.append(1 + max((depths[place] for place in node.inputs), default=0))
        return depths[-1]

    @cached_property
    def digest(self) -> str:
        """What tells it apart from every other expression."""
        text = json.dumps(self.dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def dump(self) -> list[list[Any]]:
        """The nodes as JSON has them."""
        return [
            [node.operation, list(node.inputs), _as_lists(node.parameters)] for node in self.nodes
        ]


def parse_expression(document: object) -> Expression:
    """Read what `Expression.dump` has written.

    Raises:
        DocumentError: If a node is not one that this version knows; says which.
    """
    if not isinstance(document, list):
        raise _unreadable("it is no list of operations")
    if len(document) > MOST_NODES:
        raise _unreadable(f"it has {len(document)} operations; {MOST_NODES} are allowed")
    nodes: list[Node] = []
    for place, entry in enumerate(document):
        match entry:
            case [str() as operation, list() as inputs, list() as parameters]:
                nodes.append(_checked(nodes, operation, inputs, _as_tuples(parameters), place))
            case _:
                raise _unreadable(f"operation {place} is {str(entry)[:80]!r}")
    return Expression(tuple(nodes))


def _checked(
    before: Sequence[Node],
    operation: str,
    inputs: list[Any],
    parameters: tuple[Any, ...],
    place: int,
) -> Node:
    if any(not isinstance(each, int) or not 0 <= each < place for each in inputs):
        raise _unreadable(f"operation {place} ({operation}) takes {inputs}, which stand not before")
    return make_node(before, operation, tuple(inputs), parameters)


def make_node(
    before: Sequence[Node], operation: str, inputs: tuple[int, ...], parameters: tuple[Any, ...]
) -> Node:
    """A node with its type.

    Args:
        before: The nodes that it may take.
        operation: Its name.
        inputs: Places in `before`.
        parameters: Constants.

    Raises:
        DocumentError: If the operation is unknown, or does not suit its inputs.
    """
    known = OPERATIONS.get(operation)
    if known is None:
        raise _unreadable(f"this version of goldpath knows no operation {operation!r}")
    types = [before[place].type for place in inputs]
    try:
        return Node(operation, inputs, parameters, known.result(types, parameters))
    except (OperationError, TypeError, ValueError) as error:
        raise DocumentError(f"{operation} {error}") from error


def _unreadable(problem: str) -> DocumentError:
    return DocumentError(
        f"the document of a row feature cannot be read: {problem}",
        "restore the file that holds it, or use the version of goldpath that wrote it",
    )


def _as_lists(values: Sequence[Any]) -> list[Any]:
    return [_as_lists(each) if isinstance(each, tuple) else each for each in values]


def _as_tuples(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_as_tuples(each) if isinstance(each, list) else each for each in values)


@dataclass(frozen=True)
class Definition:
    """A row feature as a version of a model keeps it.

    Attributes:
        name: Names the feature's column.
        expression: What it computes, from columns of the request and from features before it.
        description: For people.
        categories: All texts that it can be, where the expression tells; None otherwise.
    """

    name: str
    expression: Expression
    description: str = ""
    categories: tuple[str, ...] | None = None

    @property
    def digest(self) -> str:
        """What tells its meaning apart from that of every other feature."""
        return hashlib.sha256(f"{self.name}\n{self.expression.digest}".encode()).hexdigest()

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "description": self.description,
            "categories": None if self.categories is None else list(self.categories),
            "expression": self.expression.dump(),
        }


def parse_definition(document: Mapping[str, Any]) -> Definition:
    """Read what `Definition.dump` has written.

    Raises:
        DocumentError: If it is not one.
    """
    match document:
        case {
            "name": str() as name,
            "description": str() as description,
            "categories": list() | None as categories,
            "expression": expression,
            **more,
        } if not more:
            known = None if categories is None else tuple(map(str, categories))
            return Definition(name, parse_expression(expression), description, known)
    raise _unreadable(f"it says {str(document)[:80]!r}")


def possible_texts(
    expression: Expression, known: Mapping[str, tuple[str, ...] | None]
) -> tuple[str, ...] | None:
    """Every text that a feature can be, sorted; None where the expression does not tell.

    Args:
        expression: A feature of type text.
        known: The categories of the columns that have a closed set.
    """
    found: list[frozenset[str] | None] = []
    for node in expression.nodes:
        found.append(None if node.type != "text" else _texts_of(node, found, known))
    last = found[-1]
    return None if last is None else tuple(sorted(last))


def _texts_of(
    node: Node,
    found: Sequence[frozenset[str] | None],
    known: Mapping[str, tuple[str, ...] | None],
) -> frozenset[str] | None:
    first = found[node.inputs[0]] if node.inputs else None
    match node.operation:
        case "literal":
            return frozenset(node.parameters)
        case "missing":
            return frozenset()
        case "column":
            listed = known.get(node.parameters[0])
            return None if listed is None else frozenset(listed)
        case "map":
            _, values, default = node.parameters
            return frozenset([*values, *([] if default is None else [default])])
        case "lower":
            return None if first is None else frozenset(map(lower, first))
        case "coalesce" | "case":
            values_at = (
                node.inputs
                if node.operation == "coalesce"
                else (*node.inputs[1::2], node.inputs[-1])
            )
            parts = [found[place] for place in values_at]
            known_parts = [part for part in parts if part is not None]
            if len(known_parts) < len(parts):
                return None
            return frozenset(text for part in known_parts for text in part)
    return None
