"""`data` and `materialize`, killed at any moment: what they leave in the end.

Window features are made of one further source, the target of the events of another one.
"""

import json
import random
import sqlite3
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
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
        "target": {"event": "cancellations", "within": "20d"},
        "features": [{"name": "age", "type": "integer"}],
    }
)
SOURCES = {
    "payments": """\
source: {path: pay}
entity: payer
event_time: {column: paid_at}
key: payment_id
columns: [{name: amount, type: number}, {name: method, type: category}]
""",
    "cancellations": """\
source: {path: left}
entity: who
event_time: {column: at}
columns: [{name: kind, type: category}]
""",
}
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
    for name, text in SOURCES.items():
        (root / "config" / "sources" / f"{name}.yaml").write_text(text, encoding="utf-8")
    # A few intervals at a time, so that there are several commits of gold to be killed between.
    lake = root / "config" / "lake.yaml"
    text = lake.read_text(encoding="utf-8")
    lake.write_text(text.replace("rows_at_once: 2000000", "rows_at_once: 50"), encoding="utf-8")
    dice = random.Random(3)
    days = [TODAY - timedelta(days=dice.randint(1, 25)) for _ in range(PAYMENTS)]
    rows = [f"c{n % PEOPLE},{ago(dice.randint(1, 90))},{n % 60}" for n in range(PEOPLE)]
    write(root / "in" / "a.csv", "customer,day,age", rows)
    left = [f"c{n},{ago(dice.randint(40, 90))},left" for n in range(0, PEOPLE, 2)]
    write(root / "left" / "a.csv", "who,at,kind", left)
    paid = [f"p{n},c{n * 7 % PEOPLE},{days[n]},{n % 90}.1,m{n % 5}" for n in range(PAYMENTS)]
    write(root / "pay" / "a.csv", "payment_id,payer,paid_at,amount,method", paid)
    return root


def deliver_more(root: Path) -> None:
    """Further events and payments, and some of the first that were another person's."""
    left = [f"c{n},{ago(1 + n % 75)},left" for n in range(0, PEOPLE, 3)]
    write(root / "left" / "b.csv", "who,at,kind", left)
    days = [TODAY - timedelta(days=1 + n % 25) for n in range(PAYMENTS)]
    paid = [f"p{n},c{n * 11 % PEOPLE},{days[n]},{n % 70}.3,m1" for n in range(0, PAYMENTS, 9)]
    write(root / "pay" / "b.csv", "payment_id,payer,paid_at,amount,method", paid)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def write(file: Path, header: str, lines: list[str]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join([header, *lines, ""]), encoding="utf-8")


def content(root: Path) -> dict[str, list[str]]:
    """Every row of every table and of the online store, without the moments of the runs."""
    lakehouse = LocalLakehouse(load_settings(root))
    tables = [TableName("gold", "shop"), TableName("silver", "shop")]
    tables += [
        TableName(layer, name) for name in SOURCES for layer in ("bronze", "silver", "quarantine")
    ]
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
    silver = lakehouse.snapshot(TableName("silver", "payments"))
    assert silver is not None
    assert json.loads(state[0])["snapshot"] == silver.snapshot_id
    return found


def labels(content: dict[str, list[str]]) -> Counter[str]:
    """How many rows of gold have each label."""
    rows = content["gold.shop"]
    return Counter(row.partition("'cancellations_within_20d': ")[2].split(",")[0] for row in rows)


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
        assert labels(first) == {"None": 66, "'no'": 27, "'yes'": 7}
        assert labels(second) == {"None": 23, "'no'": 63, "'yes'": 14}

        moments = random.Random(20261129)
        killed, projects = 0, 0
        while projects < KILLS // 4 or (killed < KILLS // 2 and projects < KILLS):
            root = new_project(tmp_path / f"killed-{projects}")
            projects += 1
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
    assert killed >= KILLS // 2, f"only {killed} of {4 * projects} runs were hit"
