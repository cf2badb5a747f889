"""The recipes of docs/features.md: their code runs as it stands there, and gives what they say.

In a project, with their tables and by HTTP, all of them run in the template's tests.
"""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from goldpath.contract import Contract
from goldpath.features.row.tracing import RowFeature
from goldpath.testing import assert_feature

PAGE = Path(__file__).parents[2] / "docs" / "features.md"
_PART = re.compile(r"^## Seven recipes$(.*?)^## ", re.DOTALL | re.MULTILINE)
_RECIPE = re.compile(r"^### (.*?)$(.*?)(?=^### |\Z)", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```python$\n# (?:features|tests)/\S+$(.*?)^```$", re.DOTALL | re.MULTILINE)
_OWN_IMPORT = re.compile(r"^from PACKAGE.*\n", re.MULTILINE)


def _recipes() -> dict[str, str]:
    """The code of each recipe and of its test, by the recipe's title."""
    (part,) = _PART.findall(PAGE.read_text(encoding="utf-8"))
    return {
        title: _OWN_IMPORT.sub("", "".join(_BLOCK.findall(text)))
        for title, text in _RECIPE.findall(part)
    }


def _of_a_row() -> dict[str, str]:
    return {title: code for title, code in _recipes().items() if "window_feature" not in code}


def _run(code: str) -> dict[str, Any]:
    module = ModuleType("recipe")
    exec(compile(code, str(PAGE), "exec"), vars(module))  # noqa: S102
    return vars(module)


@pytest.fixture(autouse=True)
def outside_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the types of columns follow from the recipes' rows."""
    monkeypatch.chdir(tmp_path)


def test_the_page_has_seven_recipes() -> None:
    of_a_row = ["A ratio", "Bins, and a table of values"]
    of_a_row += ["Days since a date", "Length and keywords of a text"]

    assert [*_of_a_row()] == of_a_row
    assert len(_recipes()) == 7


@pytest.mark.parametrize("title", _of_a_row())
def test_a_recipe_gives_what_its_own_test_says(title: str) -> None:
    code = _of_a_row()[title]
    found = _run(code)
    features = {name for name, each in found.items() if isinstance(each, RowFeature)}
    tests = [each for name, each in found.items() if name.startswith("test_")]

    for test in tests:
        test()

    assert tests
    assert features == {*re.findall(r"assert_feature\((\w+),", code)}


def test_what_a_recipe_says_of_missing_values_holds() -> None:
    columns = [
        {"name": "age", "type": "number", "nullable": True},
        *(
            {"name": name, "type": "integer", "nullable": True}
            for name in ("usage_hours", "support_tickets")
        ),
        {"name": "asked_on", "type": "category", "nullable": True},
        {"name": "signed_up_on", "type": "category", "nullable": True},
    ]
    contract = Contract.model_validate(
        {
            "dataset": "rows",
            "problem": "regression",
            "source": {"path": "rows.csv"},
            "target": {"column": "target"},
            "features": columns,
        }
    )
    found: dict[str, Any] = {}
    for code in _of_a_row().values():
        found |= _run(code)

    def expect(feature: str, expected: Any, **row: Any) -> None:
        assert_feature(found[feature], row=row, equals=expected, contract=contract)

    expect("age_group", "unknown", age=None)
    expect("hours_a_ticket", 0, usage_hours=None, support_tickets=2)
    expect("days_as_customer", None, asked_on="2024-03-01", signed_up_on="soon")
