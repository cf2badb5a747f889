"""What is committed in infra/, .github/ and .env.example fits the code."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from goldpath.cli.alerts import receive
from goldpath.services.alerting.receiver import AlertReceiver
from goldpath.services.otlp import receiver as metrics_receiver
from goldpath.services.otlp.airflow_metrics import KEPT, metrics_variables
from goldpath.serving.metrics.service import METRIC_NAMES
from goldpath.settings import ENVIRONMENT_PREFIX, Settings

from ..dashboard_panels import DASHBOARDS, panels_of, queries_of, variables_of
from ..locations import PROJECT
from ..ports import free_port

INFRA = PROJECT / "infra"
COMPOSE = INFRA / "docker" / "compose.yaml"
RULES = sorted((INFRA / "prometheus" / "rules").glob("*.yml"))
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
METRIC = re.compile(r"\b(ml_[a-z_]+?)(?:_bucket|_count|_sum)?\b(?=[\s{\[)]|$)")
OF_AIRFLOW = re.compile(r"\bairflow_([a-z_]+?)(?:_total|_milliseconds_(?:count|sum))?\b")
PROMETHEUS_OWN = {"up", "ALERTS"}
BOARDS = ("airflow", "business", "data", "drift", "model", "service")


def read_yaml(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def alerts() -> list[dict[str, Any]]:
    return [
        rule for file in RULES for group in read_yaml(file)["groups"] for rule in group["rules"]
    ]


def validate(schema: str, file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def checked_out(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


# --- metrics, dashboards, alerts ---


def test_dashboards_and_alerts_name_only_metrics_that_the_service_exports() -> None:
    queries = [query for file in DASHBOARDS for query in queries_of(file)]
    queries += [rule["expr"] for rule in alerts()]

    named = {name for query in queries for name in METRIC.findall(query)}

    assert named
    assert named <= set(METRIC_NAMES)


def test_dashboards_and_alerts_name_only_metrics_that_airflow_is_told_to_push() -> None:
    """That Airflow pushes them under these names, test_airflow.py asks Airflow itself."""
    queries = [query for file in DASHBOARDS for query in queries_of(file)]
    queries += [rule["expr"] for rule in alerts()]
    kept = re.compile("|".join(each.replace(r"\.", "_") for each in KEPT))

    named = {name for query in queries for name in OF_AIRFLOW.findall(query)}

    assert "scheduler_heartbeat" in named
    assert {name for name in named if kept.search(name) is None} == set()


def test_dashboards_ask_for_nothing_else() -> None:
    """What stands before `{` or `[` and is no metric of ours is one of Prometheus' own."""
    known = re.compile(r"(ml|airflow)_\w+")
    queries = [query for file in DASHBOARDS for query in queries_of(file)]

    chosen = {name for query in queries for name in re.findall(r"\b(\w+)[{\[]", query)}

    assert {name for name in chosen if known.fullmatch(name) is None} == PROMETHEUS_OWN


