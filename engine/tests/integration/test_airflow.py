"""A run asked for over Airflow's REST API goes through the project's real commands."""

import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import goldpath as package
from goldpath.services.airflow_api import AirflowApi, AirflowApiError
from goldpath.services.airflow_server import start_airflow, stop_airflow
from goldpath.services.process_table import Family
from goldpath.services.processes import (
    ServerError,
    require_free_port,
    stop_server,
)
from goldpath.settings import Settings, load_settings

from ..airflow_database import SQLITE, check_full_disk, check_locked_database
from ..airflow_kills import check_kills
from ..airflow_pages import AirflowPages, airflow_pages
from ..airflow_shards import check_shards
from ..alert_receivers import Hooks, running
from ..counts import times
from ..live_airflow import (
    RUN_SECONDS,
    command,
    instances_of,
    logs,
    pid_file,
    run_to_its_end,
    runs_of,
    sign_in,
    states,
)
from ..locations import PROJECT
from ..ports import free_port
from ..postgres_server import postgres_server

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.soak]

PAGE = (PROJECT / "docs" / "airflow.md").read_text("utf-8")
# The page's recipes: a run with a parameter, a backfill; DAGs of one's own.
WITH_PARAMETERS, BACKFILL = re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)
OWN_DAGS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
# SQLite, the default, is what the generated project's own path is tested with.
DATABASES = ("postgresql", "sqlite") if times(0, 1) else ("postgresql",)
# Of each kind; the seed of their moments is new each time, and printed.
KILLS = times(2, 10)
SHARDS = times(4, 8)
SCHEDULES = """
airflow:
  schedules: {data_pipeline: "@monthly", ml_batch_inference_pipeline: "@assets"}
  deadline_minutes: {ml_training_pipeline: 0.05}
  retry_seconds: 2
"""
DOOR = """
import os
from pathlib import Path

from goldpath import BatchWork, Model, Project, TrainingWork, batch, run, training


def rows_seen(work: TrainingWork) -> dict[str, float]:
    return {"rows_seen": float(len(work.train_rows))}


def fails_once(work: BatchWork) -> BatchWork:
    file = Path("fails-once")
    if file.exists() and os.environ.get("SHARD") == file.read_text():
        file.unlink()
        raise OSError("this shard's disk was full")
    return work


def model() -> Model:
    first, second, *others = (
        training.extract,
        training.prepare_features,
        training.search_and_fit,
        training.evaluate_candidate,
        training.register_candidate,
    )
    scored = (batch.load_rows, fails_once, batch.score_rows, batch.store_predictions)
    return Model(training=(first, second, rows_seen, *others), batch=scored)


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
    (tmp_path / "config" / "sources" / "tickets.yaml").unlink()  # one is enough: a task a run
    lock = tmp_path / "requirements" / "airflow.txt"  # hashed, to migrate the database once for it
    lock.parent.mkdir()
    lock.write_text("apache-airflow\n")
    for code in OWN_DAGS:
        (name,) = re.findall(r'with dag\("(\w+)"', code)
        (tmp_path / "airflow" / "dags" / f"{name}.py").write_text(code)
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
        "MLOPS_SERVERS__AIRFLOW_METRICS_PORT": str(free_port()),
        "MLOPS_TRAINING__TRIALS": "2",
        "AIRFLOW__CORE__PARALLELISM": str(times(3, 9)),  # a user's own; airflow-up would say 4
        "PYTHONPATH": os.pathsep.join(
            [str(tmp_path / "src"), str(Path(package.__file__).parents[1])]
        ),
    }.items():
        monkeypatch.setenv(name, value)
    yield load_settings(tmp_path)
    stop_server("airflow", tmp_path / "run")


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where Airflow keeps its state."""
    if request.param == "sqlite":
        yield SQLITE
        return
    with postgres_server("airflow") as url:
        monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
        yield url


@pytest.fixture
def alertmanager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hooks]:
    """Keeps what the DAGs tell Alertmanager."""
    hooks = Hooks()
    with running(hooks):
        monkeypatch.setenv("ALERTMANAGER_URL", f"http://127.0.0.1:{hooks.server_address[1]}")
        yield hooks


