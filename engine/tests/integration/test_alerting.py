"""From a drift check to the people: Prometheus, Alertmanager, and each way of telling somebody."""

import importlib.util
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.contract import load_contract
from goldpath.errors import CheckFailedError
from goldpath.services.alerting import configuration
from goldpath.services.alerting.alertmanager import alertmanager_url
from goldpath.services.alerting.alertmanager_api import (
    AlertmanagerError,
    _call,
    active_silences,
    end_silence,
    firing_alerts,
    send_trial,
    silence,
)
from goldpath.services.process_table import PidFile
from goldpath.services.processes import ServerError, answers, stop_server
from goldpath.services.prometheus_server import start_prometheus
from goldpath.serving.metrics.service import Metrics
from goldpath.settings import Settings, load_settings

from ..alert_receivers import Hooks, MailServer, running, wait_until
from ..conftest import make_project
from ..locations import PROJECT
from ..ports import free_port

ROUTES = [
    {"to": "slack"},
    {"to": "teams"},
    {"to": "email", "address": "churn@example.com"},
    {"to": "webhook"},
]
INCIDENTS = PROJECT / "airflow" / "dags" / "incidents.py"
BASE = "https://git.example.com/churn"
RUNBOOK = f"{BASE}/docs/monitoring.md#driftdetected"
NEWS_SECONDS = 30
"""Of an incident that is known: Alertmanager's group interval, a scrape and an evaluation."""

needs_alertmanager = pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "prometheus-alertmanager"))),
    reason="apt-get install prometheus prometheus-alertmanager",
)
pytestmark = [pytest.mark.slow, needs_alertmanager]


@dataclass
class Watched:
    """A project that is watched, and whoever is told."""

    settings: Settings
    hooks: Hooks
    mail: MailServer
    variables: dict[str, str]

    def verdict(self, source: str, verdict: str) -> None:
        """What a drift check leaves."""
        file = self.settings.reports / "drift" / f"{source}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).isoformat()
        values = {"verdict": verdict, "checked_at": now, "message": f"{verdict} it is"}
        file.write_text(json.dumps({**values, "kind": source, "model_version": "3"}))

    def told(self, path: str, source: str) -> list[Any]:
        """The messages to a path about a source."""
        return [body for body in self.hooks.of(path) if source in json.dumps(body)]

    @property
    def log(self) -> str:
        """What the receiver of alerts said."""
        return (self.settings.run_directory / "prometheus-receiver.log").read_text()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A project with a service's metrics, watched as `make monitoring-up` does it."""
    root = tmp_path_factory.mktemp("told")
    make_project(root)
    shutil.copytree(PROJECT / "infra", root / "infra")
    metrics = Metrics(load_contract(PROJECT), root / "reports")

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = metrics.render()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    hooks, mail = Hooks(), MailServer()
    with (
        running(service),
        running(hooks),
        running(mail),
        pytest.MonkeyPatch.context() as patch,
    ):
        to = f"http://127.0.0.1:{hooks.server_address[1]}"
        variables = {
            "ALERTS__ROUTES": json.dumps(ROUTES),
            "ALERTS__OWNERS": '{"DriftDetected": "the churn \\"team\\""}',
            "ALERTS__RUNBOOKS": BASE,
            "ALERTS__SLACK_URL": f"{to}/slack",
            "ALERTS__TEAMS_URL": f"{to}/teams",
            "ALERTS__WEBHOOK_URL": f"{to}/hook",
            "ALERTS__SMTP_SERVER": f"127.0.0.1:{mail.server_address[1]}",
            "ALERTS__SMTP_FROM": "alerts@example.com",
            "PROMETHEUS_PORT": str(free_port()),
            "ALERTMANAGER_PORT": str(free_port()),
            "RECEIVER_PORT": str(free_port()),
            "PAGE_PORT": str(free_port()),
        }
        variables = {f"MLOPS_MONITORING__{name}": value for name, value in variables.items()}
        variables["MLOPS_SERVING__PORT"] = str(service.server_address[1])
        for name, value in variables.items():
            patch.setenv(name, value)
        # Half a minute goes by without it, twice.
        patch.setattr(configuration, "GROUP_INTERVAL", "5s")
        settings = load_settings(root)
        status = start_prometheus(settings)
        assert "Alerts are sent to: slack, teams, email churn@example.com" in status.message
        try:
            yield Watched(settings, hooks, mail, variables)
        finally:
            stop_server("prometheus", settings.run_directory)


