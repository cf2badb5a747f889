"""The DAG files: what they import, what Airflow reads in them, and the commands they run."""

import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goldpath.settings import TrainingSettings
from goldpath.settings.section import variable
from goldpath.settings.sources import _over

from ..locations import PROJECT

DAGS = PROJECT / "airflow" / "dags"
RECIPES = PROJECT / "docs" / "airflow.md"
PACKAGE = "customer_churn"
TRAINING, INFERENCE = "ml_training_pipeline", "ml_batch_inference_pipeline"
LOGS = "ml_prediction_log_pipeline"
DATA, DRIFT = "data_pipeline", "ml_drift_monitoring"
# As the page's recipe has it, and more of each kind.
(RECIPE,) = re.findall(r"^```yaml\n(.*?)^```", RECIPES.read_text("utf-8"), re.M | re.S)
SCHEDULES = f"""
owner: forecasts
{RECIPE}
  ml_batch_inference_pipeline: "@assets"
  ml_prediction_log_pipeline: "@assets"
catchup: true
start_date: 2026-01-01
pool: lake
retries: 5
retry_seconds: 7
timeout_minutes: 3
deadline_minutes: {{data_pipeline: 45, ml_training_pipeline: 90}}
"""
DEVELOPMENT = """airflow:
  retries: 1
  schedules: {data_pipeline: "@hourly"}
  deadline_minutes: {data_pipeline: 1.5}
"""

