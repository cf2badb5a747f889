"""An Airflow that runs: its runs, its tasks' results and its processes."""

import contextlib
import json
import subprocess
import sys
import time
from typing import Any
from urllib.parse import quote

from goldpath.services.airflow_api import AirflowApi, AirflowApiError
from goldpath.services.process_table import PidFile
from goldpath.settings import Settings

RUN_SECONDS = 600


def sign_in(settings: Settings) -> AirflowApi:
    passwords = json.loads((settings.root / ".airflow" / "passwords.json").read_text())
    return AirflowApi(
        f"http://127.0.0.1:{settings.servers.airflow_port}", "admin", passwords["admin"]
    )


def command(settings: Settings, *words: str) -> dict[str, Any]:
    """The result of a command of the project."""
    door = [sys.executable, "-m", "customer_churn", *words, "--json"]
    done = subprocess.run(door, check=True, cwd=settings.root, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_to_its_end(
    api: AirflowApi, dag_id: str, conf: dict[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Trigger a DAG and return each task's instance, with its result and the last of its log."""
    return instances_of(api, dag_id, api.trigger(dag_id, conf))


def instances_of(api: AirflowApi, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
    """Wait for a run's end and return each task's instance, its result and the last of its log.

    Those of a mapped task are `NAME.0` and so on.
    """
    run = f"dags/{dag_id}/dagRuns/{quote(run_id)}"
    deadline = time.monotonic() + RUN_SECONDS
    while api.get(run)["state"] not in ("success", "failed") and time.monotonic() < deadline:
        time.sleep(1)
    instances = api.get(f"{run}/taskInstances")["task_instances"]
    for instance in instances:
        task = f"{run}/taskInstances/{instance['task_id']}"
        instance["log"], instance["result"] = "", None
        if not instance["try_number"]:  # skipped, as what stands before it said
            continue
        which = f"map_index={instance['map_index']}"
        lines = api.get(f"{task}/logs/{instance['try_number']}?{which}")["content"]
        instance["log"] = "\n".join(
            f"{line.get('event')} {line.get('error_detail') or ''}" for line in lines[-40:]
        )
        with contextlib.suppress(AirflowApiError):
            instance["result"] = api.get(f"{task}/xcomEntries/return_value?{which}")["value"]
    return {
        f"{each['task_id']}.{each['map_index']}"
        if each["map_index"] >= 0
        else each["task_id"]: each
        for each in instances
    }


def runs_of(api: AirflowApi, dag_id: str, run_type: str, count: int) -> list[str]:
    """The ids of a DAG's runs of one type, once there are so many."""
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        runs = api.get(f"dags/{dag_id}/dagRuns")["dag_runs"]
        found = sorted(run["dag_run_id"] for run in runs if run["run_type"] == run_type)
        if len(found) == count:
            return found
        time.sleep(1)
    raise AssertionError(runs)


def states(instances: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {task_id: instance["state"] for task_id, instance in instances.items()}


def logs(instances: dict[str, dict[str, Any]]) -> str:
    return "\n".join(f"--- {name}\n{instance['log']}" for name, instance in instances.items())


def pid_file(settings: Settings) -> PidFile:
    found = PidFile.read(settings.run_directory / "airflow.json")
    assert found is not None
    return found