def test_drift_is_told_once_by_every_way_within_seconds_and_so_is_its_end(
    watched: Watched,
) -> None:
    hooks, mail = watched.hooks, watched.mail
    watched.verdict("service", "drift")

    took = wait_until(lambda: watched.told("/hook", "service"), 15, "a message to the webhook")
    wait_until(
        lambda: hooks.of("/slack") and hooks.of("/teams") and mail.mails, 10, "the other messages"
    )

    print(f"the webhook had the alert {took:.1f} s after the check")
    (attachment,) = hooks.of("/slack")[0]["attachments"]
    assert attachment["title"] == "warning: DriftDetected (service)"
    assert "Rows of service are unlike" in attachment["text"]
    assert f"Runbook: {RUNBOOK}" in attachment["text"]
    assert 'Owner: the churn "team"' in attachment["text"]
    assert RUNBOOK in json.dumps(hooks.of("/teams"))
    assert mail.mails[0]["Subject"] == "warning: DriftDetected (service)"
    assert mail.mails[0]["To"] == "churn@example.com"
    assert RUNBOOK in mail.mails[0].as_string().replace("=\r\n", "").replace("=\n", "")
    (alert,) = watched.told("/hook", "service")[0]["alerts"]
    assert alert["annotations"]["runbook"] == "docs/monitoring.md#driftdetected"

    # The same alert asked for a retraining; without a champion there is nothing to train again.
    wait_until(lambda: "ended with exit code" in watched.log, 40, "an answer of retrain")
    assert "an alert asks for a retraining: service" in watched.log
    assert "ended with exit code 99" in watched.log
    assert "no retraining: the verdict is about version 3" in " ".join(watched.log.split())

    watched.verdict("service", "ok")
    ways = ("/slack", "/teams", "/hook")
    wait_until(
        lambda: (
            all(len(watched.told(way, "service")) == 2 for way in ways) and len(mail.mails) == 2
        ),
        NEWS_SECONDS,
        "that it is over",
    )
    assert hooks.of("/slack")[1]["attachments"][0]["title"] == "Resolved: DriftDetected (service)"
    assert "Resolved: DriftDetected" in json.dumps(hooks.of("/teams")[1])
    assert hooks.of("/hook")[1]["status"] == "resolved"
    assert mail.mails[1]["Subject"] == "Resolved: DriftDetected (service)"


def test_a_silenced_alert_fires_and_is_told_to_nobody_until_the_silence_ends(
    watched: Watched,
) -> None:
    settings = watched.settings
    made = silence(settings, "DriftDetected", 1, "a known change", "tester", source="batch")
    watched.verdict("batch", "drift")

    wait_until(lambda: firing_alerts(settings), 15, "a firing alert")
    time.sleep(3)  # the group's wait

    (alert,) = firing_alerts(settings)
    assert (alert.alert, alert.source, alert.state) == ("DriftDetected", "batch", "suppressed")
    (held,) = active_silences(settings)
    assert (held.id, held.by, held.comment) == (made.id, "tester", "a known change")
    assert watched.told("/hook", "batch") == []

    end_silence(settings, made.id)
    assert active_silences(settings) == []
    wait_until(lambda: watched.told("/hook", "batch"), NEWS_SECONDS, "the message")


def test_a_trial_message_takes_every_route_and_sets_nothing_off(watched: Watched) -> None:
    asked = watched.log.count("asks for a retraining")

    trial = send_trial(watched.settings, "DriftDetected", "warning")

    assert trial.delivered["slack"] == trial.delivered["email"] == 1
    assert trial.delivered["webhook"] >= 2
    (body,) = watched.told("/hook", "This is a trial message")
    assert body["alerts"][0]["labels"]["alertname"] == "DriftDetected"
    assert watched.log.count("asks for a retraining") == asked


def test_an_alert_of_one_model_is_no_incident_and_no_silence_of_the_other(
    watched: Watched,
) -> None:
    settings = watched.settings
    revenue = settings.model_copy(update={"model": "revenue"})
    labels = {"alertname": "SameOfTwoModels", "severity": "warning"}
    both = [{"labels": labels}, {"labels": {**labels, "model": "revenue"}}]
    _call(settings, "POST", "alerts", both)

    def states() -> dict[str, str]:
        """By model, of the groups that the alert is in."""
        return {
            group["labels"].get("model", ""): each["status"]["state"]
            for group in _call(settings, "GET", "alerts/groups")
            for each in group["alerts"]
            if each["labels"]["alertname"] == "SameOfTwoModels"
        }

    def silenced(of: Settings, *, every_model: bool = False) -> dict[str, str]:
        made = silence(of, "SameOfTwoModels", 1, "a test", "tester", every_model=every_model)
        try:
            wait_until(lambda: "suppressed" in states().values(), 10, "the silence")
            return states()
        finally:
            end_silence(of, made.id)
            wait_until(lambda: "suppressed" not in states().values(), 10, "its end")

    wait_until(lambda: len(states()) == 2, 10, "two groups")
    assert silenced(settings) == {"": "suppressed", "revenue": "active"}
    assert silenced(revenue) == {"": "active", "revenue": "suppressed"}
    assert set(silenced(settings, every_model=True).values()) == {"suppressed"}


