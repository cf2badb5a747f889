"""A run asked for over Airflow's REST API goes through the project's real commands."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import goldpath as package
from goldpath.services.airflow_api import AirflowApi, AirflowApiError
from goldpath.services.airflow_server import start_airflow
from goldpath.services.process_table import Family, Leader
from goldpath.services.processes import ServerError, require_free_port, stop_server
from goldpath.settings import Settings, load_settings

from ..locations import PROJECT
from ..ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.airflow]

RUN_SECONDS = 600
DOOR = """
from goldpath import Project, run

run(Project(name="customer_churn"))
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A copy of the project with its own ports, and nothing in its lake or registry."""
    environment = Path(os.environ.get("MLOPS_AIRFLOW_VENV", PROJECT / ".venv-airflow")).absolute()
    if not (environment / "bin" / "python").exists():
        pytest.skip(f"there is no {environment}: make airflow-setup")
    for folder in ("config", "airflow"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    lock = tmp_path / "requirements" / "airflow.txt"  # hashed, to migrate the database once for it
    lock.parent.mkdir()
    lock.write_text("apache-airflow\n")
    # The DAGs run `python -m customer_churn`; this one is the engine by itself under that name.
    door = tmp_path / "src" / "customer_churn" / "__main__.py"
    door.parent.mkdir(parents=True)
    door.write_text(DOOR)
    port = free_port()
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "AIRFLOW_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "MLOPS_ROOT": str(tmp_path),
        "MLOPS_AIRFLOW_VENV": str(environment),
        "MLOPS_SERVERS__AIRFLOW_PORT": str(port),
        "MLOPS_TRAINING__TRIALS": "2",
        "PYTHONPATH": os.pathsep.join(
            [str(tmp_path / "src"), str(Path(package.__file__).parents[1])]
        ),
    }.items():
        monkeypatch.setenv(name, value)
    yield load_settings(tmp_path)
    stop_server("airflow", tmp_path / "run")


def sign_in(settings: Settings) -> AirflowApi:
    passwords = json.loads((settings.root / ".airflow" / "passwords.json").read_text())
    return AirflowApi(
        f"http://127.0.0.1:{settings.servers.airflow_port}", "admin", passwords["admin"]
    )


def run_to_its_end(api: AirflowApi, dag_id: str) -> dict[str, dict[str, Any]]:
    """Trigger a DAG and return each task's instance, with its result and the last of its log."""
    run = f"dags/{dag_id}/dagRuns/{api.trigger(dag_id)}"
    deadline = time.monotonic() + RUN_SECONDS
    while api.get(run)["state"] not in ("success", "failed") and time.monotonic() < deadline:
        time.sleep(1)
    instances = api.get(f"{run}/taskInstances")["task_instances"]
    for instance in instances:
        task = f"{run}/taskInstances/{instance['task_id']}"
        lines = api.get(f"{task}/logs/{instance['try_number']}")["content"]
        instance["log"] = "\n".join(str(line.get("event")) for line in lines[-40:])
        try:
            instance["result"] = api.get(f"{task}/xcomEntries/return_value")["value"]
        except AirflowApiError:
            instance["result"] = None
    return {instance["task_id"]: instance for instance in instances}


def states(instances: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {task_id: instance["state"] for task_id, instance in instances.items()}


def logs(instances: dict[str, dict[str, Any]]) -> str:
    return "\n".join(f"--- {name}\n{instance['log']}" for name, instance in instances.items())


def test_it_comes_up_empty_runs_both_pipelines_and_leaves_nothing(settings: Settings) -> None:
    # There is no data and no model yet.
    status = start_airflow(settings)
    assert status.state == "started"
    pid_file = json.loads((settings.run_directory / "airflow.json").read_text())
    family = Family(Leader(**leader) for leader in pid_file["leaders"])
    assert len(pid_file["leaders"]) == 4

    passwords = settings.root / ".airflow" / "passwords.json"
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert json.loads(passwords.read_text())["admin"] in status.message
    with pytest.raises(AirflowApiError, match="401"):
        AirflowApi(status.url, "admin", "admin").get("dags")
    api = sign_in(settings)
    assert api.get("importErrors")["total_entries"] == 0

    command = [sys.executable, "-m", package.__name__, "sample", "--rows", "3000"]
    subprocess.run(command, check=True, cwd=settings.root, capture_output=True)
    training = run_to_its_end(api, "ml_training_pipeline")
    stages = ["extract", "features", "train", "evaluate", "register", "deploy"]
    expected = dict.fromkeys(["data", *stages], "success")
    assert states(training) == expected, logs(training)
    version = training["register"]["result"]["model_version"]
    assert training["deploy"]["result"]["model_version"] == version
    assert "train: 2 trials" in training["train"]["log"]

    inference = run_to_its_end(api, "ml_batch_inference_pipeline")
    expected = dict.fromkeys(["batch_predict", "drift_check"], "success")
    assert states(inference) == expected, logs(inference)
    assert inference["batch_predict"]["result"]["model_version"] == version
    assert inference["drift_check"]["result"]["verdict"] == "ok"

    assert start_airflow(settings).state == "already running"
    assert stop_server("airflow", settings.run_directory).state == "stopped"
    assert family.living() == []
    require_free_port(settings.servers.airflow_port, "servers.airflow_port")


def test_a_dag_file_that_does_not_import_is_named(settings: Settings) -> None:
    broken = settings.root / "airflow" / "dags" / "ml_broken.py"
    broken.write_text("from airflow.sdk import DAG\nimport a_library_that_is_not_there\n")
    with pytest.raises(ServerError, match=r"(?s)ml_broken\.py.*a_library_that_is_not_there"):
        start_airflow(settings)
    assert not (settings.run_directory / "airflow.json").exists()
    require_free_port(settings.servers.airflow_port, "servers.airflow_port")


def test_a_busy_port_is_refused_before_anything_is_made(settings: Settings) -> None:
    port = settings.servers.airflow_port
    busy = f"port {port} is in use"
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ServerError, match=busy) as refused,
    ):
        start_airflow(settings)
    assert "MLOPS_SERVERS__AIRFLOW_PORT" in refused.value.fix
    assert not (settings.root / ".airflow").exists()
