"""A run that is killed at any moment, and done again, leaves what an undisturbed one does."""

import random
import time
from pathlib import Path

import pytest

from goldpath.contract import load_contract
from goldpath.lake.lakehouse import TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.lake.run_log import read_records
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from ..conftest import make_project
from ..counts import times
from ..killed_work import KILLED, killed_work

pytestmark = [pytest.mark.slow, pytest.mark.soak]

KILLS = times(8, 20)
TABLES = (
    *(TableName(layer, "customer_churn") for layer in ("bronze", "silver", "quarantine", "gold")),
    *(TableName(layer, "payments") for layer in ("bronze", "silver", "quarantine")),
)
PAYMENTS = """\
source: {path: data/payments}
entity: client
event_time: {column: paid_at}
key: payment_id
columns: [{name: amount, type: number, minimum: 3}]
"""
IMPORTS = """
from goldpath.jobs.data.refresh import refresh
import duckdb, ibis, pandas, pyarrow.csv, pyarrow.parquet
import pyiceberg.catalog.sql, pyiceberg.io.pyarrow
import sqlalchemy, sqlalchemy.dialects.sqlite
ibis.duckdb
"""


def new_project(root: Path) -> Settings:
    settings = make_project(root)
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, 2000, 7, {})
    add_payments(settings.root)
    # A few intervals at a time, so that there are several commits of each table to be killed in.
    lake = settings.root / "config" / "lake.yaml"
    text = lake.read_text(encoding="utf-8")
    lake.write_text(text.replace("rows_at_once: 2000000", "rows_at_once: 600"), encoding="utf-8")
    return load_settings(settings.root)


def add_payments(root: Path) -> None:
    """A further source: a year of payments, and a second file that moves some to another month."""
    (root / "config" / "sources").mkdir()
    (root / "config" / "sources" / "payments.yaml").write_text(PAYMENTS, encoding="utf-8")
    folder = root / "data" / "payments"
    folder.mkdir(parents=True)
    for name, months, numbers in (("a", 12, range(1200)), ("b", 5, range(0, 1200, 7))):
        lines = [f"P{n},C{n % 90},2025-{1 + n % months:02}-03,{n % 50}" for n in numbers]
        header = "payment_id,client,paid_at,amount"
        (folder / f"{name}.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8")


def content(settings: Settings) -> dict[str, list[str]]:
    """Every row of every table, without the moment of its ingestion."""
    lakehouse = LocalLakehouse(settings)
    found = {}
    for table in TABLES:
        rows = lakehouse.collect(lakehouse.read(table))
        names = [name for name in rows.column_names if name != "_ingested_at"]
        found[str(table)] = sorted(str(row) for row in rows.select(sorted(names)).to_pylist())
    return found


def account(settings: Settings) -> None:
    """Whatever a reader sees is whole: no interval of silver holds more than bronze can explain."""
    lakehouse = LocalLakehouse(settings)
    bronze, silver = (TableName(layer, "customer_churn") for layer in ("bronze", "silver"))
    if not lakehouse.exists(bronze) or not lakehouse.exists(silver):
        return
    counts = []
    for table in (silver, bronze):
        rows = lakehouse.read(table)
        grouped = lakehouse.collect(rows.group_by("_interval").aggregate(n=rows.count()))
        counts.append({row["_interval"]: row["n"] for row in grouped.to_pylist()})
    for interval, kept in counts[0].items():
        assert 0 < kept <= counts[1][interval]
    keys = lakehouse.collect(lakehouse.read(silver).select("customer_id", "event_time"))
    assert keys.num_rows == len(set(map(str, keys.to_pylist())))


def test_kills_at_random_moments(tmp_path: Path) -> None:
    with killed_work(IMPORTS, "refresh(settings, contract)", {}) as runner:
        undisturbed = new_project(tmp_path / "undisturbed")
        assert runner.run(undisturbed.root) == 0
        timed = new_project(tmp_path / "timed")
        started = time.perf_counter()
        assert runner.run(timed.root) == 0
        duration = time.perf_counter() - started
        expected = content(undisturbed)

        moments = random.Random(20261121)
        killed, kills, projects = 0, 0, 0
        while kills < KILLS or (killed < KILLS // 2 and kills < 3 * KILLS):
            # Four kills in a row in each project, so that a run also continues after several.
            settings = new_project(tmp_path / f"killed-{projects}")
            projects += 1
            for _ in range(4):
                code = runner.run(settings.root, moments.uniform(0, duration))
                kills += 1
                killed += code == KILLED
                if code == 0:
                    duration *= 0.8  # the timed run was slower than this one: the machine is shared
                account(settings)
            assert runner.run(settings.root) == 0
            assert content(settings) == expected
            records = read_records(LocalLakehouse(settings), load_contract(settings.root), "gold")
            assert len({record.subject for record in records}) == 13
    assert killed >= KILLS // 2, f"only {killed} of {kills} runs were hit"
