"""One task is one command of the project, run by the project's own Python.

These files import Airflow and nothing of the project: Airflow lives in an environment of its own.
The environment says where the project is: PROJECT_ROOT (its folder) and PROJECT_PYTHON (the
interpreter of its environment).
"""

import json
import os
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator

PACKAGE = "customer_churn"
PROJECT_ROOT = os.environ.get("PROJECT_ROOT") or str(Path(__file__).resolve().parents[2])

# Airflow exports it to every command. A word that starts with $ is a shell variable, see `step`.
RUN_ID = "$AIRFLOW_CTX_DAG_RUN_ID"

# The commands' exit codes: the work was done before, and too few rows for an honest answer.
NOTHING_TO_DO = 99
NOT_ENOUGH_DATA = 3

DAG_ARGUMENTS: dict[str, Any] = {
    # No schedule of its own: set one (`schedule="@weekly"`) when the source is fed regularly.
    "schedule": None,
    "catchup": False,
    "max_active_runs": 1,  # two runs at once would race for the same tables and the same alias
    "is_paused_upon_creation": False,  # without a schedule, nothing starts until somebody asks
    "default_args": {
        "owner": PACKAGE,
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(hours=2),
    },
}


def step(task_id: str, command: list[str], **options: Any) -> BashOperator:
    """A task that runs `python -m PACKAGE COMMAND` in the project's folder.

    The command's JSON result, its last line, becomes the task's XCom. Values known only at run
    time come as shell variables, so that no value can be read as shell syntax.

    Args:
        task_id: The task's name.
        command: The command's words; `$NAME` stands for that variable's value.
        options: Passed on to the operator.

    Returns:
        The operator.
    """
    words = [f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in command]
    return BashOperator(
        task_id=task_id,
        bash_command=" ".join(
            ["exec", '"${PROJECT_PYTHON:-.venv/bin/python}"', "-m", PACKAGE, *words, "--json"]
        ),
        cwd=PROJECT_ROOT,
        env={"PYTHONUNBUFFERED": "1", **options.pop("env", {})},
        append_env=True,
        output_processor=read_result,
        **{"skip_on_exit_code": [NOTHING_TO_DO], **options},
    )


def read_result(line: str) -> Any:
    """A command's last line as a value; as text where something was printed after the result."""
    try:
        return json.loads(line)
    except ValueError:
        return line
