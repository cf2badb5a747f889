"""A run that is killed at any moment, and done again, leaves what an undisturbed one does."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.contract import load_contract
from {{ cookiecutter.package_name }}.data.lakehouse import TableName
from {{ cookiecutter.package_name }}.data.local_lakehouse import LocalLakehouse
from {{ cookiecutter.package_name }}.data.run_log import read_records
from {{ cookiecutter.package_name }}.data.sample import write_sample
from {{ cookiecutter.package_name }}.settings import Settings, load_settings

from ..conftest import make_project

pytestmark = pytest.mark.slow

KILLS = 20
LAYERS = ("bronze", "silver", "quarantine", "gold")
# A server that forks a run from a process in which everything is imported already, so that a kill
# hits the work and not the two seconds of imports before it.
SERVER = """
import os, signal, sys, time
from pathlib import Path
from {{ cookiecutter.package_name }}.contract import load_contract
from {{ cookiecutter.package_name }}.pipelines.data_engineering import refresh
from {{ cookiecutter.package_name }}.settings import load_settings
import duckdb, ibis, pandas, pyarrow.csv, pyarrow.parquet
import pyiceberg.catalog.sql, pyiceberg.io.pyarrow
import sqlalchemy, sqlalchemy.dialects.sqlite
ibis.duckdb
for line in sys.stdin:
    seconds, _, root = line.strip().partition(" ")
    root = Path(root)
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr
        refresh(load_settings(root), load_contract(root))
        os._exit(0)
    if seconds != "never":
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)  # one that has ended is a zombie until it is waited for
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Runner:
    """Starts runs, and kills them after a while."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def run(self, root: Path, kill_after: float | None = None) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{'never' if kill_after is None else kill_after} {root}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def new_project(root: Path) -> Settings:
    settings = make_project(root)
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, 2000, 7, {})
    # A few intervals at a time, so that there are several commits of each table to be killed in.
    lake = settings.root / "config" / "lake.yaml"
    text = lake.read_text(encoding="utf-8")
    lake.write_text(text.replace("rows_at_once: 2000000", "rows_at_once: 600"), encoding="utf-8")
    return load_settings(settings.root)


def content(settings: Settings) -> dict[str, list[str]]:
    """Every row of every layer, without the moment of its ingestion."""
    lakehouse = LocalLakehouse(settings)
    found = {}
    for layer in LAYERS:
        rows = lakehouse.collect(lakehouse.read(TableName(layer, "customer_churn")))
        names = [name for name in rows.column_names if name != "_ingested_at"]
        found[layer] = sorted(str(row) for row in rows.select(sorted(names)).to_pylist())
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


def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "MLOPS_ROOT"},
    ) as process:
        runner = Runner(process)
        undisturbed = new_project(tmp_path / "undisturbed")
        assert runner.run(undisturbed.root) == 0
        timed = new_project(tmp_path / "timed")
        started = time.perf_counter()
        assert runner.run(timed.root) == 0
        duration = time.perf_counter() - started
        expected = content(undisturbed)

        moments = random.Random(20261121)
        killed, kills, projects = 0, 0, 0
        while kills < KILLS:
            # Four kills in a row in each project, so that a run also continues after several.
            settings = new_project(tmp_path / f"killed-{projects}")
            projects += 1
            for _ in range(4):
                code = runner.run(settings.root, moments.uniform(0, duration))
                kills += 1
                killed += code == -signal.SIGKILL
                if code == 0:
                    duration *= 0.8  # the timed run was slower than this one: the machine is shared
                account(settings)
            assert runner.run(settings.root) == 0
            assert content(settings) == expected
            records = read_records(LocalLakehouse(settings), load_contract(settings.root), "gold")
            assert len({record.subject for record in records}) == 13
        assert process.stdin is not None
        process.stdin.close()
    assert killed >= KILLS // 2, f"only {killed} of {KILLS} runs were hit"
