"""A project's own routes: behind the same keys and limits, with the model's answers, counted."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response
from prometheus_client import REGISTRY, Counter
from pydantic import BaseModel

from goldpath.contract import load_contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.own_definitions import check_definitions
from goldpath.project import Project, Service
from goldpath.serving.api import create_app
from goldpath.serving.own_routes import predict
from goldpath.serving.prediction_log import read_log
from goldpath.serving.schemas import example_features
from goldpath.settings import Settings

from .conftest import until
from .examples import Shelf, TestClient, contract_of, fitted, settings_of

CONTRACT = contract_of("binary")
KEY = "a-key-of-sixteen-characters"


class Body(BaseModel):
    features: dict[str, Any]


@pytest.fixture
def router() -> Iterator[APIRouter]:
    """A project's router, with a metric in the library's own registry, as projects make it."""
    calls = Counter("own_calls", "Of the test's own route.")
    made = APIRouter()

    @made.post("/offer")
    def offer(body: Body, request: Request) -> dict[str, str]:
        calls.inc()
        answer = predict(request, body.features)
        return {"prediction": str(answer.prediction), "id": str(answer.prediction_id)}

    @made.post("/file")
    async def file(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @made.head("/file")
    def has_file() -> Response:
        return Response(headers={"X-Own": "yes"})

    yield made
    REGISTRY.unregister(calls)


def service(folder: Path, patch: pytest.MonkeyPatch, *routers: APIRouter, **serving: object) -> Any:
    shelf = Shelf()
    shelf.put(fitted("binary"))
    settings = settings_of(folder, patch, **serving)
    settings._project = Project(service=lambda: Service(routers=list(routers)))
    return create_app(settings, CONTRACT, shelf)


@pytest.fixture
def client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, router: APIRouter
) -> Iterator[TestClient]:
    with TestClient(service(tmp_path, monkeypatch, router, api_key=KEY)) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


def test_a_route_of_ones_own_answers_as_predict_does_and_is_logged_and_counted(
    client: TestClient, tmp_path: Path
) -> None:
    body = {"features": example_features(CONTRACT)}
    own = client.post("/offer", json=body, headers={"X-API-Key": KEY})
    assert own.status_code == 200, own.text
    usual = client.post("/predict", json=body, headers={"X-API-Key": KEY}).json()
    assert own.json()["prediction"] == usual["prediction"]
    logged = {line["prediction_id"] for line in read_log(tmp_path / "logs" / "predictions", 100)}
    assert {own.json()["id"], usual["prediction_id"]} <= logged
    figures = client.get("/metrics").text
    assert "own_calls_total 1.0" in figures
    assert 'ml_requests_total{method="POST",route="/offer",status="200"} 1.0' in figures
    assert "/offer" in client.get("/openapi.json").json()["paths"]


def test_it_asks_for_a_key_as_predict_does(client: TestClient) -> None:
    body = {"features": example_features(CONTRACT)}
    refused, usual = client.post("/offer", json=body), client.post("/predict", json=body)
    assert refused.status_code == usual.status_code == 401
    assert refused.json()["title"] == usual.json()["title"]
    assert client.post("/offer", json=body, headers={"X-API-Key": "x" * 20}).status_code == 401


def test_a_row_that_the_contract_refuses_is_the_same_422(client: TestClient) -> None:
    body = {"features": {**example_features(CONTRACT), "class": 1e9}}
    key = {"X-API-Key": KEY}
    own = client.post("/offer", json=body, headers=key)
    usual = client.post("/predict", json=body, headers=key)
    assert own.status_code == usual.status_code == 422
    assert own.json()["detail"] == usual.json()["detail"]


def test_a_body_over_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, router: APIRouter
) -> None:
    app = service(tmp_path, monkeypatch, router, maximum_body_bytes=2_000)
    with TestClient(app, raise_server_exceptions=False) as client:
        body = {"features": {**example_features(CONTRACT), "free text": "x" * 5_000}}
        assert client.post("/offer", json=body).status_code == 413


def test_a_route_that_shadows_one_of_the_services_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = APIRouter()

    @shadow.post("/predict")
    def mine() -> None: ...

    with pytest.raises(ProjectDefinitionError, match="mine answers POST /predict") as caught:
        service(tmp_path, monkeypatch, shadow)
    assert f"{Path(__file__).name}:" in caught.value.message


def test_check_refuses_a_route_that_shadows_one_of_the_services(project: Settings) -> None:
    shadow, fine = APIRouter(), APIRouter()

    @shadow.post("/predict/batch")
    def mine() -> None: ...

    @fine.get("/hours")
    def hours() -> str:
        return "8 to 18"

    contract = load_contract(project.root)
    project._project = Project(name="shop", service=lambda: Service(routers=[fine]))
    assert check_definitions(project, contract).routes == ["/hours"]
    assert not (project.root / "run").exists(), "nothing of a service is left behind"

    project._project = Project(name="shop", service=lambda: Service(routers=[fine, shadow]))
    with pytest.raises(ProjectDefinitionError, match="mine answers POST /predict/batch") as caught:
        check_definitions(project, contract)
    assert f"{Path(__file__).name}:" in caught.value.message
    assert caught.value.fix == "give it another path"


@pytest.mark.parametrize(
    ("first", "second"),
    [("/offers", "/offers"), ("/offers/{id}", "/offers/{name}"), ("/offers/{id}", "/offers/new")],
)
def test_check_refuses_a_route_that_an_earlier_one_hides(
    project: Settings, first: str, second: str
) -> None:
    earlier, later = APIRouter(), APIRouter()

    @earlier.get(first)
    def answers() -> str:
        return "first"

    @later.post(second)
    def fine() -> str:
        return "another method"

    @later.get(second)
    def hidden() -> str:
        return "second"

    project._project = Project(name="shop", service=lambda: Service(routers=[earlier, later]))
    with pytest.raises(ProjectDefinitionError) as caught:
        check_definitions(project, load_contract(project.root))

    file = re.escape(Path(__file__).name)
    assert re.search(
        rf"{file}:\d+: hidden is never asked: .*{file}:\d+: answers answers GET ",
        caught.value.message,
    )
    assert caught.value.fix == f"give {second} another path, or put it first"


def test_routes_that_share_some_paths_stand_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = APIRouter()

    @router.get("/offers/new")
    def new() -> str:
        return "new"

    @router.get("/offers/{number:int}")
    def of_number(number: int) -> str:
        return f"number {number}"

    @router.get("/offers/{name}")
    def of_name(name: str) -> str:
        return f"name {name}"

    asked = ("new", "7", "seven")
    with TestClient(service(tmp_path, monkeypatch, router)) as client:
        said = [client.get(f"/offers/{each}").json() for each in asked]

    assert said == ["new", "number 7", "name seven"]


def test_a_long_body_is_counted_and_its_sender_asked_before_it_is_read(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI reads it first, in the event loop, and asks for the key afterwards."""
    monkeypatch.setattr(
        "starlette.requests.Request.json", lambda _: pytest.fail("the body was parsed")
    )
    headers = {"Content-Type": "application/json"}
    body = b'{"features": {"a": [' + b"{}," * 1_000_000 + b"{}]}}"

    stranger = client.post("/offer", content=body, headers=headers)
    known = client.post("/offer", content=body, headers={**headers, "X-API-Key": KEY})

    assert stranger.status_code == 401
    assert known.status_code == 422
    assert "values" in known.json()["detail"]


def test_only_json_has_values_to_count(client: TestClient) -> None:
    """A file with more commas than a request may hold values is the route's own business."""
    headers = {"Content-Type": "text/csv", "X-API-Key": KEY}
    answer = client.post("/file", content=b"1,2,3\n" * 60_000, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"bytes": 360_000})


def test_a_route_may_answer_head_itself(client: TestClient) -> None:
    assert client.head("/file", headers={"X-API-Key": KEY}).headers["x-own"] == "yes"


def test_a_long_body_within_the_limits_reaches_the_route(client: TestClient) -> None:
    body = {
        "features": {**example_features(CONTRACT), "free text": "x" * 150},
        "more": "y" * 40_000,
    }
    answer = client.post("/offer", json=body, headers={"X-API-Key": KEY})
    assert answer.status_code == 200, answer.text
