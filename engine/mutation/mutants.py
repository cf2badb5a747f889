"""Mutants: what Cosmic Ray changes in the modules of a room, without what no test could notice."""

import ast
import difflib
from collections import Counter
from dataclasses import dataclass

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from mutation.rooms import ROOMS, SOURCE, read
from mutation.rules import silent_places, tuned, unseen


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        room: Whose tests are asked.
        module: Below `src/goldpath`.
        operator: Cosmic Ray's name of the change.
        occurrence: Which of the operator's places in the module.
        line: Where.
    """

    room: str
    module: str
    operator: str
    occurrence: int
    line: int

    def source(self) -> str:
        """The module's text with the change.

        Raises:
            SyntaxError: If there is no change, or what it gives is not Python: no test could notice
                it, or each would.
        """
        operator = get_operator(self.operator)()
        before = read(self.module)
        try:
            changed = mutate_code(before, operator, self.occurrence)
        except AttributeError:  # of a dotted name in a tuple of exceptions: Cosmic Ray 8.7.0
            changed = None
        if changed is None or changed == before:
            raise SyntaxError(f"Cosmic Ray makes no change of {self}")
        ast.parse(changed)
        return str(changed)

    def change(self) -> str:
        """What its line is changed to, without blanks around it; empty where that is not Python."""
        try:
            return self.source().splitlines()[self.line - 1].strip()
        except (SyntaxError, IndexError):
            return ""

    def difference(self) -> str:
        """The change, as `diff -U0` writes it."""
        before, after = read(self.module).splitlines(), self.source().splitlines()
        lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
        return "\n".join([f"{self.module} ({self.room}, {self.operator})", *lines])


def mutants_of(room: str, left_out: Counter[str]) -> list[Mutant]:
    """All mutants of a room that something could notice.

    Args:
        room: Whose.
        left_out: Counts the others by rule.
    """
    found = []
    for pattern in ROOMS[room].modules:
        for file in sorted(SOURCE.glob(pattern)):
            module = str(file.relative_to(SOURCE))
            source = read(module)
            listed = {
                (entry.line, change)
                for entry in unseen()
                if entry.module == module
                for change in entry.changes
            }
            lines = source.splitlines()
            known = {line for line, _ in listed}
            constants = frozenset(each.name for each in tuned() if each.module == module)
            places = silent_places(source, constants)
            nodes = list(ast_nodes(get_ast(source)))
            for name in operator_names():
                if get_operator(name).arguments():
                    continue
                operator = get_operator(name)()
                starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
                for occurrence, start in enumerate(starts):
                    mutant = Mutant(room, module, name, occurrence, start[0])
                    rule = next((each.rule for each in places if each.holds(name, start)), None)
                    line = lines[start[0] - 1].strip()
                    if rule is None and line in known and (line, mutant.change()) in listed:
                        rule = "listed"
                    if rule is None:
                        found.append(mutant)
                    else:
                        left_out[rule] += 1
    return found
