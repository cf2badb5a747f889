"""The operations routes, over a real registry in the project's own SQLite file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldpath.model_version import ModelVersion
from goldpath.registry.files.documents import document_digests, sign_report
from goldpath.registry.layout import CARD_FILE, REPORT_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.serving.api import create_service
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.operations.live_figures import quantile
from goldpath.serving.operations.routes import code_commit
from goldpath.serving.schemas import example_features
from goldpath.settings import Settings, load_settings
from goldpath.trust.signing import SIGNATURE_FILE, sign_again

from ..ports import free_port
from .conftest import MakeClient, until
from .examples import Shelf, TestClient, contract_of, fitted
from .running_service import project_with_champion
from .test_metrics import DRIFT, write_reports
from .test_traffic import two_models

CONTRACT = contract_of("binary")
ROW = example_features(CONTRACT)
DATA_ROUTES = (
    "/version",
    "/registry/stats",
    "/validation/reports",
    "/validation/reports/champion",
    "/deployment/status",
    "/pipeline/metrics",
    "/model/card",
)
REPORT = {
    "model": CONTRACT.model_name,
    "version": "1",
    "rows": 500,
    "created": "2026-11-20T12:00:00+00:00",
    "overall_status": "passed",
    "verdict": "passed: all 1 checks",
    "errors": [],
    "warnings": [],
    "results": [{"name": "enough test rows", "status": "passed", "message": "500 test rows"}],
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose champion the gate has judged; its run holds a report and a card."""
    root = tmp_path_factory.mktemp("operations")
    project_with_champion(root, family="linear")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        manager = MLflowManager(settings_in(root, patch), CONTRACT)
        version = manager.version("1")
        manager.tag_version(
            "1", {"gate": "passed", "gate_checks": json.dumps({"enough test rows": "pass: 500"})}
        )
        manager.log_text(version.run_id, json.dumps(REPORT), REPORT_FILE)
        manager.log_text(version.run_id, "# small\n\nA model.\n", CARD_FILE)
        sign_documents(manager, version)
    return root


def sign_documents(manager: MLflowManager, version: ModelVersion) -> None:
    """As if the card had been there when the version was registered, and the gate had judged it."""
    documents = document_digests(manager.runs, version.run_id)
    signature = sign_again(
        manager.signature(version), version.name, version.version, manager.settings, documents
    )
    manager.log_text(version.run_id, signature.to_json(), SIGNATURE_FILE)
    assert not sign_report(
        manager.runs, manager.settings, version.run_id, {REPORT_FILE: json.dumps(REPORT)}
    )


def settings_in(root: Path, patch: pytest.MonkeyPatch) -> Settings:
    patch.setenv("MLOPS_ROOT", str(root))
    return load_settings(root)


