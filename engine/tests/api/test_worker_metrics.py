"""The figures of several processes: the sum over all of them, also when one was killed."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from goldpath.serving.schemas import example_features

from .conftest import until
from .examples import contract_of
from .running_service import RunningService, project_with_champion, running
from .test_metrics import samples

pytestmark = pytest.mark.slow

OWN = """
from goldpath import Hooks, Project, run, service_metric

@service_metric(buckets=[0.5])
def probability(row, prediction):
    return prediction.score

@service_metric(kind="counter")
def failing(row, prediction):
    raise KeyError("nothing")

@service_metric(kind="gauge")
def newest(row, prediction):
    return row["2nd call"]

run(Project(name="shop", hooks=lambda: Hooks(metrics=[probability, failing, newest])))
"""
ROW = example_features(contract_of("binary"))
POST = {"method": "POST", "route": "/predict"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    root = tmp_path_factory.mktemp("workers")
    project_with_champion(root, family="linear")
    (root / "shop").mkdir()
    (root / "shop" / "__main__.py").write_text(OWN, encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    workers = {"MLOPS_SERVING__WORKERS": "2", "PYTHONPATH": path}
    with running(root, "--production", program="shop", **workers) as service:
        yield service


def figure(service: RunningService, name: str, **labels: str) -> float:
    found = samples(httpx.get(f"{service.url}/metrics").text)
    return found.get((name, tuple(sorted(labels.items()))), 0.0)


def ask(service: RunningService, count: int) -> None:
    """Each over a connection of its own, so that both workers answer some."""
    for _ in range(count):
        assert httpx.post(f"{service.url}/predict", json={"features": ROW}).status_code == 200
        assert httpx.post(f"{service.url}/predict", json={}).status_code == 422


def all_are_ready(service: RunningService) -> bool:
    """Whether a few connections in a row, so each worker, say that a model serves."""
    return all(httpx.get(f"{service.url}/ready").status_code == 200 for _ in range(12))


def memory(process: int, name: str) -> int:
    """A figure of a process: Rss, or Pss, in which each page is shared out among its users."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:"))


def workers(service: RunningService) -> list[int]:
    """The processes that write metrics."""
    folder = service.log.parent / "run" / f"metrics-{service.port}"
    pids = {int(file.stem.rpartition("_")[2]) for file in folder.glob("counter_*.db")}
    return sorted(pid for pid in pids if Path(f"/proc/{pid}").exists())


def test_sums_are_right_over_both_workers_and_after_one_is_killed(service: RunningService) -> None:
    ask(service, 30)
    assert figure(service, "ml_requests_total", status="200", **POST) == 30
    assert figure(service, "ml_validation_errors_total", route="/predict") == 30
    both = workers(service)
    assert len(both) == 2

    os.kill(both[0], signal.SIGKILL)
    assert figure(service, "ml_requests_total", status="200", **POST) == 30
    until(lambda: len(workers(service)) == 2 and both[0] not in workers(service), seconds=60)
    until(lambda: all_are_ready(service), seconds=60)
    ask(service, 10)

    assert figure(service, "ml_requests_total", status="200", **POST) == 40
    assert figure(service, "ml_requests_total", status="422", **POST) == 40
    assert figure(service, "ml_request_seconds_count", route="/predict") == 80
    assert figure(service, "ml_request_seconds_bucket", route="/predict", le="+Inf") == 80
    assert figure(service, "ml_model_loaded", model_version="1") == 1
    predicted = samples(httpx.get(f"{service.url}/metrics").text)
    rows = sum(value for (name, _), value in predicted.items() if name == "ml_predictions_total")
    assert rows == 40
    # The project's own metrics lie in the same folder, whichever worker counted.
    assert figure(service, "probability_count", model_version="1") == 40
    assert figure(service, "ml_own_metric_failures_total", metric="failing") == 40
    assert figure(service, "newest", model_version="1") == ROW["2nd call"]
    # What the killed worker was doing is not in flight for ever: only this request is.
    assert figure(service, "ml_requests_in_flight") == 1


def test_the_json_figures_are_those_of_all_workers(service: RunningService) -> None:
    ask(service, 5)
    counted = figure(service, "ml_requests_total", status="200", **POST)

    answers: list[dict[str, Any]] = [
        httpx.get(f"{service.url}/pipeline/metrics").json()["serving"] for _ in range(6)
    ]

    for answer in answers:
        found = {(each["route"], each["status"]): each["requests"] for each in answer["requests"]}
        assert found["/predict", 200] == counted
        assert [each["rows"] for each in answer["versions"]] == [counted]


def test_production_logs_are_json_lines(service: RunningService) -> None:
    lines = [json.loads(line) for line in service.output().splitlines() if line.startswith("{")]
    assert {line["level"] for line in lines} <= {"INFO", "WARNING"}
    assert any("serves" in line["message"] for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_workers_share_memory(service: RunningService) -> None:
    until(lambda: all_are_ready(service), seconds=60)
    resident, proportional = (
        sum(memory(process, name) for process in service.processes()) for name in ("Rss", "Pss")
    )

    assert len(service.processes()) == 3
    # What is forked must have no other thread: a lock that it holds would never be opened.
    assert "Threads:\t1\n" in Path(f"/proc/{service.process.pid}/status").read_text("ascii")
    assert proportional < 0.65 * resident