def test_it_comes_up_empty_runs_every_pipeline_and_leaves_nothing(
    database: str,
    alertmanager: Hooks,
    settings: Settings,
    record_property: Callable[[str, object], None],
) -> None:
    # There is no table and no model yet, and one file of the team's is broken.
    command(settings, "sample", "--rows", "3000")
    command(settings, "describe")
    broken = settings.root / "airflow" / "dags" / "broken.py"
    broken.write_text("from airflow.sdk import DAG\nimport a_library_that_is_not_there\n")
    status = start_airflow(settings)
    assert status.state == "started"
    family = Family(pid_file(settings).leaders)
    assert len(pid_file(settings).leaders) == 6  # supervisor and metrics are two
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
    assert data["try_number"] == 1, "it was due before the API server answered, and waited"
    assert data["result"]["new_batches"] == 1
    assert len(data["result"]["recomputed"]) > 2
    payments = instances_of(api, "data_pipeline", scheduled)["source_payments"]
    assert payments["result"]["silver_rows"] > 0, payments["log"]

    # Another scheduler goes on with what is asked for from now on.
    kill_and_await(settings, "scheduler")
    assert "scheduler ended once" in command(settings, "status")["servers"]["airflow"]

    run_id, shown = trained_from_the_page(settings, api)
    training = instances_of(api, "ml_training_pipeline", run_id)
    stages = ["extract", "features", "rows_seen", "train", "evaluate", "register", "deploy"]
    expected = dict.fromkeys(["data", *stages], "success")
    assert states(training) == expected, logs(training)
    assert shown in ("Success", None)
    version = training["register"]["result"]["model_version"]
    assert training["deploy"]["result"]["model_version"] == version
    assert training["rows_seen"]["result"]["rows_seen"] > 1000
    assert "train: 2 trials, one for each family" in training["train"]["log"]  # 1 was asked for

    # Gold and the champion are new, so the batch runs by itself.
    (triggered,) = runs_of(api, "ml_batch_inference_pipeline", "asset_triggered", 1)
    inference = instances_of(api, "ml_batch_inference_pipeline", triggered)
    expected = {"batch_predict": "success", "drift_check": "skipped"}
    assert states(inference) == expected, logs(inference)
    assert inference["batch_predict"]["result"]["model_version"] == version
    assert "nothing new to compare" in inference["drift_check"]["log"], "rows of the training"
    with pages_of(settings) as pages:
        said = pages and pages.watch("ml_batch_inference_pipeline", triggered, RUN_SECONDS)
    assert said in ("Success", None)

    events = {event["name"]: event["extra"] for event in api.get("assets/events")["asset_events"]}
    assert events["customer_churn champion"] == {"model_version": version}
    assert set(events["customer_churn gold"]) == {"gold_snapshot"}
    assert set(events["customer_churn predictions"]) == {"run_id"}

    # Over REST, as the page of the project says: a dry run.
    dry = as_the_page_says(settings, WITH_PARAMETERS, '"trials": 30', '"trials": 1')
    training = instances_of(api, "ml_training_pipeline", dry["dag_run_id"])
    expected = dict.fromkeys(["data", *stages], "success") | {"deploy": "skipped"}
    assert states(training) == expected, logs(training)

    drift = run_to_its_end(api, "ml_drift_monitoring", {"source": "batch"})
    expected = dict.fromkeys(["drift_check", "decide", "admit", "retrain"], "skipped")
    assert states(drift) == expected, logs(drift)

    check_what_is_refused(settings, api)
    check_backfill(settings, api)
    check_the_pages_own_dags(api)
    check_who_is_told(alertmanager)
    check_metrics(settings)
    overlay = settings.root / "config" / "environments" / "development.yaml"
    overlay.write_text(f"{SCHEDULES}  batch_shards: {SHARDS}\n")  # read again while others run
    seed = random.randrange(1_000_000)
    began = time.monotonic()
    killed, runs = check_kills(settings, api, KILLS, seed)
    took = f"{time.monotonic() - began:.0f} s"
    figure = f"Airflow on {database.partition(':')[0]}: {dict(killed)} killed, seed {seed}"
    record_property("figure", f"{figure}; {runs} runs ended well in {took}")
    began = time.monotonic()
    record_property(
        "figure", f"{check_shards(settings, api, SHARDS)}, {time.monotonic() - began:.0f} s"
    )
    check_locked_database(settings, api, database, times(10, 75))
    if database == SQLITE and times(0, 1):  # for longer than minutes Airflow is not well then
        check_full_disk(settings, api, 40)
    check_a_retraining_is_handed_over(settings, api, version)

    overlay.write_text("airflow: {pool: lake}\n")
    again = start_airflow(load_settings(settings.root))
    assert again.state == "already running"
    assert "the tasks' pool lake" in again.message
    own_file = settings.root / ".airflow" / "airflow.db"
    assert own_file.exists() == (database == SQLITE)
    everything = Family(pid_file(settings).leaders)
    assert stop_airflow(settings).state == "stopped"
    assert json.loads((settings.run_directory / "prometheus" / "airflow.json").read_text()) == []
    assert family.living() == []
    assert everything.living() == []
    require_free_port(settings.servers.airflow_port, "servers.airflow_port")


