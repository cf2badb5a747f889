"""A service over a model with window features, for tests: its contract, model and online store."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
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
from goldpath.features.window.learned import definitions_in
from goldpath.features.window.online import TILES, TilesWritten, view_of
from goldpath.features.window.rows import Aggregate, Rows
from goldpath.features.window.tiles import EntityTiles
from goldpath.learning.families import FAMILIES
from goldpath.learning.frames import model_frame
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.project import Project
from goldpath.serving.api import create_service
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
ROW: dict[str, Any] = {"age": 40, "plan": "basic"}


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
    return LoadedModel(pipeline, contract, version, complete_rows(rows[:30], contract))


class _Shelf(Shelf):
    """Compiled models have the background rows that explanations need, too."""

    def load_for_serving(self, version: ModelVersion) -> Any:
        model = super().load_for_serving(version)
        background = fitted(model.contract).background
        object.__setattr__(model, "background", background)
        return model


@contextmanager
def window_service(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    contract: Contract,
    *,
    compiled: bool = True,
    **features: str,
) -> Iterator[TestClient]:
    """A service over a model with the contract's window features; settings of `features`."""
    for name, value in features.items():
        monkeypatch.setenv(f"MLOPS_FEATURES__{name.upper()}", value)
    settings = settings_of(root, monkeypatch)
    file = root / "config" / "project.yaml"
    file.write_text(dump_contract(CONTRACT), encoding="utf-8")
    shelf = _Shelf(compiled=compiled)
    shelf.put(fitted(contract))
    service = create_service(settings, CONTRACT, shelf)
    with TestClient(service, raise_server_exceptions=False) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


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


_WRITERS: list[SqliteOnlineStore] = []
"""They stay open: who opens a file next that its last user closed finds it locked for a moment, and
the lane, which waits for nobody, would leave its first request to the app."""


def fill(root: Path, contract: Contract, until_: datetime, **entities: EntityTiles) -> None:
    store, definition = SqliteOnlineStore(root / "lake" / "online.db"), definition_of(contract)
    _WRITERS.append(store)
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