@pytest.fixture
def client(registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    settings = settings_in(registry, monkeypatch)
    with TestClient(create_service(settings, CONTRACT), raise_server_exceptions=False) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


def problem(client: TestClient, path: str, status: int) -> dict[str, Any]:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    values: dict[str, Any] = answer.json()
    return values


@pytest.mark.slow
def test_version_names_the_code_and_the_model_that_answer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.get("/version").json()

    assert answer["package"] == "goldpath"
    assert (answer["model_name"], answer["model_version"]) == (CONTRACT.model_name, "1")
    assert answer["environment"] == "development"


@pytest.mark.slow
def test_registry_is_counted_by_stage_alias_and_gate(client: TestClient) -> None:
    answer = client.get("/registry/stats").json()

    assert answer["versions"] == 1
    assert answer["by_stage"] == {"Production": 1}
    assert answer["aliases"] == {"champion": "1"}
    assert answer["gate"] == {"passed": 1}
    (newest,) = answer["newest"]
    assert newest["signed_by"]
    assert newest["compiled"].startswith("2000 rows")


@pytest.mark.slow
def test_validation_reports_are_listed_and_found_by_number_and_alias(client: TestClient) -> None:
    listed = client.get("/validation/reports").json()["reports"]
    by_number = client.get("/validation/reports/1").json()

    assert [(each["model_version"], each["verdict"]) for each in listed] == [("1", "passed")]
    assert listed[0]["checks"] == {"enough test rows": "pass: 500"}
    assert by_number["results"][0]["message"] == "500 test rows"
    assert client.get("/validation/reports/champion").json() == by_number
    assert "/registry/stats" in problem(client, "/validation/reports/7", 404)["fix"]
    problem(client, "/validation/reports/%2e%2e%2fx", 404)
    problem(client, "/validation/reports/-x", 422)


@pytest.mark.slow
def test_deployment_status_says_whether_the_expected_version_serves(
    client: TestClient, registry: Path
) -> None:
    (registry / "reports").mkdir(exist_ok=True)
    promotion = {"model_version": "1", "promoted": True, "checks": {"size": "pass"}}
    (registry / "reports" / "promotion.json").write_text(json.dumps(promotion))

    answer = client.get("/deployment/status").json()

    assert (answer["expected_version"], answer["serving_version"]) == ("1", "1")
    assert answer["in_step"]
    assert answer["missing"] == []
    assert answer["loaded_versions"] == ["1"]
    assert (answer["challenger_share"], answer["shadow"]) == (0.0, False)
    assert answer["last_promotion"]["checks"] == {"size": "pass"}
    assert all(move["alias"] for move in answer["moves"])


@pytest.mark.slow
def test_model_card_of_the_version_that_serves_is_markdown(client: TestClient) -> None:
    answer = client.get("/model/card")

    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text == "# small\n\nA model.\n"


@pytest.mark.slow
def test_registry_that_is_away_is_a_problem_that_names_the_fix(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:secret@127.0.0.1:{free_port()}")
    settings = settings_in(registry, monkeypatch)
    with TestClient(create_service(settings, CONTRACT), raise_server_exceptions=False) as client:
        for path in ("/registry/stats", "/validation/reports", "/deployment/status"):
            found = problem(client, path, 503)
            assert "cannot be reached" in found["detail"]
            assert "make mlflow-up" in found["fix"]
            assert "secret" not in json.dumps(found)
        assert client.get("/pipeline/metrics").status_code == 200
        assert client.get("/version").status_code == 200


def test_project_without_a_registry_says_which_command_brings_one(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client()

    found = problem(client, "/registry/stats", 503)

    assert found["fix"] == "make train-local"
    assert not (tmp_path / "mlflow").exists()


def test_pipeline_metrics_count_what_was_asked(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    before = client.get("/pipeline/metrics").json()
    client.post("/predict", json={"features": ROW})
    client.post("/predict/batch", json={"instances": [ROW] * 4})
    client.post("/predict", json={})

    after = client.get("/pipeline/metrics").json()["serving"]

    assert before["training"] is before["drift"] is before["promotion"] is None
    counts = {(each["route"], each["status"]): each["requests"] for each in after["requests"]}
    assert (counts["/predict", 200], counts["/predict/batch", 200]) == (1, 1)
    assert after["validation_errors"] == 1
    assert after["in_flight"] == 1
    (version,) = after["versions"]
    assert (version["model_version"], version["rows"], version["share"]) == ("1", 5, 1.0)
    assert (version["role"], version["wanted_share"]) == ("champion", 1.0)
    latency = {each["route"]: each for each in after["latency"]}["/predict"]
    assert 0 < latency["p50_ms"] <= latency["p99_ms"]
    assert latency["buckets"][-1] == {"at_most_ms": None, "requests": 2}


def test_last_drift_check_and_training_are_shown_and_torn_files_are_not(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client()
    write_reports(tmp_path, drift=DRIFT, training={"metric": "roc_auc", "value": 0.83})
    whole = client.get("/pipeline/metrics").json()
    write_reports(tmp_path, drift='{"verdict": "dri', training={"metric": "roc_auc"})
    torn = client.get("/pipeline/metrics").json()

    assert whole["drift"]["verdict"] == "drift"
    assert [each["name"] for each in whole["drift"]["columns"] if each["drifted"]] == ["class"]
    assert whole["training"]["value"] == 0.83
    assert torn["drift"] is torn["training"] is None


def test_a_challengers_part_of_the_traffic_is_shown(make_client: MakeClient) -> None:
    client = make_client(shelf=two_models(traffic_share="0.25", traffic_shadow="true"))
    until(lambda: len(versions_of(client)) == 2)
    rows = [ROW | {"class": number} for number in range(40)]
    for row in rows:
        client.post("/predict", json={"features": row})

    versions = versions_of(client)
    until(lambda: bool(client.get("/pipeline/metrics").json()["serving"]["shadows"]))

    assert [(each["role"], each["wanted_share"]) for each in versions] == [
        ("champion", 0.75),
        ("challenger", 0.25),
    ]
    assert sum(each["rows"] for each in versions) == len(rows)
    assert all(each["rows"] for each in versions)
    (shadow,) = client.get("/pipeline/metrics").json()["serving"]["shadows"]
    assert shadow["model_version"] == "2"
    assert shadow["mean_difference"] >= 0


def versions_of(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/pipeline/metrics").json()["serving"]["versions"]
    return found


def test_a_model_that_does_not_load_and_a_client_that_asks_too_often_are_counted(
    make_client: MakeClient,
) -> None:
    shelf = Shelf()
    shelf.put(fitted("binary"))
    client = make_client(shelf=shelf)
    shelf.broken.add("2")
    shelf.put(fitted("binary", "2"))
    until(lambda: figures_of(client)["model_load_failures"] == 1)

    assert figures_of(client)["rate_limited"] == 0
    app: Any = client.app
    app.app.add_api_route("/refusing", refuse)
    client.get("/refusing")

    assert figures_of(client)["rate_limited"] == 1
    assert client.get("/ready").status_code == 200


def refuse() -> None:
    raise ProblemError(429, "too many requests", "wait")


def figures_of(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/pipeline/metrics").json()["serving"]
    return found


@pytest.mark.parametrize("path", DATA_ROUTES)
def test_data_of_operations_is_for_those_with_a_key(make_client: MakeClient, path: str) -> None:
    client = make_client(api_key="a-key-of-a-test-run")

    refused = client.get(path)

    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 0.02), (0.75, 0.03), (1.0, 0.1), (0.1, 0.004)]
)
def test_quantiles_are_interpolated_inside_a_bucket(share: float, expected: float) -> None:
    buckets = [(0.01, 1.0), (0.03, 3.0), (0.1, 4.0), (float("inf"), 4.0)]
    assert quantile(share, buckets) == pytest.approx(expected)


def test_quantile_beyond_the_buckets_is_their_end_and_of_nothing_is_none() -> None:
    assert quantile(0.99, [(0.01, 0.0), (float("inf"), 3.0)]) == 0.01
    assert quantile(0.5, [(0.01, 0.0), (float("inf"), 0.0)]) is None


def test_commit_is_read_from_the_build_or_from_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_COMMIT", raising=False)
    loose, packed, detached, none = (tmp_path / name for name in "abcd")
    for root in (loose, packed, detached):
        (root / ".git" / "refs" / "heads").mkdir(parents=True)
        (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (loose / ".git" / "refs" / "heads" / "main").write_text("a" * 40 + "\n")
    (packed / ".git" / "packed-refs").write_text(f"# pack-refs\n{'b' * 40} refs/heads/main\n")
    (detached / ".git" / "HEAD").write_text("c" * 40 + "\n")

    found = [code_commit(root) for root in (loose, packed, detached, none)]
    monkeypatch.setenv("GIT_COMMIT", "d" * 40)
    built = code_commit(tmp_path)

    assert found == ["a" * 40, "b" * 40, "c" * 40, None]
    assert built == "d" * 40
