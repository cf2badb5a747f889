"""The values for Airflow's official Helm chart name what the chart, the image and compose have.

The chart itself is not in this repository: `KEYS` are those of the values that were checked against
chart 1.22.0 on 2026-11-30. Who adds one checks it again: AIRFLOW_CHART=FOLDER, an unpacked chart,
makes these tests read its schema and its own values.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from goldpath.services.otlp.airflow_metrics import KEPT, metrics_variables

from ..locations import PROJECT

INFRA = PROJECT / "infra"
FOLDER = INFRA / "kubernetes"
DOCKERFILE = (INFRA / "docker" / "airflow.Dockerfile").read_text("utf-8")
ENTRYPOINT = INFRA / "docker" / "airflow-entrypoint.sh"
CHART_VERSION = "1.22.0"
# A section whose keys are Airflow's own options, and lists and names that the chart leaves open.
KEYS = {
    "airflowHome",
    "airflowVersion",
    *("apiSecretKeySecretName", "fernetKeySecretName", "jwtSecretName"),
    *("apiServer.env", "apiServer.resources"),
    "config",
    "createUserJob.enabled",
    *("dagProcessor.logGroomerSidecar.enabled", "dagProcessor.resources"),
    *("data.brokerUrlSecretName", "data.metadataSecretName", "data.resultBackendSecretName"),
    *("defaultAirflowRepository", "defaultAirflowTag"),
    *("env", "extraEnvFrom"),
    "executor",
    *("logs.persistence.enabled", "logs.persistence.size"),
    "postgresql.enabled",
    "redis.enabled",
    *("scheduler.logGroomerSidecar.enabled", "scheduler.resources"),
    *("statsd.enabled", "statsd.overrideMappings", "statsd.resources"),
    *("triggerer.logGroomerSidecar.enabled", "triggerer.persistence.enabled"),
    "triggerer.resources",
    *("uid", "gid"),
    *(f"workers.celery.{name}" for name in ("extraVolumeMounts", "extraVolumes", "replicas")),
    *("workers.celery.logGroomerSidecar.enabled", "workers.celery.persistence.enabled"),
    "workers.celery.resources",
    *(f"workers.kubernetes.{name}" for name in ("extraVolumeMounts", "extraVolumes", "resources")),
}
OPEN = {"config", *(key for key in KEYS if key.endswith("resources"))}
# Of compose, and made by the chart: the database's parts, and addresses between the processes.
NOT_OF_THE_CHART = {
    *("AIRFLOW_DATABASE_HOST", "AIRFLOW_DATABASE_PASSWORD"),
    *("AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__PARALLELISM"),
    *("AIRFLOW__API__BASE_URL", "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"),
    *metrics_variables(0),  # the chart has an exporter of its own, for StatsD
}
VARIABLE = re.compile(r"\b(?:MLOPS|MLFLOW|AWS|AIRFLOW_ADMIN|ALERTMANAGER|DO_NOT)_[A-Z_]*[A-Z]\b")
POOL_STATES = ("queued", "scheduled", "running", "deferred")
METRIC = re.compile(r"\bairflow_\w+")


def merged(weaker: Any, stronger: Any) -> Any:
    """As Helm merges files of values: mappings by key, and anything else is replaced."""
    if not (isinstance(weaker, dict) and isinstance(stronger, dict)):
        return stronger
    shared = {key: merged(weaker[key], stronger[key]) for key in weaker.keys() & stronger.keys()}
    return {**weaker, **stronger, **shared}


def read(*names: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in names:
        values = merged(values, yaml.safe_load((FOLDER / name).read_text("utf-8")))
    return values


BASE, CELERY = "airflow-values.yaml", "airflow-values-celery.yaml"
EXECUTORS = {"KubernetesExecutor": read(BASE), "CeleryExecutor": read(BASE, CELERY)}


def leaves(values: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and name not in OPEN:
            yield from leaves(value, f"{name}.")
        else:
            yield name


def run_entrypoint(tmp_path: Path, *words: str, **given: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "passwords.json"
    environment = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(file), **given}
    return subprocess.run(
        ["sh", str(ENTRYPOINT), *words],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_values_use_keys_of_the_chart(executor: str) -> None:
    values = EXECUTORS[executor]
    assert values["executor"] == executor
    assert set(leaves(values)) <= KEYS
    if chart := os.environ.get("AIRFLOW_CHART"):
        schema = json.loads((Path(chart) / "values.schema.json").read_text("utf-8"))
        own = yaml.safe_load((Path(chart) / "values.yaml").read_text("utf-8"))
        jsonschema.Draft7Validator(schema).validate(merged(own, values))
        assert set(leaves(values)) <= {*leaves(own), *(key for key in KEYS if known(own, key))}


def known(values: Any, key: str) -> bool:
    """Whether the chart's own values have a key, at any depth."""
    for name in key.split("."):
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True


def test_every_known_key_is_used_and_the_documents_name_the_same_chart() -> None:
    assert set(leaves(EXECUTORS["CeleryExecutor"])) == KEYS
    documents = [PROJECT / "docs" / "airflow.md", INFRA / "README.md", FOLDER / BASE]
    for file in documents:
        assert set(re.findall(r"chart `?(\d+\.\d+\.\d+)", file.read_text("utf-8"))) == {
            CHART_VERSION
        }, file


