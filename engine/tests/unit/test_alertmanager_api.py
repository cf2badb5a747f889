"""What is asked of Alertmanager, where something else answers or the question is odd."""

import json
import socketserver
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from goldpath.cli.alerts import app
from goldpath.monitor.running import open_alerts
from goldpath.services.alerting.alertmanager_api import (
    AlertmanagerError,
    end_silence,
    firing_alerts,
    send_trial,
)
from goldpath.services.processes import ServerError
from goldpath.settings import Settings, load_settings

from ..alert_receivers import Hooks, running
from ..conftest import make_project


class Page(BaseHTTPRequestHandler):
    """Another program's page, at every address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>not yours</html>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it
        pass


class OneAlert(Page):
    """Alertmanager with an alert about a further model."""

    def do_GET(self) -> None:
        alert = {
            "labels": {"alertname": "DriftDetected", "source": "batch", "model": "revenue"},
            "status": {"state": "active"},
            "startsAt": "2026-11-20T11:00:00Z",
            "annotations": {"summary": "Rows of batch are unlike."},
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([alert]).encode())


class NoHttp(socketserver.StreamRequestHandler):
    """A program that speaks another protocol."""

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"-ERR unknown command\r\n")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    make_project(tmp_path)
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    monkeypatch.setenv("MLOPS_MONITORING__ALERTS__ROUTES", '[{"to": "webhook"}]')
    return load_settings(tmp_path)


def at(settings: Settings, server: socketserver.TCPServer) -> Settings:
    port = server.server_address[1]
    monitoring = settings.monitoring.model_copy(update={"alertmanager_port": port})
    return settings.model_copy(update={"monitoring": monitoring})


def test_another_programs_page_is_said_to_be_one(asked: Settings) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    with running(server):
        with pytest.raises(AlertmanagerError, match=r"is not Alertmanager.*not yours"):
            firing_alerts(at(asked, server))
        with pytest.raises(AlertmanagerError, match=r"is not Alertmanager.*not yours"):
            send_trial(at(asked, server), "DriftDetected", "warning")


def test_an_alert_says_which_model_it_is_about(asked: Settings) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), OneAlert)
    with running(server):
        (alert,) = firing_alerts(at(asked, server))
        (shown,) = open_alerts(at(asked, server)).alerts

    assert (alert.source, alert.model) == ("batch", "revenue")
    assert shown.named == "DriftDetected (batch, model revenue)"


def test_another_protocol_is_no_answer(asked: Settings) -> None:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), NoHttp)
    with running(server), pytest.raises(AlertmanagerError, match="does not answer"):
        firing_alerts(at(asked, server))


def test_any_text_can_be_asked_for_as_a_silence(asked: Settings) -> None:
    server = Hooks()
    with running(server), pytest.raises(AlertmanagerError, match="silence/a%20b%2Fc"):
        end_silence(at(asked, server), "a b/c")


def test_a_silence_for_ever_is_refused(asked: Settings) -> None:
    said = CliRunner().invoke(app, ["silence", "DriftDetected", "--hours", "1e9"])

    assert said.exit_code == 2
    assert "8784" in said.output


def test_a_receiver_on_a_taken_port_says_which(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Hooks()
    with running(server):
        port = str(server.server_address[1])
        monkeypatch.setenv("MLOPS_MONITORING__RECEIVER_PORT", port)

        said = CliRunner().invoke(app, ["receive"])

    assert isinstance(said.exception, ServerError)
    assert "MLOPS_MONITORING__RECEIVER_PORT" in said.exception.fix
