"""The service looks window features up by the request's entity, at the request's time."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from goldpath.contract import Contract
from goldpath.features.online.store import microseconds
from goldpath.features.window.learned import values_of_nobody
from goldpath.features.window.tiles import values_at
from goldpath.serving.prediction_log import read_log

from .examples import TestClient
from .window_service import (
    ROW,
    ago,
    counted,
    definition_of,
    fill,
    fitted,
    learned,
    tiles_of,
    window_service,
)

Start = Callable[..., TestClient]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a service over a model with window features."""
    with ExitStack() as clients:

        def started(contract: Contract, compiled: bool = True, **features: str) -> TestClient:
            return clients.enter_context(
                window_service(tmp_path, monkeypatch, contract, compiled=compiled, **features)
            )

        yield started


@pytest.mark.parametrize("compiled", [True, False])
def test_the_model_gets_the_windows_at_the_requests_time_and_row_features_of_them(
    start: Start, tmp_path: Path, compiled: bool
) -> None:
    contract = learned()
    tiles = tiles_of(definition_of(contract), {ago(5): 90.0, ago(50): 30.0})
    fill(tmp_path, contract, ago(0), ann=tiles)
    client = start(contract, compiled)

    answer = client.post("/predict", json={"customer": "ann", "features": ROW}).json()
    nobody = client.post("/predict", json={"customer": "bob", "features": ROW}).json()

    found = {line["entity"]: line for line in read_log(tmp_path / "logs" / "predictions", 10)}
    at = datetime.fromisoformat(found["ann"]["at"])
    known = values_at(tiles, microseconds(at))
    assert known == {
        "paid_total_30d": 90.0,
        "paid_total_90d": 120.0,
        "paid_count_30d": 1,
        "paid_count_90d": 2,
    }
    # The log has what was used, so that drift is judged on it.
    assert found["ann"]["features"] == {**ROW, **known}
    assert found["bob"]["features"] == {**ROW, **values_of_nobody(contract)}
    model = fitted(contract)
    for answered, values in ((answer, known), (nobody, values_of_nobody(contract))):
        expected = model.predict([{**ROW, **values}]).probabilities
        assert expected is not None
        assert list(answered["probabilities"].values()) == pytest.approx(expected[0].tolist())
    assert answer["probabilities"] != nobody["probabilities"]
    assert counted(client) == {"found": 1, "unknown": 1}


def test_features_that_may_be_missing_may_be_left_out(start: Start, tmp_path: Path) -> None:
    contract = learned()
    fill(tmp_path, contract, ago(0))
    client = start(contract)

    assert client.post("/predict", json={"customer": "ann", "features": {"age": 3}}).is_success
    without = client.post("/predict", json={"customer": "ann", "features": {"plan": "basic"}})
    assert without.status_code == 404  # the feature view does not know the age either


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", {"features": ROW}),
        ("/predict/batch", {"instances": [ROW]}),
        ("/invocations", {"instances": [ROW]}),
    ],
)
def test_a_request_without_a_key_is_told_to_send_it(
    start: Start, tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    contract = learned()
    fill(tmp_path, contract, ago(0))

    answer = start(contract).post(path, json=body)

    assert answer.status_code == 422
    assert "does not say whom it is about" in answer.text
    assert '{\\"customer\\": …' in answer.text or '"customer"' in answer.json()["fix"]


def test_an_old_materialization_counts_as_missing(start: Start, tmp_path: Path) -> None:
    contract = learned()
    tiles = tiles_of(definition_of(contract), {ago(5): 90.0})
    fill(tmp_path, contract, ago(8), ann=tiles)
    client = start(contract)

    assert client.post("/predict", json={"customer": "ann", "features": ROW}).is_success

    (line,) = read_log(tmp_path / "logs" / "predictions", 10)
    assert line["features"] == {**ROW, **dict.fromkeys(values_of_nobody(contract))}
    assert counted(client) == {"expired": 1}


def test_without_a_store_the_settings_decide(start: Start, tmp_path: Path) -> None:
    contract = learned()
    client = start(contract)

    refused = client.post("/predict", json={"customer": "ann", "features": ROW})

    assert refused.status_code == 503
    assert "make materialize" in refused.text
    assert counted(client) == {"unavailable": 1}

    other = start(contract, window_store_down="missing")
    assert other.post("/predict", json={"customer": "ann", "features": ROW}).is_success
    (line,) = read_log(tmp_path / "logs" / "predictions", 10)
    assert line["features"] == {**ROW, **dict.fromkeys(values_of_nobody(contract))}


def test_windows_of_personal_columns_are_not_logged(start: Start, tmp_path: Path) -> None:
    contract = learned(personal=("amount",))
    fill(tmp_path, contract, ago(0))

    client = start(contract)
    assert client.post("/predict", json={"customer": "ann", "features": ROW}).is_success

    (line,) = read_log(tmp_path / "logs" / "predictions", 10)
    assert line["features"] == {**ROW, "paid_count_30d": 0, "paid_count_90d": 0}


def test_the_service_says_what_it_looks_up(start: Start, tmp_path: Path) -> None:
    contract = learned()
    fill(tmp_path, contract, ago(0))

    facts = start(contract).get("/model").json()["features"]

    assert facts["paid_total_30d"].startswith("looked up by the service for the request's entity")
    assert facts["paid_each"].startswith("computed by the service, not sent")
