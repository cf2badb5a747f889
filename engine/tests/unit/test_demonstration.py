"""The parts of `demo-drift` that need no servers; `test_drift_loop` runs the whole of it."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from goldpath.contract import load_contract
from goldpath.demonstration.drift_loop import (
    NEW_DAYS,
    DemonstrationError,
    _deliver_labelled,
    demonstrate_drift,
)
from goldpath.demonstration.scene import project_of_its_own
from goldpath.demonstration.timeline import Event, Timeline, _pieces, draw_timeline
from goldpath.settings import Settings, load_settings

from ..conftest import make_project
from ..locations import PROJECT


@pytest.fixture
def shown(tmp_path: Path) -> Settings:
    settings = make_project(tmp_path)
    (tmp_path / "infra").mkdir()
    return settings


def test_the_demonstration_is_in_a_project_of_its_own(
    shown: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = {
        "MLFLOW_TRACKING_URI": "http://registry.example.com",
        "MLOPS_ENVIRONMENT": "development",
        "MLOPS_LAKE__CATALOG": "elsewhere/catalog.db",
    }
    for name, value in team.items():
        monkeypatch.setenv(name, value)

    with project_of_its_own(shown, {"MLOPS_TRAINING__TRIALS": "2"}) as own:
        assert own.root == shown.root / "run" / "demo-drift"
        assert own.tracking_uri == f"sqlite:///{own.root / 'mlflow' / 'mlflow.db'}"
        assert own.lake.catalog != "elsewhere/catalog.db"
        assert own.training.trials == 2
        assert os.environ["MLOPS_ROOT"] == str(own.root)

    assert {name: os.environ[name] for name in team} == team
    assert "MLOPS_TRAINING__TRIALS" not in os.environ
    assert load_settings(shown.root).tracking_uri == "http://registry.example.com"


def test_nothing_that_the_configuration_names_is_reached(shown: Settings) -> None:
    team = {
        "lake": "backend: aws",
        "features": "online_store: redis\nurl: redis://cache.example.com/0",
        "prediction_log": "stream: kafka\nkafka_servers: broker.example.com:9092",
        "registry": "webhook_url: https://hooks.example.com/x\naudit_log: /srv/audit.jsonl",
        "serving": "tracing_endpoint: http://traces.example.com",
        "access": "store: postgresql://accounts.example.com/x",
    }
    for name, text in team.items():
        (shown.root / "config" / f"{name}.yaml").write_text(f"{text}\n")
    assert load_settings(shown.root).lake.backend == "aws"

    with project_of_its_own(shown, {}) as own:
        assert (own.lake.backend, own.features.online_store) == ("local", "sqlite")
        assert own.features.url.get_secret_value() == "lake/online.db"
        assert own.prediction_log.stream == "none"
        assert own.registry.webhook_url.get_secret_value() == ""
        assert own.registry.audit_log == "audit/registry.jsonl"
        assert own.serving.tracing_endpoint == own.access.store.get_secret_value() == ""


def test_another_dataset_is_refused_before_anything_is_made(shown: Settings) -> None:
    file = shown.root / "config" / "project.yaml"
    file.write_text(file.read_text().replace("data/sample/customers.csv", "data/mine.csv"))

    with pytest.raises(DemonstrationError, match=r"this project's source is .*mine\.csv"):
        demonstrate_drift(shown)

    assert not (shown.root / "run").exists()


def test_the_labelled_rows_are_of_the_time_after_the_first_ones(shown: Settings) -> None:
    contract = load_contract(PROJECT)

    _deliver_labelled(shown, contract)

    header, *lines = (shown.root / contract.source.path).read_text().splitlines()
    place = header.split(",").index("observed_at")
    texts = [line.split(",")[place] for line in lines]
    times = [datetime.fromisoformat(text) for text in texts if text != "yesterday"]
    assert len(times) > 0.99 * len(texts)
    assert min(times) >= datetime(2026, 1, 1)
    assert 0.9 * NEW_DAYS < (max(times) - min(times)).days < NEW_DAYS


def test_a_series_is_drawn_in_pieces_where_nobody_has_looked() -> None:
    series = [(0.0, 1.0), (1.0, 1.0), (9.0, 2.0), (10.0, 2.0)]

    assert _pieces(series) == [series[:2], series[2:]]


def test_the_timeline_is_a_picture(tmp_path: Path) -> None:
    events = [Event(100.0, "prices have risen"), Event(130.0, "the team is told")]
    timeline = Timeline(events, "charges", [(101.0, 0.1)], [(102.0, 0.1)], [(120.0, 1.0)])

    draw_timeline(tmp_path / "reports" / "loop.png", timeline)

    assert (tmp_path / "reports" / "loop.png").read_bytes()[:4] == b"\x89PNG"
