"""The service answers predictions before FastAPI's app is there, and everything else then."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from goldpath.serving.api import app_around
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.prediction_log import read_log
from goldpath.serving.process.late_app import LateApp
from goldpath.serving.schemas import example_features
from goldpath.serving.serving_core import ServingCore

from .conftest import until
from .examples import Shelf, contract_of, fitted, settings_of

CONTRACT = contract_of("binary")
BODY = {"features": example_features(CONTRACT)}


class Late:
    """A service whose app is made when the test says so."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, **serving: object) -> None:
        shelf = Shelf()
        shelf.put(fitted("binary"))
        self.settings = settings_of(folder, patch, **serving)
        self.core = ServingCore(self.settings, CONTRACT, shelf)
        self.is_wanted = threading.Event()
        self.failures: list[str] = []
        self.fails = False
        app = LateApp(self._make, self.core.running, lambda: self.failures.append("failed"))
        self.lane = FastLane(app, self.core)

    def _make(self) -> FastAPI:
        assert self.is_wanted.wait(20)
        if self.fails:
            raise OSError("a library is missing")
        return app_around(self.core)

    @contextmanager
    def client(self) -> Iterator[TestClient]:
        with TestClient(self.lane, raise_server_exceptions=False) as client:
            yield client


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Late:
    return Late(tmp_path, monkeypatch)


def test_the_lane_imports_nothing_that_it_does_not_need() -> None:
    """Each of these takes as long as a tenth of the whole start, or more."""
    package = LateApp.__module__.partition(".")[0]
    modules = ["lane.protocol", "serving_core", "process.late_app", "process.server"]
    heavy = {"fastapi", "starlette.routing", "rich", "pandas", "sklearn", "mlflow", "sqlalchemy"}
    heavy |= {"jinja2", "markupsafe"}
    imports = "".join(f"import {package}.serving.{module}\n" for module in modules)
    code = f"import sys\n{imports}print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert heavy & set(done.stdout.split()) == set()


def test_predictions_are_answered_before_the_app_is_made(late: Late) -> None:
    with late.client() as client:
        answer = client.post("/predict", json=BODY)
        is_made = late.is_wanted.is_set()
        late.is_wanted.set()
        counted = client.get("/metrics").text

    assert answer.status_code == 200
    assert not is_made
    assert 'ml_requests_total{method="POST",route="/predict",status="200"} 1.0' in counted
    folder = late.settings.root / late.settings.serving.prediction_log
    logged = read_log(folder, 10)
    assert [row["prediction_id"] for row in logged] == [answer.json()["prediction_id"]]


def test_the_environments_key_is_known_before_the_app_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Late(tmp_path, monkeypatch, api_key="a-key-of-at-least-16")
    with late.client() as client:
        headers = {"X-API-Key": "a-key-of-at-least-16"}
        assert client.post("/predict", json=BODY, headers=headers).status_code == 200
        late.is_wanted.set()
        assert client.post("/predict", json=BODY).status_code == 401


def test_what_needs_the_app_waits_for_it(late: Late) -> None:
    requests: list[tuple[str, str, Any]] = [
        ("GET", "/health", None),
        ("GET", "/ready", None),
        ("POST", "/predict", {"features": {}}),
        ("GET", "/nowhere", None),
    ]
    with late.client() as client, ThreadPoolExecutor(4) as pool:
        waiting = [
            pool.submit(client.request, how, path, json=body) for how, path, body in requests
        ]
        assert client.post("/predict", json=BODY).status_code == 200
        assert not any(each.done() for each in waiting)
        late.is_wanted.set()
        statuses = [each.result(20).status_code for each in waiting]

    assert statuses == [200, 200, 422, 404]


def test_an_app_that_cannot_be_made_is_reported(
    late: Late, caplog: pytest.LogCaptureFixture
) -> None:
    late.fails = True
    late.is_wanted.set()
    with late.client() as client:
        until(lambda: late.failures == ["failed"])

        assert client.get("/health").status_code == 500
        assert client.post("/predict", json=BODY).status_code == 200
    assert "the app cannot be made" in caplog.text


def test_a_service_that_is_stopped_while_the_app_is_made_closes_everything(late: Late) -> None:
    before = set(threading.enumerate())  # other tests of this process may have services, too
    with late.client() as client:
        assert client.post("/predict", json=BODY).status_code == 200
        assert {"app", "champion", "prediction-log"} <= names_since(before)
        threading.Timer(0.3, late.is_wanted.set).start()

    assert not {"app", "champion", "prediction-log"} & names_since(before)


def names_since(before: set[threading.Thread]) -> set[str]:
    """Of the threads that were started since."""
    return {thread.name for thread in set(threading.enumerate()) - before}


def test_a_core_that_cannot_start_is_a_failed_start(
    late: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(late.core.predictor, "start", refuse)
    with pytest.raises(RuntimeError, match="no"), late.client():
        pass
