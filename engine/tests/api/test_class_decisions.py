"""A version with thresholds of several classes: in the lane, in C, past it, and by MLflow's way."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient as PlainClient

from goldpath.compiled.json_rows import JsonRows
from goldpath.compiled.native import find_compiler
from goldpath.contract import Contract
from goldpath.learning.decision.threshold import rule_of
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.request_structs import DecodedBatch

from .conftest import MakeClient
from .examples import Shelf, TestClient, contract_of, fitted, random_rows

ROWS = random_rows(contract_of("multiclass"), 40, seed=5)
LINES = {"b": 0.05, "c": 0.06}
CONTRACT = contract_of("multiclass").with_parts(decision_thresholds=LINES)


def expected(rows: list[dict[str, object]]) -> list[str]:
    probabilities = fitted("multiclass").predict(rows).probabilities
    assert probabilities is not None
    return ["abc"[place] for place in rule_of(CONTRACT).labels(probabilities)]


@pytest.fixture(params=["lane", "app"])
def client(request: pytest.FixtureRequest, make_client: MakeClient) -> Iterator[PlainClient]:
    yield from client_of(CONTRACT, request.param, make_client)


@pytest.fixture(params=["lane", "app"])
def without_lines(request: pytest.FixtureRequest, make_client: MakeClient) -> Iterator[PlainClient]:
    """A version whose thresholds were tuned, and none was better than the most probable class."""
    contract = contract_of("multiclass").with_parts(decision_thresholds={})
    yield from client_of(contract, request.param, make_client)


def client_of(contract: Contract, via: str, make_client: MakeClient) -> Iterator[PlainClient]:
    shelf = Shelf()
    shelf.put(replace(fitted("multiclass"), contract=contract))
    fast = make_client("multiclass", shelf)
    if via == "lane":
        yield fast
        return
    lane: FastLane = fast.app  # type: ignore[assignment]
    yield TestClient(lane.app, raise_server_exceptions=False)


NAMES = ["prediction", "decision", "threshold", "probabilities", "prediction_id"]
"""The fields of an item, whatever is decided: the threshold of a class without one is null."""


@pytest.mark.parametrize("text", ["one", "never seen"], ids=["read in C", "decoded"])
def test_rows_are_decided_alike_alone_in_batches_and_by_mlflows_protocol(
    client: PlainClient, text: str
) -> None:
    rows = [row | {"free text": text} for row in ROWS]
    wanted = expected(rows)
    assert set(wanted) == {"a", "b", "c"}
    assert wanted != fitted("multiclass").predict(rows).values
    body = {"instances": rows}

    alone = [client.post("/predict", json={"features": row}).json() for row in rows]
    together = client.post("/predict/batch", json=body).json()["predictions"]
    invoked = client.post("/invocations", json=body).json()

    for answers in (alone, together):
        assert [each["prediction"] for each in answers] == wanted
        assert [each["decision"] for each in answers] == wanted
        assert [each["threshold"] for each in answers] == [LINES.get(each) for each in wanted]
    assert [list(each) for each in together] == [NAMES] * len(wanted)
    assert [list(each)[:-2] for each in alone] == [NAMES] * len(wanted)
    assert invoked == {
        "predictions": wanted,
        "decisions": wanted,
        "thresholds": [LINES.get(each) for each in wanted],
    }
    facts = client.get("/model").json()
    assert (facts["thresholds"], facts["threshold"]) == (LINES, None)
    assert facts["left_to_app"] is None
    if isinstance(client.app, FastLane) and find_compiler() is not None:
        (model,) = client.app._models.values()
        request = client.build_request("POST", "/predict/batch", json=body)
        kind = JsonRows if text == "one" else DecodedBatch
        assert isinstance(model.rows(request.content), kind)


@pytest.mark.parametrize("text", ["one", "never seen"], ids=["read in C", "decoded"])
def test_a_version_that_tuned_and_kept_no_threshold_answers_with_the_same_fields(
    without_lines: PlainClient, text: str
) -> None:
    rows = [row | {"free text": text} for row in ROWS]
    wanted = fitted("multiclass").predict(rows).values
    body = {"instances": rows}

    alone = [without_lines.post("/predict", json={"features": row}).json() for row in rows[:3]]
    together = without_lines.post("/predict/batch", json=body).json()["predictions"]
    invoked = without_lines.post("/invocations", json=body).json()

    assert [list(each) for each in together] == [NAMES] * len(rows)
    assert [list(each)[:-2] for each in alone] == [NAMES] * 3
    assert [(each["decision"], each["threshold"]) for each in together] == [
        (each, None) for each in wanted
    ]
    assert invoked == {
        "predictions": wanted,
        "decisions": wanted,
        "thresholds": [None] * len(rows),
    }
    assert without_lines.get("/model").json()["thresholds"] == {}