# Runs in Airflow's environment and prints what Airflow read in each folder of DAGs.
DESCRIBE = """
import json, pathlib, sys
from datetime import UTC, datetime
from types import SimpleNamespace
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.execution_time import macros
from airflow.serialization.serialized_objects import DagSerialization

START, END = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 3, 2, 5, tzinfo=UTC)

def read(folder):
    for name in ("steps", "runners", "incidents"):
        sys.modules.pop(name, None)
    sys.path.insert(0, folder)
    bag = BundleDagBag(folder, bundle_path=pathlib.Path(folder), bundle_name="dags-folder")
    sys.path.remove(folder)
    seconds = {stat.file: stat.duration.total_seconds() for stat in bag.dagbag_stats}
    return {
        "errors": bag.import_errors,
        "seconds": seconds,
        "dags": {dag.dag_id: described(dag) for dag in bag.dags.values()},
    }

def described(dag):
    return {
        "tags": sorted(dag.tags),
        "doc": dag.doc_md,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "paused": dag.is_paused_upon_creation,
        "scheduled": dag.timetable.can_be_scheduled,
        "schedule": getattr(dag.timetable, "expression", None),
        "starts": str(dag.start_date),
        "waits_for": waited_for(dag.timetable.asset_condition),
        "params": {name: param.schema for name, param in dag.params.items()},
        "defaults": dag.params.dump(),
        "deadline": [
            [each.interval.total_seconds(), each.reference.reference_name, each.callback.path]
            for each in dag.deadline or []
        ],
        "on_success": dag.on_success_callback.__name__,
        "tasks": {task.task_id: task_of(dag, task) for task in dag.tasks if not mapped(task)},
        "mapped": {task.task_id: shards_of(dag, task) for task in dag.tasks if mapped(task)},
    }

def mapped(task):
    return isinstance(task, MappedOperator)

def shards_of(dag, task):
    DagSerialization.to_dict(dag)  # as the scheduler gets it
    each = [task.unmap({"variables": values}) for values in task.expand_input.value["variables"]]
    return [task_of(dag, one) for one in each]

def waited_for(condition):
    return sorted(asset.uri for asset in getattr(condition, "objects", []))

def task_of(dag, task):
    return {
        "owner": task.owner,
        "pool": task.pool,
        "retries": task.retries,
        "delay": task.retry_delay.total_seconds(),
        "backoff": task.retry_exponential_backoff,
        "timeout": task.execution_timeout.total_seconds(),
        "renews": [asset.uri for asset in task.outlets],
        "at_once": task.max_active_tis_per_dag,
        "next": sorted(task.downstream_task_ids),
        "skips": sorted(getattr(task, "skip_on_exit_code", [])),
        "command": getattr(task, "bash_command", ""),
        "folder": getattr(task, "cwd", ""),
        "environment": getattr(task, "variables", None) or {},
        "asked": {
            "nothing": rendered(dag, task, {}, "manual"),
            "all": rendered(dag, task, ALL, "manual"),
            "scheduled": rendered(dag, task, {}, "scheduled"),
            "backfill": rendered(dag, task, {}, "backfill"),
            "asset_triggered": rendered(dag, task, {}, "asset_triggered"),
        },
        "refused": {
            "unknown": outcome(dag, task, {"dayz": 3}, "manual", {}),
            "backfill": outcome(dag, task, {}, "backfill", {}),
            "off": outcome(dag, task, {}, "manual", {"promote": False}),
            "no end": outcome(dag, task, {}, "manual", {"from": "2025-01-01"}),
            "no beginning": outcome(dag, task, {}, "manual", {"to": "2025-02-01"}),
            "no day": outcome(dag, task, {}, "manual", {"from": "2025-02-01", "to": "2025-02-01"}),
        },
        "decided": decided(task),
        "executed_with": getattr(task, "variables", None) or {},
        "on_failure": [each.__name__ for each in task.on_failure_callback],
        "by_hand": by_hand(dag, task),
        "run": getattr(task, "trigger_run_id", None),
    }

ALL = {
    "from": "2025-01-01", "to": "2025-02-01", "trials": 5, "budget_seconds": 1.5,
    "data": "a file.csv", "source": "batch", "days": 7,
}

def rendered(dag, task, given, run_type):
    environment = dag.get_template_env()
    values = {
        "params": {**dag.params.dump(), **given},
        "dag_run": SimpleNamespace(run_type=run_type, run_id="manual__1"),
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: {"model_version": "3"}),
        "macros": macros,
    }
    if run_type != "manual":
        values |= {"data_interval_start": START, "data_interval_end": END}
    texts = (getattr(task, "variables", None) or {}).items()
    return {name: environment.from_string(text).render(values) for name, text in texts}

def by_hand(dag, task):
    if type(task).__name__ != "Step":
        return ""
    given = {name: value for name, value in rendered(dag, task, ALL, "manual").items() if value}
    return task.said_by_hand({**given, "AIRFLOW_CTX_DAG_RUN_ID": "manual__1"})

def decided(task):
    if not hasattr(task, "python_callable") or task.task_id != "decide":
        return None
    answers = []
    for found, retrain in (
        ({"verdict": "drift", "message": "drift in 2 of 3", "report": "drift.html"}, True),
        ({"verdict": "drift", "message": "drift in 2 of 3", "report": "drift.html"}, False),
        ({"verdict": "ok", "message": "no drift"}, False),
        ({"error": "no table"}, True),
    ):
        try:
            answers.append(task.python_callable(found, {"retrain": retrain}))
        except Exception as error:
            answers.append(f"{type(error).__name__}: {error}")
    return answers

def outcome(dag, task, conf, run_type, params):
    if type(task).__name__ != "Step":
        return None
    task.bash_command, command = "exit 98", task.bash_command
    try:
        task.execute({
            "dag_run": SimpleNamespace(conf=conf, run_type=run_type, run_id="manual__1"),
            "dag": dag,
            "params": {**dag.params.dump(), **params},
        })
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        task.bash_command = command

print("DESCRIPTION" + json.dumps([read(folder) for folder in sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def descriptions(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What Airflow reads in the project's DAG files, and in those of a project with schedules.

    Skips where Airflow's environment is absent.
    """
    python = (
        Path(os.environ.get("MLOPS_AIRFLOW_VENV", PROJECT / ".venv-airflow")) / "bin" / "python"
    )
    if not python.exists():
        pytest.skip(f"there is no {python}: make airflow-setup")
    home = tmp_path_factory.mktemp("airflow")
    other = tmp_path_factory.mktemp("other")
    for folder in ("airflow", "config"):
        shutil.copytree(PROJECT / folder, other / folder)
    (other / "config" / "airflow.yaml").write_text(SCHEDULES)
    (other / "config" / "environments").mkdir()
    (other / "config" / "environments" / "development.yaml").write_text(DEVELOPMENT)
    pipeline = other / "airflow" / "dags" / "pipeline.json"
    for code in re.findall(r"```python\n(.*?)```", RECIPES.read_text(), re.DOTALL):
        (name,) = re.findall(r'with dag\("(\w+)"', code)
        (pipeline.parent / f"{name}.py").write_text(code)
    known = json.loads(pipeline.read_text())
    known |= {"sources": ["payments", "tickets"], "needed_sources": ["payments"], "windows": []}
    known["training"].append({"task": "announce", "command": ["training", "run-step", "announce"]})
    pipeline.write_text(json.dumps(known))
    done = subprocess.run(
        [
            str(python),
            "-c",
            DESCRIBE,
            *map(str, (DAGS, pipeline.parent, two_models(tmp_path_factory))),
            str(in_shards(tmp_path_factory)),
        ],
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
    answers: list[dict[str, Any]] = json.loads(done.stdout.rpartition("DESCRIPTION")[2])
    return answers


def two_models(folders: pytest.TempPathFactory) -> Path:
    """The DAG files of a project with a further model."""
    folder = folders.mktemp("two")
    for name in ("airflow", "config"):
        shutil.copytree(PROJECT / name, folder / name)
    pipeline = folder / "airflow" / "dags" / "pipeline.json"
    known = json.loads(pipeline.read_text())
    known["further"] = {
        "revenue": {"dataset": "customer_churn_revenue", "training": known["training"][:2]}
    }
    pipeline.write_text(json.dumps(known))
    return pipeline.parent


def in_shards(folders: pytest.TempPathFactory) -> Path:
    """The DAG files of a project whose batch inference is divided."""
    folder = folders.mktemp("shards")
    for name in ("airflow", "config"):
        shutil.copytree(PROJECT / name, folder / name)
    file = folder / "config" / "airflow.yaml"
    text = file.read_text()
    assert "batch_shards: 1 " in text
    file.write_text(text.replace("batch_shards: 1 ", "batch_shards: 3 "))
    return folder / "airflow" / "dags"


@pytest.fixture
def description(descriptions: list[dict[str, Any]]) -> dict[str, Any]:
    return descriptions[0]


@pytest.fixture
def scheduled(descriptions: list[dict[str, Any]]) -> dict[str, Any]:
    return descriptions[1]


def tasks(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert description["dags"], description["errors"]
    return {
        f"{dag_id}.{task_id}": task
        for dag_id, dag in description["dags"].items()
        for task_id, task in dag["tasks"].items()
    }


def steps(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tasks that run a command of the project."""
    return {name: task for name, task in tasks(description).items() if task["command"]}


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands for the project's Python: prints the words of the command and its environment."""
    file = tmp_path_factory.mktemp("echo") / "python"
    file.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
    )
    file.chmod(0o755)
    return file


def run_command(
    task: dict[str, Any], echo: Path, environment: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The words that a task's command has, and the environment that it sees."""
    done = subprocess.run(
        ["bash", "-c", task["command"]],
        cwd=echo.parent,
        env={"PROJECT_PYTHON": str(echo), "AIRFLOW_CTX_DAG_RUN_ID": "manual__1", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    words, seen = json.loads(done.stdout)
    return words, seen


def words_of(task: dict[str, Any], echo: Path, asked: str) -> list[str]:
    """The command's words after the package, for one of the ways a run is asked for."""
    # As `Step.execute` hands them over: without what is empty.
    environment = {name: value for name, value in task["asked"][asked].items() if value}
    words, _ = run_command(task, echo, environment)
    assert words[:2] == ["-m", PACKAGE]
    assert words[-1] == "--json"
    return words[2:-1]


@pytest.mark.parametrize("file", sorted(DAGS.glob("*.py")), ids=lambda file: file.stem)
def test_a_dag_file_imports_airflow_and_the_standard_library_only(file: Path) -> None:
    allowed = {"airflow", "incidents", "runners", "steps"} | set(sys.stdlib_module_names)
    if file.name == "steps.py":
        allowed |= {"yaml"}  # Airflow needs PyYAML itself; config/airflow.yaml is read with it
    if file.name == "runners.py":
        allowed |= {"docker", "kubernetes"}  # Airflow's providers bring them
    imported: set[str] = set()
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
    without_a_dag = {"steps", "runners", "incidents"}
    assert set(description["dags"]) == {file.stem for file in DAGS.glob("*.py")} - without_a_dag
    assert set(description["dags"]) == {DATA, TRAINING, INFERENCE, DRIFT, LOGS}


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
    own = "churn_by_contract"  # of pipelines/training.py
    stages = ["data", "extract", "features", own, "train", "evaluate", "register", "deploy"]
    follows = {stage: [after] for stage, after in itertools.pairwise(stages)}
    assert order[TRAINING] == {**follows, "deploy": []}
    assert order[INFERENCE] == {"batch_predict": ["drift_check"], "drift_check": []}
    assert order[LOGS] == {"compact_logs": ["live_performance"], "live_performance": []}
    drift = ["drift_check", "decide", "admit", "retrain"]
    assert order[DRIFT] == {**{a: [b] for a, b in itertools.pairwise(drift)}, "retrain": []}
    assert order[DATA] == {
        "source_payments": ["data"],
        "source_tickets": ["data"],
        "data": ["materialize"],
        "materialize": [],
    }


@pytest.mark.airflow
def test_a_source_that_nothing_is_made_from_has_a_task_that_nothing_waits_for(
    description: dict[str, Any], scheduled: dict[str, Any], echo: Path
) -> None:
    own = scheduled["dags"][DATA]["tasks"]
    assert {name: task["next"] for name, task in own.items()} == {
        "source_payments": ["data"],
        "source_tickets": [],
        "data": [],
    }
    source = description["dags"][DATA]["tasks"]["source_payments"]
    asked = ["--from", "2025-01-01", "--to", "2025-02-01"]
    assert words_of(source, echo, "all") == ["data", "--only", "payments", *asked]
    assert words_of(source, echo, "scheduled") == ["data", "--only", "payments"]


@pytest.mark.airflow
def test_work_is_retried_with_backoff_and_a_verdict_is_not(description: dict[str, Any]) -> None:
    verdicts = {
        f"{TRAINING}.deploy",
        f"{INFERENCE}.drift_check",
        f"{DRIFT}.decide",
        f"{DRIFT}.admit",
        f"{LOGS}.live_performance",
    }
    for name, task in tasks(description).items():
        assert task["owner"] == PACKAGE
        assert task["timeout"] > 0
        assert task["backoff"] > 1
        assert task["retries"] == (0 if name in verdicts else 2), name


@pytest.mark.airflow
def test_too_little_data_skips_a_check_and_fails_the_others(
    description: dict[str, Any],
) -> None:
    skips = {name: task["skips"] for name, task in steps(description).items()}
    assert skips.pop(f"{INFERENCE}.drift_check") == [3, 99]
    assert skips.pop(f"{DRIFT}.drift_check") == [3, 99]
    assert skips.pop(f"{DRIFT}.admit") == [1, 3, 99]  # the rules say no, which is no failure
    assert skips.pop(f"{LOGS}.live_performance") == [3, 99]
    assert set(map(tuple, skips.values())) == {(99,)}


@pytest.mark.airflow
def test_every_step_is_a_command_that_the_project_has(
    description: dict[str, Any], echo: Path
) -> None:
    from typer.main import get_command

    from goldpath.cli.app import app

    known = get_command(app).commands  # type: ignore[attr-defined]
    known_variables = {variable("training", name) for name in TrainingSettings.model_fields}
    known_variables.add("MLOPS_MODEL")
    for name, task in steps(description).items():
        words = words_of(task, echo, "all")
        command = known[words[0]]
        # A group, such as `training`; `data` is one, too, and a command of its own.
        command = getattr(command, "commands", {}).get([*words, ""][1], command)
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, name
        assert task["folder"] == str(PROJECT)
        overridden = {name for name in task["environment"] if name.startswith("MLOPS_")}
        assert overridden <= known_variables, name


@pytest.mark.airflow
def test_a_hostile_value_stays_one_word_of_the_command(
    description: dict[str, Any], echo: Path
) -> None:
    hostile = 'a b\'; touch "$HOME" `touch x` $(touch y) *'
    for task in steps(description).values():
        variables = set(re.findall(r'"\$([A-Z_]+)"', task["command"]))
        words, _ = run_command(task, echo, dict.fromkeys(variables, hostile))
        assert words.count(hostile) == len(variables)
    assert sorted(file.name for file in echo.parent.iterdir()) == ["python"]


@pytest.mark.airflow
def test_the_command_by_hand_is_the_tasks_with_the_values_of_its_run(
    descriptions: list[dict[str, Any]], echo: Path
) -> None:
    folder = echo.parent / "by_hand"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(echo)
    of_two_models = 0
    for name, task in steps(descriptions[2]).items():
        given = {key: value for key, value in task["asked"]["all"].items() if value}
        words, seen = run_command(task, echo, given)
        done = subprocess.run(
            ["bash", "-c", task["by_hand"]],
            cwd=folder,
            env={},
            capture_output=True,
            text=True,
            check=True,
        )
        own_words, own = json.loads(done.stdout)
        assert [*own_words, "--json"] == words, name
        same = {key for key in seen if key.startswith("MLOPS_")}
        assert {key: own[key] for key in same} == {key: seen[key] for key in same}, name
        of_two_models += own.get("MLOPS_MODEL") == "revenue"
    assert of_two_models > 5


@pytest.mark.airflow
def test_runs_are_named_after_airflows(description: dict[str, Any]) -> None:
    named = {
        name
        for name, task in tasks(description).items()
        if '--run-id "$AIRFLOW_CTX_DAG_RUN_ID"' in task["command"]
    }
    stages = ("extract", "features", "churn_by_contract", "train", "evaluate", "register")
    assert named == {f"{TRAINING}.{stage}" for stage in stages}


@pytest.mark.airflow
def test_what_the_form_asks_for_reaches_the_command(
    description: dict[str, Any], echo: Path
) -> None:
    found = steps(description)
    expected = {
        f"{DATA}.data": [
            *("data", "--only", PACKAGE, "--from", "2025-01-01", "--to", "2025-02-01"),
        ],
        f"{INFERENCE}.batch_predict": [
            *("batch-predict", "--from", "2025-01-01", "--to", "2025-02-01"),
            *("--data", "a file.csv"),
        ],
        f"{DRIFT}.drift_check": ["drift-check", "--source", "batch"],
        f"{DRIFT}.admit": ["retrain", "--admit", "--source", "batch"],
        f"{LOGS}.live_performance": ["logs", "performance", "--days", "7"],
    }
    for name, words in expected.items():
        assert words_of(found[name], echo, "all") == words
    for stage in ("extract", "churn_by_contract", "train", "register"):
        asked = found[f"{TRAINING}.{stage}"]["asked"]
        assert asked["all"]["MLOPS_TRAINING__TRIALS"] == "5"
        assert asked["all"]["MLOPS_TRAINING__TIMEOUT_SECONDS"] == "1.5"
        assert asked["nothing"]["MLOPS_TRAINING__TRIALS"] == ""
    assert words_of(found[f"{DATA}.data"], echo, "nothing") == ["data", "--only", PACKAGE]
    assert words_of(found[f"{LOGS}.live_performance"], echo, "nothing") == ["logs", "performance"]
    assert words_of(found[f"{TRAINING}.deploy"], echo, "nothing") == [
        *("training", "deploy", "--version", "3"),
    ]


@pytest.mark.airflow
def test_the_form_has_a_typed_field_for_each_parameter(description: dict[str, Any]) -> None:
    dags = description["dags"]
    fields = {dag_id: set(dag["params"]) for dag_id, dag in dags.items()}
    assert fields == {
        DATA: {"from", "to"},
        TRAINING: {"trials", "budget_seconds", "promote"},
        INFERENCE: {"from", "to", "data"},
        DRIFT: {"source", "retrain"},
        LOGS: {"days"},
    }
    assert dags[DATA]["params"]["from"]["format"] == "date"
    assert dags[TRAINING]["params"]["trials"]["minimum"] == 1
    assert dags[TRAINING]["params"]["trials"]["type"] == ["null", "integer"]
    assert "newest" in dags[DRIFT]["params"]["source"]["enum"]
    assert all(field["title"] for dag in dags.values() for field in dag["params"].values())
    assert dags[TRAINING]["defaults"] == {"trials": None, "budget_seconds": None, "promote": True}


@pytest.mark.airflow
def test_a_run_cannot_be_asked_for_what_its_dag_does_not_know(
    description: dict[str, Any],
) -> None:
    for name, task in steps(description).items():
        refusal = task["refused"]["unknown"]
        assert refusal.startswith("AirflowFailException: conf has dayz"), name
        for known in description["dags"][name.partition(".")[0]]["params"]:
            assert known in refusal


@pytest.mark.airflow
def test_without_promote_a_training_ends_with_a_registered_version(
    description: dict[str, Any],
) -> None:
    outcomes = {name: task["refused"]["off"] for name, task in steps(description).items()}
    assert outcomes.pop(f"{TRAINING}.deploy") == (
        "AirflowSkipException: the parameter promote is off"
    )
    assert all("exit code 98" in outcome for outcome in outcomes.values())


@pytest.mark.airflow
def test_a_backfill_makes_its_days_anew_and_a_scheduled_run_what_changed(
    description: dict[str, Any], echo: Path
) -> None:
    data = steps(description)[f"{DATA}.data"]
    # The interval ends on 2025-03-02 at five o'clock, so that day is in it.
    period = ["--from", "2025-03-01", "--to", "2025-03-03"]
    assert words_of(data, echo, "backfill") == ["data", "--only", PACKAGE, *period]
    assert words_of(data, echo, "scheduled") == ["data", "--only", PACKAGE]


@pytest.mark.airflow
def test_a_backfill_scores_its_interval_and_every_other_run_all_of_gold(
    description: dict[str, Any], echo: Path
) -> None:
    batch = steps(description)[f"{INFERENCE}.batch_predict"]
    period = ["--from", "2025-03-01", "--to", "2025-03-03"]
    assert words_of(batch, echo, "backfill") == ["batch-predict", *period]
    for run_type in ("nothing", "scheduled", "asset_triggered"):
        assert words_of(batch, echo, run_type) == ["batch-predict", "--run-id", "manual__1"]
    skipped = steps(description)[f"{INFERENCE}.drift_check"]["refused"]["backfill"]
    assert skipped.startswith("AirflowSkipException: a backfill is about the past")


@pytest.mark.airflow
def test_a_backfill_of_what_has_no_interval_is_refused(description: dict[str, Any]) -> None:
    refused = {
        name
        for name, task in steps(description).items()
        if "AirflowFailException" in task["refused"]["backfill"]
    }
    first = {"data", "drift_check", "admit", "compact_logs"}
    assert refused == {
        f"{TRAINING}.data",
        *(f"{DRIFT}.drift_check", f"{DRIFT}.admit", f"{LOGS}.compact_logs"),
    }
    assert {name.partition(".")[2] for name in refused} == first
    assert "whatever the interval" in steps(description)[f"{TRAINING}.data"]["refused"]["backfill"]


@pytest.mark.airflow
def test_config_says_when_and_how_a_dag_runs(scheduled: dict[str, Any]) -> None:
    dags = scheduled["dags"]
    assert {dag_id: dag["schedule"] for dag_id, dag in dags.items()} == {
        DATA: "0 * * * *",  # @hourly: development's own file comes before
        TRAINING: "30 4 * * 1",
        INFERENCE: None,
        DRIFT: None,
        "regions": None,
        "nightly": None,
    }
    for dag in dags.values():
        assert dag["catchup"] is True
        assert dag["starts"].startswith("2026-01-01")
        assert dag["max_active_runs"] == 1
    data = dags[DATA]["tasks"]["data"]
    assert (data["owner"], data["pool"]) == ("forecasts", "lake")
    assert (data["retries"], data["delay"], data["timeout"]) == (1, 7, 180)
    admitted = "{{ ti.xcom_pull(task_ids='admit')['id'] }}"
    assert dags[DRIFT]["tasks"]["retrain"]["run"] == f"drift__{admitted}"


@pytest.mark.airflow
def test_each_failure_is_told_and_so_is_a_run_that_takes_longer_than_config_says(
    description: dict[str, Any], scheduled: dict[str, Any]
) -> None:
    for name, task in tasks(description).items():
        assert task["on_failure"] == ["tell_failure"], name
    for dag_id, dag in description["dags"].items():
        assert (dag["on_success"], dag["deadline"]) == ("tell_success", []), dag_id
    deadlines = {dag_id: dag["deadline"] for dag_id, dag in scheduled["dags"].items()}
    assert deadlines.pop(DATA) == [[90, "DagRunQueuedAtDeadline", "incidents.tell_late"]]
    assert deadlines.pop(TRAINING)[0][0] == 90 * 60
    assert set(map(str, deadlines.values())) == {"[]"}


@pytest.mark.airflow
def test_the_batch_waits_for_gold_and_champion_where_config_says_so(
    scheduled: dict[str, Any],
) -> None:
    gold, champion = f"lake://gold/{PACKAGE}", f"mlflow://models/{PACKAGE}/champion"
    assert scheduled["dags"][INFERENCE]["waits_for"] == [gold, champion]
    assert scheduled["dags"][TRAINING]["waits_for"] == []
    renewed = {name: task["renews"] for name, task in steps(scheduled).items() if task["renews"]}
    assert renewed == {
        f"{DATA}.data": [gold],
        f"{TRAINING}.data": [gold],
        f"{TRAINING}.deploy": [champion],
        f"{INFERENCE}.batch_predict": [f"lake://predictions/{PACKAGE}"],
    }
    # A DAG that has no assets cannot wait for them.
    ((file, error),) = scheduled["errors"].items()
    assert file.endswith(f"{LOGS}.py")
    assert f"{LOGS} has no assets to wait for" in error


@pytest.mark.airflow
def test_two_runs_never_do_the_same_step_at_once_in_a_backfill_either(
    description: dict[str, Any],
) -> None:
    assert {task["at_once"] for task in tasks(description).values()} == {1}


@pytest.mark.airflow
def test_a_step_of_the_teams_own_is_a_task_without_a_change_of_the_dag(
    scheduled: dict[str, Any],
) -> None:
    training = scheduled["dags"][TRAINING]["tasks"]
    assert training["register"]["next"] == ["announce"]
    assert training["announce"]["next"] == ["deploy"]


@pytest.mark.airflow
def test_the_dags_name_the_sources_and_the_model(scheduled: dict[str, Any]) -> None:
    assert "Sources: customer_churn, payments, tickets." in scheduled["dags"][DATA]["doc"]
    assert "churn" in scheduled["dags"][TRAINING]["tags"]


@pytest.mark.airflow
def test_the_documents_recipes_are_dags(scheduled: dict[str, Any], echo: Path) -> None:
    regions, nightly = scheduled["dags"]["regions"], scheduled["dags"]["nightly"]
    assert words_of(regions["tasks"]["score"], echo, "nothing") == [
        *("batch-predict", "--run-id", "manual__1", "--data", "data/north.csv"),
    ]
    assert nightly["tasks"]["score"]["next"] == ["check"]


@pytest.mark.airflow
def test_drift_is_a_result_for_decide_and_an_error_is_a_failure(
    description: dict[str, Any], tmp_path: Path
) -> None:
    check = steps(description)[f"{DRIFT}.drift_check"]
    for code, expected in ((0, 0), (1, 0), (2, 2), (3, 3), (99, 99)):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\necho '{{}}'\nexit {code}\n")
        program.chmod(0o755)
        environment = {"PROJECT_PYTHON": str(program), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            ["bash", "-c", check["command"]], env=environment, capture_output=True, check=False
        )
        assert done.returncode == expected


@pytest.mark.airflow
def test_drift_without_retraining_is_nothing_to_do_and_no_failure(
    description: dict[str, Any],
) -> None:
    assert tasks(description)[f"{DRIFT}.decide"]["decided"] == [
        True,
        "AirflowSkipException: nothing to do: retrain is off; look at drift.html",
        False,
        "AirflowFailException: the check gave no verdict: {'error': 'no table'}",
    ]


@pytest.mark.airflow
def test_a_period_without_an_end_is_refused_at_once_by_name(description: dict[str, Any]) -> None:
    with_a_period = {
        name
        for name, task in steps(description).items()
        if {"from", "to"} <= set(description["dags"][name.partition(".")[0]]["params"])
    }
    assert {f"{DATA}.data", f"{INFERENCE}.batch_predict"} <= with_a_period
    for name in with_a_period:
        refused = steps(description)[name]["refused"]
        # Not tried again: AirflowFailException.
        assert refused["no end"].startswith(
            "AirflowFailException: from is 2025-01-01 and to is empty: a period has both."
        ), name
        assert "to is 2025-02-01 and from is empty" in refused["no beginning"]
        assert "to is the first day after the period" in refused["no day"]
        assert "AirflowFailException" not in refused["off"]


@pytest.mark.airflow
def test_a_further_model_has_dags_of_its_own_whose_commands_are_about_it(
    descriptions: list[dict[str, Any]], description: dict[str, Any], echo: Path
) -> None:
    two = descriptions[2]
    own = {name: f"{name}_revenue" for name in (TRAINING, INFERENCE, DRIFT, LOGS)}
    assert set(own.values()) <= set(two["dags"])
    assert not set(own.values()) & set(description["dags"])
    assert f"{DATA}_revenue" not in two["dags"]
    tasks_of = {name: two["dags"][name]["tasks"] for name in own.values()}
    for name, tasks in tasks_of.items():
        for task in (each for each in tasks.values() if each["command"]):
            _, seen = run_command(task, echo, {k: v for k, v in task["environment"].items() if v})
            assert seen["MLOPS_MODEL"] == "revenue", name
    for name in own:
        for task in two["dags"][name]["tasks"].values():
            assert task["executed_with"].get("MLOPS_MODEL", "") == "", name
            if task["command"]:  # empty, so that neither the outer environment nor .env decides
                _, seen = run_command(task, echo, task["executed_with"])
                assert seen["MLOPS_MODEL"] == "", name
    training = tasks_of[own[TRAINING]]
    assert list(training) == ["data", "extract", "features", "deploy"]
    assert training["data"]["renews"] == ["lake://gold/customer_churn_revenue"]
    assert training["deploy"]["renews"] == ["mlflow://models/customer_churn_revenue/champion"]
    data = two["dags"][DATA]["tasks"]["data"]
    assert "lake://gold/customer_churn_revenue" in data["renews"]


@pytest.mark.parametrize(
    "stronger",
    [
        {"ecs": {"cluster": "prod"}, "schedules": {}},
        {"schedules": {"data_pipeline": None}, "retries": 0},
        {"ecs": {"subnets": ["c"]}, "docker": {"image": "x"}},
        {},
    ],
)
def test_the_dags_lay_an_environment_over_the_rest_as_the_engine_does(
    stronger: dict[str, Any],
) -> None:
    weaker = {
        "retries": 2,
        "schedules": {"data_pipeline": "@daily"},
        "ecs": {"cluster": "ml", "subnets": ["a", "b"]},
    }
    tree = ast.parse((PROJECT / "airflow" / "dags" / "steps.py").read_text("utf-8"))
    (rule,) = [each for each in tree.body if getattr(each, "name", "") == "over"]
    known: dict[str, Any] = {"Any": Any}
    exec(compile(ast.Module([rule], []), "steps.py", "exec"), known)  # noqa: S102  our own file

    assert known["over"](stronger, weaker) == _over(stronger, weaker)


@pytest.mark.airflow
def test_a_batch_in_shards_is_planned_scored_by_a_task_each_and_completed(
    descriptions: list[dict[str, Any]], echo: Path
) -> None:
    whole, divided = descriptions[0]["dags"][INFERENCE], descriptions[3]["dags"][INFERENCE]
    assert whole["mapped"] == {}
    assert descriptions[3]["errors"] == {}
    assert set(divided["params"]) == {"from", "to"}  # a file is not divided
    found, shards = divided["tasks"], divided["mapped"]["batch_predict"]
    assert (found["batch_plan"]["next"], shards[0]["next"]) == (
        ["batch_predict"],
        ["batch_complete"],
    )
    assert found["batch_complete"]["next"] == ["drift_check"]
    assert found["batch_complete"]["renews"] == whole["tasks"]["batch_predict"]["renews"]
    named = ["--run-id", "manual__1"]
    period = ["--from", "2025-03-01", "--to", "2025-03-03"]
    plan = ["batch", "plan", *named, "--shards", "3"]
    for asked, words in (("scheduled", plan), ("backfill", [*plan, *period])):
        assert words_of(found["batch_plan"], echo, asked) == words
        assert words_of(found["batch_complete"], echo, asked) == ["batch", "complete", *named]
        assert [words_of(shard, echo, asked) for shard in shards] == [
            ["batch", "score", *named, "--shard", number] for number in ("1", "2", "3")
        ]
    for shard in shards:
        # Each is tried again by itself, and all may run at once.
        assert (shard["retries"], shard["at_once"], shard["renews"]) == (2, 3, [])
        assert shard["on_failure"] == found["batch_plan"]["on_failure"]
        assert shard["refused"]["unknown"].startswith("AirflowFailException: conf has dayz")
    assert shards[1]["by_hand"].endswith("batch score --run-id manual__1 --shard 2")
    assert found["batch_complete"]["at_once"] == 1
