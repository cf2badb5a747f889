"""The service as people start it: `serve` in a process of its own, over a real registry."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from goldpath.contract import dump_contract
from goldpath.learning.frames import model_frame
from goldpath.registry.layout import CONTRACT_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.serving.prediction_log import read_log
from goldpath.serving.schemas import example_features
from goldpath.settings import load_settings

from ..ports import free_port
from .conftest import until
from .examples import contract_of, fitted, random_rows, write_project
from .test_metrics import samples

pytestmark = pytest.mark.slow

CONTRACT = contract_of("binary")
BODY = {"features": example_features(CONTRACT)}


@dataclass
class Service:
    """A running `serve` command."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def predict(self) -> httpx.Response:
        return httpx.post(self.url + "/predict", json=BODY, timeout=30)

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(how)
        return self.process.wait(timeout=60), self.output()

    def output(self) -> str:
        return self.log.read_text()


Start = Callable[..., Service]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose registry holds two versions; version 1 is the champion."""
    root = tmp_path_factory.mktemp("project")
    write_project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        manager = MLflowManager(load_settings(root), CONTRACT)
        example = model_frame(random_rows(CONTRACT, 50), CONTRACT)
        for version in ("1", "2"):
            with manager.run(f"run-{version}", {}) as run_id:
                manager.log_text(run_id, dump_contract(CONTRACT), CONTRACT_FILE)
                manager.register(run_id, fitted("binary", version, "linear"), example, {})
        manager.set_champion("1")
        yield root


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Service] = []

    def run(root: Path, *arguments: str, **variables: str) -> Service:
        port = variables.pop("port", None) or free_port()
        url = f"http://127.0.0.1:{port}"
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "MLFLOW_"))
        }
        environment |= {
            "MLOPS_ROOT": str(root),
            "MLOPS_SERVING__PORT": str(port),
            "MLOPS_SERVING__REFRESH_SECONDS": "0.2",
            "MLOPS_ENVIRONMENT": "development",  # `--production` alone means production
            **variables,
        }
        log = tmp_path / f"serve-{len(running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "goldpath",
                    "serve",
                    *arguments,
                ],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        service = Service(process, url, log)
        running.append(service)
        return service

    yield run
    for service in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(service.process.pid, signal.SIGKILL)
        service.process.wait()


def test_serves_and_follows_the_champion_until_ctrl_c(deployed: Path, start: Start) -> None:
    service = start(deployed)
    until(lambda: is_up(service, "/ready"), seconds=300)
    manager = MLflowManager(load_settings(deployed), CONTRACT)
    seen: Counter[tuple[int, str]] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=30) as client:
            while not stop.is_set():
                answer = client.post(service.url + "/predict", json=BODY)
                seen[answer.status_code, answer.json().get("model_version", "")] += 1

    first = service.predict().json()
    asker = threading.Thread(target=ask)
    asker.start()
    try:
        until(lambda: (200, "1") in seen, seconds=60)
        manager.set_champion("2")
        until(lambda: (200, "2") in seen, seconds=60)
    finally:
        stop.set()
        asker.join()
        manager.set_champion("1")
    second = service.predict().json()
    code, output = service.stop(signal.SIGINT)

    assert set(seen) == {(200, "1"), (200, "2")}
    for answer in (first, second):
        model = fitted("binary", answer["model_version"], "linear")
        expected = model.predict([BODY["features"]])
        assert expected.probabilities is not None
        assert answer["prediction"] == expected.values[0]
        given_back = list(answer["probabilities"].values())
        assert given_back == pytest.approx(expected.probabilities.tolist()[0], abs=1e-12)
    assert code == 0
    assert f"{service.url}/docs" in output
    assert "Traceback" not in output
    assert group_is_empty(service)


def test_cold_start_answers_and_sigterm_is_a_clean_end(tmp_path: Path, start: Start) -> None:
    write_project(tmp_path)
    service = start(tmp_path)
    until(lambda: is_up(service, "/health"))

    ready = service.get("/ready")
    code, _ = service.stop(signal.SIGTERM)

    assert ready.status_code == 503
    assert ready.json()["fix"] == "make train-local"
    assert not (tmp_path / "mlflow").exists()
    assert code == 0


def test_two_workers_count_exactly_and_end_with_sigterm(deployed: Path, start: Start) -> None:
    service = start(deployed, "--production", MLOPS_SERVING__WORKERS="2")
    until(lambda: service.output().count("version 1 of small serves") == 2, seconds=300)

    for _ in range(60):
        assert service.predict().status_code == 200  # each on a connection of its own
    counts = [samples(service.get("/metrics").text) for _ in range(6)]
    code, output = service.stop(signal.SIGTERM)

    for count in counts:
        labels = (("method", "POST"), ("route", "/predict"), ("status", "200"))
        assert count["ml_requests_total", labels] == 60
        assert count["ml_request_seconds_count", (("route", "/predict"),)] == 60
        predicted = [v for (name, _), v in count.items() if name == "ml_predictions_total"]
        assert sum(predicted) == 60
        assert count["ml_model_loaded", (("model_version", "1"),)] == 1
    assert code == 0
    assert group_is_empty(service)
    first, *lines = output.splitlines()
    assert "2 processes" in first
    assert all({"at", "level", "message"} <= json.loads(line).keys() for line in lines)


def test_counts_start_at_zero_after_a_restart(tmp_path: Path, start: Start) -> None:
    write_project(tmp_path)
    port = str(free_port())
    for _ in range(2):
        service = start(tmp_path, "--production", port=port)
        until(lambda: is_up(service, "/health"), seconds=60)  # noqa: B023  called at once
        service.predict()
        found = samples(service.get("/metrics").text)
        labels = (("method", "POST"), ("route", "/predict"), ("status", "503"))
        assert found["ml_requests_total", labels] == 1
        os.killpg(service.process.pid, signal.SIGINT)  # Ctrl-C reaches the workers too
        assert service.process.wait(timeout=60) == 0
        assert group_is_empty(service)


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path, start: Start) -> None:
    write_project(tmp_path)
    service = start(tmp_path, "--production")
    until(lambda: is_up(service, "/health"), seconds=60)

    service.process.kill()
    service.process.wait()

    until(lambda: group_is_empty(service), seconds=30)


def test_killed_server_has_logged_every_answer(deployed: Path, start: Start) -> None:
    folder = deployed / "killed"
    service = start(deployed, MLOPS_SERVING__PREDICTION_LOG="killed")
    until(lambda: is_up(service, "/ready"), seconds=300)
    answered: list[str] = []
    enough = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=30) as client, contextlib.suppress(httpx.TransportError):
            while True:
                answer = client.post(service.url + "/predict", json=BODY)
                answered.append(answer.json()["prediction_id"])
                if len(answered) > 50:
                    enough.set()

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    assert enough.wait(120)
    service.process.kill()
    for asker in askers:
        asker.join()

    logged = {row["prediction_id"] for row in read_log(folder, 1_000_000)}

    assert set(answered) <= logged
    # A request that was under way may be logged but not answered, at most one an asker.
    assert len(logged) - len(answered) <= 3


def test_busy_port_is_one_clear_sentence(tmp_path: Path, start: Start) -> None:
    write_project(tmp_path)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        service = start(tmp_path, port=str(holder.getsockname()[1]))
        service.process.wait(timeout=60)
        output = service.output()

    assert service.process.returncode == 2
    assert "MLOPS_SERVING__PORT" in output
    assert "Traceback" not in output


def test_huge_body_is_refused_over_a_real_connection(tmp_path: Path, start: Start) -> None:
    write_project(tmp_path)
    service = start(tmp_path)
    until(lambda: is_up(service, "/health"))

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b'"' + b"x" * 60_000 + b'"'  # a longer text is refused before the size is known

    json_type = {"Content-Type": "application/json"}
    url = service.url + "/predict"
    declared = httpx.post(url, content=b"x" * 6_000_000, headers=json_type, timeout=30)
    chunked = httpx.post(url, content=chunks(), headers=json_type, timeout=30)

    assert (declared.status_code, chunked.status_code) == (413, 413)
    assert service.get("/health").status_code == 200


def is_up(service: Service, path: str) -> bool:
    assert service.process.poll() is None, service.output()
    try:
        return service.get(path).status_code == 200
    except httpx.TransportError:
        return False


def group_is_empty(service: Service) -> bool:
    """Whether no process of the command's own process group is left."""
    deadline = time.monotonic() + 3  # Python's resource tracker ends just after its parent
    while time.monotonic() < deadline:
        try:
            os.killpg(service.process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
