"""What `make mutation` leaves out of the count, and that its list is of lines that are there."""

import ast
from pathlib import Path
from typing import Any

import pytest
from mutation import rules

SOURCE = Path(__file__).parents[2] / "src" / "goldpath"

NUMBER = "core/NumberReplacer"
BINARY = "core/ReplaceBinaryOperator_BitOr_Add"
TRUE = "core/ReplaceTrueWithFalse"
IS = "core/ReplaceComparisonOperator_Eq_Is"
NOT_EQUAL = "core/ReplaceComparisonOperator_Eq_NotEq"
AT_MOST = "core/ReplaceComparisonOperator_Eq_LtE"
DECORATOR = "core/RemoveDecorator"
BREAK = "core/ReplaceContinueWithBreak"


def rule_at(source: str, mark: str, operator: str, *constants: str) -> str | None:
    """The rule that leaves out a mutant which begins where `mark` is, the first time."""
    place = source.index(mark)
    line = source.count("\n", 0, place) + 1
    column = place - (source.rfind("\n", 0, place) + 1)
    found = rules.silent_places(source, frozenset(constants))
    return next((each.rule for each in found if each.holds(operator, (line, column))), None)


@pytest.mark.parametrize(
    ("source", "mark", "operator", "rule"),
    [
        ("def f(a: 1 | 2) -> 3 | 4: return 5 | 6", "| 2", BINARY, "annotation"),
        ("def f(a: 1 | 2) -> 3 | 4: return 5 | 6", "| 4", BINARY, "annotation"),
        ("def f(a: 1 | 2) -> 3 | 4: return 5 | 6", "| 6", BINARY, None),
        ("async def f(*a: 1 | 2, b: 3 = 7): ...", "| 2", BINARY, "annotation"),
        ("async def f(*a: 1 | 2, b: 3 = 7): ...", "3", NUMBER, "annotation"),
        ("async def f(*a: 1 | 2, b: 3 = 7): ...", "7", NUMBER, None),
        ("a: 1 | 2 = 3 | 4", "| 2", BINARY, "annotation"),
        ("a: 1 | 2 = 3 | 4", "| 4", BINARY, None),
        ("if TYPE_CHECKING:\n    a = 1\nb = 2", "1", NUMBER, "for the type checker"),
        ("if TYPE_CHECKING:\n    a = 1\nb = 2", "2", NUMBER, None),
        ("a = cast(1 | 2, 3 | 4)", "| 2", BINARY, "for the type checker"),
        ("a = cast(1 | 2, 3 | 4)", "| 4", BINARY, None),
        ("@overload\ndef f(): ...", "overload", DECORATOR, "for the type checker"),
        ("@wraps\ndef f(): ...", "wraps", DECORATOR, None),
        ("raise E(f'{a[:7]}', 8)", "f'", NUMBER, "text of a message"),
        ("raise E(f'{a[:7]}', 8)", "8", NUMBER, None),
        ("log.info(f'{7}')", "f'", NUMBER, "text of a message"),
        ("_refuse(f'{7}')", "f'", NUMBER, "text of a message"),
        ("answer(f'{7}')", "f'", NUMBER, None),
        ("raise E(7 if a else 8) from f(9)", "7", NUMBER, None),
        ("a == 'text'", "==", IS, "refused by the linter"),
        ("a == 'text'", "==", NOT_EQUAL, None),
        ("a == b", "==", IS, None),
        ("os.name == 'posix'", "==", AT_MOST, "another system"),
        ("os.name == 'posix'", "==", NOT_EQUAL, None),
        ("name == 'posix'", "==", AT_MOST, None),
        ("@dataclass(frozen=True, eq=False)\nclass A: ...", "True", TRUE, "for the type checker"),
        ("@dataclass(order=True)\nclass A: ...", "True", TRUE, None),
        ("@lru_cache(7)\ndef f(): ...", "7", NUMBER, "only faster"),
        ("@cache\ndef f(): ...", "cache", DECORATOR, "only faster"),
        ("zip(a, strict=True)", "True", TRUE, "a check of a length that holds"),
        ("parse(a, strict=True)", "True", TRUE, None),
        ("json.dumps(a, indent=2)", "2", NUMBER, "layout of a text"),
        ("json.dumps(a, sort_keys=True)", "True", TRUE, None),
        ("thread.join(timeout=5)", "5", NUMBER, "how long is waited"),
        ("thread.join(5)", "5", NUMBER, None),
        ("raise AssertionError(1)", "1", NUMBER, "never reached"),
        ("raise ValueError(1)", "1", NUMBER, None),
        ("if __name__ == '__main__':\n    sys.exit(1)", "1", NUMBER, "never reached"),
        ("for a in b:\n    continue", "continue", BREAK, None),
    ],
)
def test_a_rule_leaves_out_what_no_test_could_notice_and_nothing_beside_it(
    source: str, mark: str, operator: str, rule: str | None
) -> None:
    ast.parse(source)
    assert rule_at(source, mark, operator) == rule


def test_a_tuned_constant_may_be_a_little_larger_and_nothing_else() -> None:
    source = "A, B = 4, 1 << 20\nC = 8\n"
    assert rule_at(source, "4", NUMBER, "A") == "tuning"
    assert rule_at(source, "20", NUMBER, "B") == "tuning"
    assert rule_at(source, "1 <", NUMBER, "B") is None, "another order of magnitude"
    assert rule_at(source, "<<", "core/ReplaceBinaryOperator_LShift_Add", "B") is None
    assert rule_at(source, "8", NUMBER, "A") is None
    assert rule_at(source, "4", NUMBER) is None


def test_columns_are_counted_in_characters() -> None:
    source = "a = 'ä…', f(b, timeout=5), 6"
    assert rule_at(source, "5", NUMBER) == "how long is waited"
    assert rule_at(source, "6", NUMBER) is None
    assert rule_at(source, "timeout", NUMBER) is None


def lines_of(module: str) -> list[str]:
    return [line.strip() for line in (SOURCE / module).read_text("utf-8").splitlines()]


@pytest.mark.parametrize("entry", rules.unseen(), ids=lambda e: f"{e.module}: {e.line}")
def test_a_listed_change_is_of_a_line_that_is_there(entry: Any) -> None:
    assert lines_of(entry.module).count(entry.line) >= 1, "the line is no longer there"
    assert entry.line not in entry.changes
    assert entry.changes
    assert len(entry.reason) > 5


@pytest.mark.parametrize("entry", rules.tuned(), ids=lambda e: f"{e.module}: {e.name}")
def test_a_tuned_constant_is_one_of_its_module(entry: Any) -> None:
    tree = ast.parse((SOURCE / entry.module).read_text("utf-8"))
    named = [rules.names_of(node) for node in tree.body if isinstance(node, ast.Assign)]
    assert any(entry.name in names for names in named)
    assert len(entry.reason) > 5


def test_nothing_is_listed_twice() -> None:
    changes = [(e.module, e.line, change) for e in rules.unseen() for change in e.changes]
    assert len(set(changes)) == len(changes)
    names = [(e.module, e.name) for e in rules.tuned()]
    assert len(set(names)) == len(names)
