"""PIPELINE_RUNNER: the same commands here, in Docker, on ECS and on Kubernetes.

The three others need providers that Airflow's lock does not have: they are tried where
MLOPS_AIRFLOW_PROVIDERS_VENV names an environment with them (amazon, docker, cncf-kubernetes).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goldpath.settings import load_settings

from ..locations import PROJECT

PROVIDERS = os.environ.get("MLOPS_AIRFLOW_PROVIDERS_VENV", "")
XCOM, RESULT = "/airflow/xcom/return.json", "/tmp/result"  # noqa: S108  of a pod's own
RUNNERS = ("local", "docker", "ecs", "kubernetes") if PROVIDERS else ("local",)
KUBECONFIG = """
{apiVersion: v1, kind: Config, current-context: a, users: [],
 contexts: [{name: a, context: {cluster: a, user: ""}}],
 clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]}
"""
HOSTILE = 'a b\'; touch "$HOME" `touch x` $(touch y) *'

# Runs in Airflow's environment: what each runner would start, by task.
RENDER = """
import importlib, json, os, sys
from types import SimpleNamespace
from airflow.sdk import DAG

dags, hostile, *runners = sys.argv[1:]
sys.path.insert(0, dags)
RESULT = '{"tasks": [{"taskArn": "arn:aws:ecs:eu-west-1:1:task/ml/1"}], "failures": []}'

