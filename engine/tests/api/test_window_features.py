"""The service looks window features up by the request's entity, at the request's time."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from goldpath.contract import Contract, dump_contract
from goldpath.features.learned import with_own_features
from goldpath.features.online.sqlite import SqliteOnlineStore
from goldpath.features.online.store import OnlineRow, microseconds
from goldpath.features.row.complete import complete_rows
from goldpath.features.row.tracing import Row, row_feature
from goldpath.features.row.values import Value
from goldpath.features.window.definition import WindowDefinition
from goldpath.features.window.exact import UNIT_BITS
from goldpath.features.window.feature import window_feature
from goldpath.features.window.learned import definitions_in, values_of_nobody
from goldpath.features.window.online import TILES, TilesWritten, view_of
from goldpath.features.window.rows import Aggregate, Rows
from goldpath.features.window.tiles import EntityTiles, values_at
from goldpath.learning.families import FAMILIES
from goldpath.learning.frames import model_frame
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.project import Project
from goldpath.serving.api import create_service
from goldpath.serving.prediction_log import read_log
from goldpath.source_contract import SourceContract

from .conftest import until
from .examples import Shelf, TestClient, settings_of

CONTRACT = Contract.model_validate(
    {
        "dataset": "small",
        "problem": "classification",
        "source": {"path": "rows.csv"},
        "entity": "customer",
        "event_time": {"column": "day"},
        "target": {"column": "left", "classes": ["no", "yes"]},
        "features": [
            {"name": "age", "type": "integer", "minimum": 0},
            {"name": "plan", "type": "category", "nullable": True},
        ],
    }
)
PAYMENTS = SourceContract.model_validate(
    {
        "dataset": "payments",
        "source": {"path": "payments.csv"},
        "entity": "payer",
        "event_time": {"column": "paid_at"},
        "columns": [{"name": "amount", "type": "number"}],
        "personal": [],
    }
)
ROW = {"age": 40, "plan": "basic"}


@window_feature(source="payments", over=("30d", "90d"))
def paid(payments: Rows) -> dict[str, Aggregate]:
    return {"total": payments.amount.sum(), "count": payments.count()}


@row_feature
def paid_each(row: Row) -> Value:
    return row.paid_total_90d / row.paid_count_90d


def learned(personal: tuple[str, ...] = ()) -> Contract:
    source = PAYMENTS.model_copy(update={"personal": personal})
    return with_own_features(CONTRACT, Project(features=lambda: [paid_each, paid]), [source])


def fitted(contract: Contract) -> LoadedModel:
    rows: list[dict[str, Any]] = [
        {
            "age": 20 + each,
            "plan": "basic",
            "paid_total_30d": 1.0 * each,
            "paid_count_30d": each % 5,
        }
        | {"paid_total_90d": 3.0 * each, "paid_count_90d": each % 7}
        for each in range(200)
    ]
    target = pd.Series(["yes" if row["paid_total_30d"] > 80 else "no" for row in rows]).to_numpy()
    pipeline = FAMILIES["linear"].build(contract, FAMILIES["linear"].defaults, 1)
    pipeline.fit(model_frame(complete_rows(rows, contract), contract), target)
    version = ModelVersion("small", "1", "run", ("champion",), {})
    return LoadedModel(pipeline, contract, version, [])


Start = Callable[..., TestClient]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a service over a model with window features."""
    with ExitStack() as clients:

        def started(contract: Contract, compiled: bool = True, **features: str) -> TestClient:
            for name, value in features.items():
                monkeypatch.setenv(f"MLOPS_FEATURES__{name.upper()}", value)
            settings = settings_of(tmp_path, monkeypatch)
            file = tmp_path / "config" / "project.yaml"
            file.write_text(dump_contract(CONTRACT), encoding="utf-8")
            shelf = Shelf(compiled=compiled)
            shelf.put(fitted(contract))
            service = create_service(settings, CONTRACT, shelf)
            client = clients.enter_context(TestClient(service, raise_server_exceptions=False))
            until(lambda: client.get("/ready").status_code == 200)
            return client

        yield started


def definition_of(contract: Contract) -> WindowDefinition:
    (definition,) = definitions_in(contract)
    return definition


def tiles_of(definition: WindowDefinition, paid_at: dict[datetime, float]) -> EntityTiles:
    tiles = {}
    for time, amount in sorted(paid_at.items()):
        parts = {"total": int(amount) << UNIT_BITS, "rows": 1}
        tile = definition.geometry.tile_of(microseconds(time))
        tiles[tile] = tuple(parts[state.kind] for state in definition.states.values())
    return EntityTiles(definition, tiles)


def fill(root: Path, contract: Contract, until_: datetime, **entities: EntityTiles) -> None:
    store, definition = SqliteOnlineStore(root / "lake" / "online.db"), definition_of(contract)
    view = view_of(definition)
    rows = [OnlineRow(name, until_, {TILES: each.dump()}) for name, each in entities.items()]
    store.write_batch(view, rows)
    state = TilesWritten(1, until_, until_, json.dumps(definition.dump()))
    store.write_state(view, state.dump())


def ago(days: float) -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days)


def counted(client: TestClient) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    found = [each for each in lines if each.startswith("ml_window_lookups_total{")]
    return {
        each.partition('outcome="')[2].partition('"')[0]: float(each.rpartition(" ")[2])
        for each in found
        if float(each.rpartition(" ")[2])
    }


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


def test_explanations_say_that_they_do_not_look_windows_up(start: Start, tmp_path: Path) -> None:
    contract = learned()
    fill(tmp_path, contract, ago(0))

    answer = start(contract).post("/explain", json={"features": ROW})

    assert answer.status_code == 409


def test_the_service_says_what_it_looks_up(start: Start, tmp_path: Path) -> None:
    contract = learned()
    fill(tmp_path, contract, ago(0))

    facts = start(contract).get("/model").json()["features"]

    assert facts["paid_total_30d"].startswith("looked up by the service for the request's entity")
    assert facts["paid_each"].startswith("computed by the service, not sent")
