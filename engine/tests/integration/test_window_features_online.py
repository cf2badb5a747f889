"""Window features by entity key: what `materialize` keeps, and what is computed from it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from goldpath import Aggregate, Project, Rows, window_feature
from goldpath.contract import Contract
from goldpath.features.learned import learned_contract
from goldpath.features.online.sqlite import SqliteOnlineStore
from goldpath.features.online.store import OnlineStoreError
from goldpath.features.window.feature import WindowFeature
from goldpath.features.window.learned import definitions_in, values_of_nobody
from goldpath.features.window.materialized import WrittenTiles, retire_tiles, write_tiles
from goldpath.features.window.online import WindowReader, view_of, written_views
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.privacy.forgetting import forget
from goldpath.jobs.upkeep.materialization import materialize
from goldpath.jobs.windows.model_windows import table_with_windows
from goldpath.lake.lakehouse import TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.settings import Settings, load_settings

from ..prepared_projects import PreparedProjects
from ..ready_made import add_empty_registry

CONTRACT = Contract.model_validate(
    {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "in"},
        "entity": "id",
        "event_time": {"column": "day"},
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [{"name": "amount", "type": "number"}],
    }
)
PAYMENTS = """\
source: {path: pay}
entity: client
event_time: {column: paid_at}
key: payment_id
columns:
- {name: amount, type: number, minimum: 0}
- {name: method, type: category, nullable: true}
"""
SILVER = TableName("silver", "payments")
NOW = datetime(2026, 3, 20, 15, 30, 12, 345_678)
PAID = """\
p1,c1,2026-01-05,10.25,card
p2,c1,2026-03-15,0.1,cash
p3,c2,2026-03-19,0.2,card
p4,c1,2026-03-18,40,card
p5,c3,2025-03-18,40,card
"""


@window_feature(source="payments", over=("30d", "90d"))
def paid(payments: Rows) -> dict[str, Aggregate]:
    return {
        "total": payments.amount.sum(),
        "by": payments.method.last(),
        "methods": payments.method.distinct_count(),
        "days": payments.days_since_last(),
    }


@window_feature(source="payments", over="7d")
def by_card(payments: Rows) -> Aggregate:
    return payments.where(payments.method == "card").count()


def shop_with(settings: Settings, *features: WindowFeature) -> Settings:
    return load_settings(settings.root, Project(features=lambda: features))


def deliver(settings: Settings, name: str, lines: str) -> None:
    header = "payment_id,client,paid_at,amount,method\n"
    if name.startswith("in/"):
        header = "id,day,amount,bought\n"
    file = settings.root / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(header + lines, encoding="utf-8")


def delivered_shop(project: Settings) -> None:
    """Two sources in the lake, and gold with the windows of one."""
    sources = project.root / "config" / "sources"
    sources.mkdir()
    (sources / "payments.yaml").write_text(PAYMENTS, encoding="utf-8")
    deliver(project, "in/a.csv", "c1,2026-01-15,1,no\nc2,2026-03-15,4,yes\n")
    deliver(project, "pay/a.csv", PAID)
    add_empty_registry(project)
    refresh(shop_with(project, paid), CONTRACT)


@pytest.fixture
def shop(prepared_projects: PreparedProjects) -> Settings:
    settings, _ = prepared_projects.restore(delivered_shop)
    return shop_with(settings, paid)


class Shop:
    """The lake and an online store of a project."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self.lake, self.file = LocalLakehouse(settings), file
        self.store = SqliteOnlineStore(file)
        self.contract = learned_contract(settings, CONTRACT)
        self.definitions = definitions_in(self.contract)

    def write(self, at: datetime = NOW) -> dict[str, WrittenTiles]:
        return write_tiles(self.lake, self.store, self.definitions, at)

    def values(self, entity: str, at: datetime = NOW, **reader: object) -> dict[str, object]:
        found = WindowReader(lambda: self.store, **reader)  # type: ignore[arg-type]
        return dict(found.values(self.contract, entity, at))

    def in_batch(self, entity: str, at: datetime = NOW) -> dict[str, object]:
        (found,) = self.all_in_batch([(entity, at)])
        return found

    def all_in_batch(self, asked: list[tuple[str, datetime]]) -> list[dict[str, object]]:
        entities, times = zip(*asked, strict=True)
        table = pa.table({"id": entities, "event_time": pa.array(times, pa.timestamp("us"))})
        rows = table_with_windows(self.lake, table, self.contract).to_pylist()
        names = values_of_nobody(self.contract)
        return [{name: row[name] for name in names} for row in rows]


@pytest.fixture
def online(shop: Settings, tmp_path: Path) -> Shop:
    return Shop(shop, tmp_path / "online.db")


def test_the_store_gives_the_bits_of_a_batch_at_any_later_time(online: Shop) -> None:
    written = online.write()

    assert written == {"paid": WrittenTiles(2, 0)}
    asked = [
        (entity, NOW + later)
        for entity in ("c1", "c2", "c3", "nobody")
        for later in (timedelta(), timedelta(hours=9), timedelta(days=40))
    ]
    assert [online.values(*each) for each in asked] == online.all_in_batch(asked)
    assert online.values("nobody") == values_of_nobody(online.contract)


