"""What a team owns: every function counts. That edits take effect, test_recipes.py shows."""

import ast
import json
from pathlib import Path

import pytest
from conftest import BakedProject

NEUTRAL = Path(__file__).with_name("neutral_definitions.py")
# Plumbing of project.py and __main__.py, or made by Python: nobody would change them for effect.
PLUMBING = {"data", "definitions", "features", "churn", "service", "__init__"}


def functions_of(project: BakedProject) -> set[str]:
    """Every function and method that is defined below `src/`."""
    return {
        node.name
        for file in project.package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.slow
def test_every_function_replaced_by_its_neutral_one_changes_something(
    workbench: BakedProject,
) -> None:
    done = workbench.run(".venv/bin/python", NEUTRAL, workbench.package.name, timeout=900)
    assert done.code == 0, done.output[-4000:]
    outcome = json.loads(done.output.strip().splitlines()[-1])
    assert set(outcome) - {"OFFERS"} == functions_of(workbench) - PLUMBING
    assert {name: pair for name, pair in outcome.items() if pair[0] == pair[1]} == {}
