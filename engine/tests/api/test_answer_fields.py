"""Fields of a project's own in each answer: in the lane, in the app, and where they fail."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient as PlainClient

from goldpath import Prediction, Project, Row, Service
from goldpath.contract import load_contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.answer_fields import require_answers
from goldpath.serving.answers.models import BatchItem, answer_models
from goldpath.serving.answers.own_fields import (
    AnswerField,
    AnswerFieldError,
    answer_fields,
    row_of,
)
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.request_structs import DecodedBatch
from goldpath.serving.prediction_log import read_log

from ..conftest import make_project
from . import window_service
from .conftest import until
from .examples import Shelf, TestClient, client_of, contract_of, fitted, random_rows, settings_of

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
ROWS = random_rows(contract_of("binary"), 30, seed=4)


def segment(row: Row, prediction: Prediction) -> Literal["call", "mail", "none"]:
    """What to do about the customer."""
    if prediction.score > 0.6:
        return "call"
    return "mail" if row["2nd call"] else "none"


@dataclass(frozen=True)
class Offer:
    code: str
    discount: float


def offer(row: Row, prediction: Prediction) -> Offer | None:
    if prediction.value == "no":
        return None
    return Offer(f"V{prediction.model_version}", round(prediction.probabilities["yes"], 3))


def picky(row: Row, prediction: Prediction) -> str:
    if prediction.score > 0.5:
        raise KeyError("a secret of the row")
    return "fine"


@contextmanager
def service(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *functions: Callable[..., Any],
    problem: str = "binary",
    threshold: float | None = None,
) -> Iterator[TestClient]:
    settings = settings_of(tmp_path, monkeypatch)
    settings._project = Project(name="shop", answer_fields=lambda: functions)
    shelf, model = Shelf(), fitted(problem)
    if threshold is not None:
        model = replace(model, contract=model.contract.with_threshold(threshold))
    shelf.put(model)
    with client_of(settings, problem, shelf) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


def app_of(client: PlainClient) -> TestClient:
    lane: FastLane = client.app  # type: ignore[assignment]
    return TestClient(lane.app, raise_server_exceptions=False)


def expected_of(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    score = answer["probabilities"]["yes"]
    called = "call" if score > 0.6 else "mail" if row["2nd call"] else "none"
    offered = {"code": "V1", "discount": round(score, 3)} if answer["prediction"] == "yes" else None
    return {"segment": called, "offer": offered}


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_lane_and_app_answer_alike_one_by_one_in_batches_and_by_mlflows_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threshold: float | None
) -> None:
    with service(tmp_path, monkeypatch, segment, offer, threshold=threshold) as client:
        app = app_of(client)
        body = {"instances": ROWS}
        many = [each.post("/predict/batch", json=body).json() for each in (client, app)]
        for place, row in enumerate(ROWS):
            lane, ours = (
                each.post("/predict", json={"features": row}).json() for each in (client, app)
            )
            wanted = expected_of(row, lane)
            assert list(lane) == list(ours)
            assert list(lane)[-2:] == ["segment", "offer"]
            for answer in (lane, ours, *(each["predictions"][place] for each in many)):
                assert {name: answer[name] for name in wanted} == wanted
        assert [list(each["predictions"][0]) for each in many[:1]] == [
            list(many[1]["predictions"][0])
        ]
        invoked = client.post("/invocations", json=body).json()
        for name in ("segment", "offer"):
            assert invoked[name] == [item[name] for item in many[0]["predictions"]]
        assert ("decisions" in invoked) is (threshold is not None)
        lines = list(read_log(tmp_path / "logs/predictions", 1000))
        assert not {"segment", "offer"} & set(lines[0])
        (model,) = client.app._models.values()  # type: ignore[attr-defined]
        request = client.build_request("POST", "/predict/batch", json=body)
        assert isinstance(model.rows(request.content), DecodedBatch), "the lane takes batches, too"


def test_the_openapi_document_and_model_describe_the_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service(tmp_path, monkeypatch, segment, offer) as client:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
        facts = client.get("/model").json()["answer_fields"]
    for name in ("Answer", "BatchItem"):
        assert schemas[name]["properties"]["segment"]["enum"] == ["call", "mail", "none"]
        assert {"segment", "offer"} <= set(schemas[name]["required"])
    assert schemas["BatchAnswer"]["properties"]["predictions"]["items"]["$ref"].endswith(
        "BatchItem"
    )
    assert schemas["InvocationAnswer"]["properties"]["segment"]["type"] == "array"
    assert facts["segment"] == "What to do about the customer."


def test_a_regression_has_fields_of_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def doubled(row: Row, prediction: Prediction) -> float:
        return 2 * float(prediction.value)

    rows = random_rows(contract_of("regression"), 3, seed=1)
    with service(tmp_path, monkeypatch, doubled, problem="regression") as client:
        for each in (client, app_of(client)):
            answer = each.post("/predict/batch", json={"instances": rows}).json()
            for item in answer["predictions"]:
                assert item["doubled"] == 2 * item["prediction"]


@pytest.mark.parametrize("via", ["lane", "app"])
def test_a_field_that_raises_is_a_problem_that_names_it_and_the_prediction_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, via: str
) -> None:
    scores = fitted("binary").predict(ROWS).scores
    bad = next(row for row, score in zip(ROWS, scores, strict=True) if score > 0.5)
    good = next(row for row, score in zip(ROWS, scores, strict=True) if score <= 0.5)
    log = tmp_path / "logs/predictions"
    with service(tmp_path, monkeypatch, picky) as client:
        asked = client if via == "lane" else app_of(client)
        assert asked.post("/predict", json={"features": good}).json()["picky"] == "fine"
        answer = asked.post("/predict", json={"features": bad})
        lines = list(read_log(log, 10))
        assert answer.status_code == 500
        problem = answer.json()
        assert "the answer field picky of row 0 failed: KeyError in line" in problem["detail"]
        assert lines[0]["prediction_id"] in problem["detail"]
        assert "secret" not in answer.text
        assert problem["fix"]
        assert len(lines) == 2

        batch = asked.post("/predict/batch", json={"instances": [good, bad]})
        assert batch.status_code == 500
        assert "the answer field picky of row 1" in batch.json()["detail"]
        assert len(list(read_log(log, 10))) == 4


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (3, str, "returned a int, not what its type says"),
        (float("nan"), float, "returned nan"),
        ("other", Literal["call", "mail"], "returned a str"),
        (None, str, "returned a NoneType"),
    ],
)
def test_what_a_field_returns_is_held_against_its_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, kind: Any, said: str
) -> None:
    def odd(row: Any, prediction: Any) -> Any:
        return value

    odd.__annotations__["return"] = kind
    with service(tmp_path, monkeypatch, odd) as client:
        answer = client.post("/predict", json={"features": ROWS[0]})
    assert answer.status_code == 500
    assert f"the answer field odd of row 0 {said}" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        ([0.1, float("nan")], list[float], "returned nan, which JSON has no number for"),
        (Offer("V1", float("inf")), Offer, "returned inf, which JSON has no number for"),
        (2**63, int, "returned an integer of more than 64 bits"),
        ({"points": [2**70]}, dict[str, list[int]], "returned an integer of more than 64 bits"),
    ],
)
def test_numbers_that_readers_do_not_have_are_refused_at_any_depth(
    value: Any, kind: Any, said: str
) -> None:
    field = AnswerField("odd", lambda row, prediction: value, kind)
    with pytest.raises(AnswerFieldError, match=f"the answer field odd {said}"):
        field.value(row_of({}), Prediction("yes", 0.7, {}))


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), True, 0.1])
def test_the_largest_and_the_smallest_integer_are_fine(value: Any) -> None:
    field = AnswerField("odd", lambda row, prediction: value, type(value))
    assert field.value(row_of({}), Prediction("yes", 0.7, {})) is value


def test_what_predict_gives_a_route_shows_no_threshold_that_there_is_not() -> None:
    given: dict[str, Any] = {"prediction": "yes", "probabilities": None, "prediction_id": "p-1"}
    item = answer_models(answer_fields([segment])).item

    @(app := FastAPI()).post("/own")
    def own() -> BatchItem:
        return BatchItem(**given)

    assert PlainClient(app).post("/own").json() == given
    assert BatchItem(**given).threshold is None
    assert item(**given, segment="mail").model_dump() == given | {"segment": "mail"}
    decided = given | {"decision": "yes", "threshold": 0.0}
    assert BatchItem(**decided).model_dump() == decided


# --- refused by check ---


def without_type(row: Row, prediction: Prediction):  # type: ignore[no-untyped-def]
    return "x"


def of_anything(row: Row, prediction: Prediction) -> Any:
    return "x"


class Plain:
    """A class that JSON does not know."""


def of_no_schema(row: Row, prediction: Prediction) -> Plain:
    return Plain()


def one_argument(row: Row) -> str:
    return "x"


async def later(row: Row, prediction: Prediction) -> str:
    return "x"


def decision(row: Row, prediction: Prediction) -> str:
    return "x"


def of_unknown(row: Row, prediction: Prediction) -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821
    return "x"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (without_type, "has no return type"),
        (of_anything, "says nothing about the field"),
        (of_no_schema, "has no JSON schema"),
        (of_unknown, "the return type 'Nowhere' is unknown"),
        (one_argument, "takes a row and its prediction, and this one takes row"),
        (later, "is no plain function"),
        (decision, "an answer has a field 'decision' already"),
    ],
)
def test_a_field_that_cannot_be_is_refused_with_file_line_and_fix(
    function: Callable[..., Any], said: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=re.escape(said)) as caught:
        answer_fields([function])
    assert re.search(rf"test_answer_fields\.py:\d+: {function.__name__}", caught.value.message)
    assert caught.value.fix


@pytest.mark.parametrize(
    "name", ["_segment", "model_dump", "copy", "event_time", "row_id", "fields", "model_version"]
)
def test_names_that_would_break_later_are_refused(name: str) -> None:
    def named(row: Row, prediction: Prediction) -> str:
        return "x"

    named.__name__ = name
    with pytest.raises(ProjectDefinitionError, match=name) as caught:
        answer_fields([named])
    assert "test_answer_fields.py:" in caught.value.message


def test_check_refuses_the_name_of_a_computed_feature_and_makes_the_answers() -> None:
    def paid_total_30d(row: Row, prediction: Prediction) -> str:
        return "x"

    fields = answer_fields([paid_total_30d])
    require_answers(fields, window_service.CONTRACT)
    with pytest.raises(ProjectDefinitionError, match="'paid_total_30d', which is a feature"):
        require_answers(fields, window_service.CONTRACT, window_service.learned())
    with pytest.raises(ProjectDefinitionError, match="no answer can be made with model_dump"):
        require_answers([AnswerField("model_dump", paid_total_30d, str)], window_service.CONTRACT)


def test_a_field_may_read_the_columns_of_window_features() -> None:
    def payer(row: Row, prediction: Prediction) -> bool:
        return bool(row.paid_total_30d > 0)

    require_answers(answer_fields([payer]), window_service.CONTRACT, window_service.learned())


def test_two_fields_of_one_name_are_refused() -> None:
    with pytest.raises(ProjectDefinitionError, match="an answer has a field 'segment' already"):
        answer_fields([segment, segment])


def reads_tenure(row: Row, prediction: Prediction) -> str:
    return "new" if row.tenure < 3 else "old"


def test_check_tries_fields_on_rows_that_the_contract_allows() -> None:
    contract = contract_of("binary")
    nullable = next(each.name for each in contract.features if each.nullable and each.is_numeric)

    def misses(row: Row, prediction: Prediction) -> str:
        return "high" if row[nullable] > 3 else "low"

    require_answers(answer_fields([segment, offer]), contract)
    with pytest.raises(
        ProjectDefinitionError, match="'tenure' is no feature of a request"
    ) as caught:
        require_answers(answer_fields([reads_tenure]), contract)
    assert re.search(
        r"test_answer_fields\.py:\d+: reads_tenure: .* in line \d+", caught.value.message
    )
    with pytest.raises(ProjectDefinitionError, match=f"on a row without .*{nullable}"):
        require_answers(answer_fields([misses]), contract)


def test_check_refuses_a_field_with_the_name_of_a_column() -> None:
    contract = contract_of("binary")
    name = contract.features[0].name

    def same(row: Row, prediction: Prediction) -> str:
        return "x"

    same.__name__ = name
    with pytest.raises(ProjectDefinitionError, match=r"is a column of config/project\.yaml"):
        require_answers(answer_fields([same]), contract)


# --- the recipes of the page ---


def test_the_recipes_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python$\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    field, route = (
        next(block for block in blocks if block.startswith(f"# inference/{name}.py"))
        for name in ("fields", "api")
    )
    names: dict[str, Any] = {"__name__": "shop.inference"}
    exec(compile(field, str(PAGE), "exec"), names)  # noqa: S102
    exec(compile(route, str(PAGE), "exec"), names)  # noqa: S102
    sample = load_contract(make_project(tmp_path / "sample").root)
    require_answers(answer_fields([names["segment"]]), sample)
    settings = settings_of(tmp_path, monkeypatch)
    settings._project = Project(
        name="shop",
        service=lambda: Service(routers=[names["router"]]),
        answer_fields=lambda: [lambda_of(names["segment"])],
    )
    shelf = Shelf()
    shelf.put(fitted("binary"))

    with client_of(settings, "binary", shelf) as client:
        until(lambda: client.get("/ready").status_code == 200)
        body = {"features": ROWS[0]}
        assert client.post("/predict", json=body).json()["segment"] in ("call", "mail", "none")
        assert set(client.post("/call-list", json=body).json()) == {"call"}


def lambda_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The field on rows of the tests' contract, which has no `contract`."""

    def segment(row: Row, prediction: Prediction) -> str:
        return str(function({"contract": "one-year"}, prediction))

    return segment