def test_only_what_changed_is_written_and_a_second_run_writes_nothing(
    online: Shop, shop: Settings
) -> None:
    online.write()
    assert online.write() == {"paid": WrittenTiles(0, 0)}

    deliver(shop, "pay/b.csv", "p6,c2,2026-02-20,7,cash\np3,c2,2026-03-19,9,card\n")
    refresh(shop, CONTRACT)

    assert online.write()["paid"] == WrittenTiles(1, 0)
    assert online.values("c2") == online.in_batch("c2")
    assert online.values("c2")["paid_total_90d"] == 16.0


def test_an_entity_that_no_window_reaches_any_more_goes(online: Shop) -> None:
    online.write()

    later = NOW + timedelta(days=91)
    assert online.write(later) == {"paid": WrittenTiles(0, 2)}

    assert online.store.count(view_of(online.definitions[0])) == 0
    assert online.values("c1", later) == online.in_batch("c1", later)


def test_a_withdrawn_payment_is_out_of_the_store(online: Shop, shop: Settings) -> None:
    online.write()
    deliver(shop, "pay/b.csv", "p3,c1,2026-03-19,0.2,card\n")  # it was another person's

    refresh(shop, CONTRACT)
    assert online.write()["paid"] == WrittenTiles(1, 1)

    assert online.values("c2") == values_of_nobody(online.contract)
    assert online.values("c1") == online.in_batch("c1")


def test_a_killed_run_is_done_again(
    online: Shop, shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    online.write()
    deliver(shop, "pay/b.csv", "p6,c2,2026-03-18,7,cash\n")
    refresh(shop, CONTRACT)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SqliteOnlineStore, "write_state", killed)
        with pytest.raises(KeyboardInterrupt):
            online.write()

    assert online.write()["paid"].written == 1
    assert online.values("c2") == online.in_batch("c2")


def test_what_a_lake_can_no_longer_tell_is_written_anew_and_leftovers_count_for_nothing(
    online: Shop, shop: Settings
) -> None:
    online.write()
    deliver(shop, "pay/b.csv", "p3,c1,2026-03-19,0.2,card\n")
    refresh(shop, CONTRACT)
    table = online.lake.snapshots
    before = {each.snapshot_id for each in table(SILVER)}
    online.lake.purge(SILVER, [*before - {online.lake.snapshot(SILVER).snapshot_id}])  # type: ignore[union-attr]

    assert online.write(NOW + timedelta(seconds=1))["paid"] == WrittenTiles(1, 0)

    assert online.store.count(view_of(online.definitions[0])) == 2
    at = NOW + timedelta(seconds=2)
    assert online.values("c2", at) == values_of_nobody(online.contract)


def test_an_old_materialization_is_missing_and_counted(online: Shop) -> None:
    online.write()
    counted: list[str] = []
    ttl = timedelta(days=1)

    fresh = online.values("c1", NOW + ttl, ttl=ttl, counted=counted.append)
    stale = online.values("c1", NOW + ttl + timedelta(seconds=1), ttl=ttl, counted=counted.append)

    assert fresh == online.in_batch("c1", NOW + ttl)
    assert set(stale.values()) == {None}
    assert counted == ["found", "expired"]


def test_a_clock_that_goes_back_leaves_no_old_tiles(online: Shop, shop: Settings) -> None:
    online.write(NOW + timedelta(hours=1))
    deliver(shop, "pay/b.csv", "p6,c2,2026-03-18,7,cash\n")
    refresh(shop, CONTRACT)

    assert online.write(NOW)["paid"] == WrittenTiles(1, 0)

    assert online.values("c2") == online.in_batch("c2")


def test_a_store_that_was_never_filled_says_so(online: Shop) -> None:
    counted: list[str] = []
    online.store.write_state("other", "")
    with pytest.raises(OnlineStoreError, match="never filled for the window paid") as refusal:
        online.values("c1", counted=counted.append)
    assert refusal.value.fix == "make materialize"
    assert counted == ["unavailable"]


def test_tiles_that_no_definition_in_use_reads_are_taken_out(
    shop: Settings, tmp_path: Path
) -> None:
    online = Shop(shop_with(shop, paid, by_card), tmp_path / "online.db")
    online.write()
    kept, gone = online.definitions

    assert retire_tiles(online.lake, online.store, [kept]) == ["by_card"]

    assert written_views(online.store) == [view_of(kept)]
    assert online.store.count(view_of(gone)) == 0
    assert online.store.count(view_of(kept)) == 2


def test_the_command_fills_the_store_and_forgetting_empties_it(shop: Settings) -> None:
    shop = shop_with(shop, paid, by_card)
    now = datetime.now(UTC)
    recent = now - timedelta(days=3)
    deliver(shop, "pay/b.csv", f"p7,c1,{recent:%Y-%m-%d},5,card\np8,c2,{recent:%Y-%m-%d},6,card\n")
    refresh(shop, CONTRACT)

    done = materialize(shop, CONTRACT)

    assert done.windows == {"paid": WrittenTiles(2, 0), "by_card": WrittenTiles(2, 0)}
    assert datetime.fromisoformat(done.until) >= now.replace(tzinfo=None)
    online = Shop(shop, shop.root / "lake" / "online.db")
    assert online.values("c1", now) == online.in_batch("c1", now.replace(tzinfo=None))

    result = forget(shop, CONTRACT, "c1", yes=True)

    assert len(result.online_store) == 3  # the feature view, and two window features
    assert online.values("c1", now) == values_of_nobody(online.contract)
    assert materialize(shop, CONTRACT).windows["paid"] == WrittenTiles(1, 0)
    assert online.values("c1", now) == values_of_nobody(online.contract)
    assert materialize(shop_with(shop), CONTRACT).retired_windows == ("by_card", "paid")