def test_a_dag_that_fails_is_one_incident_until_a_run_of_it_succeeds(watched: Watched) -> None:
    source = importlib.util.spec_from_file_location("incidents", INCIDENTS)
    assert source is not None
    assert source.loader is not None
    incidents = importlib.util.module_from_spec(source)
    source.loader.exec_module(incidents)
    dag = SimpleNamespace(dag_id="data_pipeline")

    def fail(task_id: str, told_by: str = "") -> None:
        instance = SimpleNamespace(
            task_id=task_id, dag_id=dag.dag_id, run_id="manual__1", try_number=3, log_url="http://l"
        )
        task = SimpleNamespace(by_hand="python -m churn data", told_by=told_by)
        incidents.tell_failure({"task_instance": instance, "task": task})

    def told() -> list[Any]:
        return watched.told("/hook", dag.dag_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALERTMANAGER_URL", alertmanager_url(watched.settings))
        fail("drift_check", told_by="DriftDetected")  # which Prometheus tells of
        incidents.tell_success({"dag": dag})  # nothing was wrong
        fail("payments")
        fail("tickets")
        wait_until(told, 15, "the message")
        fail("payments")  # of the next run
        time.sleep(7)  # the group's interval, and a little more
        (message,) = told()
        (alert,) = message["alerts"]
        assert alert["labels"]["alertname"] == "PipelineFailed"
        summary = alert["annotations"]["summary"]
        assert "of data_pipeline failed in manual__1, try 3; log: http://l" in summary
        assert summary.endswith("; by hand: python -m churn data")
        incidents.tell_success({"dag": dag})
        wait_until(lambda: len(told()) == 2, NEWS_SECONDS, "that it is over")
        assert told()[1]["status"] == "resolved"


def test_a_receiver_that_refuses_a_trial_message_is_named(watched: Watched) -> None:
    watched.hooks.status = 500
    try:
        with pytest.raises(CheckFailedError, match="slack") as error:
            send_trial(watched.settings, "LiveQualityLow", "warning")
    finally:
        watched.hooks.status = 200

    assert "prometheus-alertmanager.log" in error.value.fix


def test_a_killed_alertmanager_is_started_again(watched: Watched) -> None:
    file = watched.settings.run_directory / "prometheus.json"
    found = PidFile.read(file)
    assert found is not None
    (leader,) = (each for each in found.leaders if each.command == "alertmanager")
    url = f"http://127.0.0.1:{watched.settings.monitoring.alertmanager_port}/-/ready"

    os.kill(leader.pid, signal.SIGKILL)

    wait_until(lambda: not answers(url), 10, "its end")
    wait_until(lambda: answers(url), 15, "its next start")


def test_another_route_is_used_from_the_next_monitoring_up_on(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in watched.variables.items():
        monkeypatch.setenv(name, value)
    critical = '[{"to": "slack", "severity": "critical"}]'
    monkeypatch.setenv("MLOPS_MONITORING__ALERTS__ROUTES", critical)
    settings = load_settings(watched.settings.root)

    assert start_prometheus(settings).state == "started"

    assert send_trial(settings, "ServiceDown", "critical").delivered == {"slack": 1}
    with pytest.raises(AlertmanagerError, match="no route"):
        send_trial(settings, "DriftDetected", "warning")
    assert start_prometheus(settings).state == "already running"
    (settings.root / ".env").write_text("DO_NOT_TRACK=true\n")  # retrainings inherit it
    assert start_prometheus(settings).state == "started"


def test_without_alertmanager_prometheus_starts_and_says_that_nobody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "prometheus").symlink_to(str(shutil.which("prometheus")))
    monkeypatch.setenv("PATH", str(programs))
    for name in ("PROMETHEUS", "PAGE"):
        monkeypatch.setenv(f"MLOPS_MONITORING__{name}_PORT", str(free_port()))
    make_project(tmp_path / "project")
    shutil.copytree(PROJECT / "infra", tmp_path / "project" / "infra")
    settings = load_settings(tmp_path / "project")
    try:
        status = start_prometheus(settings)
    finally:
        stop_server("prometheus", settings.run_directory)

    assert status.state == "started"
    assert "Nobody is told of alerts: Alertmanager is not on the PATH" in status.message
    assert "apt-get install prometheus-alertmanager" in status.message
    assert json.loads((settings.run_directory / "prometheus/alertmanagers.json").read_text()) == []


def test_a_taken_port_of_alertmanager_is_named_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(tmp_path)
    shutil.copytree(PROJECT / "infra", tmp_path / "infra")
    hooks = Hooks()
    with running(hooks):
        for name in ("PROMETHEUS", "RECEIVER", "PAGE"):
            monkeypatch.setenv(f"MLOPS_MONITORING__{name}_PORT", str(free_port()))
        taken = str(hooks.server_address[1])
        monkeypatch.setenv("MLOPS_MONITORING__ALERTMANAGER_PORT", taken)
        settings = load_settings(tmp_path)

        with pytest.raises(ServerError, match=f"port {taken} is in use") as error:
            start_prometheus(settings)

    assert "MLOPS_MONITORING__ALERTMANAGER_PORT" in error.value.fix
    assert not (settings.run_directory / "prometheus.json").exists()
