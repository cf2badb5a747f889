"""Which parts of row features SQL computes first, in columns of their own, and in which order."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from goldpath.features.row.document import Definition, Node

if TYPE_CHECKING:
    import ibis

Column: TypeAlias = Any
"""A column of Ibis."""

LARGEST = 60
"""Names of columns and constants that one expression may hold when all of it is written out."""

_LEAVES = ("column", "literal", "missing")
_TIMES_WRITTEN = {"case": 1, "coalesce": 1, "not": 1, "to_time": 8, "year": 1, "month": 1, "day": 1}
_USUAL_TIMES = 2


class Graph:
    """All features of a table as one list of operations; a feature that reads another goes on.

    Args:
        definitions: Each after those that it reads.

    Attributes:
        nodes: The operations, those that features have in common once.
        results: The place of each feature's result, by its name.
    """

    def __init__(self, definitions: Sequence[Definition]) -> None:
        self.nodes: list[Node] = []
        self.results: dict[str, int] = {}
        known: dict[object, int] = {}
        for definition in definitions:
            places: list[int] = []
            for node in definition.expression.nodes:
                if node.operation == "column" and node.parameters[0] in self.results:
                    places.append(self.results[node.parameters[0]])
                    continue
                inputs = tuple(places[each] for each in node.inputs)
                key = (node.operation, inputs, repr(node.parameters))
                if key not in known:
                    known[key] = len(self.nodes)
                    self.nodes.append(Node(node.operation, inputs, node.parameters, node.type))
                places.append(known[key])
            self.results[definition.name] = places[-1]

    def stages(self) -> dict[int, int]:
        """The nodes that get a column of their own, and the number of the stage that makes it."""
        sizes: list[int] = []
        levels: list[int] = []  # the first stage in which all that a node takes is there
        staged: dict[int, int] = {}
        for node in self.nodes:
            if node.operation in _LEAVES:
                sizes.append(1)
                levels.append(0)
                continue
            times = _times_written(node)
            if times * sum(sizes[each] for each in node.inputs) > LARGEST:
                for each in node.inputs:
                    if self.nodes[each].operation not in _LEAVES:
                        staged.setdefault(each, levels[each])
                        sizes[each] = 1
            sizes.append(times * sum(sizes[each] for each in node.inputs))
            levels.append(max(levels[each] + (1 if each in staged else 0) for each in node.inputs))
        return staged


def staged_columns(
    graph: Graph,
    rows: "ibis.Table",
    column: Callable[[Node, Sequence[Column], "ibis.Table"], Column],
) -> "tuple[list[Column], ibis.Table]":
    """The features' columns, and the table that they are columns of.

    Args:
        graph: The features.
        rows: What they are computed from.
        column: An operation on columns, as SQL has it.
    """
    import ibis

    staged = graph.stages()

    def build(place: int, table: "ibis.Table", level: int) -> Column:
        if staged.get(place, level) < level:
            return table[_name(place)]
        node = graph.nodes[place]
        return column(node, [build(each, table, level) for each in node.inputs], table)

    last = max(staged.values(), default=-1) + 1
    for level in range(last):
        made = {
            _name(place): build(place, rows, level)
            for place, stage in staged.items()
            if stage == level
        }
        # Ibis does not merge two selections across a value that is not pure.
        rows = rows.mutate(**made, **{f"__row stage {level}": ibis.random()})
    return [build(place, rows, last) for place in graph.results.values()], rows


def _name(place: int) -> str:
    return f"__row {place}"


def _times_written(node: Node) -> int:
    """How often SQL, or DuckDB by itself, writes what an operation takes."""
    match node.operation:
        case "map":
            return len(node.parameters[0]) + 1
        case "is_in":
            return len(node.parameters)
    return _TIMES_WRITTEN.get(node.operation, _USUAL_TIMES)
