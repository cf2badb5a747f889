"""Writes an expression down while a feature's function runs, and says where it cannot."""

import sys
from typing import Any

from goldpath.features.row.document import DocumentError, Expression, Node, make_node
from goldpath.handed_over import ProjectDefinitionError

_HERE = ("goldpath.features.row.", "goldpath.features.window.")


def refused(problem: str, fix: str) -> ProjectDefinitionError:
    """An error that names the line of the project where the operation stands."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(_HERE):
        frame = frame.f_back
    place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return ProjectDefinitionError(f"{place}: {problem}", fix)


class Tracer:
    """Collects the nodes of one expression; equal ones stand there once.

    Attributes:
        nodes: What was written down so far.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._places: dict[object, int] = {}

    def add(self, operation: str, inputs: tuple[int, ...], parameters: tuple[Any, ...]) -> int:
        """Write an operation down, and say at which place.

        Raises:
            ProjectDefinitionError: If it does not suit its inputs; names the line.
        """
        try:
            node = make_node(self.nodes, operation, inputs, parameters)
        except DocumentError as error:
            shown = ", ".join(self.nodes[place].type for place in inputs)
            raise refused(
                error.message + (f" (it was given: {shown})" if shown else ""),
                error.fix or "see the docs of row features for what each operation takes",
            ) from error
        # 1, 1.0 and True are equal in Python, and are not the same here.
        key = (operation, inputs, repr(parameters))
        if key not in self._places:
            self._places[key] = len(self.nodes)
            self.nodes.append(node)
        return self._places[key]

    def expression(self, result: int) -> Expression:
        """What the node at a place needs, and nothing else.

        Raises:
            DocumentError: If it is too large.
        """
        needed = {result}
        for place in range(result, -1, -1):
            if place in needed:
                needed.update(self.nodes[place].inputs)
        kept = sorted(needed)
        new = {old: place for place, old in enumerate(kept)}
        nodes = []
        for node in (self.nodes[old] for old in kept):
            inputs = tuple(new[old] for old in node.inputs)
            nodes.append(Node(node.operation, inputs, node.parameters, node.type))
        return Expression(tuple(nodes))
