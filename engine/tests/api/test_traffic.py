"""Champion and challenger share the traffic as the registry says; a shadow is never seen."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from goldpath.learning.scoring import LoadedModel
from goldpath.registry.traffic_plan import TrafficPlan, read_plan
from goldpath.registry.webhooks.announcement import sign_message
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.prediction_log import read_log

from .conftest import MakeClient, until
from .examples import Shelf, TestClient, contract_of, fitted, random_rows

CONTRACT = contract_of("binary")
ROWS = random_rows(CONTRACT, 300, seed=8)
KEY = "a-key-that-may-do-everything"
JSON = {"Content-Type": "application/json"}


def labelled(version: str, **tags: str) -> LoadedModel:
    """A model whose version has tags."""
    model = fitted("binary", version)
    assert model.version is not None
    return replace(model, version=replace(model.version, tags=tags))


def two_models(**tags: str) -> Shelf:
    shelf = Shelf()
    shelf.put(labelled("2", **tags))
    shelf.put(labelled("1"))
    shelf.challenger = "2"
    return shelf


def body_of(row: dict[str, Any]) -> bytes:
    return json.dumps({"features": row}, ensure_ascii=False).encode()


def is_loaded(client: TestClient, version: str) -> bool:
    lane: FastLane = client.app  # type: ignore[assignment]
    return version in lane._traffic.loaded_versions()


@pytest.fixture
def past_the_lane() -> Any:
    """Asks the app behind the lane."""

    def ask(client: TestClient, body: bytes, **headers: str) -> Any:
        lane: FastLane = client.app  # type: ignore[assignment]
        slow = TestClient(lane.app, raise_server_exceptions=False, follow_redirects=False)
        return slow.post("/predict", content=body, headers={**JSON, **headers})

    return ask


def test_a_share_of_the_requests_is_the_challengers(
    make_client: MakeClient, past_the_lane: Any, tmp_path: Path
) -> None:
    client = make_client(shelf=two_models(traffic_share="0.3"))
    until(lambda: is_loaded(client, "2"))
    answered: Counter[str] = Counter()
    for row in ROWS:
        first = client.post("/predict", content=body_of(row), headers=JSON).json()
        again = past_the_lane(client, body_of(row)).json()
        expected = fitted("binary", first["model_version"]).predict([row])
        assert first["probabilities"]["yes"] == pytest.approx(expected.scores[0], abs=1e-9)
        # A request that is sent again is answered by the same version, in either lane.
        assert again["model_version"] == first["model_version"]
        logged = read_log(tmp_path / "logs/predictions", 2)
        assert {line["model_version"] for line in logged} == {first["model_version"]}
        answered[first["model_version"]] += 1
    # 300 draws with 0.3: eight standard deviations are 64.
    assert answered.keys() == {"1", "2"}
    assert abs(answered["2"] - 90) < 64


@pytest.mark.parametrize(
    ("tags", "loaded"),
    [
        ({}, False),
        ({"traffic_share": "0"}, True),
        ({"traffic_share": "much"}, True),
        ({"traffic_share": "7"}, True),
        ({"traffic_share": "", "traffic_shadow": ""}, False),
    ],
)
def test_without_a_share_the_champion_answers_everything(
    make_client: MakeClient, tags: dict[str, str], loaded: bool
) -> None:
    client = make_client(shelf=two_models(**tags))
    until(lambda: is_loaded(client, "2") or not loaded)
    versions = {
        client.post("/predict", content=body_of(row), headers=JSON).json()["model_version"]
        for row in ROWS[:40]
    }
    assert versions == {"1"}
    assert is_loaded(client, "2") == loaded


def test_what_the_registry_says_later_holds_without_a_restart(make_client: MakeClient) -> None:
    shelf = two_models(traffic_share="1")
    client = make_client(shelf=shelf)
    until(lambda: is_loaded(client, "2"))

    def version() -> str:
        found = client.post("/predict", content=body_of(ROWS[0]), headers=JSON)
        return str(found.json()["model_version"])

    assert version() == "2"
    shelf.models["2"] = labelled("2", traffic_share="0")
    until(lambda: version() == "1")
    shelf.models["2"] = labelled("2", traffic_share="1")
    until(lambda: version() == "2")
    shelf.challenger = None
    until(lambda: version() == "1")
    assert not is_loaded(client, "2")


def test_a_challenger_that_cannot_be_loaded_costs_nothing_but_an_alert(
    make_client: MakeClient,
) -> None:
    shelf = two_models(traffic_share="1")
    shelf.broken.add("2")
    client = make_client(shelf=shelf)
    until(lambda: "ml_model_load_failures_total 1.0" in client.get("/metrics").text)
    answer = client.post("/predict", content=body_of(ROWS[0]), headers=JSON)
    assert (answer.status_code, answer.json()["model_version"]) == (200, "1")
    assert client.get("/ready").json()["ready"] is True


def test_a_version_can_be_asked_for_by_those_who_may(
    make_client: MakeClient, past_the_lane: Any
) -> None:
    client = make_client(shelf=two_models(traffic_share="0"), api_key=KEY)
    until(lambda: is_loaded(client, "2"))
    allowed = {**JSON, "X-API-Key": KEY}
    for version in ("1", "2"):
        for ask in (
            client.post(
                "/predict",
                content=body_of(ROWS[0]),
                headers={**allowed, "X-Model-Version": version},
            ),
            past_the_lane(
                client, body_of(ROWS[0]), **{"X-API-Key": KEY, "X-Model-Version": version}
            ),
        ):
            assert (ask.status_code, ask.json()["model_version"]) == (200, version)
    unknown = client.post(
        "/predict", content=body_of(ROWS[0]), headers={**allowed, "X-Model-Version": "9"}
    )
    assert unknown.status_code == 409
    assert "loaded: 1, 2" in unknown.json()["detail"]


def test_a_version_cannot_be_asked_for_by_anybody_else(make_client: MakeClient) -> None:
    client = make_client(shelf=two_models(traffic_share="0"))
    answer = client.post(
        "/predict", content=body_of(ROWS[0]), headers={**JSON, "X-Model-Version": "1"}
    )
    assert answer.status_code == 403
    assert "X-Model-Version" in answer.json()["detail"]


def test_a_shadow_scores_what_was_answered_and_nobody_gets_its_answers(
    make_client: MakeClient, past_the_lane: Any, tmp_path: Path
) -> None:
    client = make_client(shelf=two_models(traffic_shadow="true"))
    until(lambda: is_loaded(client, "2"))
    given: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(ROWS[:60]):
        fast = number % 2 == 0
        answer = (
            client.post("/predict", content=body_of(row), headers=JSON)
            if fast
            else past_the_lane(client, body_of(row))
        ).json()
        assert answer["model_version"] == "1"
        given[answer["prediction_id"]] = row
    batch = json.dumps({"instances": ROWS[60:100]}, ensure_ascii=False).encode()
    answers = client.post("/predict/batch", content=batch, headers=JSON).json()["predictions"]
    given |= {each["prediction_id"]: row for each, row in zip(answers, ROWS[60:], strict=False)}

    folder = tmp_path / "logs/shadow"
    until(lambda: len(read_log(folder, 200)) == 100)
    for line in read_log(folder, 200):
        row = given.pop(line["prediction_id"])
        assert line["model_version"] == "2"
        assert line["score"] == pytest.approx(
            fitted("binary", "2").predict([row]).scores[0], abs=1e-9
        )
        assert line["features"] == {}, "a shadow's line holds nobody's data"
    assert given == {}
    versions = {line["model_version"] for line in read_log(tmp_path / "logs/predictions", 500)}
    assert versions == {"1"}
    assert 'ml_shadow_difference_count{model_version="2"} 100.0' in client.get("/metrics").text


def test_the_registry_wakes_a_service_that_would_look_much_later(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_REGISTRY__WEBHOOK_SECRET", "a-secret-of-both-sides")
    shelf = Shelf()
    shelf.put(fitted("binary", "1"))
    client = make_client(shelf=shelf, refresh_seconds=600)
    shelf.put(fitted("binary", "2"))
    message = b'{"event": "alias moved"}'

    forged = client.post("/hooks/registry", content=message, headers=sign_message(message, "guess"))
    unsigned = client.post("/hooks/registry", content=message)
    large = b" " * 70_000
    huge = client.post(
        "/hooks/registry", content=large, headers=sign_message(large, "a-secret-of-both-sides")
    )
    assert [forged.status_code, unsigned.status_code, huge.status_code] == [401, 401, 413]
    assert client.get("/ready").json()["model_version"] == "1"

    signed = sign_message(message, "a-secret-of-both-sides")
    assert client.post("/hooks/registry", content=message, headers=signed).status_code == 204
    until(lambda: client.get("/ready").json()["model_version"] == "2", seconds=5)


def test_a_plan_survives_its_tags() -> None:
    for plan in (TrafficPlan(), TrafficPlan(0.125), TrafficPlan(1, shadow=True)):
        assert read_plan(plan.tags()) == plan
