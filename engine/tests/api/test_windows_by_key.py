"""Batches, MLflow's protocol and explanations of a model that looks up what is known by key."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from goldpath.contract import Contract
from goldpath.features.online.sqlite import SqliteOnlineStore
from goldpath.features.online.store import OnlineRow, microseconds
from goldpath.features.window.learned import names_in, values_of_nobody
from goldpath.features.window.tiles import EntityTiles, values_at
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
OLDER: dict[str, Any] = {"age": 61, "plan": None}


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a service over a model with window features."""
    with ExitStack() as clients:

        def started(contract: Contract, compiled: bool = True, **features: str) -> TestClient:
            return clients.enter_context(
                window_service(tmp_path, monkeypatch, contract, compiled=compiled, **features)
            )

        yield started


def keyed(who: str | int, features: dict[str, Any] = ROW) -> dict[str, Any]:
    return {"customer": who, "features": features}


def filled(root: Path, contract: Contract) -> dict[str, EntityTiles]:
    """Two customers with payments."""
    of = definition_of(contract)
    held = {
        "ann": tiles_of(of, {ago(5): 90.0, ago(50): 30.0}),
        "17": tiles_of(of, {ago(40): 11.0}),
    }
    fill(root, contract, ago(0), **held)
    return held


def log(root: Path) -> list[dict[str, Any]]:
    return read_log(root / "logs" / "predictions", 100)


def known_at(held: dict[str, EntityTiles], contract: Contract, who: str, at: str) -> dict[str, Any]:
    tiles = held.get(who)
    if tiles is None:
        return values_of_nobody(contract)
    return values_at(tiles, microseconds(datetime.fromisoformat(at)))


@pytest.mark.parametrize("compiled", [True, False])
def test_a_batch_by_key_gets_each_entitys_windows_with_one_read(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    contract = learned()
    held = filled(tmp_path, contract)
    client = start(contract, compiled)
    read, asked = SqliteOnlineStore.read, []

    def spied(store: SqliteOnlineStore, view: str, entities: list[str]) -> list[OnlineRow | None]:
        asked.append(list(entities))
        return read(store, view, entities)

    monkeypatch.setattr(SqliteOnlineStore, "read", spied)
    instances = [keyed("ann"), keyed("bob"), keyed(17), keyed("ann", OLDER)]

    answer = client.post("/predict/batch", json={"instances": instances})

    assert answer.status_code == 200, answer.text
    assert asked == [["ann", "bob", "17"]]
    lines = {line["prediction_id"]: line for line in log(tmp_path)}
    model = fitted(contract)
    for item, who, row in zip(
        answer.json()["predictions"],
        ("ann", "bob", "17", "ann"),
        (ROW, ROW, ROW, OLDER),
        strict=True,
    ):
        line = lines[item["prediction_id"]]
        complete = {**row, **known_at(held, contract, who, line["at"])}
        assert (line["entity"], line["features"]) == (who, complete)
        expected = model.predict([complete]).probabilities
        assert expected is not None
        assert list(item["probabilities"].values()) == pytest.approx(expected[0].tolist())
    assert counted(client) == {"found": 2, "unknown": 1}


def test_stale_values_of_a_batch_are_missing_and_counted(start: Start, tmp_path: Path) -> None:
    contract = learned()
    fill(tmp_path, contract, ago(8), ann=tiles_of(definition_of(contract), {ago(9): 5.0}))
    client = start(contract)

    answer = client.post("/predict/batch", json={"instances": [keyed("ann"), keyed("bob")]})

    assert answer.is_success
    missing = dict.fromkeys(names_in(contract))
    assert [line["features"] for line in log(tmp_path)] == [{**ROW, **missing}] * 2
    assert counted(client) == {"expired": 2}


def test_a_batch_reads_the_features_that_it_leaves_out(start: Start, tmp_path: Path) -> None:
    contract = learned()
    filled(tmp_path, contract)
    store = SqliteOnlineStore(tmp_path / "lake" / "online.db")
    store.write_batch("entity_features", [OnlineRow("ann", ago(0), ROW)])
    client = start(contract)

    answer = client.post("/predict/batch", json={"instances": [{"customer": "ann"}, keyed("bob")]})
    unknown = client.post("/predict/batch", json={"instances": [keyed("ann"), {"customer": "bob"}]})

    assert answer.is_success, answer.text
    assert [{**line["features"], **ROW} == line["features"] for line in log(tmp_path)] == [True] * 2
    assert unknown.status_code == 404
    assert 'no customer "bob"' in unknown.json()["detail"]


@pytest.mark.parametrize(
    ("instances", "field", "message"),
    [
        ([keyed("ann"), ROW], "instances.1.customer", "is missing"),
        ([ROW, keyed("ann")], "instances.1.customer", "is not a feature"),
        ([keyed("ann", {"age": "old"})], "instances.0.features.age", "not a number"),
        ([keyed("")], "instances.0.customer", "at least 1"),
    ],
)
def test_a_wrong_item_of_a_batch_is_named(
    start: Start, tmp_path: Path, instances: list[Any], field: str, message: str
) -> None:
    contract = learned()
    filled(tmp_path, contract)

    answer = start(contract).post("/predict/batch", json={"instances": instances})

    assert answer.status_code == 422
    named = {each["field"]: each["message"] for each in answer.json()["errors"]}
    assert message in named[field]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"customer": "ann", **ROW}, {"customer": 17, **OLDER}]},
        {"inputs": {"customer": ["ann", "17"], "age": [40, 61], "plan": ["basic", None]}},
        {
            "dataframe_split": {
                "columns": ["note", "customer", "age", "plan"],
                "data": [["x", "ann", 40, "basic"], ["y", 17, 61, None]],
            }
        },
    ],
)
def test_invocations_read_the_key_from_its_column(
    start: Start, tmp_path: Path, body: dict[str, Any]
) -> None:
    contract = learned()
    held = filled(tmp_path, contract)
    client = start(contract)

    answer = client.post("/invocations", json=body)

    assert answer.is_success, answer.text
    found = {line["entity"]: line for line in log(tmp_path)}
    for who, row, label in zip(
        ("ann", "17"), (ROW, OLDER), answer.json()["predictions"], strict=True
    ):
        line = found[who]
        assert line["features"] == {**row, **known_at(held, contract, who, line["at"])}
        assert line["prediction"] == label


