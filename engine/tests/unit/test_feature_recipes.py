"""The recipes of docs/features.md: their code runs as it stands there, and gives what they say."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from goldpath.contract import Contract
from goldpath.features.row.tracing import RowFeature
from goldpath.testing import assert_feature

PAGE = Path(__file__).parents[2] / "docs" / "features.md"
_PART = re.compile(r"^## Recipes for row features$(.*?)^## ", re.DOTALL | re.MULTILINE)
_RECIPE = re.compile(r"^### (.*?)$.*?^```python$(.*?)^```$", re.DOTALL | re.MULTILINE)


def _recipes() -> dict[str, str]:
    (part,) = _PART.findall(PAGE.read_text(encoding="utf-8"))
    return dict(_RECIPE.findall(part))


def _run(code: str) -> dict[str, Any]:
    module = ModuleType("recipe")
    exec(compile(code, str(PAGE), "exec"), vars(module))  # noqa: S102
    return vars(module)


@pytest.fixture(autouse=True)
def outside_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the types of columns follow from the recipes' rows."""
    monkeypatch.chdir(tmp_path)


def test_the_page_has_the_recipes_of_row_features() -> None:
    titles = ["A ratio", "Bins, and a table of values"]
    titles += ["Days since a date", "Length and keywords of a text"]

    assert [*_recipes()] == titles


@pytest.mark.parametrize("title", _recipes())
def test_a_recipe_gives_what_its_own_test_says(title: str) -> None:
    found = _run(_recipes()[title])
    features = {name for name, each in found.items() if isinstance(each, RowFeature)}
    tests = [each for name, each in found.items() if name.startswith("test_")]

    for test in tests:
        test()

    assert len(tests) == 1
    assert features == {*re.findall(r"assert_feature\((\w+),", _recipes()[title])}


def test_what_a_recipe_says_of_missing_values_holds() -> None:
    columns = [
        {"name": "age", "type": "number", "nullable": True},
        *({"name": name, "type": "integer", "nullable": True} for name in ("calls", "mails")),
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
    for code in _recipes().values():
        found |= _run(code)

    def expect(feature: str, expected: Any, **row: Any) -> None:
        assert_feature(found[feature], row=row, equals=expected, contract=contract)

    expect("age_group", "unknown", age=None)
    expect("share_of_calls", 0, calls=None, mails=2)
    expect("days_as_customer", None, asked_on="2024-03-01", signed_up_on="soon")
