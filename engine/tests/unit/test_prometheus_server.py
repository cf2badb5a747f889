"""When `monitoring-up` starts the servers again; `test_alerting` does it with the programs."""

from pathlib import Path

import pytest

from goldpath.services.prometheus_server import _digest
from goldpath.settings import load_settings

from ..conftest import make_project

COMMANDS = {"prometheus": ["prometheus", "--web.listen-address=127.0.0.1:9090"]}


def digest(root: Path) -> str:
    return _digest(load_settings(root), COMMANDS, "the configuration")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TEAMS_URL", "https://hooks.example.com/other"),
        ("WEBHOOK_URL", "https://hooks.example.com/other"),
        ("OWNERS", '{"DriftDetected": "others"}'),
        ("RUNBOOKS", "https://git.example.com/other"),
    ],
)
def test_what_only_the_receiver_reads_is_another_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    make_project(tmp_path)
    before = digest(tmp_path)
    assert digest(tmp_path) == before

    monkeypatch.setenv(f"MLOPS_MONITORING__ALERTS__{variable}", value)

    assert digest(tmp_path) != before


def test_a_port_and_the_variables_of_retrainings_are_another_start(tmp_path: Path) -> None:
    settings = make_project(tmp_path)
    before = _digest(settings, COMMANDS, "the configuration")

    assert _digest(settings, {"prometheus": ["prometheus"]}, "the configuration") != before
    assert _digest(settings, COMMANDS, "another") != before
    (tmp_path / ".env").write_text("DO_NOT_TRACK=true\n")
    assert _digest(settings, COMMANDS, "the configuration") != before


def test_the_services_port_is_watched_without_another_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(tmp_path)
    before = digest(tmp_path)

    monkeypatch.setenv("MLOPS_SERVING__PORT", "8123")

    assert digest(tmp_path) == before
