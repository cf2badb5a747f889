"""What clients are promised: what the contract allows is answered, everything else is explained."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.prediction_log import read_log
from goldpath.serving.schemas import example_features

from ..counts import examples
from .conftest import MakeClient, until
from .examples import (
    PROBLEMS,
    Shelf,
    TestClient,
    contract_of,
    fitted,
    random_rows,
    rows_of,
)

JSON = {"Content-Type": "application/json"}
ROW = example_features(contract_of("binary"))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_documented_examples_get_200(make_client: MakeClient, problem: str) -> None:
    client = make_client(problem)
    schemas = client.get("/openapi.json").json()["components"]["schemas"]

    single = client.post("/predict", json=schemas["PredictRequest"]["examples"][0])
    batch = client.post("/predict/batch", json=schemas["BatchRequest"]["examples"][0])

    assert (single.status_code, batch.status_code) == (200, 200)
    assert single.json()["prediction"] == batch.json()["predictions"][0]["prediction"]


def test_documentation_names_features_as_the_contract_does(make_client: MakeClient) -> None:
    schemas = make_client().get("/openapi.json").json()["components"]["schemas"]

    assert list(schemas["Features"]["properties"]) == contract_of("binary").feature_names


@pytest.mark.parametrize("problem", PROBLEMS)
def test_answer_equals_the_models_own(make_client: MakeClient, problem: str) -> None:
    client = make_client(problem)
    rows = random_rows(contract_of(problem), 20, seed=5)
    expected = fitted(problem).predict(rows)

    batch = client.post("/predict/batch", json={"instances": rows}).json()
    singles = [client.post("/predict", json={"features": row}).json() for row in rows]

    assert [item["prediction"] for item in batch["predictions"]] == expected.values
    assert [item["prediction"] for item in singles] == expected.values
    if expected.probabilities is None:
        assert all(item["probabilities"] is None for item in singles)
    else:
        classes = contract_of(problem).target.classes
        given_back = [[item["probabilities"][name] for name in classes] for item in singles]
        assert given_back == expected.probabilities.tolist()
    assert {item["model_version"] for item in singles} == {"1"}
    assert len({item["prediction_id"] for item in singles + batch["predictions"]}) == 40


@pytest.mark.soak
@pytest.mark.parametrize("problem", PROBLEMS)
def test_any_row_of_the_contract_gets_200(make_client: MakeClient, problem: str) -> None:
    client = make_client(problem)

    @settings(max_examples=examples(20, 60), deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows=st.lists(rows_of(contract_of(problem)), min_size=1, max_size=5))
    def check(rows: list[dict[str, Any]]) -> None:
        answer = client.post("/predict/batch", json={"instances": rows})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["predictions"]) == len(rows)

    check()


def with_value(name: str, value: str) -> str:
    """The example with one value written as this JSON text."""
    return json.dumps({"features": {**ROW, name: "@"}}).replace('"@"', value)


WRONG_VALUES = {
    "NaN": ("class", "NaN"),
    "infinity": ("class", "Infinity"),
    "minus infinity": ("schema", "-Infinity"),
    "1e400": ("schema", "1e400"),
    "400 digits": ("schema", "1" + "0" * 400),
    "NaN for an integer": ("2nd call", "NaN"),
    "1e400 for an integer": ("self", "1e400"),
    "400 digits for an integer": ("self", "1" + "0" * 400),
    "above the maximum": ("class", "1000.1"),
    "below the minimum": ("2nd call", "-1"),
    "fraction for an integer": ("2nd call", "3.5"),
    "text for a number": ("class", '"1"'),
    "text for an integer": ("2nd call", '"3"'),
    "true for a number": ("class", "true"),
    "true for an integer": ("2nd call", "true"),
    "yes for a boolean": ("model_config", '"yes"'),
    "2 for a boolean": ("model_config", "2"),
    "NaN for a boolean": ("model_config", "NaN"),
    "list for a boolean": ("copy", "[1]"),
    "null that must not be": ("class", "null"),
    "unknown category": ("field_0", '"three years"'),
    "number for a category": ("field_0", "1"),
    "lone surrogate": ("field_0", '"\\ud800"'),
    "lone surrogate in free text": ("free text", '"\\ud800"'),
    "long text": ("free text", json.dumps("x" * 201)),
    "object for a number": ("class", '{"a": {"b": 1}}'),
    "deep list for a number": ("class", "[" * 10 + "]" * 10),
}


@pytest.mark.parametrize(("name", "value"), WRONG_VALUES.values(), ids=list(WRONG_VALUES))
def test_wrong_value_is_named_and_not_echoed(served: TestClient, name: str, value: str) -> None:
    answer = served.post("/predict", content=with_value(name, value), headers=JSON)

    assert answer.status_code == 422
    problem = problem_of(answer)
    assert problem["errors"][0]["field"].startswith(f"features.{name}")
    assert problem["errors"][0]["fix"]
    assert "0000000" not in answer.text


WRONG_BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 422),
    "not JSON": (b"hello", 400),
    "cut off": (b'{"features": {', 400),
    "two values": (b"{} {}", 400),
    "not UTF-8": (b'{"features": "\xff"}', 400),
    "UTF-16": ('{"features": {}}'.encode("utf-16"), 400),
    "NUL bytes": (b"\x00" * 100, 400),
    "null": (b"null", 422),
    "a list": (b"[]", 422),
    "a number": (b"3", 422),
    "NaN alone": (b"NaN", 422),
    "empty object": (b"{}", 422),
    "features null": (b'{"features": null}', 422),
    "features list": (b'{"features": []}', 422),
    "no feature": (b'{"features": {}}', 422),
    "unknown name": (json.dumps({"features": {**ROW, "clas": 1}}).encode(), 422),
    "surrogate name": (json.dumps({"features": {**ROW, "\ud800": 1}}).encode(), 422),
    "huge name": (json.dumps({"features": {**ROW, "x" * 100_000: 1}}).encode(), 422),
    "internal name": (json.dumps({"features": {**ROW, "field_1": 1}}).encode(), 422),
    "20000 unknown names": (
        json.dumps({"features": dict.fromkeys(map(str, range(20_000)))}).encode(),
        422,
    ),
    "same name twice": (b'{"features": {}, "features": {}}', 422),
    "same feature twice": (b'{"features": {"class": 1, "class": 2}}', 422),
    "5000 digits": (b'{"features": {"class": ' + b"1" * 5000 + b"}}", 422),
    "deep nesting": (b"[" * 100_000 + b"]" * 100_000, 422),
    "deep nesting, open": (b'{"a":' * 100_000, 422),
    "huge": (b'{"features": "' + b"x" * 5_000_001 + b'"}', 413),
}


@pytest.mark.parametrize(("body", "status"), WRONG_BODIES.values(), ids=list(WRONG_BODIES))
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_hostile_body_is_explained_and_never_500(
    served: TestClient, path: str, body: bytes, status: int
) -> None:
    answer = served.post(path, content=body, headers=JSON)

    assert answer.status_code == status, answer.text
    problem = problem_of(answer)
    assert problem["detail"]
    assert problem["fix"]
    assert len(answer.content) < 20_000


def test_chunked_body_stops_at_the_limit(make_client: MakeClient) -> None:
    client = make_client(maximum_body_bytes=2000)

    answer = client.post("/predict", content=(b"x" * 500 for _ in range(10)), headers=JSON)

    assert answer.status_code == 413


def test_body_that_is_not_declared_as_json_is_refused(make_client: MakeClient) -> None:
    client = make_client()
    body = json.dumps({"features": ROW})

    for declared in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = client.post("/predict", content=body, headers={"Content-Type": declared})
        assert answer.status_code == 415
    declared = "application/json; charset=utf-8"
    assert (
        client.post("/predict", content=body, headers={"Content-Type": declared}).status_code == 200
    )


def test_a_misspelt_feature_is_answered_with_the_right_name(make_client: MakeClient) -> None:
    answer = make_client().post("/predict", json={"features": {**ROW, "clas": 1}})

    assert '"class"' in problem_of(answer)["fix"]


def test_whole_float_is_an_integer_and_missing_nullable_is_null(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client()
    required = {f.name: ROW[f.name] for f in contract_of("binary").features if not f.nullable}

    answer = client.post("/predict", json={"features": {**required, "2nd call": 3.0}})

    assert answer.status_code == 200
    logged = read_log(tmp_path / "logs" / "predictions", 1)[0]["features"]
    assert logged["2nd call"] == 3
    assert logged["schema"] is None


def test_words_for_missing_are_read_as_silver_reads_them(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client()

    for word in (" n/a ", "NULL", ""):
        answer = client.post("/predict", json={"features": {**ROW, "free text": word}})
        assert answer.status_code == 200
        assert read_log(tmp_path / "logs" / "predictions", 1)[0]["features"]["free text"] is None


def test_batch_holds_one_to_the_limit(make_client: MakeClient) -> None:
    client = make_client(maximum_batch_rows=3)

    statuses = [
        client.post("/predict/batch", json={"instances": [ROW] * count}).status_code
        for count in (0, 1, 3, 4)
    ]

    assert statuses == [422, 200, 200, 422]


def test_wrong_instance_of_a_batch_is_named(make_client: MakeClient) -> None:
    rows = [ROW, {**ROW, "class": "1"}]

    answer = make_client().post("/predict/batch", json={"instances": rows})

    assert problem_of(answer)["errors"][0]["field"] == "instances.1.class"


def test_value_that_overflows_inside_the_model_is_refused(make_client: MakeClient) -> None:
    shelf = Shelf()
    shelf.put(fitted("regression", family="linear"))
    client = make_client("regression", shelf)

    answer = client.post("/predict", json={"features": {**ROW, "schema": 1.7e308}})

    assert answer.status_code == 422
    assert "not a finite number" in problem_of(answer)["detail"]


def test_a_crash_is_a_problem_without_its_traceback(make_client: MakeClient) -> None:
    client = make_client()
    lane: FastLane = client.app  # type: ignore[assignment]
    lane.app.state.predictor.current = None  # type: ignore[attr-defined]

    answer = client.post("/predict", json={"features": ROW})

    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert problem_of(answer)["status"] == 500
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_api_key_is_asked_for_before_the_body_is_read(make_client: MakeClient) -> None:
    key = "correct-horse-battery"
    client = make_client(api_key=key)
    body = {"features": ROW}

    assert client.post("/predict", content=b"not JSON").status_code == 401
    assert client.post("/predict", json=body, headers={"X-API-Key": "wrong"}).status_code == 401
    assert client.post("/predict", json=body, headers={b"X-API-Key": b"\xe9"}).status_code == 401
    assert client.post("/predict", json=body, headers={"X-API-Key": key}).status_code == 200
    assert client.post("/predict/batch", json={"instances": [ROW]}).status_code == 401
    assert client.get("/health").status_code == 200
    problem = problem_of(client.post("/predict", json=body))
    assert key not in json.dumps(problem)


def test_errors_of_the_framework_are_problems_too(make_client: MakeClient) -> None:
    client = make_client()

    assert problem_of(client.get("/nowhere"))["status"] == 404
    assert problem_of(client.get("/predict"))["status"] == 405


def test_cold_start_is_healthy_and_says_what_is_missing(
    make_client: MakeClient,
) -> None:
    client = make_client(shelf=Shelf())
    until(lambda: "no champion" in client.get("/ready").text)

    ready = client.get("/ready")
    answer = client.post("/predict", json={"features": ROW})

    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/metrics").status_code == 200
    assert client.get("/openapi.json").status_code == 200
    assert ready.status_code == 503
    assert ready.json()["ready"] is False
    assert ready.json()["fix"] == "make train-local"
    assert answer.status_code == 503
    assert problem_of(answer)["fix"] == "make train-local"


def problem_of(answer: Any) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.content.decode("utf-8"))
    assert problem["status"] == answer.status_code
    return problem
