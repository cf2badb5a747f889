"""The pipelines on the emulated AWS give what they give on this machine."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from goldpath import (
    Aggregate,
    Project,
    Row,
    Rows,
    Value,
    case,
    lag,
    row_feature,
    window_feature,
)
from goldpath.contract import load_contract
from goldpath.jobs.data.refresh import refresh
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, TableName
from goldpath.lake.tables import gold_table
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from ..aws_emulation import EmulatedAws, emulated_aws
from ..conftest import make_project
from ..locations import ENGINE, PROJECT

pytestmark = pytest.mark.slow

BAD_LINES = (
    "X1,,1,1,1,1,1,1,c,p,i,r,true,yes,2024-01-01T10:00:00Z\n",
    "X2,12d,1_0,0x1p3,nan,1,1,1,c,p,i,r,maybe,no,2024-13-01\n",
    "X3,1e1,2.5,.5,+1,1,1,1,,,,,TRUE,yes,2024-02-30 25:00\n",
)
TARGET = {
    "event": "tickets",
    "where": {"topic": "cancellation"},
    "within": "30d",
    "observed_until": "2025-03-15",
}


@row_feature
def charge_rate(row: Row) -> Value:
    return row.monthly_charges / (row.tenure_months + 1)


@row_feature
def unbound_tickets(row: Row) -> Value:
    return case((row.contract.contains("month"), row.support_tickets), otherwise=0)


@window_feature(source="payments", over=("90d", "180d"))
def paid(payments: Rows) -> dict[str, Aggregate]:
    return {
        "mean": payments.amount.mean(),
        "by_card": payments.share(payments.method == "card"),
        "method": payments.method.last(),
    }


@row_feature
def paid_above(row: Row) -> Value:
    return row.paid_mean_90d / row.monthly_charges


@window_feature(source="tickets", over="90d")
def asked(tickets: Rows) -> dict[str, Aggregate]:
    return {
        "cancellations": tickets.where(tickets.topic == "cancellation").count(),
        "since": tickets.days_since_last(),
    }


OWN = Project(
    features=lambda: [
        charge_rate,
        unbound_tickets,
        paid,
        paid_above,
        lag("amount", days=30, source="payments"),
        asked,
    ]
)


@pytest.fixture(scope="module")
def aws() -> Iterator[EmulatedAws]:
    with emulated_aws() as aws:
        yield aws


def dirty_project(root: Path) -> Settings:
    """The sample, its payments and tickets, every kind of feature, and a target from tickets."""
    make_project(root)
    shutil.copytree(PROJECT / "config" / "sources", root / "config" / "sources")
    contract = root / "config" / "project.yaml"
    content = yaml.safe_load(contract.read_text("utf-8"))
    content |= {"target": TARGET, "ignored": {"churned": "known when it is too late"}}
    contract.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    file = root / load_contract(root).source.path
    payments, tickets = map(Path, write_sample(file, 600, 7, {}, history=True).history)
    customers = keep_period(file, "observed_at", "2025-01", "2025-04")
    for history, time in ((payments, "paid_at"), (tickets, "opened_at")):
        keep_period(history, time, "2024-11", "2025-04")
    with tickets.open("a", encoding="utf-8") as stream:
        stream.writelines(later_cancellations(customers))
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(BAD_LINES)
    return load_settings(root, OWN)


def keep_period(file: Path, time: str, start: str, end: str) -> list[dict[str, str]]:
    """Few intervals: each is a file of each table, and a dozen requests to the emulated S3."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if start <= row[time] < end]
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def later_cancellations(customers: list[dict[str, str]]) -> Iterator[str]:
    """A ticket of every third customer, up to 41 days after the customer was observed."""
    for number, row in enumerate(customers[::3]):
        at = datetime.fromisoformat(row["observed_at"][:19]) + timedelta(days=number % 42)
        yield f"L{number},{row['customer_id']},{at},cancellation,{number % 9}\n"


def rows_of(lake: Lakehouse, settings: Settings) -> dict[str, list[str]]:
    """The tables' rows as sorted text; when a row was taken in differs from run to run."""
    names = (load_contract(settings.root).dataset, "payments", "tickets")
    tables = [TableName(layer, name) for name in names for layer in ("silver", "quarantine")]
    tables.append(gold_table(load_contract(settings.root)))
    return {str(table): _texts(lake.collect(lake.read(table))) for table in tables}


def _texts(rows: pa.Table) -> list[str]:
    kept = [name for name in rows.column_names if name not in ("_ingested_at", "_batch_id")]
    return sorted(map(repr, rows.select(sorted(kept)).to_pylist()))


def test_every_layer_is_the_same_as_on_this_machine(
    aws: EmulatedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = dirty_project(tmp_path / "local")
    contract = load_contract(local.root)
    expected = refresh(local, contract)
    expected_rows = rows_of(open_lakehouse(local), local)
    assert expected.labels is not None
    assert min(expected.labels.unlabelled, *expected.labels.labelled.values()) > 5
    assert expected.labels.after_event > 5

    there = dirty_project(tmp_path / "aws")
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    there = load_settings(there.root, OWN)
    found = refresh(there, contract)
    assert rows_of(open_lakehouse(there), there) == expected_rows
    for figure in (
        "recomputed",
        "bronze_rows",
        "silver_rows",
        "quarantined_rows",
        "duplicate_rows",
        "quarantine_reasons",
        "sources",
        "labels",
    ):
        assert getattr(found, figure) == getattr(expected, figure), figure

    again = refresh(there, contract)
    assert again.gold_snapshot == found.gold_snapshot


DEMO = """
from goldpath import run
from tests.integration.test_athena_pipeline import OWN

run(OWN, ["demo"])
"""


def test_demo_passes_with_nothing_but_other_variables(aws: EmulatedAws, tmp_path: Path) -> None:
    """With both further sources and every kind of feature, from bronze to a batch and drift."""
    make_project(tmp_path)
    shutil.copytree(PROJECT / "config" / "sources", tmp_path / "config" / "sources")
    before = set(aws.emulator.executions)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **aws.environment,
        "MLOPS_ROOT": str(tmp_path),
        "MLOPS_TRAINING__TRIALS": "2",
        "PYTHONPATH": os.pathsep.join(
            [str(ENGINE / "src"), str(ENGINE), os.environ.get("PYTHONPATH", "")]
        ),
    }
    done = subprocess.run(
        [sys.executable, "-c", DEMO],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "the service looks up" in done.stderr
    assert "payments" in done.stdout
    assert "champion" in done.stdout
    assert not list((tmp_path / "lake").rglob("*.parquet"))
    assert len(set(aws.emulator.executions) - before) > 10