def ecs_call(task):
    import botocore.session
    from botocore.awsrequest import AWSResponse
    client = botocore.session.get_session().create_client(
        "ecs", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    sent = []

    def answer(request, **_):
        sent.append(json.loads(request.body))
        response = AWSResponse(request.url, 200, {}, None)
        response._content = RESULT.encode()
        return response

    client.meta.events.register("before-send.ecs.RunTask", answer)
    task.client = client
    task._start_task()  # botocore refuses what is not in its model of the service
    container = sent[0]["overrides"]["containerOverrides"][0]
    variables = {each["name"]: each["value"] for each in container["environment"]}
    return container["command"], variables, sent[0]

def pod_of(task):
    from kubernetes.client import ApiClient
    pod = ApiClient().sanitize_for_serialization(task.build_pod_request_obj())
    again = ApiClient()._ApiClient__deserialize(pod, "V1Pod")  # its models refuse what is not valid
    assert ApiClient().sanitize_for_serialization(again) == pod
    main = pod["spec"]["containers"][0]
    variables = {each["name"]: each.get("value", "") for each in main["env"]}
    return [*main["command"], *main["args"]], variables, pod

def started(task):
    if hasattr(task, "bash_command"):
        return ["bash", "-c", task.bash_command], task.env, {}
    if hasattr(task, "overrides"):
        return ecs_call(task)
    if hasattr(task, "arguments"):
        return pod_of(task)
    return [*task.entrypoint, *task.command], task.environment, {"image": task.image}

answers = {}
for runner in runners:
    os.environ["PIPELINE_RUNNER"] = runner
    for name in ("steps", "runners"):
        sys.modules.pop(name, None)
    steps = importlib.import_module("steps")
    with DAG("trial"):
        made = {
            "plain": steps.step("plain", ["training", "extract", "--run-id", steps.RUN_ID]),
            "asked": steps.step(
                "asked", ["batch-predict"],
                asked={"--data": hostile, "--from": ""}, variables={"MLOPS_TRAINING__TRIALS": "7"},
            ),
            "accepted": steps.step("accepted", ["drift-check"], accepted=1, retries=0),
        }
        shards = steps.step("shards", ["batch", "score", "--run-id", steps.RUN_ID], shards=2)
        for variables in shards.expand_input.value["variables"]:
            made[f"shard {variables['SHARD']}"] = shards.unmap({"variables": variables})
    answers[runner] = {}
    for name, task in made.items():
        seen = {}
        def stop(context, *event):
            command, variables, request = started(task)
            seen.update(command=command, variables=variables, request=request)
            return '{"version": 3}'
        run = SimpleNamespace(run_id="manual__1", conf={}, run_type="manual")
        result = task.work({"dag_run": run}, stop)
        deferrable = getattr(task, "deferrable", None)
        def say_no(context, *event):
            raise RuntimeError("Bash command failed. The command returned a non-zero exit code 1.")
        task.told_by, task.verdict_alert = "", "DriftDetected"
        try:
            task.work({"dag_run": run}, say_no)
        except RuntimeError:
            told = task.told_by
        answers[runner][name] = seen | {
            "result": result, "deferrable": deferrable, "told": told,
            "skips": sorted(task.skip_on_exit_code),
            "providers": sorted({"docker", "kubernetes"} & set(sys.modules)),
        }

# Where a runner's containers end with their reports; whatever provider it is made of.
runners = sys.modules["runners"]
runners.ecs = lambda own: runners.local("/app")
os.environ["PIPELINE_RUNNER"] = "ecs"
here = {key: "ml" for key in runners.NEEDED["ecs"]}
answers["reports"], answers["told"] = {}, {}
for shared in (False, True):
    chosen = runners.chosen_runner({"ecs": {**here, "shared_folders": shared}}, "/app")
    with DAG("trial") as dag:
        task = runners.step_class(chosen)(
            task_id="check", words=[], optional={}, variables={}, leaves_report=True,
            bash_command="exit 0",
        )
    try:
        answers["reports"][str(shared)] = task.admit({"dag_run": run, "dag": dag, "params": {}})
    except Exception as error:
        answers["reports"][str(shared)] = f"{type(error).__name__}: {error}"
    task.hand_over, task.verdict_alert = lambda *_: None, "DriftDetected"
    try:
        task.work({"dag_run": run}, say_no)
    except RuntimeError:
        answers["told"][str(shared)] = task.told_by

# A team's own DAG, whose `to` is whom a message is sent to, and a DAG that makes days anew.
answers["half"] = {}
days = {name: steps.parameter(name) for name in ("from", "to")}
for name, params, given in (
    ("address", {"to": "team@example.com"}, {"to": "team@example.com"}),
    ("currencies", {"from": "EUR", "to": "CHF"}, {"from": "EUR", "to": "CHF"}),
    ("days", days, {"from": None, "to": "2025-02-01"}),
):
    with DAG("own", params=params) as dag:
        task = steps.step("own", ["batch-predict"])
    try:
        answers["half"][name] = task.admit({"dag_run": run, "dag": dag, "params": given})
    except Exception as error:
        answers["half"][name] = f"{type(error).__name__}: {error}"
print("ANSWERS" + json.dumps(answers))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DAG files, and config/airflow.yaml with its examples of the runners."""
    folder = tmp_path_factory.mktemp("runners")
    for name in ("airflow", "config"):
        shutil.copytree(PROJECT / name, folder / name)
    file = folder / "config" / "airflow.yaml"
    examples = re.compile(r"^# (docker|ecs|kubernetes): ", re.M)
    assert len(examples.findall(file.read_text())) == 3
    file.write_text(examples.sub(r"\1: ", file.read_text()))
    return folder


@pytest.fixture(scope="module")
def started(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each runner would start, by runner and task."""
    python = Path(PROVIDERS or os.environ.get("MLOPS_AIRFLOW_VENV", PROJECT / ".venv-airflow"))
    if not (python / "bin" / "python").exists():
        pytest.skip(f"there is no {python}: make airflow-setup")
    home = tmp_path_factory.mktemp("home")
    # A pod is built for a cluster, which nobody asks.
    (home / "config").write_text(KUBECONFIG)
    done = subprocess.run(
        [python / "bin" / "python", "-c", RENDER, project / "airflow" / "dags", HOSTILE, *RUNNERS],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "AIRFLOW_HOME": str(home),
            "KUBECONFIG": str(home / "config"),
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout.rpartition("ANSWERS")[2])
    return answers


def run(task: dict[str, Any], folder: Path, code: int = 0) -> tuple[int, Any]:
    """Run what a runner starts, where a program that says what it was called with is Python."""
    python = folder / "python"
    python.write_text(
        f"#!{sys.executable}\nimport json, os, sys\nprint('a line before')\n"
        "own = {k: v for k, v in os.environ.items() if k.startswith(('MLOPS', 'AIRFLOW_CTX'))}\n"
        f"print(json.dumps([sys.argv[1:], own]))\nsys.exit({code})\n"
    )
    python.chmod(0o755)
    # What a pod's two containers share.
    places = {XCOM: folder / "return.json", RESULT: folder / "result"}
    *shell, line = task["command"]
    for place, own in places.items():
        line = line.replace(place, str(own))
    done = subprocess.run(
        [*shell, line],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PROJECT_PYTHON": str(python), **task["variables"]},
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    if places[XCOM].exists():
        assert json.loads(places[XCOM].read_text()) == said
    return done.returncode, said


@pytest.mark.airflow
@pytest.mark.parametrize("runner", RUNNERS)
def test_every_runner_starts_the_same_command(
    runner: str, started: dict[str, Any], tmp_path: Path
) -> None:
    run_id = {"AIRFLOW_CTX_DAG_RUN_ID": "manual__1", "MLOPS_MODEL": ""}
    door = ["-m", "customer_churn"]
    expected = {
        "plain": ([*door, "training", "extract", "--run-id", "manual__1", "--json"], run_id),
        "asked": (
            [*door, "batch-predict", "--data", HOSTILE, "--json"],
            {**run_id, "MLOPS_TRAINING__TRIALS": "7"},
        ),
        "accepted": ([*door, "drift-check", "--json"], run_id),
        **{
            f"shard {number}": (
                [*door, "batch", "score", "--run-id", "manual__1", "--shard", number, "--json"],
                run_id,
            )
            for number in ("1", "2")
        },
    }
    for name, (words, variables) in expected.items():
        task = started[runner][name]
        assert run(task, tmp_path) == (0, [words, variables]), name
        assert (task["result"], task["skips"]) == ({"version": 3}, [99])
    for code, of_plain, of_accepted in ((1, 1, 0), (2, 2, 2), (99, 99, 99)):
        assert run(started[runner]["plain"], tmp_path, code)[0] == of_plain
        assert run(started[runner]["accepted"], tmp_path, code)[0] == of_accepted
    assert {file.name for file in tmp_path.iterdir()} <= {"python", "return.json", "result"}


@pytest.mark.airflow
@pytest.mark.parametrize("runner", RUNNERS)
def test_a_runner_gets_its_place_and_resources_from_config(
    runner: str, started: dict[str, Any]
) -> None:
    task = started[runner]["plain"]
    request = task["request"]
    if runner == "local":
        assert task["providers"] == []  # imported where they are chosen, and nowhere else
    elif runner == "docker":
        assert request == {"image": "customer-churn"}
    elif runner == "ecs":
        assert task["deferrable"] is True
        assert (request["cluster"], request["launchType"]) == ("ml", "FARGATE")
        assert request["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == ["subnet-1"]
    else:
        assert task["deferrable"] is True
        main, _ = request["spec"]["containers"]
        assert request["metadata"]["namespace"] == "ml"
        assert request["spec"]["serviceAccountName"] == "pipeline"
        assert main["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
        assert main["envFrom"] == [{"secretRef": {"name": "mlflow"}}]
        assert {"name": "ml-reports", "mountPath": "/app/reports"} in main["volumeMounts"]
        claim = {"claimName": "ml-reports"}
        assert {"name": "ml-reports", "persistentVolumeClaim": claim} in request["spec"]["volumes"]


def test_the_examples_of_config_are_settings(project: Path) -> None:
    airflow = load_settings(project).airflow
    assert airflow.runner == "local"
    assert airflow.docker is not None
    folders = ("lake", "reports", "audit")
    assert airflow.docker.mounts == [f"/srv/{each}:/app/{each}" for each in folders]
    assert airflow.ecs is not None
    assert airflow.ecs.subnets == ["subnet-1"]
    assert airflow.kubernetes is not None
    assert airflow.kubernetes.memory == "4Gi"
    assert airflow.kubernetes.volumes == ["ml-reports:/app/reports", "ml-audit:/app/audit"]
    assert not airflow.kubernetes.shared_folders


@pytest.mark.airflow
def test_a_check_whose_report_the_next_task_cannot_see_is_refused_at_once(
    started: dict[str, Any],
) -> None:
    refused = started["reports"]["False"]
    assert refused.startswith("AirflowFailException: the runner ecs leaves reports/ and audit/ in")
    assert "no earlier retraining, by which cooldown and budget are counted" in refused
    assert "shared_folders: true below ecs in config/airflow.yaml" in refused
    assert started["reports"]["True"] is None


@pytest.mark.airflow
def test_a_verdict_is_left_to_its_alert_where_its_report_can_be_seen(
    started: dict[str, Any],
) -> None:
    for runner in RUNNERS:
        told = "DriftDetected" if runner == "local" else ""  # no example shares its folders
        assert started[runner]["accepted"]["told"] == told, runner
    assert started["told"] == {"True": "DriftDetected", "False": ""}


@pytest.mark.airflow
def test_parameters_from_and_to_are_a_period_only_where_they_are_days(
    started: dict[str, Any],
) -> None:
    assert started["half"]["address"] is None
    assert started["half"]["currencies"] is None
    assert "to is 2025-02-01 and from is empty" in started["half"]["days"]
