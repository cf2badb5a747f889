"""The receiver of alerts: whom it hears, what it passes on, and what it asks for."""

import json
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path

import pytest

from goldpath.services.alerting.configuration import token_file
from goldpath.services.alerting.receiver import MOST_BYTES, AlertReceiver
from goldpath.settings import Settings, load_settings

from ..alert_receivers import Hooks, running, wait_until
from ..conftest import make_project

FIRING = {
    "status": "firing",
    "alerts": [
        {"status": "firing", "labels": {"alertname": "DriftDetected", "source": "service"}},
        {"status": "firing", "labels": {"alertname": "LiveQualityLow"}},
    ],
}


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    board = Hooks()
    with running(board):
        yield board


@pytest.fixture
def watched(tmp_path: Path, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> Settings:
    make_project(tmp_path)
    for way in ("TEAMS", "WEBHOOK"):
        address = f"http://127.0.0.1:{hooks.server_address[1]}/{way.lower()}"
        monkeypatch.setenv(f"MLOPS_MONITORING__ALERTS__{way}_URL", address)
    return load_settings(tmp_path)


@pytest.fixture
def server(watched: Settings) -> Iterator[AlertReceiver]:
    alerts = AlertReceiver(watched)
    with running(alerts):
        yield alerts


def post(
    server: AlertReceiver, path: str, headers: Mapping[str, str], body: object = FIRING
) -> int:
    """The status that a POST of JSON gets; the headers go over the usual ones."""
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    usual = {"Content-Type": "application/json", "Authorization": f"Bearer {server.token}"}
    try:
        connection.request("POST", path, json.dumps(body), {**usual, **headers})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/retrain", "/teams", "/webhook"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer é"}, 401),
        ({"Origin": "http://127.0.0.1:9095"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Length": str(MOST_BYTES + 1)}, 413),
        ({"Content-Length": "9" * 5000}, 413),
        ({"Content-Length": "-1"}, 413),
    ],
)
def test_who_is_not_alertmanager_is_refused(
    server: AlertReceiver, hooks: Hooks, path: str, headers: dict[str, str], status: int
) -> None:
    assert post(server, path, headers) == status
    assert hooks.bodies == []


def test_each_start_has_a_token_that_only_the_owner_can_read(
    watched: Settings, server: AlertReceiver
) -> None:
    file = token_file(watched)

    assert file.read_text() == server.token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(OSError, match="in use"):
        AlertReceiver(watched, server.server_address[1])
    assert file.read_text() == server.token, "the one that runs is still heard"
    with AlertReceiver(watched) as other:
        assert other.token != server.token


def test_a_webhook_has_the_message_as_it_came_and_teams_a_card(
    server: AlertReceiver, hooks: Hooks
) -> None:
    assert post(server, "/webhook", {}) == post(server, "/teams", {}) == 200

    assert hooks.of("/webhook") == [FIRING]
    assert hooks.of("/teams")[0]["type"] == "message"


def test_an_empty_address_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain = AlertReceiver(make_project(tmp_path))
    with running(plain):
        assert post(plain, "/teams", {}) == 502

    assert "monitoring.alerts.teams_url is empty" in " ".join(capfd.readouterr().err.split())


def test_a_source_that_is_queued_is_not_queued_again(
    server: AlertReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    go_on = threading.Event()

    def retrain(words: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        begun.append(words[-1])
        go_on.wait(10)
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(subprocess, "run", retrain)
    for _ in range(20):
        assert post(server, "/retrain", {}) == 202
    go_on.set()
    wait_until(lambda: len(begun) == 2, 10, "both retrainings")

    wait_until(lambda: not server._queued, 10, "the end of them")
    assert sorted(begun) == ["labels", "service"]
    assert post(server, "/retrain", {}) == 202
    wait_until(lambda: len(begun) == 4, 10, "the next ones")


def test_a_retraining_is_of_the_model_that_the_alert_is_about(
    server: AlertReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, str]] = []

    def retrain(
        words: list[str], env: Mapping[str, str], **_: object
    ) -> subprocess.CompletedProcess[bytes]:
        begun.append((words[-1], env["MLOPS_MODEL"]))
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(subprocess, "run", retrain)
    monkeypatch.setenv("MLOPS_MODEL", "calls")  # of the receiver's own process
    alert = {"alertname": "DriftDetected", "source": "batch"}
    both = [{"status": "firing", "labels": {**alert, **its}} for its in ({}, {"model": "revenue"})]

    assert post(server, "/retrain", {}, {"status": "firing", "alerts": both}) == 202

    wait_until(lambda: len(begun) == 2, 10, "both retrainings")
    assert sorted(begun) == [("batch", ""), ("batch", "revenue")]
