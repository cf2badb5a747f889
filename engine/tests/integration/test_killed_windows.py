"""`data` and `materialize` over two sources, killed at any moment: what they leave in the end."""

import json
import random
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from goldpath.contract import Contract, dump_contract
from goldpath.features.window.online import INDEX
from goldpath.lake.lakehouse import TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.settings import load_settings

from ..conftest import make_project
from ..counts import times
from ..killed_work import KILLED, killed_work
from ..ready_made import add_empty_registry

pytestmark = [pytest.mark.slow, pytest.mark.soak]

KILLS = times(4, 20)
PEOPLE, PAYMENTS = 100, 600
TODAY = datetime.now(UTC).date()
CONTRACT = Contract.model_validate(
    {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "in"},
        "entity": "customer",
        "event_time": {"column": "day"},
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [{"name": "age", "type": "integer"}],
    }
)
SOURCE = """\
source: {path: pay}
entity: payer
event_time: {column: paid_at}
key: payment_id
columns: [{name: amount, type: number}, {name: method, type: category}]
"""
IMPORTS = """
from goldpath import Project, window_feature
from goldpath.features.window import materialized
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.upkeep.materialization import materialize
import duckdb, ibis, mlflow, pandas, pyarrow.csv, pyarrow.parquet
import pyiceberg.catalog.sql, pyiceberg.io.pyarrow
import sqlalchemy, sqlalchemy.dialects.sqlite
ibis.duckdb
materialized.ENTITIES_AT_ONCE = 20  # several commits to be killed between

@window_feature(source="payments", over=("30d", "90d"))
def paid(payments):
    return {"total": payments.amount.sum(), "methods": payments.method.distinct_count()}

own = Project(features=lambda: [paid])
"""
WORK = """
settings = load_settings(root, own); refresh(settings, contract); materialize(settings, contract)
"""


def new_project(root: Path) -> Path:
    add_empty_registry(make_project(root))
    (root / "config" / "project.yaml").write_text(dump_contract(CONTRACT), encoding="utf-8")
    (root / "config" / "sources").mkdir()
    (root / "config" / "sources" / "payments.yaml").write_text(SOURCE, encoding="utf-8")
    dice = random.Random(3)
    days = [TODAY - timedelta(days=dice.randint(1, 25)) for _ in range(PAYMENTS)]
    rows = [f"c{n % PEOPLE},{days[n]},{n % 60},{('no', 'yes')[n % 2]}" for n in range(PEOPLE)]
    write(root / "in" / "a.csv", "customer,day,age,bought", rows)
    paid = [f"p{n},c{n * 7 % PEOPLE},{days[n]},{n % 90}.1,m{n % 5}" for n in range(PAYMENTS)]
    write(root / "pay" / "a.csv", "payment_id,payer,paid_at,amount,method", paid)
    return root


def deliver_more(root: Path) -> None:
    """Further payments, and some of the first that were another person's on another day."""
    days = [TODAY - timedelta(days=1 + n % 25) for n in range(PAYMENTS)]
    paid = [f"p{n},c{n * 11 % PEOPLE},{days[n]},{n % 70}.3,m1" for n in range(0, PAYMENTS, 9)]
    write(root / "pay" / "b.csv", "payment_id,payer,paid_at,amount,method", paid)


def write(file: Path, header: str, lines: list[str]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([header, *lines, ""]), encoding="utf-8")


def content(root: Path) -> dict[str, list[str]]:
    """Every row of every table and of the online store, without the moments of the runs."""
    lakehouse = LocalLakehouse(load_settings(root))
    tables = [TableName("gold", "shop"), TableName("silver", "shop")]
    tables += [TableName(layer, "payments") for layer in ("bronze", "silver", "quarantine")]
    found = {}
    for table in tables:
        rows = lakehouse.collect(lakehouse.read(table))
        names = sorted(name for name in rows.column_names if name != "_ingested_at")
        found[str(table)] = sorted(str(row) for row in rows.select(names).to_pylist())
    with sqlite3.connect(root / "lake" / "online.db") as store:
        online = store.execute("SELECT entity_key, feature_view, value FROM online").fetchall()
        (state,) = store.execute(
            "SELECT value FROM state WHERE feature_view LIKE 'windows:%' AND feature_view <> ?",
            (INDEX,),
        ).fetchall()
    found["online"] = sorted(map(str, online))
    assert json.loads(state[0])["snapshot"] == lakehouse.snapshot(tables[3]).snapshot_id  # type: ignore[union-attr]
    return found


def test_kills_at_random_moments(tmp_path: Path) -> None:
    with killed_work(IMPORTS, WORK.strip(), {}) as runner:
        undisturbed = new_project(tmp_path / "undisturbed")
        started = time.perf_counter()
        assert runner.run(undisturbed) == 0
        duration = time.perf_counter() - started
        first = content(undisturbed)
        assert len(first["online"]) == 2 * PEOPLE  # the feature view's rows, and the tiles
        deliver_more(undisturbed)
        assert runner.run(undisturbed) == 0
        second = content(undisturbed)
        assert first["online"] != second["online"]

        moments = random.Random(20261129)
        killed = 0
        for number in range(KILLS // 4):
            root = new_project(tmp_path / f"killed-{number}")
            for expected in (first, second):
                for _ in range(2):
                    code = runner.run(root, moments.uniform(0, duration))
                    killed += code == KILLED
                    if code == 0:
                        duration *= 0.8  # the machine is shared: the timed run was slower
                assert runner.run(root) == 0
                assert content(root) == expected
                if expected is first:
                    deliver_more(root)
    assert killed >= KILLS // 2, f"only {killed} of {KILLS} runs were hit"
