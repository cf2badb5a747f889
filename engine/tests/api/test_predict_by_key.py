"""`/predict` by entity key: the online store's features, and the caller's where they are given."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from goldpath.contract import dump_contract, parse_contract
from goldpath.features.online.open_store import open_online_store
from goldpath.features.online.store import OnlineRow
from goldpath.serving.api import create_app
from goldpath.serving.log.erasure import lines_of
from goldpath.serving.schemas import example_features
from goldpath.settings import load_settings

from .conftest import until
from .examples import Shelf, TestClient, contract_of, fitted, random_rows

KEYED = parse_contract(
    dump_contract(contract_of("binary")) + "entity: person\nevent_time: {column: seen}\n"
)
ROW = random_rows(KEYED, 1, seed=3)[0]
VIEW = "entity_features"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "project.yaml").write_text(dump_contract(KEYED), encoding="utf-8")
    return tmp_path


@pytest.fixture
def client(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("MLOPS_SERVING__REFRESH_SECONDS", "0.05")
    shelf = Shelf()
    shelf.put(fitted("binary"))
    with ExitStack() as stack:
        app = create_app(load_settings(root), KEYED, shelf)
        client = stack.enter_context(TestClient(app, raise_server_exceptions=False))
        until(lambda: client.get("/ready").status_code == 200)
        yield client


def store(root: Path, values: dict[str, Any] = ROW, entity: str = "ann") -> None:
    row = OnlineRow(entity, datetime(2026, 3, 1), values)
    open_online_store(load_settings(root)).write_batch(VIEW, [row])


def test_key_gives_the_answer_that_its_features_give(client: TestClient, root: Path) -> None:
    store(root)

    by_key = client.post("/predict", json={"person": "ann"})
    by_features = client.post("/predict", json={"features": ROW})

    assert by_key.status_code == by_features.status_code == 200
    assert by_key.json()["probabilities"] == by_features.json()["probabilities"]
    assert by_key.json()["prediction"] == by_features.json()["prediction"]


def test_the_log_names_the_entity_so_that_its_lines_can_be_found(
    client: TestClient, root: Path
) -> None:
    store(root)
    client.post("/predict", json={"person": "ann"})
    client.post("/predict", json={"features": ROW})

    logged = lines_of(load_settings(root).root / "logs" / "predictions", "ann")
    assert [line["entity"] for line in logged] == ["ann"]


def test_number_is_a_key_too(client: TestClient, root: Path) -> None:
    store(root, entity="17")

    assert client.post("/predict", json={"person": 17}).status_code == 200


def test_given_features_win_over_stored_ones(client: TestClient, root: Path) -> None:
    store(root)
    better = {"2nd call": (ROW["2nd call"] + 1) % 12}

    by_key = client.post("/predict", json={"person": "ann", "features": better}).json()
    by_features = client.post("/predict", json={"features": {**ROW, **better}}).json()

    assert by_key["probabilities"] == by_features["probabilities"]


def test_unknown_key_is_404_and_named(client: TestClient, root: Path) -> None:
    store(root)

    answer = client.post("/predict", json={"person": "bob"})

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert 'no person "bob"' in answer.json()["detail"]
    assert "make materialize" in answer.json()["fix"]


def test_what_is_missing_beside_an_unknown_key_is_named(client: TestClient, root: Path) -> None:
    store(root)
    sent = {name: value for name, value in ROW.items() if name != "2nd call"}

    answer = client.post("/predict", json={"person": "bob", "features": sent})

    assert answer.status_code == 404
    assert 'no person "bob"' in answer.json()["detail"]
    assert "lack 2nd call" in answer.json()["detail"]
    assert answer.json()["fix"] == "send these as well, or make materialize"


def test_without_an_online_store_the_fix_is_named(client: TestClient) -> None:
    answer = client.post("/predict", json={"person": "ann"})

    assert answer.status_code == 503
    assert answer.json()["fix"] == "make materialize"
    assert client.post("/predict", json={"features": ROW}).status_code == 200


def test_store_that_is_filled_later_is_seen_without_a_restart(
    client: TestClient, root: Path
) -> None:
    assert client.post("/predict", json={"person": "ann"}).status_code == 503

    store(root)

    assert client.post("/predict", json={"person": "ann"}).status_code == 200


def test_stored_row_that_breaks_the_contract_is_409(client: TestClient, root: Path) -> None:
    store(root, {**ROW, "class": 10_000.0})

    answer = client.post("/predict", json={"person": "ann"})

    assert answer.status_code == 409
    assert "class" in answer.json()["detail"]
    better = client.post("/predict", json={"person": "ann", "features": {"class": 3.5}})
    assert better.status_code == 200


def test_features_past_their_ttl_are_not_predicted_from(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "config" / "features.yaml").write_text(
        f"views:\n  - name: {VIEW}\n    ttl: 1d\n", encoding="utf-8"
    )
    monkeypatch.setenv("MLOPS_SERVING__REFRESH_SECONDS", "0.05")
    shelf = Shelf()
    shelf.put(fitted("binary"))
    store(root)
    with TestClient(create_app(load_settings(root), KEYED, shelf)) as client:
        until(lambda: client.get("/ready").status_code == 200)
        answer = client.post("/predict", json={"person": "ann"})

    assert answer.status_code == 409
    assert "older than their ttl" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"person": ""}, "person"),
        ({"person": None}, "person"),
        ({"person": True}, "person"),
        ({"person": 1.5}, "person"),
        ({"person": "x" * 201}, "person"),
        ({"person": "\ud800"}, "person"),
        ({"person": "ann", "features": {"class": None}}, "features.class"),
        ({"person": "ann", "features": {"2nd call": -1}}, "features.2nd call"),
        ({"person": "ann", "features": {"clas": 1.0}}, "features.clas"),
        ({"person": "ann", "other": 1}, "other"),
        ({"features": {**ROW, "class": "1"}}, "features.class"),
        ({"features": {}}, "features.class"),
        ({}, "features"),
        ([], "body"),
    ],
)
def test_wrong_body_is_named_as_without_keys(
    client: TestClient, root: Path, body: Any, field: str
) -> None:
    store(root)

    # httpx's own encoder cannot write a lone surrogate.
    json_header = {"Content-Type": "application/json"}
    answer = client.post("/predict", content=json.dumps(body), headers=json_header)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert answer.json()["errors"][0]["fix"]


def test_documentation_shows_both_forms(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]

    forms = [form["$ref"].rpartition("/")[2] for form in body["schema"]["oneOf"]]

    assert forms == ["PredictRequest", "PredictByKeyRequest"]
    schemas = document["components"]["schemas"]
    assert schemas["PredictRequest"]["examples"] == [{"features": example_features(KEYED)}]
    assert schemas["PredictByKeyRequest"]["required"] == ["person"]
    assert {"404", "409"} <= set(document["paths"]["/predict"]["post"]["responses"])


def test_contract_without_an_entity_documents_features_only(served: TestClient) -> None:
    document = served.get("/openapi.json").json()
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]

    assert body["schema"]["$ref"].endswith("PredictRequest")


def test_serving_image_needs_no_lake_and_no_client_of_another_store(root: Path) -> None:
    heavy = ["boto3", "duckdb", "ibis", "pyarrow", "pyiceberg", "redis"]
    code = (
        "import sys\n"
        "from goldpath.features import online, serving, views\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (answer.stdout.strip(), answer.stderr) == ("[]", "")
