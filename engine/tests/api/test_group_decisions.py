"""The service decides by a row's group where the version does: in its lane, in C, and past it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient as PlainClient

from goldpath.compiled.json_rows import JsonRows
from goldpath.compiled.native import find_compiler
from goldpath.contract import GroupThresholds
from goldpath.project import Project
from goldpath.serving.answers.own_fields import Prediction
from goldpath.serving.lane.batch_rows import tells_groups
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.request_structs import DecodedBatch
from goldpath.serving.scorer import Scorer

from .conftest import MakeClient, until
from .examples import (
    Shelf,
    TestClient,
    client_of,
    contract_of,
    fitted,
    random_rows,
    settings_of,
)

CONTRACT = contract_of("binary")
ROWS = random_rows(CONTRACT, 60, seed=5)
SCORES = fitted("binary").predict(ROWS).scores
LOW, COMMON, HIGH = (float(each) for each in np.quantile(SCORES, [0.25, 0.5, 0.75]))
GROUPS = {
    "category": GroupThresholds(
        "país.über", "demographic_parity", 0.02, {"south": LOW, "north": HIGH}, {}
    ),
    "boolean": GroupThresholds("copy", "equal_opportunity", 0.02, {"true": LOW, "false": HIGH}, {}),
    "one group": GroupThresholds("país.über", "demographic_parity", 0.02, {"south": LOW}, {}),
    "alike": GroupThresholds("copy", "equal_opportunity", 0.02, {}, {}, (0.01, 0.01)),
}


def wanted(groups: GroupThresholds, rows: list[dict[str, Any]]) -> list[float]:
    names = [
        {True: "true", False: "false"}.get(row[groups.column], row[groups.column]) for row in rows
    ]
    return [groups.thresholds.get(str(name), COMMON) for name in names]


def decisions(scores: list[float], lines: list[float]) -> list[str]:
    return ["yes" if score > line else "no" for score, line in zip(scores, lines, strict=True)]


@pytest.fixture(params=GROUPS)
def groups(request: pytest.FixtureRequest) -> GroupThresholds:
    return GROUPS[request.param]


@pytest.fixture(params=["lane", "app"])
def client(
    request: pytest.FixtureRequest, make_client: MakeClient, groups: GroupThresholds
) -> Iterator[PlainClient]:
    shelf, plain = Shelf(), fitted("binary")
    contract = plain.contract.with_parts(decision_threshold=COMMON, decision_groups=groups)
    shelf.put(replace(plain, contract=contract))
    fast = make_client("binary", shelf)
    if request.param == "lane":
        yield fast
        return
    lane: FastLane = fast.app  # type: ignore[assignment]
    yield TestClient(lane.app, raise_server_exceptions=False)


def test_a_row_alone_is_decided_at_the_threshold_of_its_group(
    client: PlainClient, groups: GroupThresholds
) -> None:
    lines = wanted(groups, ROWS)

    found = [client.post("/predict", json={"features": row}).json() for row in ROWS]

    expected = decisions(SCORES, lines)
    assert [answer["prediction"] for answer in found] == expected
    assert [answer["decision"] for answer in found] == expected
    assert [answer["threshold"] for answer in found] == lines
    facts = client.get("/model").json()
    assert (facts["threshold"], facts["left_to_app"]) == (COMMON, None)
    assert facts["groups"]["column"] == groups.column
    assert facts["groups"]["thresholds"] == groups.thresholds


@pytest.mark.parametrize("text", ["one", "never seen"], ids=["read in C", "decoded"])
def test_a_batch_is_decided_row_by_row_at_the_threshold_of_its_group(
    client: PlainClient, groups: GroupThresholds, text: str
) -> None:
    rows = [row | {"free text": text} for row in ROWS]
    lines = wanted(groups, rows)
    body = {"instances": rows}

    answer = client.post("/predict/batch", json=body).json()

    expected = decisions(fitted("binary").predict(rows).scores, lines)
    for name in ("prediction", "decision"):
        assert [item[name] for item in answer["predictions"]] == expected
    assert [item["threshold"] for item in answer["predictions"]] == lines
    if isinstance(client.app, FastLane) and find_compiler() is not None:
        (model,) = client.app._models.values()
        request = client.build_request("POST", "/predict/batch", json=body)
        kind = JsonRows if text == "one" else DecodedBatch
        assert isinstance(model.rows(request.content), kind)


def test_mlflows_protocol_has_the_threshold_of_each_row(
    client: PlainClient, groups: GroupThresholds
) -> None:
    answer = client.post("/invocations", json={"dataframe_records": ROWS}).json()
    lines = wanted(groups, ROWS)
    expected = decisions(SCORES, lines)
    assert answer == {"predictions": expected, "decisions": expected, "thresholds": lines}


def test_a_pipeline_that_is_not_compiled_decides_alike(make_client: MakeClient) -> None:
    shelf, plain, groups = Shelf(compiled=False), fitted("binary"), GROUPS["boolean"]
    contract = plain.contract.with_parts(decision_threshold=COMMON, decision_groups=groups)
    shelf.put(replace(plain, contract=contract))
    client, rows, lines = make_client("binary", shelf), ROWS[:12], wanted(groups, ROWS[:12])

    alone = [client.post("/predict", json={"features": row}).json() for row in rows]
    batch = client.post("/predict/batch", json={"instances": rows}).json()["predictions"]

    for items in (alone, batch):
        found = [(item["decision"], item["threshold"]) for item in items]
        assert found == list(zip(decisions(SCORES[:12], lines), lines, strict=True))
    assert client.get("/model").json()["engine"] == "pipeline"


def test_thresholds_that_differ_are_shown_each_though_another_version_serves_by_now(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, plain = Shelf(), fitted("binary")
    by_group = {"decision_threshold": COMMON, "decision_groups": GROUPS["category"]}
    shelf.put(replace(plain, contract=plain.contract.with_parts(**by_group)))
    client = make_client("binary", shelf)
    monkeypatch.setattr(Scorer, "has_groups", lambda *_: False)

    answer = client.post("/invocations", json={"dataframe_records": ROWS}).json()

    assert answer["thresholds"] == wanted(GROUPS["category"], ROWS)


def test_a_group_that_codes_do_not_tell_is_left_to_the_decoder() -> None:
    strange = replace(GROUPS["one group"], thresholds={"west": 0.3})
    shelf, contract = Shelf(), CONTRACT.with_parts(decision_threshold=0.5, decision_groups=strange)
    shelf.put(replace(fitted("binary"), contract=contract))
    form = shelf.load_for_serving(fitted("binary").version).form  # type: ignore[arg-type, union-attr]
    assert not tells_groups(contract, form)
    for known in GROUPS.values():
        assert tells_groups(contract.with_parts(decision_groups=known), form)


def test_the_projects_own_fields_see_the_threshold_of_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(row: Any, prediction: Prediction) -> float | None:
        return prediction.threshold

    settings = settings_of(tmp_path, monkeypatch)
    settings._project = Project(name="shop", answer_fields=lambda: [line])
    shelf, plain, groups = Shelf(), fitted("binary"), GROUPS["category"]
    contract = plain.contract.with_parts(decision_threshold=COMMON, decision_groups=groups)
    shelf.put(replace(plain, contract=contract))
    rows, lines = ROWS[:12], wanted(groups, ROWS[:12])
    with client_of(settings, "binary", shelf) as client:
        until(lambda: client.get("/ready").status_code == 200)
        lane: FastLane = client.app  # type: ignore[assignment]
        for each in (client, TestClient(lane.app)):
            alone = [each.post("/predict", json={"features": row}).json() for row in rows]
            batch = each.post("/predict/batch", json={"instances": rows}).json()["predictions"]
            for items in (alone, batch):
                assert [item["line"] for item in items] == lines
                assert [item["threshold"] for item in items] == lines