def test_every_metric_that_the_service_exports_is_on_a_dashboard() -> None:
    shown = {
        name for file in DASHBOARDS for query in queries_of(file) for name in METRIC.findall(query)
    }

    assert set(METRIC_NAMES) <= shown


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_dashboards_name_the_provisioned_datasource(file: Path) -> None:
    provisioned = {
        source["uid"]
        for config in (INFRA / "grafana" / "provisioning" / "datasources").glob("*.yml")
        for source in read_yaml(config)["datasources"]
    }
    panels = panels_of(file)

    used = {panel["datasource"]["uid"] for panel in panels}
    used |= {target["datasource"]["uid"] for panel in panels for target in panel["targets"]}
    used |= {each["datasource"]["uid"] for each in variables_of(file) if each["type"] == "query"}

    assert used == provisioned == {"prometheus"}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_can_be_provisioned(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    panels = dashboard["panels"]
    cells = [
        (x, y)
        for position in (panel["gridPos"] for panel in panels)
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]

    assert dashboard.get("id") is None  # a number would be another installation's
    assert dashboard["uid"] == f"ml-{file.stem}"
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(panels_of(file)) >= 3
    assert all(panel["title"] for panel in panels)
    for panel in panels_of(file):
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24


def test_there_is_a_dashboard_for_each_question() -> None:
    assert tuple(file.stem for file in DASHBOARDS) == BOARDS


def test_every_panel_is_linked_to_its_part_of_the_runbooks_and_every_alert_is_on_a_panel() -> None:
    text = (PROJECT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    sections = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    linked: set[str] = set()
    for file in DASHBOARDS:
        for panel in panels_of(file):
            (link,) = panel["links"]
            address, _, section = link["url"].partition("#")
            assert address == "${runbooks}/docs/monitoring.md", panel["title"]
            assert section in sections, f"{file.stem}: {panel['title']}"
            linked.add(section)

    assert {rule["alert"].lower() for rule in alerts()} <= linked


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_what_can_be_chosen_is_asked_for_and_the_other_way_round(file: Path) -> None:
    offered = {each["name"] for each in variables_of(file)} - {"runbooks"}
    grafana_own = {"__rate_interval"}

    queries = " ".join(queries_of(file))
    asked = set(re.findall(r"\$\{?(\w+)", queries)) - grafana_own

    assert asked == offered


def test_dashboards_are_mounted_where_grafana_looks_for_them() -> None:
    file = INFRA / "grafana" / "provisioning" / "dashboards" / "files.yml"
    (provider,) = read_yaml(file)["providers"]
    volumes = read_yaml(COMPOSE)["services"]["grafana"]["volumes"]

    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in volumes


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for rule in alerts():
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{rule['alert'].lower()}"


def test_every_alert_has_its_runbook() -> None:
    text = (PROJECT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    headings = {
        line.lstrip("#").strip().lower() for line in text.splitlines() if line.startswith("#")
    }

    assert {rule["alert"].lower() for rule in alerts()} <= headings


def test_every_alert_is_tested_to_fire_and_to_stay_silent() -> None:
    cases = [
        case
        for file in sorted((INFRA / "prometheus" / "tests").glob("*.yml"))
        for group in read_yaml(file)["tests"]
        for case in group["alert_rule_test"]
    ]
    names = {rule["alert"] for rule in alerts()}

    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


# --- containers ---


def compose_config(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip(
            "docker-compose is not installed: compose.yaml is checked against its schema only"
        )
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MLOPS_", "GRAFANA_"))
    }
    command = [program, "--file", str(COMPOSE), "config"]
    return subprocess.run(
        command, env={**clean, **environment}, capture_output=True, text=True, check=False
    )


CHOSEN = dict.fromkeys(
    ("AIRFLOW_ADMIN_PASSWORD", "AIRFLOW_DATABASE_PASSWORD", "GRAFANA_ADMIN_PASSWORD"), "chosen"
)
AIRFLOW = {f"airflow-{name}" for name in ("api-server", "scheduler", "dag-processor", "triggerer")}
# Published ports and passwords, which compose reads itself, and what has no meaning in a container.
NOT_PASSED_ON = {
    *CHOSEN,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AWS_PROFILE",
    "MLOPS_SERVING__PORT",
    "MLOPS_SERVING__TLS_CERTIFICATE",
    "MLOPS_SERVING__TLS_KEY",
    "MLOPS_SERVERS__MLFLOW_PORT",
    "MLOPS_SERVERS__AIRFLOW_PORT",
    "MLOPS_SERVERS__AIRFLOW_METRICS_PORT",
    "MLOPS_MONITORING__PROMETHEUS_PORT",
    "MLOPS_MONITORING__GRAFANA_PORT",
    "MLOPS_MONITORING__PAGE_PORT",
}
OF_THE_SERVICE = {
    "MLOPS_MODEL",
    "MLOPS_SERVING__WORKERS",
    "MLOPS_SERVING__TRACING_ENDPOINT",
}
OF_ALERTMANAGER = (
    "MLOPS_MONITORING__ALERT",
    "MLOPS_MONITORING__RECEIVER",
)
"""Nothing but what tells people needs its ports and secrets."""
OF_THE_TASKS = {"ALERTMANAGER_URL", "MLOPS_REGISTRY__SIGNING_KEY"}


def test_the_compose_file_fits_its_schema() -> None:
    done = validate("vendor.compose-spec", COMPOSE)

    assert done.returncode == 0, done.stdout


def test_docker_compose_accepts_the_compose_file() -> None:
    done = compose_config(CHOSEN)

    assert done.returncode == 0, done.stderr
    services = set(yaml.safe_load(done.stdout)["services"])
    airflow = {*AIRFLOW, "airflow-database", "airflow-metrics", "airflow-migrate"}
    alerting = {"alert-network", "alert-receiver", "alertmanager"}
    assert services == {*airflow, *alerting, "api", "grafana", "mlflow", "prometheus"}


def test_every_setting_of_the_example_reaches_the_containers_that_need_it() -> None:
    services = read_yaml(COMPOSE)["services"]
    wanted = {name for name in VARIABLES if not name.startswith(OF_ALERTMANAGER)} - NOT_PASSED_ON

    assert wanted - OF_THE_TASKS <= set(services["api"]["environment"])
    for name in AIRFLOW:
        assert wanted - OF_THE_SERVICE <= set(services[name]["environment"]), name


def test_who_is_told_of_alerts_and_its_secrets_reach_one_container_only() -> None:
    services = read_yaml(COMPOSE)["services"]
    secrets = {name for name in VARIABLES if name.startswith("MLOPS_MONITORING__ALERTS__")}

    held = {name: secrets & set(each.get("environment", ())) for name, each in services.items()}

    assert {name: found for name, found in held.items() if found} == {"alert-receiver": secrets}


def test_alertmanager_reads_what_the_receiver_wrote_and_speaks_to_it_on_127_0_0_1() -> None:
    """The receiver answers on 127.0.0.1 only, and the configuration is its user's alone."""
    services = read_yaml(COMPOSE)["services"]
    receiver, alertmanager = services["alert-receiver"], services["alertmanager"]
    uid = re.search(r"useradd --uid (\d+)", dockerfile(receiver).read_text())

    assert uid is not None
    assert alertmanager["user"] == uid[1]
    # A network that were one of theirs would be lost to the other when its owner starts again.
    network = services["alert-network"]
    assert alertmanager["network_mode"] == receiver["network_mode"] == "service:alert-network"
    assert network["entrypoint"] == ["tail", "-f", "/dev/null"]
    assert network["image"] == alertmanager["image"]
    assert receiver["healthcheck"]["test"][-1].split("'")[1] in alertmanager["healthcheck"]["test"]
    assert alertmanager["volumes"] == receiver["volumes"] == ["alerting:/app/run/prometheus"]
    assert "--config.file=/app/run/prometheus/alertmanager.yml" in alertmanager["command"]
    assert alertmanager["depends_on"] == {"alert-receiver": {"condition": "service_healthy"}}
    assert services["prometheus"]["depends_on"] == {
        "alertmanager": {"condition": "service_healthy"}
    }
    (target,) = json.loads((INFRA / "prometheus" / "alertmanagers.compose.json").read_text())
    assert target["targets"] == ["alert-network:9093"]
    assert (
        "http://alert-network:9093"
        in services["airflow-scheduler"]["environment"]["ALERTMANAGER_URL"]
    )
    (published,) = network["ports"]
    assert published.endswith(":9093")


def test_airflows_containers_push_what_airflow_up_pushes() -> None:
    """To a receiver of their own, which Prometheus asks; else a dashboard would stay empty."""
    services = read_yaml(COMPOSE)["services"]
    receiver = services["airflow-metrics"]
    *_, module, port, address = receiver["command"]

    assert (module, address) == (metrics_receiver.__name__, "0.0.0.0")  # noqa: S104
    assert "ports" not in receiver
    (target,) = json.loads((INFRA / "prometheus" / "airflow.compose.json").read_text())
    assert target["targets"] == [f"airflow-metrics:{port}"]
    mounted = "../prometheus/airflow.compose.json:/run/prometheus/airflow.json:ro"
    assert mounted in services["prometheus"]["volumes"]
    expected = {
        name: value.replace("127.0.0.1", "airflow-metrics")
        for name, value in metrics_variables(int(port)).items()
    }
    for name in AIRFLOW:
        given = services[name]["environment"]
        assert {each: given[each].replace("$$", "$") for each in expected} == expected


def test_alertmanager_accepts_what_its_container_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of the container, with its variables, writes the routes of config/."""
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed: the configuration is written, and not checked")
    shutil.copytree(PROJECT / "config", tmp_path / "config")
    file = tmp_path / "config" / "monitoring.yaml"
    routes = "[{to: slack}, {to: teams}, {to: email, address: churn@example.com}]"
    file.write_text(file.read_text().replace("routes: []  ", f"routes: {routes}  "))
    container = read_yaml(COMPOSE)["services"]["alert-receiver"]
    assert container["command"][-3:] == ["alerts", "receive", "--configure"]
    given = {name: value for name, value in container["environment"].items() if value}
    given |= {
        "MLOPS_ENVIRONMENT": "production",
        "MLOPS_SERVING__API_KEY": "0123456789abcdef0123",
        "MLOPS_MONITORING__ALERTS__SLACK_URL": "https://hooks.example.com/secret",
        "MLOPS_MONITORING__ALERTS__TEAMS_URL": "https://teams.example.com/secret",
        "MLOPS_MONITORING__ALERTS__SMTP_SERVER": "mail.example.com:587",
        "MLOPS_MONITORING__ALERTS__SMTP_FROM": "alerts@example.com",
        "MLOPS_MONITORING__RECEIVER_PORT": str(free_port()),
    }
    for name, value in {**given, "MLOPS_ROOT": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    listens = threading.Event()

    def serve(server: AlertReceiver) -> None:
        listens.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(AlertReceiver, "serve_forever", serve)
    receive(configure=True)

    assert listens.is_set()
    written = tmp_path / "run" / "prometheus" / "alertmanager.yml"
    assert written.stat().st_mode & 0o077 == 0
    assert written.with_name("receiver.token").stat().st_mode & 0o077 == 0
    checked = subprocess.run(
        ["amtool", "check-config", str(written)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    receivers = [each["name"] for each in json.loads(written.read_text())["receivers"]]
    assert receivers == ["nobody", "1-slack", "2-teams", "3-email"], "and no retraining"


def test_a_password_of_airflows_database_may_hold_anything(tmp_path: Path) -> None:
    password = "p@ss/w:rd %20 é"
    done = subprocess.run(
        [
            *("sh", str(INFRA / "docker" / "airflow-entrypoint.sh")),
            *("printenv", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"),
        ],
        env={
            "PATH": os.environ["PATH"],
            "AIRFLOW_ADMIN_PASSWORD": "chosen",
            "AIRFLOW_DATABASE_PASSWORD": password,
            "AIRFLOW_DATABASE_HOST": "airflow-database",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(tmp_path / "passwords.json"),
        },
        capture_output=True,
        text=True,
        check=True,
    )

    url = make_url(done.stdout.strip())
    assert (url.username, url.password) == ("airflow", password)
    assert (url.host, url.database) == ("airflow-database", "airflow")
    assert json.loads((tmp_path / "passwords.json").read_text()) == {"admin": "chosen"}
    assert [file.name for file in tmp_path.iterdir()] == ["passwords.json"]


def test_airflows_processes_start_when_what_they_need_is_there() -> None:
    services = read_yaml(COMPOSE)["services"]
    waits = {
        name: {other: after["condition"] for other, after in services[name]["depends_on"].items()}
        for name in (*AIRFLOW, "airflow-migrate")
    }

    assert waits["airflow-migrate"] == {"airflow-database": "service_healthy"}
    assert waits["airflow-api-server"] == {"airflow-migrate": "service_completed_successfully"}
    for name in AIRFLOW - {"airflow-api-server"}:
        assert waits[name]["airflow-api-server"] == "service_healthy"


@pytest.mark.parametrize("missing", sorted(CHOSEN))
def test_compose_refuses_to_run_without_a_password(missing: str) -> None:
    done = compose_config({**CHOSEN, missing: ""})

    assert done.returncode != 0
    assert "set it in .env" in done.stderr


def test_containers_are_published_on_this_machine_only() -> None:
    for name, service in read_yaml(COMPOSE)["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_every_container_says_whether_it_is_healthy() -> None:
    for name, service in read_yaml(COMPOSE)["services"].items():
        if service["restart"] == "no":
            continue  # it does one thing and ends; the others wait for that
        if service.get("entrypoint") == ["tail", "-f", "/dev/null"]:
            continue  # it does nothing; who shares its network says whether that works
        in_image = "build" in service and "HEALTHCHECK" in dockerfile(service).read_text()
        assert in_image or "healthcheck" in service, name


def test_every_volume_is_declared_and_every_mounted_file_exists() -> None:
    compose = read_yaml(COMPOSE)
    sources = [v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", [])]
    named = {source for source in sources if "/" not in source}

    assert named == set(compose["volumes"])
    for source in set(sources) - named:
        assert (COMPOSE.parent / source).exists(), source


def test_images_do_not_run_as_root() -> None:
    files = list((INFRA / "docker").glob("*.Dockerfile"))

    assert len(files) == 3
    for file in files:
        assert re.findall(r"^USER (.+)$", file.read_text(), re.MULTILINE) == ["app"]


def test_no_password_is_written_in_a_committed_file() -> None:
    assigned = re.compile(r"(?im)^[ -]*[a-z_]*(?:password|secret|_key|token) *[:=] *(\S.*)$")
    files = [*INFRA.rglob("*.y*ml"), *INFRA.rglob("*.Dockerfile"), PROJECT / ".env.example"]

    values = [value for file in files for value in assigned.findall(file.read_text())]

    assert values
    assert [value for value in values if not value.startswith("${")] == []


def dockerfile(service: dict[str, Any]) -> Path:
    return PROJECT / str(service["build"]["dockerfile"])


# --- workflows ---


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_fit_github_schema(file: Path) -> None:
    done = validate("vendor.github-workflows", file)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_pin_actions_and_keep_no_credentials(file: Path) -> None:
    workflow = read_yaml(file)

    assert workflow["permissions"] == {"contents": "read"}
    for step in checked_out(workflow):
        if action := step.get("uses"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        if str(step.get("uses", "")).startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_call_make_targets_that_exist(file: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    called = {
        target
        for step in checked_out(read_yaml(file))
        for target in re.findall(r"^make (\S+)", step.get("run", ""), re.MULTILINE)
    }

    assert called
    assert called <= targets


def test_hooks_call_local_tools_only() -> None:
    config = read_yaml(PROJECT / ".pre-commit-config.yaml")

    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    assert all(hook["language"] == "system" for hook in config["repos"][0]["hooks"])


# --- .env.example ---

VARIABLES = re.findall(
    r"^#?([A-Z][A-Z0-9_]+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_of_the_example_is_read_somewhere(name: str) -> None:
    assert is_setting(name) or is_read_by_project(name) or is_read_by_library(name)


def test_every_variable_of_the_compose_file_is_in_the_example() -> None:
    assert set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE.read_text())) <= set(VARIABLES)


def test_the_example_holds_no_secret_and_sets_nothing_by_itself_but_privacy() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    assert {name for name, value in values.items() if value} == {"DO_NOT_TRACK"}


def is_setting(name: str) -> bool:
    path = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
    if not name.startswith(ENVIRONMENT_PREFIX) or path[0] not in Settings.model_fields:
        return False
    if len(path) == 1:
        return True
    section = Settings.model_fields[path[0]].annotation
    return path[1] in getattr(section, "model_fields", {})


def is_read_by_project(name: str) -> bool:
    package = importlib.util.find_spec("goldpath")
    assert package is not None
    assert package.origin is not None
    files = [
        *Path(package.origin).parent.rglob("*.py"),
        *(PROJECT / "airflow").rglob("*.py"),
        COMPOSE,
    ]
    return any(name in file.read_text(encoding="utf-8") for file in files)


def is_read_by_library(name: str) -> bool:
    """In MLflow's list of variables, or in the AWS SDK that Arrow carries."""
    mlflow = importlib.util.find_spec("mlflow")
    arrow = importlib.util.find_spec("pyarrow")
    assert mlflow is not None
    assert mlflow.origin is not None
    assert arrow is not None
    assert arrow.origin is not None
    if name in (Path(mlflow.origin).parent / "environment_variables.py").read_text():
        return True
    return any(
        name.encode() in file.read_bytes() for file in Path(arrow.origin).parent.glob("libarrow.*")
    )