def test_the_image_is_ours_and_leaves_the_executor_to_the_chart() -> None:
    values = EXECUTORS["KubernetesExecutor"]
    (pinned,) = re.findall(
        r"^apache-airflow==(\S+)", (PROJECT / "requirements" / "airflow.in").read_text(), re.M
    )
    assert values["airflowVersion"] == pinned
    assert f"useradd --uid {values['uid']} " in DOCKERFILE
    assert f"AIRFLOW_HOME={values['airflowHome']} " in DOCKERFILE
    # A variable of the image would win over what the chart writes to airflow.cfg.
    assert not re.search(r"AIRFLOW__CORE__(EXECUTOR|PARALLELISM)", DOCKERFILE)
    services = yaml.safe_load((INFRA / "docker" / "compose.yaml").read_text("utf-8"))["services"]
    scheduler = services["airflow-scheduler"]["environment"]
    assert scheduler["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert scheduler["AIRFLOW__CORE__PARALLELISM"] == "4"
    # The chart's health checks start with it.
    assert f"ln -s /usr/local/bin/{ENTRYPOINT.name} /entrypoint" in DOCKERFILE


def test_tasks_are_told_what_they_are_told_in_compose() -> None:
    services = yaml.safe_load((INFRA / "docker" / "compose.yaml").read_text("utf-8"))["services"]
    in_compose = set(services["airflow-scheduler"]["environment"])

    named = set(VARIABLE.findall((FOLDER / BASE).read_text("utf-8")))

    assert named == in_compose - NOT_OF_THE_CHART
    # Compose gives tasks the folders of the local lake, too; here it is on S3.
    mounted = {volume.split(":")[1] for volume in services["airflow-scheduler"]["volumes"]}
    for values in EXECUTORS.values():
        for workers in values["workers"].values():
            folders = {mount["mountPath"] for mount in workers["extraVolumeMounts"]}
            assert {"/app/reports", "/app/audit"} < folders < mounted


def test_secrets_are_named_and_never_written() -> None:
    values = EXECUTORS["CeleryExecutor"]
    assert not {"fernetKey", "apiSecretKey", "jwtSecret", "registry"} & set(values)
    assert set(values["data"]) == {
        *("metadataSecretName", "brokerUrlSecretName", "resultBackendSecretName")
    }
    plain = {each["name"] for each in values["env"]}
    hidden = re.compile(r"PASSWORD|SECRET|KEY\b|TOKEN|STORE$|URL$")
    assert {name for name in plain if hidden.search(name)} == {"ALERTMANAGER_URL"}
    (password,) = values["apiServer"]["env"]
    assert set(password["valueFrom"]) == {"secretKeyRef"}
    (settings,) = yaml.safe_load(values["extraEnvFrom"])
    assert settings["secretRef"]["name"].endswith("-settings")


def test_the_entry_point_takes_the_address_that_the_chart_gives(tmp_path: Path) -> None:
    address = "postgresql://airflow:p%40ss@host:5432/airflow"
    given = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address}

    done = run_entrypoint(tmp_path, "printenv", *given, **given)

    assert (done.returncode, done.stdout.strip()) == (0, address), done.stderr
    assert not (tmp_path / "passwords.json").exists()
    # As the chart starts it; without a password Airflow would print one of its own.
    refused = run_entrypoint(tmp_path, "bash", "-c", "exec airflow api-server", **given)
    assert refused.returncode == 2
    assert "AIRFLOW_ADMIN_PASSWORD: set it in .env" in refused.stderr
    refused = run_entrypoint(tmp_path, "true")
    assert "AIRFLOW_DATABASE_PASSWORD: set it in .env" in refused.stderr


def test_statsd_shows_the_metrics_of_the_rules_under_their_names() -> None:
    values = EXECUTORS["KubernetesExecutor"]
    allowed = values["config"]["metrics"]["metrics_allow_list"].split(",")
    assert allowed == [pattern.removesuffix("$") for pattern in KEPT]
    labelled = [
        "scheduler_heartbeat",
        *("dagrun.duration.failed,dag_id=data_pipeline,run_type=manual",),
        *("ti_failures,dag_id=data_pipeline,task_id=gold",),
        *(f"pool.{state}_slots,pool_name=default_pool" for state in POOL_STATES),
    ]
    for sent in labelled:  # Airflow looks at the name with its labels
        assert any(re.match(pattern, sent) for pattern in allowed), sent

    shown = {prometheus_name(values, sent.partition(",")[0]) for sent in labelled}

    file = yaml.safe_load((INFRA / "prometheus" / "rules" / "airflow.yml").read_text("utf-8"))
    asked = [rule["expr"] for group in file["groups"] for rule in group["rules"]]
    names = METRIC.findall(" ".join(asked))
    assert {name.removesuffix("_count") for name in names} == shown


def prometheus_name(values: dict[str, Any], sent: str) -> str:
    """What the exporter calls a metric: by the first mapping that matches, else by its name."""
    full = f"airflow.{sent}"
    for mapping in values["statsd"]["overrideMappings"]:
        assert mapping["match_type"] == "regex"
        if found := re.match(mapping["match"], full):
            return str(mapping["name"]).replace("${1}", found[1])
    return full.replace(".", "_")
