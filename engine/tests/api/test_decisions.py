"""The service decides where the version does: in its lane, past it, alone and in batches."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from starlette.testclient import TestClient as PlainClient

from goldpath.compiled.json_rows import JsonRows
from goldpath.compiled.native import find_compiler
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.request_structs import DecodedBatch

from .conftest import MakeClient
from .examples import Shelf, TestClient, contract_of, fitted, random_rows

ROWS = random_rows(contract_of("binary"), 40, seed=5)
SCORES = fitted("binary").predict(ROWS).scores
THRESHOLD = float(np.quantile(SCORES, 0.3))
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
    assert client.get("/model").json()["threshold"] == THRESHOLD


@pytest.mark.parametrize("text", ["one", "never seen"], ids=["read in C", "decoded"])
def test_a_batch_is_decided_at_the_versions_threshold(client: PlainClient, text: str) -> None:
    rows = [row | {"free text": text} for row in ROWS]
    scores = fitted("binary").predict(rows).scores
    body = {"instances": rows}

    answer = client.post("/predict/batch", json=body).json()

    found = [item["prediction"] for item in answer["predictions"]]
    assert found == ["yes" if score > THRESHOLD else "no" for score in scores]
    if isinstance(client.app, FastLane) and find_compiler() is not None:
        (model,) = client.app._models.values()
        request = client.build_request("POST", "/predict/batch", json=body)
        kind = JsonRows if text == "one" else DecodedBatch
        assert isinstance(model.rows(request.content), kind)


def test_without_a_threshold_the_model_says_so(make_client: MakeClient) -> None:
    assert make_client("binary").get("/model").json()["threshold"] is None
