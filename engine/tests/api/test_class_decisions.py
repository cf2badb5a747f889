"""A version with thresholds of several classes: in the lane, in C, past it, and by MLflow's way."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient as PlainClient

from goldpath.compiled.json_rows import JsonRows
from goldpath.compiled.native import find_compiler
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
    shelf = Shelf()
    shelf.put(replace(fitted("multiclass"), contract=CONTRACT))
    fast = make_client("multiclass", shelf)
    if request.param == "lane":
        yield fast
        return
    lane: FastLane = fast.app  # type: ignore[assignment]
    yield TestClient(lane.app, raise_server_exceptions=False)


def names_of(decided: str) -> list[str]:
    """The fields of an item: a class without a threshold shows none."""
    shown = ["threshold"] if decided in LINES else []
    return ["prediction", "decision", *shown, "probabilities", "prediction_id"]


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
        assert [each.get("threshold") for each in answers] == [LINES.get(each) for each in wanted]
    assert [list(each) for each in together] == [names_of(each) for each in wanted]
    assert [list(each)[:-2] for each in alone] == [names_of(each) for each in wanted]
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
