"""What the tests of a room do without a mutant, and which of them run a mutant's statement."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from mutation.mutants import Mutant
from mutation.rooms import read

LONGEST_SECONDS, QUICK_SECONDS = 30, 1


@dataclass(frozen=True)
class Seen:
    """What the tests of a room do without a mutant.

    Attributes:
        tests: The tests that run a line of a module.
        seconds: How long each test takes.
    """

    tests: Mapping[tuple[str, int], Set[str]]
    seconds: Mapping[str, float]

    @property
    def limits(self) -> dict[str, float]:
        """The seconds that each test may take."""
        return {test: LONGEST_SECONDS + 20 * cost for test, cost in self.seconds.items()}

    def and_also(self, other: "Seen") -> "Seen":
        """Both together; they are of different tests."""
        lines = {line: {*tests} for line, tests in self.tests.items()}
        for line, tests in other.tests.items():
            lines.setdefault(line, set()).update(tests)
        return Seen(lines, {**self.seconds, **other.seconds})

    def in_order(self, tests: Iterable[str]) -> list[str]:
        """Quick tests first, and those of a file together: they share what the file prepares."""

        def cost_of(test: str) -> float:
            return self.seconds.get(test, 0)

        def file(test: str) -> str:
            return test.partition("::")[0]

        every = set(tests)
        quick = {test for test in every if cost_of(test) < QUICK_SECONDS}
        found: list[str] = []
        for part in (quick, every - quick):
            cost: dict[str, float] = defaultdict(float)
            for test in part:
                cost[file(test)] += cost_of(test)
            found += sorted(
                part, key=lambda test, cost=cost: (cost[file(test)], file(test), cost_of(test))
            )
        return found


def tests_of(mutant: Mutant, seen: Seen) -> set[str]:
    """The tests that run the statement; of one that runs at import, those that use its names.

    None where no test of this process runs it.
    """
    source = read(mutant.module)
    statement = Statement.around(source, mutant.line)
    found = {test for line in statement.lines for test in seen.tests.get((mutant.module, line), ())}
    if found or not statement.names:
        return found
    for line in statement.body:
        found |= seen.tests.get((mutant.module, line), set())
    uses = re.compile(rf"\b({'|'.join(map(re.escape, statement.names))})\b")
    for module in {module for module, _ in seen.tests}:
        for number, text in enumerate(read(module).splitlines(), start=1):
            if uses.search(text):
                found |= seen.tests.get((module, number), set())
    return found


@dataclass(frozen=True)
class Statement:
    """The smallest statement around a line.

    Attributes:
        lines: Its lines; of one with a body, those before it.
        body: The lines of its body.
        names: What it defines for others, where it runs at import.
    """

    lines: range
    body: range
    names: tuple[str, ...]

    @classmethod
    def around(cls, source: str, line: int) -> "Statement":
        """Find it."""
        statement = cls(range(line, line + 1), range(0), ())
        for node in ast.walk(ast.parse(source)):  # inwards, so the last one is the smallest
            if not isinstance(node, ast.stmt):
                continue
            first = min(
                [node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]
            )
            end = node.end_lineno or node.lineno
            if not first <= line <= end:
                continue
            body = getattr(node, "body", None)
            last = max(body[0].lineno - 1, node.lineno) if body else end
            names = _defined(node)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and line > last:
                names = ()  # what is inside a function runs when it is called
            elif not names:
                names = statement.names
            if line <= last:
                statement = cls(range(first, last + 1), range(last + 1, end + 1), names)
            else:
                statement = cls(statement.lines, statement.body, names)
        return statement


def _defined(node: ast.stmt) -> tuple[str, ...]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return (node.name,)
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    every = [each for target in targets if target is not None for each in ast.walk(target)]
    return tuple(each.id for each in every if isinstance(each, ast.Name))
