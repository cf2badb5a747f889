"""A run asked for over Airflow's REST API goes through the project's real commands."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import goldpath as package
from goldpath.services.airflow_api import AirflowApi, AirflowApiError
from goldpath.services.airflow_server import start_airflow
from goldpath.services.process_table import Family, PidFile
from goldpath.services.processes import (
    ServerError,
    require_free_port,
    stop_server,
)
from goldpath.settings import Settings, load_settings

from ..locations import PROJECT
from ..ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.airflow]

RUN_SECONDS = 600
SCHEDULES = """
airflow:
  schedules: {data_pipeline: "@monthly", ml_batch_inference_pipeline: "@assets"}
"""
DOOR = """
from goldpath import Model, Project, TrainingWork, run, training


def rows_seen(work: TrainingWork) -> dict[str, float]:
    return {"rows_seen": float(len(work.train_rows))}


def model() -> Model:
    first, second, *others = (
        training.extract,
        training.prepare_features,
        training.search_and_fit,
        training.evaluate_candidate,
        training.register_candidate,
    )
    return Model(training=(first, second, rows_seen, *others))


run(Project(name="customer_churn", models={"churn": model}))
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
    # The DAGs run `python -m customer_churn`; this one is the engine with a step of its own.
    door = tmp_path / "src" / "customer_churn" / "__main__.py"
    door.parent.mkdir(parents=True)
    door.write_text(DOOR)
    port = free_port()
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "AIRFLOW_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    schedules = tmp_path / "config" / "environments" / "development.yaml"
    schedules.parent.mkdir()
    schedules.write_text(SCHEDULES)
    for name, value in {
        "MLOPS_ROOT": str(tmp_path),
        "MLOPS_AIRFLOW_VENV": str(environment),
        "MLOPS_SERVERS__AIRFLOW_PORT": str(port),
        "MLOPS_TRAINING__TRIALS": "2",
        "AIRFLOW__CORE__PARALLELISM": "3",  # a user's own; airflow-up would say 4
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
    """Wait for a run's end and return each task's instance, its result and the last of its log."""
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
        lines = api.get(f"{task}/logs/{instance['try_number']}")["content"]
        instance["log"] = "\n".join(
            f"{line.get('event')} {line.get('error_detail') or ''}" for line in lines[-40:]
        )
        with contextlib.suppress(AirflowApiError):
            instance["result"] = api.get(f"{task}/xcomEntries/return_value")["value"]
    return {instance["task_id"]: instance for instance in instances}


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


def test_it_comes_up_empty_runs_every_pipeline_and_leaves_nothing(settings: Settings) -> None:
    # There is no table and no model yet, and one file of the team's is broken.
    command(settings, "sample", "--rows", "3000")
    command(settings, "describe")
    broken = settings.root / "airflow" / "dags" / "broken.py"
    broken.write_text("from airflow.sdk import DAG\nimport a_library_that_is_not_there\n")
    status = start_airflow(settings)
    assert status.state == "started"
    family = Family(pid_file(settings).leaders)
    assert len(pid_file(settings).leaders) == 5  # the supervisor is one
    assert "broken.py does not import" in status.message
    assert "a_library_that_is_not_there" in status.message
    assert "the tasks' pool" not in status.message

    passwords = settings.root / ".airflow" / "passwords.json"
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert json.loads(passwords.read_text())["admin"] in status.message
    with pytest.raises(AirflowApiError, match="401"):
        AirflowApi(status.url, "admin", "admin").get("dags")
    api = sign_in(settings)

    # By its schedule: what changed.
    (scheduled,) = runs_of(api, "data_pipeline", "scheduled", 1)
    data = instances_of(api, "data_pipeline", scheduled)["data"]
    assert data["state"] == "success", data["log"]
    assert data["result"]["new_batches"] == 1
    assert len(data["result"]["recomputed"]) > 2

    # Another scheduler goes on with what is asked for from now on.
    kill_and_await(settings, "scheduler")
    assert "scheduler ended once" in command(settings, "status")["servers"]["airflow"]

    training = run_to_its_end(api, "ml_training_pipeline", {"trials": 1})
    stages = ["extract", "features", "rows_seen", "train", "evaluate", "register", "deploy"]
    expected = dict.fromkeys(["data", *stages], "success")
    assert states(training) == expected, logs(training)
    version = training["register"]["result"]["model_version"]
    assert training["deploy"]["result"]["model_version"] == version
    assert training["rows_seen"]["result"]["rows_seen"] > 1000
    assert "train: 2 trials, one for each family" in training["train"]["log"]

    # Gold and the champion are new, so the batch runs by itself.
    (triggered,) = runs_of(api, "ml_batch_inference_pipeline", "asset_triggered", 1)
    inference = instances_of(api, "ml_batch_inference_pipeline", triggered)
    expected = dict.fromkeys(["batch_predict", "drift_check"], "success")
    assert states(inference) == expected, logs(inference)
    assert inference["batch_predict"]["result"]["model_version"] == version
    assert inference["drift_check"]["result"]["verdict"] == "ok"

    events = {event["name"]: event["extra"] for event in api.get("assets/events")["asset_events"]}
    assert events["customer_churn champion"] == {"model_version": version}
    assert set(events["customer_churn gold"]) == {"gold_snapshot"}
    assert set(events["customer_churn predictions"]) == {"run_id"}

    drift = run_to_its_end(api, "ml_drift_monitoring", {"source": "batch"})
    expected = {"drift_check": "success", "decide": "success", "retrain": "skipped"}
    assert states(drift) == expected, logs(drift)

    check_what_is_refused(api)
    check_backfill(api)

    overlay = settings.root / "config" / "environments" / "development.yaml"
    overlay.write_text("airflow: {pool: lake}\n")
    again = start_airflow(load_settings(settings.root))
    assert again.state == "already running"
    assert "the tasks' pool lake" in again.message
    everything = Family(pid_file(settings).leaders)
    assert stop_server("airflow", settings.run_directory).state == "stopped"
    assert family.living() == []
    assert everything.living() == []
    require_free_port(settings.servers.airflow_port, "servers.airflow_port")


def check_what_is_refused(api: AirflowApi) -> None:
    """A parameter of the wrong type is refused at once, an unknown one by the run."""
    with pytest.raises(AirflowApiError, match="days"):
        api.trigger("ml_prediction_log_pipeline", {"days": "many"})
    failed = run_to_its_end(api, "ml_prediction_log_pipeline", {"dayz": 3})["compact_logs"]
    assert (failed["state"], failed["try_number"]) == ("failed", 1)
    assert "conf has dayz, which ml_prediction_log_pipeline does not know" in failed["log"]
    assert "it knows days" in failed["log"]


def check_backfill(api: AirflowApi) -> None:
    """Each run makes its own month anew, one after the other, however many runs Airflow starts."""
    interval = {"from_date": "2025-01-01T00:00:00Z", "to_date": "2025-02-01T00:00:00Z"}
    api.post("backfills", {"dag_id": "data_pipeline", **interval})
    runs = runs_of(api, "data_pipeline", "backfill", 2)
    data = [instances_of(api, "data_pipeline", run)["data"] for run in runs]
    assert [each["state"] for each in data] == ["success", "success"], data[0]["log"]
    assert [each["result"]["recomputed"] for each in data] == [["2025-01"], ["2025-02"]]
    first, second = sorted(data, key=lambda each: str(each["start_date"]))
    assert first["end_date"] <= second["start_date"]


def pid_file(settings: Settings) -> PidFile:
    found = PidFile.read(settings.run_directory / "airflow.json")
    assert found is not None
    return found


def kill_and_await(settings: Settings, component: str) -> None:
    """Kill one of the four processes; another one is there within 15 s."""
    pids = {leader.command: leader.pid for leader in pid_file(settings).leaders}
    os.kill(pids[component], signal.SIGKILL)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        found = pid_file(settings)
        now = {leader.command: leader.pid for leader in found.leaders}
        if found.restarts == {component: 1} and now[component] != pids[component]:
            return
        time.sleep(0.2)
    raise AssertionError((settings.run_directory / "airflow-supervisor.log").read_text())


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
