"""The service decides where the version does: in its lane, past it, alone and in batches."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient as PlainClient

from goldpath.compiled.json_rows import JsonRows
from goldpath.compiled.native import find_compiler
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.request_structs import DecodedBatch
from goldpath.serving.prediction_log import read_log

from .conftest import MakeClient
from .examples import Shelf, TestClient, contract_of, fitted, random_rows

ROWS = random_rows(contract_of("binary"), 40, seed=5)
SCORES = fitted("binary").predict(ROWS).scores
THRESHOLD = float(np.quantile(SCORES, 0.3))
ITEM = ["prediction", "decision", "threshold", "probabilities", "prediction_id"]
EXPECTED = ["yes" if score > THRESHOLD else "no" for score in SCORES]


@pytest.fixture(params=["lane", "app"])
def client(request: pytest.FixtureRequest, make_client: MakeClient) -> Iterator[PlainClient]:
    shelf = Shelf()
    plain = fitted("binary")
    shelf.put(replace(plain, contract=plain.contract.with_threshold(THRESHOLD)))
    fast = make_client("binary", shelf)
    if request.param == "lane":
        yield fast
        return
    lane: FastLane = fast.app  # type: ignore[assignment]
    yield TestClient(lane.app, raise_server_exceptions=False)


def test_a_row_alone_is_decided_at_the_versions_threshold(client: PlainClient) -> None:
    assert fitted("binary").predict(ROWS).values != EXPECTED, "one half would decide otherwise"

    found = [client.post("/predict", json={"features": row}).json() for row in ROWS]

    assert [answer["prediction"] for answer in found] == EXPECTED
    assert [answer["decision"] for answer in found] == EXPECTED
    assert {answer["threshold"] for answer in found} == {THRESHOLD}
    assert client.get("/model").json()["threshold"] == THRESHOLD


@pytest.mark.parametrize("text", ["one", "never seen"], ids=["read in C", "decoded"])
def test_a_batch_is_decided_at_the_versions_threshold(client: PlainClient, text: str) -> None:
    rows = [row | {"free text": text} for row in ROWS]
    scores = fitted("binary").predict(rows).scores
    body = {"instances": rows}

    answer = client.post("/predict/batch", json=body).json()

    expected = ["yes" if score > THRESHOLD else "no" for score in scores]
    for name in ("prediction", "decision"):
        assert [item[name] for item in answer["predictions"]] == expected
    assert {item["threshold"] for item in answer["predictions"]} == {THRESHOLD}
    assert list(answer["predictions"][0]) == ITEM
    if isinstance(client.app, FastLane) and find_compiler() is not None:
        (model,) = client.app._models.values()
        request = client.build_request("POST", "/predict/batch", json=body)
        kind = JsonRows if text == "one" else DecodedBatch
        assert isinstance(model.rows(request.content), kind)


def test_mlflows_protocol_has_the_decisions_beside_its_predictions(client: PlainClient) -> None:
    answer = client.post("/invocations", json={"dataframe_records": ROWS}).json()
    assert answer == {"predictions": EXPECTED, "decisions": EXPECTED, "threshold": THRESHOLD}


def test_the_log_holds_a_decision_once(client: PlainClient, tmp_path: Path) -> None:
    client.post("/predict/batch", json={"instances": ROWS})
    client.post("/predict", json={"features": ROWS[0]})
    lines = list(read_log(tmp_path / "logs/predictions", 100))
    assert [line["prediction"] for line in lines] == [EXPECTED[0], *reversed(EXPECTED)]
    assert not {"decision", "threshold"} & set(lines[0])


def test_the_openapi_document_describes_both_and_requires_neither(client: PlainClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Answer", "BatchItem"):
        assert {"decision", "threshold"} <= set(schemas[name]["properties"])
        assert not {"decision", "threshold"} & set(schemas[name]["required"])
    assert schemas["InvocationAnswer"]["required"] == ["predictions"]


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/invocations"])
def test_without_a_threshold_there_is_neither(make_client: MakeClient, path: str) -> None:
    client = make_client("binary")
    lane: FastLane = client.app  # type: ignore[assignment]
    body = {"features": ROWS[0]} if path == "/predict" else {"instances": ROWS[:2]}
    for each in (client, TestClient(lane.app)):
        assert each.get("/model").json()["threshold"] is None
        answer = each.post(path, json=body).json()
        for item in (answer, *answer.get("predictions", ())):
            assert not {"decision", "decisions", "threshold"} & set(item)
