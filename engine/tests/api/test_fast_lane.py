"""The fast lane accepts, refuses and answers exactly what the app behind it does."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from goldpath.compiled.json_rows import JsonRows
from goldpath.compiled.native import find_compiler
from goldpath.learning.predictions import Predictions
from goldpath.learning.scoring import LoadedModel
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.request_structs import DecodedBatch, RequestDecoder
from goldpath.serving.log.prediction_ids import IDS_A_CALL, ids_of_a_request, prediction_ids
from goldpath.serving.prediction_log import read_log

from ..counts import examples
from .conftest import until
from .examples import (
    PROBLEMS,
    Shelf,
    TestClient,
    client_of,
    contract_of,
    fitted,
    random_rows,
    rows_of,
    settings_of,
)

JSON = {"Content-Type": "application/json"}


class Both:
    """One service, asked through the fast lane and past it."""

    def __init__(self, problem: str, fast: TestClient, slow: TestClient, folder: Path) -> None:
        self.problem, self.fast, self.slow, self.folder = problem, fast, slow, folder
        self.asked = 0
        self.passed_on = 0

    def post(self, path: str, content: bytes) -> tuple[int, Any, Any]:
        """Status and answer, the same from both lanes; and what each logged."""
        self.asked += 1
        first, second = (
            client.post(path, content=content, headers=JSON) for client in (self.fast, self.slow)
        )
        assert first.status_code == second.status_code, (content, first.text, second.text)
        answers = [_without_ids(answer.json()) for answer in (first, second)]
        assert answers[0] == answers[1], content
        assert _contents(first) == _contents(second)
        logged = None
        if first.status_code == 200:
            rows = len(answers[0].get("predictions", [0]))
            newest = read_log(self.folder, 2 * rows)
            logged = [newest[rows:][::-1], newest[:rows][::-1]]
            assert [_facts(line) for line in logged[0]] == [_facts(line) for line in logged[1]]
            ids = {item["prediction_id"] for item in _items(first.json())}
            assert {line["prediction_id"] for line in logged[0]} == ids
        return first.status_code, answers[0], logged


def _contents(answer: Any) -> dict[str, str]:
    # JSON cannot be framed, run scripts or leak a referrer: only the app, with its pages, says so.
    # A request id the lane gives back, and makes none.
    own = ["content-length", "content-security-policy", "referrer-policy", "x-frame-options"]
    own.append("x-request-id")
    return {name: value for name, value in answer.headers.items() if name not in own}


def _items(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return answer.get("predictions") or [answer]


def _without_ids(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {key: _without_ids(each) for key, each in answer.items() if key != "prediction_id"}
    return [_without_ids(each) for each in answer] if isinstance(answer, list) else answer


def _facts(line: dict[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in line.items() if key not in ("prediction_id", "at")}


@pytest.fixture(scope="module", params=PROBLEMS)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as clients:
        made = settings_of(folder, patch)
        fast = clients.enter_context(client_of(made, request.param))
        lane: FastLane = fast.app  # type: ignore[assignment]
        slow = TestClient(lane.app, raise_server_exceptions=False, follow_redirects=False)
        until(lambda: fast.get("/ready").status_code == 200)
        pair = Both(request.param, fast, slow, folder / "logs/predictions")
        app = lane.app

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            pair.passed_on += 1
            await app(scope, receive, send)

        lane.app = counted
        yield pair


def test_usual_requests_are_answered_in_the_fast_lane(both: Both) -> None:
    rows = random_rows(contract_of(both.problem), 12, seed=3)
    for row in rows:
        missing = [name for name, value in row.items() if value is None]
        for left_out in (row, {k: v for k, v in row.items() if k not in missing}):
            before = both.passed_on
            status, answer, _ = both.post(
                "/predict", json.dumps({"features": left_out}, ensure_ascii=False).encode()
            )
            assert (status, both.passed_on) == (200, before)
    before = both.passed_on
    content = json.dumps({"instances": rows}, ensure_ascii=False).encode()
    status, answer, logged = both.post("/predict/batch", content)
    assert (status, both.passed_on) == (200, before)
    expected = fitted(both.problem).predict(rows)
    assert [item["prediction"] for item in answer["predictions"]] == pytest.approx(expected.values)
    assert [line["score"] for line in logged[0]] == pytest.approx(expected.scores, abs=1e-12)


def test_a_batch_that_the_reader_leaves_is_decoded_in_the_lane(both: Both) -> None:
    rows = random_rows(contract_of(both.problem), 3, seed=5)
    unusual = [row | {"free text": "never seen"} for row in rows]
    usual, other = (json.dumps({"instances": each}).encode() for each in (rows, unusual))
    before = both.passed_on

    status, _, _ = both.post("/predict/batch", other)

    assert (status, both.passed_on) == (200, before)
    if find_compiler() is not None:
        lane: FastLane = both.fast.app  # type: ignore[assignment]
        (model,) = lane._models.values()
        assert isinstance(model.rows(usual), JsonRows), "read without Python objects"
        assert isinstance(model.rows(other), DecodedBatch)


def test_large_batches_are_scored_in_a_thread_with_the_same_answer(both: Both) -> None:
    rows = random_rows(contract_of(both.problem), 900, seed=8)
    content = json.dumps({"instances": rows}, ensure_ascii=False).encode()
    before = both.passed_on

    status, answer, _ = both.post("/predict/batch", content)

    assert (status, both.passed_on) == (200, before)
    assert len(answer["predictions"]) == 900


# Values that one reader of JSON or of the contract may take and another refuse.
SPOILERS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.floats(-10, 1010).map(lambda value: round(value, 1)),
    st.integers(-2, 14).map(float),
    st.text(max_size=5),
    st.sampled_from(
        ["month-to-month", "north", " north", "n/a", "NULL", "a:b", "\u00a0x", "x" * 201]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def bodies(draw: st.DrawFn, problem: str) -> bytes:
    contract = contract_of(problem)
    usual = st.sampled_from(random_rows(contract, 20))
    row = dict(draw(st.one_of(usual, usual, usual, rows_of(contract))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        name = draw(st.sampled_from([*contract.feature_names, "unknown", "Features"]))
        row[name] = draw(SPOILERS)
    if draw(st.sampled_from([False] * 4 + [True])):
        row.pop(draw(st.sampled_from(sorted(row))))
    text = json.dumps(row, ensure_ascii=draw(st.sampled_from([False] * 4 + [True])))
    if draw(st.sampled_from([False] * 9 + [True])):  # a key twice, which only some readers notice
        name = draw(st.sampled_from(contract.feature_names))
        text = (
            text[:-1] + f", {json.dumps(name, ensure_ascii=False)}: {json.dumps(draw(SPOILERS))}}}"
        )
    shapes = ["@", '{"features": @, "x": 1}', "[@]", '{"features": [@]}', '{"features": @} x']
    usual_shape = '{"features": @}'
    shape = draw(st.sampled_from([usual_shape] * 15 + shapes + ["\ufeff" + usual_shape]))
    text = shape.replace("@", text)
    if draw(st.sampled_from([False] * 19 + [True])):
        text = text[: draw(st.integers(0, len(text)))]
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.soak
def test_both_lanes_accept_and_refuse_the_same_bodies(both: Both) -> None:
    asked, passed_on = both.asked, both.passed_on

    @settings(
        max_examples=examples(80, 400), deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(content=bodies(both.problem))
    def check(content: bytes) -> None:
        both.post("/predict", content)
        row = content[len(b'{"features": ') : -1]
        both.post("/predict/batch", b'{"instances": [' + row + b"]}")
        both.post("/predict/batch", b'{"instances": [' + row + b", " + row + b"]}")

    check()

    asked, passed_on = both.asked - asked, both.passed_on - passed_on
    assert 0.1 < passed_on / asked < 0.9, "one of the lanes was hardly tried"


def test_a_batch_without_a_row_is_refused(both: Both) -> None:
    assert both.post("/predict/batch", b'{"instances": []}')[0] == 422
    assert both.post("/predict/batch", b'{"instances": [ ]}')[0] == 422


def test_a_body_in_pieces_or_too_large_gets_the_same_answer(both: Both) -> None:
    row = random_rows(contract_of(both.problem), 1)[0]
    content = json.dumps({"features": row}, ensure_ascii=False).encode()
    pieces = [content[:10], content[10:11], b"", content[11:]]

    before = both.passed_on
    whole = both.fast.post("/predict", content=iter(pieces), headers=JSON)
    assert (whole.status_code, both.passed_on) == (200, before)

    limit = 10 * 1024 * 1024
    large = content + b" " * limit
    assert both.fast.post("/predict", content=large, headers=JSON).status_code == 413
    assert both.slow.post("/predict", content=large, headers=JSON).status_code == 413
    assert both.fast.post("/predict", content=iter([large, large]), headers=JSON).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {},
        {**JSON, "Content-Encoding": "gzip"},
        {**JSON, "Origin": "https://elsewhere.example"},
    ],
)
def test_unusual_headers_are_the_apps_business(both: Both, headers: dict[str, str]) -> None:
    row = random_rows(contract_of(both.problem), 1)[0]
    content = json.dumps({"features": row}).encode()
    before = both.passed_on

    fast = both.fast.post("/predict", content=content, headers=headers)
    slow = both.slow.post("/predict", content=content, headers=headers)

    assert both.passed_on == before + 1
    assert fast.status_code == slow.status_code


def test_a_key_is_asked_for_in_the_fast_lane_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a-long-enough-secret-key"
    made = settings_of(tmp_path, monkeypatch, api_key=secret)
    row = random_rows(contract_of("binary"), 1)[0]
    with client_of(made, "binary") as client:
        until(lambda: client.get("/ready").status_code == 200)
        statuses = [
            client.post("/predict", json={"features": row}, headers=headers).status_code
            for headers in ({}, {"X-API-Key": secret[:-1]}, {"X-API-Key": secret})
        ]
    assert statuses == [401, 401, 200]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_model_without_compiled_form_is_served_in_micro_batches(
    problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(compiled=False)
    shelf.put(fitted(problem))
    rows = random_rows(contract_of(problem), 40)
    expected = fitted(problem).predict(rows).values
    sizes: list[int] = []
    original = LoadedModel.predict

    def counting(model: LoadedModel, asked: list[dict[str, Any]]) -> Predictions:
        sizes.append(len(asked))
        return original(model, asked)

    with client_of(settings_of(tmp_path, monkeypatch), problem, shelf) as client:
        until(lambda: client.get("/ready").status_code == 200)
        monkeypatch.setattr(LoadedModel, "predict", counting)
        with ThreadPoolExecutor(20) as pool:
            answers = list(
                pool.map(lambda row: client.post("/predict", json={"features": row}).json(), rows)
            )
        together = client.post("/predict/batch", json={"instances": rows}).json()

    assert [answer["prediction"] for answer in answers] == expected
    assert [item["prediction"] for item in together["predictions"]] == expected
    assert sum(sizes) == 80
    assert len(sizes) < 41, "no two requests shared a batch"


def test_overflow_in_one_request_of_a_batch_is_that_requests_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(compiled=False)
    shelf.put(fitted("regression", family="linear"))
    rows = random_rows(contract_of("regression"), 12)
    rows[5] = {**rows[5], "schema": 1.7e308}
    with client_of(settings_of(tmp_path, monkeypatch), "regression", shelf) as client:
        until(lambda: client.get("/ready").status_code == 200)
        with ThreadPoolExecutor(12) as pool:
            answers = list(
                pool.map(lambda row: client.post("/predict", json={"features": row}), rows)
            )

    assert [answer.status_code for answer in answers] == [200] * 5 + [422] + [200] * 6


def test_a_fault_of_the_fast_lane_costs_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the lane is broken")

    monkeypatch.setattr(RequestDecoder, "single", fail)
    row = random_rows(contract_of("binary"), 1)[0]
    with client_of(settings_of(tmp_path, monkeypatch), "binary") as client:
        until(lambda: client.get("/ready").status_code == 200)
        answer = client.post("/predict", json={"features": row})

    assert answer.status_code == 200
    assert answer.json()["prediction"] == fitted("binary").predict([row]).values[0]
    assert len(read_log(tmp_path / "logs/predictions", 5)) == 1


def test_every_prediction_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows(contract_of("binary"), 5)
    with client_of(settings_of(tmp_path, monkeypatch), "binary") as client:
        until(lambda: client.get("/ready").status_code == 200)
        for row in rows:
            assert client.post("/predict", json={"features": row}).status_code == 200
        client.post("/predict/batch", json={"instances": rows})
        client.post("/predict", json={"features": {}})
        text = client.get("/metrics").text
    counted = [
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("ml_predictions_total{")
    ]
    assert sum(counted) == 10
    assert 'ml_requests_total{method="POST",route="/predict",status="200"} 5.0' in text
    assert 'ml_requests_total{method="POST",route="/predict",status="422"} 1.0' in text
    assert 'ml_request_seconds_count{route="/predict/batch"} 1.0' in text


def test_prediction_ids_are_random_uuids() -> None:
    made = [name for _, name in zip(range(3 * IDS_A_CALL), prediction_ids(), strict=False)]
    made += ids_of_a_request(next(prediction_ids()), 500)
    made += ids_of_a_request("00000000-0000-4000-8000-ffffffffffff", 2)

    assert len(set(made)) == len(made)
    for name in made:
        parsed = uuid.UUID(name)
        assert (str(parsed), parsed.version, parsed.variant) == (name, 4, uuid.RFC_4122)
