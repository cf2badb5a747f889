"""The DAG files: what they import, what Airflow reads in them, and the commands they run."""

import ast
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..locations import PROJECT

DAGS = PROJECT / "airflow" / "dags"
PACKAGE = "customer_churn"
TRAINING, INFERENCE = "ml_training_pipeline", "ml_batch_inference_pipeline"
LOGS = "ml_prediction_log_pipeline"

# Runs in Airflow's environment and prints what Airflow read.
DESCRIBE = """
import json, pathlib, sys
from airflow.dag_processing.dagbag import BundleDagBag

bag = BundleDagBag(sys.argv[1], bundle_path=pathlib.Path(sys.argv[1]), bundle_name="dags-folder")
print("DESCRIPTION" + json.dumps({
    "errors": bag.import_errors,
    "seconds": {stat.file: stat.duration.total_seconds() for stat in bag.dagbag_stats},
    "dags": {
        dag.dag_id: {
            "tags": sorted(dag.tags),
            "doc": dag.doc_md,
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "paused": dag.is_paused_upon_creation,
            "scheduled": dag.timetable.can_be_scheduled,
            "tasks": {
                task.task_id: {
                    "owner": task.owner,
                    "retries": task.retries,
                    "backoff": task.retry_exponential_backoff,
                    "timeout": task.execution_timeout.total_seconds(),
                    "skips": sorted(task.skip_on_exit_code),
                    "command": task.bash_command,
                    "environment": task.env,
                    "folder": task.cwd,
                    "next": sorted(task.downstream_task_ids),
                }
                for task in dag.tasks
            },
        }
        for dag in bag.dags.values()
    },
}))
"""


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow reads in the DAG files; skips where its environment is absent."""
    python = (
        Path(os.environ.get("MLOPS_AIRFLOW_VENV", PROJECT / ".venv-airflow")) / "bin" / "python"
    )
    if not python.exists():
        pytest.skip(f"there is no {python}: make airflow-setup")
    home = tmp_path_factory.mktemp("airflow")
    done = subprocess.run(
        [str(python), "-c", DESCRIBE, str(DAGS)],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.rpartition("DESCRIPTION")[2])
    return answer


def tasks(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert description["dags"], description["errors"]
    return {
        f"{dag_id}.{task_id}": task
        for dag_id, dag in description["dags"].items()
        for task_id, task in dag["tasks"].items()
    }


@pytest.mark.parametrize("file", sorted(DAGS.glob("*.py")), ids=lambda file: file.stem)
def test_a_dag_file_imports_airflow_and_the_standard_library_only(file: Path) -> None:
    allowed = {"airflow", "steps"} | set(sys.stdlib_module_names)
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported <= allowed


@pytest.mark.airflow
def test_every_file_imports_and_holds_the_dag_it_is_named_after(
    description: dict[str, Any],
) -> None:
    assert description["errors"] == {}
    assert set(description["dags"]) == {file.stem for file in DAGS.glob("ml_*.py")}
    assert set(description["dags"]) >= {TRAINING, INFERENCE, LOGS}


@pytest.mark.airflow
def test_files_are_read_fast_enough_to_be_read_every_half_minute(
    description: dict[str, Any],
) -> None:
    # The first one also pays for importing the operator.
    assert sum(description["seconds"].values()) < 10
    assert min(description["seconds"].values()) < 1


@pytest.mark.airflow
def test_runs_wait_for_somebody_to_ask_and_never_overlap(description: dict[str, Any]) -> None:
    for dag in description["dags"].values():
        assert dag["tags"]
        assert dag["doc"]
        assert dag["catchup"] is False
        assert dag["max_active_runs"] == 1
        # It is not paused when new, which is safe because it has no schedule.
        assert dag["paused"] is False
        assert dag["scheduled"] is False


@pytest.mark.airflow
def test_the_steps_follow_each_other(description: dict[str, Any]) -> None:
    order = {
        dag_id: {task_id: task["next"] for task_id, task in dag["tasks"].items()}
        for dag_id, dag in description["dags"].items()
    }
    stages = ["data", "extract", "features", "train", "evaluate", "register", "deploy"]
    follows = {stage: [after] for stage, after in itertools.pairwise(stages)}
    assert order[TRAINING] == {**follows, "deploy": []}
    assert order[INFERENCE] == {"batch_predict": ["drift_check"], "drift_check": []}
    assert order[LOGS] == {"compact_logs": ["live_performance"], "live_performance": []}


@pytest.mark.airflow
def test_work_is_retried_with_backoff_and_a_verdict_is_not(description: dict[str, Any]) -> None:
    verdicts = {f"{TRAINING}.deploy", f"{INFERENCE}.drift_check"}
    for name, task in tasks(description).items():
        assert task["owner"] == PACKAGE
        assert task["timeout"] > 0
        assert task["backoff"] > 1
        assert task["retries"] == (0 if name in verdicts else 2), name


@pytest.mark.airflow
def test_too_little_data_skips_a_check_and_fails_the_others(
    description: dict[str, Any],
) -> None:
    skips = {name: task["skips"] for name, task in tasks(description).items()}
    assert skips.pop(f"{INFERENCE}.drift_check") == [3, 99]
    assert skips.pop(f"{LOGS}.live_performance") == [3, 99]
    assert set(map(tuple, skips.values())) == {(99,)}


@pytest.mark.airflow
def test_every_step_is_a_command_that_the_project_has(description: dict[str, Any]) -> None:
    from typer.main import get_command

    from goldpath.cli.app import app

    known = get_command(app).commands  # type: ignore[attr-defined]
    for task in tasks(description).values():
        words = shlex.split(task["command"])
        assert words[:4] == ["exec", "${PROJECT_PYTHON:-.venv/bin/python}", "-m", PACKAGE]
        command = known[words[4]]
        # A group, such as `training`; `data` is one, too, and a command of its own.
        command = getattr(command, "commands", {}).get(words[5], command)
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words[5:] if word.startswith("--")} <= options
        assert words[-1] == "--json"
        assert task["folder"] == str(PROJECT)


@pytest.mark.airflow
def test_a_hostile_value_stays_one_word_of_the_command(
    description: dict[str, Any], tmp_path: Path
) -> None:
    echo = tmp_path / "python"
    echo.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    echo.chmod(0o755)
    hostile = 'a b\'; touch "$HOME" `touch x` $(touch y) *'
    for task in tasks(description).values():
        variables = set(re.findall(r'"\$([A-Z_]+)"', task["command"]))
        done = subprocess.run(
            ["bash", "-c", task["command"]],
            cwd=tmp_path,
            env={"PROJECT_PYTHON": str(echo), **dict.fromkeys(variables, hostile)},
            capture_output=True,
            text=True,
            check=True,
        )
        words = json.loads(done.stdout)
        assert words.count(hostile) == len(variables)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["python"]


@pytest.mark.airflow
def test_runs_are_named_after_airflows(description: dict[str, Any]) -> None:
    named = {
        name
        for name, task in tasks(description).items()
        if '--run-id "$AIRFLOW_CTX_DAG_RUN_ID"' in task["command"]
    }
    stages = ("extract", "features", "train", "evaluate", "register")
    assert named == {*(f"{TRAINING}.{stage}" for stage in stages), f"{INFERENCE}.batch_predict"}