def test_invocations_name_the_row_without_a_key(start: Start, tmp_path: Path) -> None:
    contract = learned()
    filled(tmp_path, contract)

    body = {"instances": [{"customer": "ann", **ROW}, ROW]}
    answer = start(contract).post("/invocations", json=body)

    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["instances.1.customer"]


@pytest.mark.parametrize("compiled", [True, False])
def test_windows_are_explained_like_any_column(
    start: Start, tmp_path: Path, compiled: bool
) -> None:
    contract = learned()
    held = filled(tmp_path, contract)
    client = start(contract, compiled)

    one = client.post("/explain", json=keyed("ann")).json()
    several = client.post("/explain/batch", json={"instances": [keyed("ann"), keyed("bob")]})
    predicted = client.post("/predict", json=keyed("ann")).json()

    assert one["value"] == pytest.approx(predicted["probabilities"][one["prediction"]])
    values = {part["feature"]: part["value"] for part in one["contributions"]}
    now = (ago(0) - timedelta()).isoformat() + "+00:00"
    assert values == {**ROW, **known_at(held, contract, "ann", now), "paid_each": 60.0}
    total = sum(part["contribution"] for part in one["contributions"])
    assert total == pytest.approx(one["value"] - one["baseline"], abs=1e-9)
    assert any(
        part["contribution"] for part in one["contributions"] if part["feature"].startswith("paid")
    )
    of_ann, of_bob = several.json()["explanations"]
    assert of_ann["contributions"] == one["contributions"]
    assert of_bob != of_ann


def test_explanations_do_not_show_what_is_stored_of_a_person(start: Start, tmp_path: Path) -> None:
    contract = learned(personal=("amount",))
    filled(tmp_path, contract)

    parts = start(contract).post("/explain", json=keyed("ann")).json()["contributions"]

    shown = {part["feature"]: part["value"] for part in parts}
    totals = {"paid_total_30d": None, "paid_total_90d": None, "paid_each": None}
    assert shown == {**ROW, "paid_count_30d": 1, "paid_count_90d": 2, **totals}


def test_an_explanation_without_a_key_is_told_to_send_it(start: Start, tmp_path: Path) -> None:
    contract = learned()
    filled(tmp_path, contract)

    answer = start(contract).post("/explain", json={"features": ROW})

    assert answer.status_code == 422
    assert "does not say whom it is about" in answer.text


def test_the_document_shows_both_forms(start: Start, tmp_path: Path) -> None:
    contract = learned()
    filled(tmp_path, contract)

    schemas = start(contract).get("/openapi.json").json()["components"]["schemas"]

    for name in ("BatchRequest", "ExplainBatchRequest"):
        forms = schemas[name]["properties"]["instances"]["oneOf"]
        kinds = {each["items"]["$ref"].rpartition("/")[2] for each in forms}
        assert kinds == {"Features", "PredictByKeyRequest"}
