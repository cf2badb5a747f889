"""The service follows the champion, and a bad champion does not take it down."""

import gc
import threading
import weakref
from collections import Counter
from typing import Any

import pytest

from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.serving.lane.model import LaneModel

from .conftest import MakeClient, until
from .examples import Shelf, TestClient, contract_of, fitted, random_rows

BODY = {"features": random_rows(contract_of("binary"), 1)[0]}


def version_of(client: TestClient) -> str:
    version: str = client.post("/predict", json=BODY).json()["model_version"]
    return version


def test_new_champion_takes_over_without_a_failed_request(make_client: MakeClient) -> None:
    shelf = Shelf()
    shelf.put(fitted("binary", "1"))
    client = make_client(shelf=shelf)
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses[client.post("/predict", json=BODY).status_code] += 1

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    until(lambda: statuses[200] > 0)
    shelf.put(fitted("binary", "2"))
    until(lambda: version_of(client) == "2")
    shelf.champion = "1"
    until(lambda: version_of(client) == "1")
    stop.set()
    for asker in askers:
        asker.join()

    assert set(statuses) == {200}


def test_the_lane_is_prepared_before_a_model_takes_over(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the first request, where the event loop would stand still meanwhile."""
    threads: list[str] = []
    make = LaneModel.__init__

    def noting(lane: LaneModel, *arguments: Any) -> None:
        threads.append(threading.current_thread().name)
        make(lane, *arguments)

    monkeypatch.setattr(LaneModel, "__init__", noting)
    shelf = Shelf()
    shelf.put(fitted("binary", "1"))
    client = make_client(shelf=shelf)
    assert version_of(client) == "1"
    shelf.put(fitted("binary", "2"))
    until(lambda: version_of(client) == "2")

    assert threads == ["champion", "champion"]


def test_a_lane_that_cannot_be_prepared_leaves_the_answers_to_the_app(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no lane")

    monkeypatch.setattr(LaneModel, "__init__", fail)
    shelf = Shelf()
    shelf.put(fitted("binary", "1"))
    client = make_client(shelf=shelf)

    assert version_of(client) == "1"
    assert "the fast lane cannot prepare version 1" in caplog.text


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("compiled", [True, False])
def test_replaced_model_is_freed_without_the_collector(
    make_client: MakeClient, compiled: bool, asked: bool
) -> None:
    """Forked workers never let the collector walk what they have frozen."""
    shelf = Shelf(compiled=compiled)  # of versions that no other test may hold
    shelf.put(fitted("binary", "31"))
    client = make_client(shelf=shelf)
    if asked:
        assert version_of(client) == "31"
        client.post("/predict/batch", json={"instances": [BODY["features"]] * 3})
        client.post("/explain", json=BODY)
    predictor = client.app.app.state.predictor  # type: ignore[attr-defined]
    model = weakref.ref(predictor.current().model)
    fitted.cache_clear()
    gc.collect()
    gc.disable()
    try:
        shelf.put(fitted("binary", "32"))
        shelf.models.pop("31")
        until(lambda: predictor.current().version.version == "32")
        assert version_of(client) == "32"
        version_of(client)

        assert model() is None
    finally:
        gc.enable()


def test_champion_that_cannot_be_loaded_leaves_the_old_one_serving(make_client: MakeClient) -> None:
    shelf = Shelf()
    shelf.put(fitted("binary", "1"))
    client = make_client(shelf=shelf)
    shelf.broken.add("2")
    shelf.put(fitted("binary", "2"))
    until(lambda: client.get("/ready").json()["missing"] != [])

    ready = client.get("/ready")

    assert version_of(client) == "1"
    assert ready.status_code == 200
    assert "version 2" in ready.json()["missing"][0]
    assert ready.json()["model_version"] == "1"
    shelf.champion = "1"
    until(lambda: client.get("/ready").json()["missing"] == [])


def test_model_of_another_contract_is_refused(make_client: MakeClient) -> None:
    shelf = Shelf()
    shelf.put(fitted("regression", "1"))
    shelf.champion = None
    client = make_client(shelf=shelf)
    shelf.champion = "1"
    until(lambda: "another contract" in client.get("/ready").text)

    ready = client.get("/ready")

    assert ready.status_code == 503
    assert ready.json()["fix"] == "make data train-local"


def test_first_champion_is_served_without_a_restart(make_client: MakeClient) -> None:
    shelf = Shelf()
    client = make_client(shelf=shelf)
    assert client.post("/predict", json=BODY).status_code == 503

    shelf.put(fitted("binary", "1"))
    until(lambda: client.get("/ready").status_code == 200)

    assert version_of(client) == "1"


class UnreachableRegistry(Shelf):
    """A registry whose server is away until `error` is taken off."""

    error: Exception | None = None

    def version_by_alias(self, alias: str) -> ModelVersion | None:
        if self.error:
            raise self.error
        return super().version_by_alias(alias)


def test_unreachable_registry_leaves_the_model_serving_and_hides_passwords(
    make_client: MakeClient,
) -> None:
    shelf = UnreachableRegistry()
    shelf.put(fitted("binary", "1"))
    client = make_client(shelf=shelf)
    shelf.error = ProjectError("no answer from http://me:secret@mlflow:5000", "make mlflow-up")
    until(lambda: client.get("/ready").json()["missing"] != [])

    ready = client.get("/ready").json()

    assert version_of(client) == "1"
    assert ready["fix"] == "make mlflow-up"
    assert "secret" not in str(ready)
    shelf.error = RuntimeError("with a secret in it")
    until(lambda: "RuntimeError" in client.get("/ready").text)
    assert "secret" not in client.get("/ready").text
    shelf.error = None
    until(lambda: client.get("/ready").json()["missing"] == [])


def test_broken_model_is_not_loaded_at_every_look(make_client: MakeClient) -> None:
    loads: list[str] = []

    class Counting(Shelf):
        def load_for_serving(self, version: ModelVersion) -> LoadedModel | CompiledModel:
            loads.append(version.version)
            return super().load_for_serving(version)

    shelf = Counting(broken={"1"})
    shelf.put(fitted("binary", "1"))
    shelf.champion = None
    client = make_client(shelf=shelf)
    shelf.champion = "1"
    until(lambda: "version 1" in client.get("/ready").text)

    looks = client.get("/ready").json()["missing"]
    stop = threading.Event()
    stop.wait(0.5)  # ten looks at the alias

    assert looks
    assert loads == ["1"]


def test_the_model_that_serves_is_described(make_client: MakeClient) -> None:
    contract: Contract = contract_of("binary")

    facts = make_client().get("/model").json()

    assert (facts["model_name"], facts["model_version"]) == ("small", "1")
    assert facts["engine"] in ("kernel", "numpy")
    assert not facts["from_copy"]
    assert list(facts["features"]) == contract.feature_names
    assert facts["features"]["2nd call"] == "a whole number from 0 to 12"
    assert facts["classes"] == ["no", "yes"]


def test_without_a_model_it_says_which_command_brings_one(make_client: MakeClient) -> None:
    answer = make_client(shelf=Shelf()).get("/model")

    assert answer.status_code == 503
    assert answer.json()["fix"] == "make train-local"


def test_contract_example_suits_every_problem(make_client: MakeClient) -> None:
    contract: Contract = contract_of("multiclass")
    client = make_client("multiclass")

    answer = client.post("/predict", json={"features": random_rows(contract, 1)[0]}).json()

    assert set(answer["probabilities"]) == set(contract.target.classes)
