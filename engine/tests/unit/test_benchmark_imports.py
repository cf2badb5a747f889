"""Benchmarks run seldom, so what they import of the engine and what they left is looked up here."""

import ast
import json
from importlib import import_module
from pathlib import Path

import pytest

from ..locations import ENGINE

BENCHMARKS = ENGINE.parent / "benchmarks"


def imported(file: Path) -> set[tuple[str, str]]:
    """Each name of the engine that a file imports, with its module."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {
        (str(node.module), name.name)
        for node in found
        if str(node.module).partition(".")[0] == "goldpath"
        for name in node.names
    }


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("*.py")), ids=lambda file: file.stem)
def test_what_a_benchmark_imports_of_the_engine_is_there(file: Path) -> None:
    for module, name in imported(file):
        assert hasattr(import_module(module), name), f"{module} has no {name}"


def test_each_result_has_a_ratio_its_unit_and_a_target_that_measures_it_again() -> None:
    results = sorted((BENCHMARKS / "results").glob("*.json"))
    targets = (BENCHMARKS.parent / "Makefile").read_text(encoding="utf-8")

    assert results
    for file in results:
        result = json.loads(file.read_text(encoding="utf-8"))
        assert {"name", "ratio", "unit", "n", "details"} <= result.keys(), file.name
        assert result["name"] == file.stem
        assert isinstance(result["ratio"], float | int), file.name
        assert f"\nbench-{file.stem.replace('_', '-')}:" in targets, file.name
