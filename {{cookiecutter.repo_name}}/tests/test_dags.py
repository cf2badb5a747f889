"""Every task of the DAGs is a command that exists, and pipeline.json is this project's."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.project import project

from conftest import ROOT, Workplace

FOLDER = ROOT / "airflow" / "dags"
SHARED = {FOLDER / f"{name}.py" for name in ("steps", "runners", "incidents")}
"""What DAG files import; they hold no DAG."""
DAGS = sorted(set(FOLDER.glob("*.py")) - SHARED)


def commands_of(file: Path) -> list[list[str]]:
    """The words of each `step("task", [...])` that are written out."""
    tree = ast.parse(file.read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    lists = [
        call.args[1]
        for call in calls
        if getattr(call.func, "id", "") == "step" and len(call.args) > 1
    ]
    return [
        [str(word.value) for word in each.elts if isinstance(word, ast.Constant)]
        for each in lists
        if isinstance(each, ast.List) and not isinstance(each.elts[0], ast.Starred)
    ]


def require_command(words: list[str], workplace: Workplace) -> None:
    command = [word for word in words if not word.startswith(("-", "$"))]
    done = subprocess.run(
        [sys.executable, "-m", project.name, *command, "--help"],
        cwd=workplace.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (command, done.stderr)


@pytest.mark.parametrize("file", DAGS, ids=lambda file: file.stem)
def test_each_task_runs_a_command_that_exists(file: Path, workplace: Workplace) -> None:
    assert commands_of(file)
    for words in commands_of(file):
        require_command(words, workplace)


def test_pipeline_json_is_up_to_date(workplace: Workplace) -> None:
    # Otherwise: make describe
    assert Workplace(ROOT).run("describe", "--check")["state"] == "up to date"
    for task in json.loads((FOLDER / "pipeline.json").read_text("utf-8"))["training"]:
        # A step of your own is an argument of `training run-step`, not a command.
        require_command(task["command"][:2], workplace)
