"""A version's interval, and its open decisions, are the same wherever it answers."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from starlette.testclient import TestClient as PlainClient

from goldpath import Prediction as AnswerPrediction
from goldpath import Project, Row
from goldpath.client import Prediction
from goldpath.compiled.json_rows import JsonRows
from goldpath.compiled.native import find_compiler
from goldpath.contract import Contract, PredictionInterval
from goldpath.jobs.batch.file_scorer import BatchScorer
from goldpath.learning.scoring import LoadedModel
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.request_structs import DecodedBatch

from .conftest import MakeClient, until
from .examples import Shelf, TestClient, client_of, contract_of, fitted, random_rows, settings_of

VALUES = np.array(fitted("regression").predict(random_rows(contract_of("regression"), 40)).values)
INTERVAL = PredictionInterval(0.9, float(np.quantile(VALUES, 0.3)), 0.0)
SCORES = np.unique(fitted("binary").predict(random_rows(contract_of("binary"), 40)).scores)
LOW, THRESHOLD, HIGH = (float(SCORES[len(SCORES) * third // 6]) for third in (2, 3, 4))
FIELDS = {"regression": ["lower", "upper", "interval"], "binary": ["decision", "threshold"]}


def decided(problem: str) -> LoadedModel:
    plain = fitted(problem)
    contract = (
        plain.contract.with_interval(INTERVAL)
        if problem == "regression"
        else plain.contract.with_threshold(THRESHOLD, (LOW, HIGH))
    )
    return replace(plain, contract=contract)


def expected(problem: str, rows: list[dict[str, Any]]) -> list[list[Any]]:
    """The fields of each row, said once more."""
    found = fitted(problem).predict(rows)
    if problem == "regression":
        half = INTERVAL.half_width
        return [[max(0.0, each - half), max(0.0, each + half), 0.9] for each in found.scores]
    return [
        ["unsure" if LOW <= p <= HIGH else "yes" if p > THRESHOLD else "no", THRESHOLD]
        for p in found.scores
    ]


@pytest.fixture(params=["regression", "binary"])
def problem(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["lane", "app"])
def client(
    request: pytest.FixtureRequest, make_client: MakeClient, problem: str
) -> Iterator[PlainClient]:
    shelf = Shelf()
    shelf.put(decided(problem))
    fast = make_client(problem, shelf)
    if request.param == "lane":
        yield fast
        return
    lane: FastLane = fast.app  # type: ignore[assignment]
    yield TestClient(lane.app, raise_server_exceptions=False)


@pytest.mark.parametrize("text", ["one", "never seen"], ids=["read in C", "decoded"])
def test_service_and_batch_answer_alike(client: PlainClient, problem: str, text: str) -> None:
    rows = [row | {"free text": text} for row in random_rows(contract_of(problem), 40)]
    wanted, names = expected(problem, rows), FIELDS[problem]
    assert len({tuple(each[:1]) for each in wanted}) > 2, "some are cut off, or each decision"
    body = {"instances": rows}

    alone = [client.post("/predict", json={"features": row}).json() for row in rows]
    together = client.post("/predict/batch", json=body).json()["predictions"]
    mlflow = client.post("/invocations", json=body).json()
    scored, _ = BatchScorer(decided(problem), contract_of(problem), "1").score(_table(rows), 0)

    for found in (alone, together):
        assert [[each[name] for name in names] for each in found] == wanted
        assert list(found[0])[: len(names) + 1] == ["prediction", *names]
    columns = dict(zip(names, zip(*wanted, strict=True), strict=True))
    for name in names[:2]:
        assert scored.column(name).to_pylist() == list(columns[name])
    if problem == "regression":
        assert mlflow == {
            "predictions": [each["prediction"] for each in alone],
            "lower": list(columns["lower"]),
            "upper": list(columns["upper"]),
            "interval": 0.9,
        }
        assert "interval" not in scored.schema.names
        assert scored.schema.metadata[b"interval"] == b"0.9"
    else:
        assert mlflow["decisions"] == list(columns["decision"])
    if isinstance(client.app, FastLane) and find_compiler() is not None:
        (model,) = client.app._models.values()
        request = client.build_request("POST", "/predict/batch", json=body)
        kind = JsonRows if text == "one" else DecodedBatch
        assert isinstance(model.rows(request.content), kind)


def test_an_answer_field_and_the_client_see_them(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    def seen(row: Row, prediction: AnswerPrediction) -> str:
        return str([getattr(prediction, name) for name in FIELDS[problem]])

    row = random_rows(contract_of(problem), 1)[0]
    settings, shelf = settings_of(tmp_path, monkeypatch), Shelf()
    settings._project = Project(name="shop", answer_fields=lambda: [seen])
    shelf.put(decided(problem))
    with client_of(settings, problem, shelf) as fast:
        until(lambda: fast.get("/ready").status_code == 200)
        lane: FastLane = fast.app  # type: ignore[assignment]
        for each in (fast, TestClient(lane.app)):
            answer = each.post("/predict", json={"features": row}).json()
            shown = [answer[name] for name in FIELDS[problem]]
            assert answer["seen"] == str(shown)
            read = Prediction.read(answer, answer)
            assert [getattr(read, name) for name in FIELDS[problem]] == shown


def test_the_model_says_how_it_decides(make_client: MakeClient, problem: str) -> None:
    shelf = Shelf()
    shelf.put(decided(problem))
    found = make_client(problem, shelf).get("/model").json()
    plain = make_client(problem).get("/model").json()

    if problem == "regression":
        assert found["interval"] == {
            "level": 0.9,
            "half_width": INTERVAL.half_width,
            "minimum": 0.0,
            "errors": None,
        }
    else:
        assert found["unsure"] == [LOW, HIGH]
    assert (plain["interval"], plain["unsure"]) == (None, None)


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/invocations"])
def test_without_an_interval_or_a_band_an_answer_has_neither(
    make_client: MakeClient, problem: str, path: str
) -> None:
    rows = random_rows(contract_of(problem), 2)
    body = {"features": rows[0]} if path == "/predict" else {"instances": rows}
    client = make_client(problem)
    lane: FastLane = client.app  # type: ignore[assignment]
    for each in (client, TestClient(lane.app)):
        answer = each.post(path, json=body).json()
        for item in (answer, *answer.get("predictions", ())):
            if isinstance(item, dict):
                assert not {"decision", "lower", "upper", "interval"} & set(item)


def _table(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    contract: Contract = contract_of("binary")  # both have the same features
    kinds = {"boolean": pa.bool_(), "category": pa.string(), "integer": pa.int64()}
    schema = pa.schema([(f.name, kinds.get(f.type, pa.float64())) for f in contract.features])
    return pa.Table.from_pylist(rows, schema).combine_chunks().to_batches()[0]
