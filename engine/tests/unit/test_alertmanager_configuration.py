"""Alertmanager's configuration: what the project's few lines become, and amtool's word on it."""

import json
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldpath.services.alerting.alertmanager import (
    alerting_commands,
    alerting_ports,
    who_is_told,
    write_configuration,
)
from goldpath.services.alerting.configuration import (
    HIDDEN,
    RULES,
    RouteError,
    as_text,
    configuration,
    needs_receiver,
    token_file,
    unknown_owners,
)
from goldpath.services.alerting.receiver import teams_card
from goldpath.settings import Settings, SettingsError, load_settings

from ..conftest import make_project
from ..locations import PROJECT

ROUTES = [
    {"to": "slack", "severity": "critical"},
    {"to": "teams"},
    {"to": "email", "address": "churn@example.com", "alerts": ["DriftDetected", "LiveQualityLow"]},
    {"to": "webhook"},
]
SECRETS = {
    "SLACK_URL": "https://hooks.example.com/slack-secret",
    "TEAMS_URL": "https://hooks.example.com/teams-secret",
    "WEBHOOK_URL": "https://hooks.example.com/hook-secret",
    "SMTP_SERVER": "mail.example.com:587",
    "SMTP_FROM": "alerts@example.com",
    "SMTP_USERNAME": "alerts",
    "SMTP_PASSWORD": "smtp-secret",
}
OWNERS = "  owners: {}               # named in messages: {DriftDetected: churn team}"
needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None,
    reason="amtool is not installed (apt-get install prometheus-alertmanager)",
)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project that tells everybody."""
    make_project(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(f"MLOPS_MONITORING__ALERTS__{name}", value)
    owners = {"DriftDetected": 'churn "team" \U0001f680, +44 20 {{ x }}'}
    monkeypatch.setenv("MLOPS_MONITORING__ALERTS__ROUTES", json.dumps(ROUTES))
    monkeypatch.setenv("MLOPS_MONITORING__ALERTS__OWNERS", json.dumps(owners))
    monkeypatch.setenv("MLOPS_MONITORING__ALERTS__RUNBOOKS", "https://git.example.com/churn/")
    return load_settings(tmp_path)


@needs_amtool
def test_amtool_accepts_the_configuration_with_and_without_routes(
    told: Settings, tmp_path: Path
) -> None:
    for number, settings in enumerate((told, make_project(tmp_path / "plain"))):
        file = tmp_path / f"{number}.yml"
        file.write_text(as_text(configuration(settings.monitoring, token_file(settings))))

        done = subprocess.run(
            ["amtool", "check-config", file], capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stdout + done.stderr


@needs_amtool
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (("alertname=DriftDetected", "severity=warning"), "retrain,2-teams,3-email,4-webhook"),
        (("alertname=ServiceDown", "severity=critical"), "1-slack,2-teams,4-webhook"),
        (("alertname=DriftDetected", "severity=warning", "trial=1"), "2-teams,3-email,4-webhook"),
    ],
)
def test_an_alert_reaches_whom_the_routes_name(
    told: Settings, tmp_path: Path, labels: tuple[str, ...], receivers: str
) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(as_text(configuration(told.monitoring, token_file(told))))

    done = subprocess.run(
        ["amtool", "config", "routes", "test", f"--config.file={file}", *labels],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == receivers


def test_the_file_with_the_secrets_is_its_owners_alone(told: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "prometheus"

    written = write_configuration(told, folder)

    (file,) = folder.iterdir()
    assert file.read_text() == written
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for secret in ("slack-secret", "smtp-secret"):
        assert secret in written
    # Alertmanager's API shows the addresses of webhooks: these are the receiver's to know.
    for secret in ("teams-secret", "hook-secret"):
        assert secret not in written
    assert "secret" not in repr(told.monitoring)
    assert "secret" not in who_is_told(told)


def test_an_owners_name_may_hold_any_character(told: Settings) -> None:
    written = as_text(configuration(told.monitoring, token_file(told)))

    assert "\U0001f680" in written
    assert "\\ud83d" not in written  # half a character, which no template of Go's takes


def test_alertmanager_and_its_receiver_stay_on_this_machine(told: Settings) -> None:
    commands = alerting_commands(told, "alertmanager", Path("run"))

    assert "--web.listen-address=127.0.0.1:9093" in commands["alertmanager"]
    assert "--cluster.listen-address=" in commands["alertmanager"]
    assert commands["receiver"][-2:] == ["alerts", "receive"]
    assert alerting_ports(told) == {
        "monitoring.alertmanager_port": 9093,
        "monitoring.receiver_port": 9095,
    }


def test_without_retraining_and_teams_there_is_no_receiver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_MONITORING__RETRAIN__AUTOMATIC", "false")
    settings = make_project(tmp_path)

    assert not needs_receiver(settings.monitoring)
    assert set(alerting_commands(settings, "alertmanager", Path("run"))) == {"alertmanager"}
    assert "retrain" not in as_text(configuration(settings.monitoring, token_file(settings)))
    assert "Nobody is told of alerts" in who_is_told(settings)
    assert "no retraining" in who_is_told(settings)


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ([{"to": "email"}], "address"),
        ([{"to": "email", "address": "nobody"}], "'nobody' is no e-mail address"),
        ([{"to": "slack", "address": "a@b.c"}], "the other ways have no address"),
        ([{"to": "pager"}], "pager"),
        ([{"to": "teams", "severity": "page"}], "page"),
    ],
)
def test_a_route_that_could_tell_nobody_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, routes: list[dict[str, str]], said: str
) -> None:
    make_project(tmp_path)
    monkeypatch.setenv("MLOPS_MONITORING__ALERTS__ROUTES", json.dumps(routes))

    with pytest.raises(SettingsError, match="monitoring") as error:
        load_settings(tmp_path)

    assert said in str(error.value)


@pytest.mark.parametrize(
    ("route", "variables", "said"),
    [
        ({"to": "slack"}, {}, "slack_url is empty"),
        ({"to": "email", "address": "a@b.c"}, {}, "smtp_server is empty"),
        ({"to": "teams"}, {"TEAMS_URL": "hooks/token-secret"}, "TEAMS_URL is no http"),
        (
            {"to": "email", "address": "a@b.c"},
            {"SMTP_SERVER": "mail", "SMTP_FROM": "a@b.c"},
            "smtp_server is 'mail'",
        ),
    ],
)
def test_only_who_starts_alertmanager_needs_the_addresses(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    route: dict[str, str],
    variables: dict[str, str],
    said: str,
) -> None:
    make_project(tmp_path)
    monkeypatch.setenv("MLOPS_MONITORING__ALERTS__ROUTES", json.dumps([route]))
    for name, value in variables.items():
        monkeypatch.setenv(f"MLOPS_MONITORING__ALERTS__{name}", value)
    settings = load_settings(tmp_path)  # as a service or a task does

    with pytest.raises(RouteError, match=said) as error:
        write_configuration(settings, tmp_path / "run")

    assert "token-secret" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_card_for_teams_says_what_happened_whose_it_is_and_what_to_do(told: Settings) -> None:
    runbook = "docs/monitoring.md#driftdetected"
    message = {
        "status": "firing",
        "groupLabels": {"alertname": "DriftDetected", "source": "service"},
        "commonLabels": {"severity": "warning"},
        "commonAnnotations": {"runbook": runbook},
        "alerts": [{"annotations": {"summary": "Rows of service are unlike."}}],
    }

    title, text, facts = teams_card(told, message)["attachments"][0]["content"]["body"]

    assert title["text"] == "warning: DriftDetected (service)"
    assert text["text"] == "Rows of service are unlike."
    assert {fact["title"]: fact["value"] for fact in facts["facts"]} == {
        "Runbook": f"https://git.example.com/churn/{runbook}",
        "Owner": told.monitoring.alerts.owners["DriftDetected"],
    }


def test_a_card_about_a_further_model_names_it(told: Settings) -> None:
    labels = {"alertname": "DriftDetected", "model": "revenue", "source": "batch"}
    message = {"status": "resolved", "groupLabels": labels, "alerts": []}

    (title, _) = teams_card(told, message)["attachments"][0]["content"]["body"]

    assert title["text"] == "Resolved: DriftDetected of revenue (batch)"


def test_a_failed_run_and_an_airflow_that_is_down_are_one_message(told: Settings) -> None:
    rules = configuration(told.monitoring, token_file(told))["inhibit_rules"]
    hidden = {
        (rule["source_matchers"][0], rule["target_matchers"][0]): rule["equal"] for rule in rules
    }

    assert hidden['alertname="PipelineFailed"', 'alertname=~"AirflowRunFailed"'] == ["source"]
    down = 'alertname=~"AirflowSchedulerSilent|AirflowQueueStuck"'
    assert hidden['alertname="AirflowDown"', down] == ["instance"]


@pytest.mark.parametrize(
    ("routes", "critical", "warning"),
    [
        ([{"to": "teams"}], "both", "both"),
        ([{"to": "teams", "alerts": ["PredictionLogFailing"]}], "HighLatency", "HighLatency"),
        # One that is told of everything does not tell the other.
        (
            [{"to": "slack"}, {"to": "teams", "alerts": ["PredictionLogFailing"]}],
            "HighLatency",
            "HighLatency",
        ),
        ([{"to": "teams", "alerts": ["PredictionLogFailing", "ServiceDown"]}], "both", "both"),
        ([{"to": "slack", "severity": "critical"}, {"to": "teams"}], "both", "both"),
        ([{"to": "slack"}, {"to": "teams", "severity": "warning"}], "both", "neither"),
    ],
)
def test_an_alert_is_hidden_only_from_those_who_are_told_of_the_other(
    told: Settings, routes: list[dict[str, Any]], critical: str, warning: str
) -> None:
    monitoring = told.monitoring.model_validate(
        {"alerts": {**dict(told.monitoring.alerts), "routes": routes}}
    )
    names = {
        "both": {"HighLatency", "PredictionLogFailing"},
        "HighLatency": {"HighLatency"},
        "neither": set(),
    }
    rules = configuration(monitoring, token_file(told))["inhibit_rules"]
    for severity, expected in (("critical", critical), ("warning", warning)):
        hidden = {
            name
            for rule in rules
            if 'alertname="ServiceDown"' in rule["source_matchers"]
            and f'severity="{severity}"' in rule["target_matchers"]
            for name in names["both"]
            if name in rule["target_matchers"][0]
        }
        assert hidden == names[expected], severity


def test_the_alerts_that_hide_others_are_critical() -> None:
    rules = PROJECT / "infra" / "prometheus" / "rules"
    severities = {
        rule["alert"]: rule["labels"]["severity"]
        for file in rules.glob("*.yml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    }
    # Airflow itself sends PipelineFailed, see airflow/dags/incidents.py.
    sources = {source for source, _, _ in HIDDEN} - {"PipelineFailed"}
    assert {severities[source] for source in sources} == {"critical"}
    assert {target for _, targets, _ in HIDDEN for target in targets} <= severities.keys()


def test_an_owner_of_an_alert_that_there_is_not_is_said(tmp_path: Path) -> None:
    settings = make_project(tmp_path)
    file = settings.root / "config" / "monitoring.yaml"
    known = file.read_text("utf-8").splitlines().index(OWNERS)
    lines = file.read_text("utf-8").splitlines()
    lines[known] = "  owners: {DriftDetected: us, DriftDetectd: us}"
    file.write_text("\n".join(lines), "utf-8")
    settings = load_settings(tmp_path)
    rules = settings.root / RULES
    shutil.rmtree(rules, ignore_errors=True)
    assert unknown_owners(settings) == (), "another Prometheus has the rules"

    shutil.copytree(PROJECT / RULES, rules)
    (said,) = unknown_owners(settings)

    assert said.startswith(f"config/monitoring.yaml:{known + 1}: alerts.owners names DriftDetectd,")
    assert "DriftDetected" in said