def check_a_retraining_is_handed_over(settings: Settings, api: AirflowApi, version: str) -> None:
    """Where Airflow runs, `retrain` asks the rules, and Airflow trains."""
    # The batch was of training rows, so that there is no verdict of its own yet.
    verdict = json.loads((settings.reports / "drift.json").read_text())
    file = settings.reports / "drift" / "batch.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({**verdict, "verdict": "drift", "model_version": version}))
    (settings.root / "data" / "sample" / "customers.csv").unlink()
    command(settings, "sample", "--rows", "3500")

    result = command(settings, "retrain", "--source", "batch")

    assert result["outcome"] == "handed over"
    assert result["new_rows"] > 1000
    (run_id,) = re.findall(r"Airflow's run (\S+) of ml_training_pipeline", result["message"])
    run = api.get(f"dags/ml_training_pipeline/dagRuns/{quote(run_id)}")
    assert run["state"] in ("queued", "running")


def pages_of(settings: Settings) -> AbstractContextManager[AirflowPages | None]:
    """Airflow's pages, signed in."""
    passwords = json.loads((settings.root / ".airflow" / "passwords.json").read_text())
    url = f"http://127.0.0.1:{settings.servers.airflow_port}"
    return airflow_pages(url, passwords["admin"])


def trained_from_the_page(settings: Settings, api: AirflowApi) -> tuple[str, str | None]:
    """A training that was asked for with the form; its id, and how its page says that it ended."""
    with pages_of(settings) as pages:
        if pages is None:
            return api.trigger("ml_training_pipeline", {"trials": 1}), None
        run_id = pages.trigger("ml_training_pipeline", {"trials": "1"})
        return run_id, pages.watch("ml_training_pipeline", run_id, RUN_SECONDS)


def check_what_is_refused(settings: Settings, api: AirflowApi) -> None:
    """A parameter of the wrong type is refused at once, an unknown one by the run."""
    with pytest.raises(AirflowApiError, match="days"):
        api.trigger("ml_prediction_log_pipeline", {"days": "many"})
    run = api.trigger("ml_prediction_log_pipeline", {"dayz": 3})
    failed = instances_of(api, "ml_prediction_log_pipeline", run)["compact_logs"]
    assert (failed["state"], failed["try_number"]) == ("failed", 1)
    assert "conf has dayz, which ml_prediction_log_pipeline does not know" in failed["log"]
    assert "it knows days" in failed["log"]
    with pages_of(settings) as pages:
        if pages is not None:
            shown = pages.log_of("ml_prediction_log_pipeline", run, "compact_logs")
            assert "conf has dayz, which ml_prediction_log_pipeline does not know" in shown


