"""AutoML over real HTTP: experiments, jobs in the background, models, MLflow's runs."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import load_contract
from goldpath.jobs.data.refresh import refresh
from goldpath.sample.customers import write_sample
from goldpath.serving.api import create_app
from goldpath.serving.automl.jobs import JobError, JobRequest, JobStore, NoJobError, data_file
from goldpath.settings import Settings

from ..conftest import make_project
from ..ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("automl-api")]

KEY = "a-key-for-these-tests"
PREFIX = "/api/automl"


@dataclass(frozen=True)
class Service:
    """A service that runs in a process of its own."""

    url: str
    settings: Settings

    def send(
        self, method: str, path: str, body: Any = None, key: str = KEY
    ) -> tuple[int, dict[str, Any]]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        request = urllib.request.Request(
            self.url + path,
            data=data.encode() if isinstance(data, str) else data,
            method=method,
            headers={"Content-Type": "application/json", "X-API-Key": key},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                kind, status = error.headers["Content-Type"], error.code
                problem = json.loads(error.read())
        assert kind == "application/problem+json"
        return status, problem

    def get(self, path: str) -> dict[str, Any]:
        status, answer = self.send("GET", PREFIX + path)
        assert status == 200, answer
        return answer

    def post(self, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        return self.send("POST", PREFIX + path, body)

    def start(self, **body: Any) -> str:
        status, job = self.post("/models/train", body)
        assert status == 202, job
        assert job["state"] == "queued"
        return str(job["job_id"])

    def wait(self, job_id: str, *states: str, seconds: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (job := self.get(f"/jobs/{job_id}"))["state"] not in states:
            assert job["state"] in ("queued", "running"), json.dumps(job)  # whole, with its error
            assert time.monotonic() < deadline, json.dumps(job)
            time.sleep(0.1)
        return job

    def pid(self, job_id: str) -> int:
        folder = self.settings.root / "automl" / "jobs" / job_id
        return int(json.loads((folder / "process.json").read_text())["pid"])


@contextmanager
def running(settings: Settings) -> Iterator[Service]:
    port = free_port()
    environment = {
        **os.environ,
        "MLOPS_ROOT": str(settings.root),
        "MLOPS_SERVING__PORT": str(port),
        "MLOPS_SERVING__API_KEY": KEY,
        "MLOPS_SERVING__MAXIMUM_BODY_BYTES": "100000",
        "MLOPS_AUTOML__ROUTES": "true",
        "MLOPS_AUTOML__MAXIMUM_JOB_ROWS": "300",
    }
    package = load_contract.__module__.partition(".")[0]
    with (settings.root / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", package, "serve"],
            cwd=settings.root,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    service = Service(f"http://127.0.0.1:{port}", settings)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if service.send("GET", "/health")[0] == 200:
                    break
            except OSError:
                assert process.poll() is None, (settings.root / "service.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield service
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("MLOPS_", "MLFLOW_")):
                patch.delenv(name)
        settings = make_project(tmp_path_factory.mktemp("automl-api"))
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, 1200, 5, {})
    refresh(settings, contract)
    with running(settings) as started:
        yield started


def rows(count: int = 120) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    return [
        {"size": float(size), "kind": kind, "sold": "yes" if size > 0 else "no"}
        for size, kind in zip(
            random.normal(size=count), random.choice(["a", "b"], count), strict=True
        )
    ]


def test_an_experiment_is_made_listed_and_read(service: Service) -> None:
    status, made = service.post(
        "/experiments", {"name": "Previsão de Vendas", "dataset_info": {"shape": [1000, 10]}}
    )
    assert status == 201
    assert made["experiment_id"].startswith("previsao-de-vendas-")
    assert service.get(f"/experiments/{made['experiment_id']}") == made
    assert made in service.get("/experiments")["experiments"]


@pytest.fixture(scope="module")
def learnt(service: Service) -> dict[str, Any]:
    """A finished job on rows of a request."""
    job_id = service.start(
        experiment_id="from_rows",
        problem_type="classification",
        target="sold",
        rows=rows(),
        budget_seconds=3,
    )
    return service.wait(job_id, "finished")


def test_a_model_is_trained_on_rows_and_asked(service: Service, learnt: dict[str, Any]) -> None:
    job, job_id = learnt, learnt["job_id"]
    model_id = job["result"]["model_id"]
    assert model_id.startswith("from_rows.")
    assert service.get("/experiments/from_rows")["runs"] == [model_id.partition(".")[2]]
    # The rows of the request may be personal; the job has deleted its copy.
    folder = service.settings.root / "automl" / "jobs" / job_id
    assert not (folder / "rows.json").exists()

    asked = {"model_id": model_id, "instances": [{"size": 2.0, "kind": "a"}]}
    status, answer = service.post("/models/predict", asked)
    assert status == 200
    assert answer["predictions"][0]["prediction"] == "yes"
    assert sum(answer["predictions"][0]["probabilities"].values()) == pytest.approx(1)
    metrics = service.get(f"/models/{model_id}/metrics")
    assert metrics["metrics"]["accuracy"] > 0.9
    assert metrics["score"] == job["result"]["score"]

    status, problem = service.post(
        "/models/predict", {"model_id": model_id, "instances": [{"size": 2.0, "colour": "red"}]}
    )
    assert status == 422
    assert "missing columns: kind; unknown columns: colour" in problem["detail"]


def test_the_gold_table_gives_a_registered_version(service: Service) -> None:
    job = service.wait(service.start(budget_seconds=2), "finished")
    assert job["source"] == "gold"
    model_id = job["result"]["model_id"]
    assert model_id == f"v{job['result']['model_version']}"
    metrics = service.get(f"/models/{model_id}/metrics")["metrics"]
    assert metrics["test_roc_auc"] == pytest.approx(job["result"]["value"])
    contract = load_contract(service.settings.root)
    instance = {feature.name: feature.example for feature in contract.features}
    status, answer = service.post(
        "/models/predict", {"model_id": model_id, "instances": [instance]}
    )
    assert (status, answer["fix"][:24]) == (409, "ask POST /predict/batch;")
    runs = service.get("/tracking/runs")["runs"]
    assert job["result"]["run_id"] in [run["run_id"] for run in runs]


@pytest.fixture(scope="module")
def learnt_from_file(service: Service) -> dict[str, Any]:
    """A finished job on a file below `data/`."""
    table = pd.DataFrame(rows(80))
    table.loc[0, "sold"] = None
    table.to_csv(service.settings.root / "data" / "shop.csv", index=False)
    job_id = service.start(
        experiment_id="from_file",
        problem_type="classification",
        target="sold",
        file="data/shop.csv",
        budget_seconds=1,
        trials=2,
    )
    return service.wait(job_id, "finished")


def test_a_model_is_trained_on_a_file_below_data(
    service: Service, learnt_from_file: dict[str, Any]
) -> None:
    result = learnt_from_file["result"]
    assert (learnt_from_file["source"], result["rows"]) == ("file", 79)
    instance = {"size": 2.0, "kind": "a"}
    status, answer = service.post(
        "/models/predict", {"model_id": result["model_id"], "instances": [instance]}
    )
    assert (status, answer["predictions"][0]["prediction"]) == (200, "yes")
    # The file is the project's own: unlike a request's rows it stays.
    assert (service.settings.root / "data" / "shop.csv").is_file()


def test_groups_are_found_said_and_denied(service: Service) -> None:
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 4)
    level = random.normal(size=60)[patients] + 0.3 * random.normal(size=240)
    table = [
        {"patient": f"P{number:03}", "dose": float(dose), "pressure": float(value)}
        for number, dose, value in zip(patients, random.normal(size=240), level, strict=True)
    ]
    asked = {"problem_type": "regression", "target": "pressure", "rows": table, "trials": 1}

    found = service.wait(service.start(**asked), "finished")["result"]
    assert found["folds_by"] == "groups"
    assert "all rows of one patient are in the same fold" in found["findings"][0]["done"]
    assert found["findings"][0]["option"].startswith("groups=False")
    assert found["interval"][0] < found["score"] < found["interval"][1]

    told = service.wait(service.start(groups=False, **asked), "finished")["result"]
    assert (told["folds_by"], told["findings"], told["questions"]) == ("random", [], [])
    assert told["score"] < found["score"]


def test_runs_of_two_jobs_are_compared(
    service: Service, learnt: dict[str, Any], learnt_from_file: dict[str, Any]
) -> None:
    ids = [job["result"]["mlflow_run_id"] for job in (learnt, learnt_from_file)]
    assert set(ids) <= {run["run_id"] for run in service.get("/tracking/runs")["runs"]}
    status, comparison = service.post("/tracking/compare", {"run_ids": ids})
    assert status == 200
    assert set(comparison["metrics"]["accuracy"]) == set(ids)
    assert set(comparison["best"]) >= {"accuracy", "log_loss"}
    assert "budget_seconds" in comparison["different_parameters"]
    names = [item["name"] for item in service.get("/tracking/experiments")["experiments"]]
    assert load_contract(service.settings.root).dataset in names
    assert service.post("/tracking/compare", {"run_ids": [ids[0], "f" * 32]})[0] == 404


def test_one_job_at_a_time_and_cancel_ends_all_of_it(service: Service) -> None:
    job_id = service.start(
        problem_type="classification", target="sold", rows=rows(), budget_seconds=300
    )
    status, problem = service.post("/models/train", {"budget_seconds": 1})
    assert status == 409
    assert job_id in problem["detail"]
    service.wait(job_id, "running")
    pid = service.pid(job_id)
    status, job = service.post(f"/jobs/{job_id}/cancel")
    assert (status, job["state"]) == (200, "cancelled")
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)
    assert service.get(f"/jobs/{job_id}")["state"] == "cancelled"
    assert service.post(f"/jobs/{job_id}/cancel")[0] == 409


def test_a_killed_job_shows_as_failed_and_makes_room(service: Service) -> None:
    job_id = service.start(
        problem_type="classification", target="sold", rows=rows(), budget_seconds=300
    )
    os.kill(service.pid(job_id), signal.SIGKILL)
    job = service.wait(job_id, "failed", seconds=10)
    assert "was killed" in job["error"]
    following = service.start(
        problem_type="classification", target="sold", rows=rows(), budget_seconds=300
    )
    assert service.post(f"/jobs/{following}/cancel")[0] == 200


def test_a_job_whose_rows_cannot_be_learnt_says_why(service: Service) -> None:
    job_id = service.start(
        problem_type="classification", target="size", rows=rows(40), budget_seconds=1
    )
    job = service.wait(job_id, "failed")
    assert "classes in 40 rows" in job["error"]
    assert job["fix"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"rows": [{"a": 1}], "file": "x.csv", "problem_type": "clustering"}, 422, "wrong"),
        ({"rows": [{"a": 1}], "target": "a"}, 422, "wrong"),
        ({"rows": [{"a": [1]}], "problem_type": "clustering"}, 422, "wrong"),
        ({"problem_type": "regression"}, 422, "classification"),
        ({"budget_seconds": 10_000}, 422, "at most 3600"),
        ({"budget_seconds": -1}, 422, "wrong"),
        ({"experiment_id": "../../etc"}, 422, "wrong"),
        ({"file": "../config/project.yaml", "problem_type": "clustering"}, 422, "no file"),
        ({"file": "/etc/passwd", "problem_type": "clustering"}, 422, "no file"),
        ({"file": "absent.csv", "problem_type": "clustering"}, 422, "there is no file"),
        ({"rows": [{"a": 1}] * 301, "problem_type": "clustering"}, 422, "301 rows"),
        ({"surprise": 1}, 422, "surprise"),
        ({"time_ordered": True}, 422, "wrong"),
        ({"groups": "a", "rows": [{"a": 1}], "problem_type": "clustering"}, 422, "wrong"),
        (
            {
                "groups": "a",
                "time_ordered": True,
                "rows": [{"a": 1, "b": 2}],
                "target": "b",
                "problem_type": "regression",
            },
            422,
            "wrong",
        ),
        ({"latency_ms": 0}, 422, "wrong"),
        (b"{", 400, "not JSON"),
        (b'{"budget_seconds": NaN}', 422, "wrong"),
        (b'{"file": "' + b"x" * 100_000 + b'"}', 413, "larger"),
    ],
)
def test_a_request_that_cannot_be_is_refused(
    service: Service, body: Any, status: int, said: str
) -> None:
    found, problem = service.post("/models/train", body)
    assert (found, said in problem["detail"]) == (status, True), problem


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/experiments/nobody-made-it", 404),
        ("GET", "/experiments/..%2F..%2Fconfig", 404),
        ("GET", "/jobs/" + "0" * 32, 404),
        ("GET", "/jobs/..", 422),
        ("GET", "/models/a.b/metrics", 422),
        ("GET", "/models/x.20260101T000000-00000000/metrics", 404),
        ("GET", "/models/v99/metrics", 404),
    ],
)
def test_what_is_not_there_is_said_plainly(
    service: Service, method: str, path: str, status: int
) -> None:
    found, problem = service.send(method, PREFIX + path)
    assert found == status, problem
    assert problem["status"] == status


def test_every_route_asks_for_the_key(service: Service) -> None:
    paths = [
        ("GET", "/experiments"), ("POST", "/experiments"), ("GET", "/experiments/x"),
        ("POST", "/models/train"), ("GET", "/jobs/" + "0" * 32),
        ("POST", "/jobs/" + "0" * 32 + "/cancel"), ("POST", "/models/predict"),
        ("GET", "/models/v1/metrics"), ("GET", "/tracking/runs"),
        ("GET", "/tracking/experiments"), ("POST", "/tracking/compare"),
    ]  # fmt: skip
    for method, path in paths:
        body: Any = {} if method == "POST" else None
        assert service.send(method, PREFIX + path, body, key="wrong")[0] == 401, path


def test_a_job_is_shown_as_failed_where_nobody_started_it(project: Settings) -> None:
    store = JobStore(project)
    request = JobRequest(problem_type="clustering", experiment_id="x")
    job = store.submit(request)
    pid = int(json.loads((store.folder / job.job_id / "process.json").read_text())["pid"])
    os.killpg(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while (found := JobStore(project).get(job.job_id)).state != "failed":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert found.finished_at is not None


def test_only_the_newest_jobs_are_kept(project: Settings) -> None:
    limits = project.automl.model_copy(update={"kept_jobs": 2})
    store = JobStore(project.model_copy(update={"automl": limits}))
    made = []
    for _ in range(4):
        made.append(store.submit(JobRequest("clustering", "x")).job_id)
        store.cancel(made[-1])
    assert [job.job_id for job in store.jobs()] == made[-2:]
    with pytest.raises(NoJobError):
        store.get(made[0])


def test_a_link_out_of_data_is_no_data_file(project: Settings, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    data = project.root / "data"
    data.mkdir()
    (data / "link.csv").symlink_to(outside)
    (data / "own.csv").write_text("a\n1\n")
    assert data_file(project.root, "data/own.csv") == (data / "own.csv").resolve()
    assert data_file(project.root, "own.csv") == (data / "own.csv").resolve()
    for name in ("link.csv", "../outside.csv", str(outside), "a\0.csv"):
        with pytest.raises(JobError):
            data_file(project.root, name)


def test_without_the_setting_there_are_no_routes(project: Settings) -> None:
    paths = create_app(project).openapi()["paths"]
    assert "/predict" in paths
    assert not [path for path in paths if path.startswith(PREFIX)]
