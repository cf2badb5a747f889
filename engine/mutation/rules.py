"""Which mutants are not counted, since no test could tell them from the original.

A rule names places by syntax, and the operators of Cosmic Ray that are left out there. What no
syntax shows is listed in `unseen.toml`: constants whose exact value is nobody's promise,
and single changes that mean the same, each with its reason. A line that is no longer in its module
is an error of the list (`tests/unit/test_mutation_rules.py`). Nothing here runs a mutant, so that
what is left out is decided before anybody knows whether it would survive.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("unseen.toml")
SMALLEST_TUNED = 4
"""A smaller number changed by one is another order of magnitude, which is counted."""

ANY = re.compile("")
NUMBER = re.compile("NumberReplacer$")
BOOLEAN = re.compile("ReplaceTrueWithFalse$|ReplaceFalseWithTrue$")
IDENTITY = re.compile(r"ReplaceComparisonOperator_\w+_(Is|IsNot)$")
DECORATOR = re.compile("RemoveDecorator$")
ORDER = re.compile("ReplaceComparisonOperator_Eq_(LtE|GtE)$")

Position = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """A part of a module in which some mutants are not counted.

    Attributes:
        rule: Why not.
        first: Line, and column in characters.
        last: The end of it.
        operators: Matches the operators whose mutants are meant.
    """

    rule: str
    first: Position
    last: Position
    operators: re.Pattern[str]

    def holds(self, operator: str, position: Position) -> bool:
        """Whether a mutant that begins at a position is meant."""
        return self.first <= position < self.last and bool(self.operators.search(operator))


@dataclass(frozen=True)
class Unseen:
    """A change that was found to mean the same.

    Attributes:
        module: Below `src/goldpath`.
        line: The line as it stands, without blanks around it.
        changes: What it may be changed to.
        reason: Why no test could tell.
    """

    module: str
    line: str
    changes: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Tuned:
    """A constant of a module that may be a little larger or smaller."""

    module: str
    name: str
    reason: str


def unseen(file: Path = LIST) -> list[Unseen]:
    """The listed changes."""
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get("unseen", [])
    return [Unseen(e["module"], e["line"], tuple(e["changes"]), e["reason"]) for e in entries]


def tuned(file: Path = LIST) -> list[Tuned]:
    """The listed constants."""
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get("tuned", [])
    return [Tuned(e["module"], name, e["reason"]) for e in entries for name in e["names"]]


def silent_places(source: str, constants: frozenset[str] = frozenset()) -> list[Place]:
    """The places of a module in which a change cannot be seen, by rule.

    Args:
        source: The module's text.
        constants: The names of its constants that are tuning.
    """
    tree, lines = ast.parse(source), source.splitlines()

    def position(line: int, column: int) -> Position:
        # The tree counts bytes, and Cosmic Ray characters.
        return line, len(lines[line - 1].encode()[:column].decode(errors="ignore"))

    found = []
    for node in ast.walk(tree):
        for rule, part, operators in _rules(node, constants):
            end = position(part.end_lineno or part.lineno, part.end_col_offset or 0)
            found.append(Place(rule, position(part.lineno, part.col_offset), end, operators))
    return found


_Found = Iterator[tuple[str, ast.expr | ast.stmt, re.Pattern[str]]]


def _rules(node: ast.AST, constants: frozenset[str]) -> _Found:
    yield from _of_types(node)
    yield from _of_messages(node)
    yield from _of_what_a_linter_refuses(node)
    yield from _of_flags(node)
    yield from _of_what_is_never_reached(node)
    yield from _of_constants(node, constants)


def _of_types(node: ast.AST) -> _Found:
    """Annotations, and what only a type checker runs."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        every += [each for each in (node.args.vararg, node.args.kwarg) if each]
        for each in every:
            if each.annotation:
                yield "annotation", each.annotation, ANY
        if node.returns:
            yield "annotation", node.returns, ANY
        for decorator in node.decorator_list:
            if _name(decorator) in ("overload", "override", "final"):
                yield "for the type checker", decorator, DECORATOR
    elif isinstance(node, ast.AnnAssign):
        yield "annotation", node.annotation, ANY
    elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        yield "for the type checker", node, ANY
    elif isinstance(node, ast.Call) and _name(node.func) in ("cast", "TypeVar", "NewType"):
        yield "for the type checker", node.args[0], ANY


def _of_messages(node: ast.AST) -> _Found:
    """What is put into the text of an error or of a log line; not whether there is one."""
    said: list[ast.AST] = []
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        said = [node.exc]
    elif isinstance(node, ast.Call):
        of_log = isinstance(node.func, ast.Attribute) and _name(node.func.value) in (
            "log",
            "logger",
        )
        name = _name(node.func)
        if of_log or name.endswith("Error") or re.match("_?refuse", name):
            said = [node]
    for each in said:
        for part in ast.walk(each):
            if isinstance(part, ast.JoinedStr):
                yield "text of a message", part, ANY


def _of_what_a_linter_refuses(node: ast.AST) -> _Found:
    """`is` beside a literal (ruff's F632), which `make lint` refuses; the order of systems."""
    if isinstance(node, ast.Compare):
        if ast.unparse(node.left) in ("os.name", "sys.platform"):
            yield "another system", node, ORDER
        sides = [node.left, *node.comparators]
        if any(isinstance(side, ast.Constant) and side.value is not None for side in sides):
            yield "refused by the linter", node, IDENTITY


def _of_flags(node: ast.AST) -> _Found:
    """Flags that change no result: what a checker holds, how a text is laid out, a cache."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        for decorator in node.decorator_list:
            if _name(decorator) in ("cache", "lru_cache"):
                yield "only faster", decorator, re.compile(f"{DECORATOR.pattern}|{NUMBER.pattern}")
            if isinstance(decorator, ast.Call) and _name(decorator) == "dataclass":
                for flag in decorator.keywords:
                    if flag.arg in ("frozen", "slots", "kw_only"):
                        yield "for the type checker", flag.value, BOOLEAN
    elif isinstance(node, ast.Call):
        for flag in node.keywords:
            if flag.arg == "strict" and _name(node.func) == "zip":
                yield "a check of a length that holds", flag.value, BOOLEAN
            elif flag.arg == "indent":
                yield "layout of a text", flag.value, NUMBER
            elif flag.arg == "timeout":
                yield "how long is waited", flag.value, ANY


def _of_what_is_never_reached(node: ast.AST) -> _Found:
    """`raise AssertionError`, and what a module does as a program."""
    is_impossible = isinstance(node, ast.Raise) and node.exc and _name(node.exc) == "AssertionError"
    is_program = isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
    if isinstance(node, ast.stmt) and (is_impossible or is_program):
        yield "never reached", node, ANY


def _of_constants(node: ast.AST, constants: frozenset[str]) -> _Found:
    """Numbers in the constants that the list names."""
    if isinstance(node, ast.Assign) and constants & names_of(node):
        for part in ast.walk(node.value):
            value = part.value if isinstance(part, ast.Constant) else None
            is_number = isinstance(value, int | float) and abs(value) >= SMALLEST_TUNED
            if isinstance(part, ast.Constant) and is_number:
                yield "tuning", part, NUMBER


def names_of(node: ast.Assign) -> set[str]:
    """What an assignment gives a value."""
    every = [each for target in node.targets for each in ast.walk(target)]
    return {each.id for each in every if isinstance(each, ast.Name)}


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return _name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