def check_who_is_told(alertmanager: Hooks) -> None:
    """Of the failed run, of the training that took longer than allowed, and of each success."""
    alerts = [alert for (alert,) in alertmanager.of("/api/v2/alerts")]
    now = datetime.now(UTC)
    begun = [each for each in alerts if datetime.fromisoformat(each["endsAt"]) > now]
    incidents = {(each["labels"]["alertname"], each["labels"]["source"]): each for each in begun}
    assert set(incidents) == {
        ("PipelineFailed", "ml_prediction_log_pipeline"),
        ("PipelineLate", "ml_training_pipeline"),
    }
    failed = incidents["PipelineFailed", "ml_prediction_log_pipeline"]["annotations"]["summary"]
    assert "compact_logs of ml_prediction_log_pipeline failed in manual__" in failed
    late = incidents["PipelineLate", "ml_training_pipeline"]["annotations"]["summary"]
    assert "has not ended in time" in late
    over = {each["labels"]["source"] for each in alerts if each not in begun}
    assert {"data_pipeline", "ml_training_pipeline", "ml_batch_inference_pipeline"} <= over


def check_metrics(settings: Settings) -> None:
    """Airflow's processes push what alert rules and dashboard ask; Prometheus knows where it is."""
    infra = PROJECT / "infra"
    (rules,) = yaml.safe_load((infra / "prometheus/rules/airflow.yml").read_text("utf-8"))["groups"]
    board = json.loads((infra / "grafana/dashboards/airflow.json").read_text("utf-8"))
    queries = [rule["expr"] for rule in rules["rules"]]
    queries += [each["expr"] for panel in board["panels"] for each in panel.get("targets", ())]
    asked = set(re.findall(r"\bairflow_\w+", " ".join(queries)))
    (group,) = json.loads((settings.run_directory / "prometheus" / "airflow.json").read_text())
    with urlopen(f"http://{group['targets'][0]}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    # Airflow counts no failure of a task that refuses its run, and there need not be another one.
    known = {sample.name for sample in samples} | {"airflow_ti_failures_total"}
    assert asked - known == set()
    failed = {
        sample.labels["dag_id"]: sample.value
        for sample in samples
        if sample.name == "airflow_dagrun_duration_failed_milliseconds_count"
    }
    assert failed == {"ml_prediction_log_pipeline": 1.0}
    (beats,) = [each.value for each in samples if each.name == "airflow_scheduler_heartbeat_total"]
    assert beats > 5


def as_the_page_says(settings: Settings, block: str, given: str, instead: str) -> dict[str, Any]:
    """What Airflow answers to the page's command, with another value in it."""
    token, _, _ = WITH_PARAMETERS.partition("\ncurl")
    commands = block if "TOKEN=" in block else f"{token}\n{block}"
    passwords = json.loads((settings.root / ".airflow" / "passwords.json").read_text())
    changes = {given: instead, "…": passwords["admin"]}
    changes["127.0.0.1:8080"] = f"127.0.0.1:{settings.servers.airflow_port}"
    for before, after in changes.items():
        assert before in commands
        commands = commands.replace(before, after)
    done = subprocess.run(["bash", "-c", commands], check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def check_the_pages_own_dags(api: AirflowApi) -> None:
    """Files beside the project's DAGs are DAGs, with a parameter of their own."""
    nightly = run_to_its_end(api, "nightly")
    # Gold holds the rows of the training, which are no news.
    assert states(nightly) == {"score": "success", "check": "skipped"}, logs(nightly)
    score = run_to_its_end(api, "regions", {"file": "data/sample/customers.csv"})["score"]
    assert score["state"] == "success", score["log"]
    assert score["result"]["source"] == "data/sample/customers.csv"


def check_backfill(settings: Settings, api: AirflowApi) -> None:
    """Each run makes its own month anew, one after the other, however many runs Airflow starts."""
    as_the_page_says(settings, BACKFILL, "2025-01-31", "2025-02-01")
    runs = runs_of(api, "data_pipeline", "backfill", 2)
    data = [instances_of(api, "data_pipeline", run)["data"] for run in runs]
    assert [each["state"] for each in data] == ["success", "success"], data[0]["log"]
    assert [each["result"]["recomputed"] for each in data] == [["2025-01"], ["2025-02"]]
    first, second = sorted(data, key=lambda each: str(each["start_date"]))
    assert first["end_date"] <= second["start_date"]


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
