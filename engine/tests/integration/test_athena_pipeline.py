"""The pipelines on the emulated AWS give what they give on this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from goldpath.contract import load_contract
from goldpath.jobs.data.refresh import refresh
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.tables import gold_table, quarantine_table, silver_table
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from ..aws_emulation import EmulatedAws, emulated_aws
from ..conftest import make_project
from ..locations import ENGINE

pytestmark = pytest.mark.slow

BAD_LINES = (
    "X1,,1,1,1,1,1,1,c,p,i,r,true,yes,2024-01-01T10:00:00Z\n",
    "X2,12d,1_0,0x1p3,nan,1,1,1,c,p,i,r,maybe,no,2024-13-01\n",
    "X3,1e1,2.5,.5,+1,1,1,1,,,,,TRUE,yes,2024-02-30 25:00\n",
)


@pytest.fixture(scope="module")
def aws() -> Iterator[EmulatedAws]:
    with emulated_aws() as aws:
        yield aws


def dirty_project(root: Path) -> Settings:
    settings = make_project(root)
    contract = load_contract(root)
    file = root / contract.source.path
    write_sample(file, 600, 7, {})
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(BAD_LINES)
    return settings


def rows_of(lake: Lakehouse, settings: Settings) -> dict[str, list[str]]:
    """The tables' rows as sorted text; when a row was taken in differs from run to run."""
    contract = load_contract(settings.root)
    tables = (silver_table(contract), quarantine_table(contract), gold_table(contract))
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

    there = dirty_project(tmp_path / "aws")
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    there = load_settings(there.root)
    found = refresh(there, contract)
    assert rows_of(open_lakehouse(there), there) == expected_rows
    for figure in (
        "recomputed",
        "bronze_rows",
        "silver_rows",
        "quarantined_rows",
        "duplicate_rows",
        "quarantine_reasons",
    ):
        assert getattr(found, figure) == getattr(expected, figure), figure

    again = refresh(there, contract)
    assert again.gold_snapshot == found.gold_snapshot
    refresh(there, contract, date(2024, 1, 1), date(2030, 1, 1))
    assert rows_of(open_lakehouse(there), there) == expected_rows


def test_demo_passes_with_nothing_but_other_variables(aws: EmulatedAws, tmp_path: Path) -> None:
    make_project(tmp_path)
    before = set(aws.emulator.executions)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **aws.environment,
        "MLOPS_ROOT": str(tmp_path),
        "MLOPS_TRAINING__TRIALS": "2",
        "PYTHONPATH": os.pathsep.join([str(ENGINE / "src"), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "goldpath", "demo"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert not list((tmp_path / "lake").rglob("*.parquet"))
    assert len(set(aws.emulator.executions) - before) > 10
