"""Tables keep what they are given, snapshots stay readable, and writes do not interfere."""

import subprocess
import sys

import pyarrow as pa
import pytest

from {{ cookiecutter.package_name }}.data.lakehouse import (
    LakehouseError,
    TableName,
    overwrite_if_changed,
)
from {{ cookiecutter.package_name }}.data.local_lakehouse import LocalLakehouse
from {{ cookiecutter.package_name }}.settings import Settings

TABLE = TableName("gold", "shop")


def rows(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64()), "run": ["a"] * len(values)})


def numbers(lakehouse: LocalLakehouse, snapshot_id: int | None = None) -> list[int]:
    found: list[int] = lakehouse.collect(lakehouse.read(TABLE, snapshot_id))["n"].to_pylist()
    return sorted(found)


def test_appended_rows_are_read_back(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, rows(1, 2))
    snapshot = lakehouse.append(TABLE, rows(3))
    assert snapshot.rows == 3
    assert numbers(LocalLakehouse(project)) == [1, 2, 3]


def test_old_snapshot_stays_readable(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    first = lakehouse.append(TABLE, rows(1))
    lakehouse.overwrite(TABLE, rows(9))
    assert numbers(lakehouse) == [9]
    assert numbers(lakehouse, first.snapshot_id) == [1]


def test_overwrite_replaces_only_the_named_rows(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, pa.table({"n": [1, 2], "run": ["a", "b"]}))
    for _ in range(2):
        lakehouse.overwrite(TABLE, pa.table({"n": [5], "run": ["b"]}), where={"run": "b"})
    assert numbers(lakehouse) == [1, 5]


def test_equal_rows_write_no_new_snapshot(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    first = overwrite_if_changed(lakehouse, TABLE, rows(1, 2))
    second = overwrite_if_changed(lakehouse, TABLE, rows(1, 2))
    third = overwrite_if_changed(lakehouse, TABLE, rows(1, 3))
    assert first.snapshot_id == second.snapshot_id != third.snapshot_id


def test_new_column_is_null_in_old_rows(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, rows(1))
    lakehouse.append(TABLE, rows(2).append_column("colour", pa.array(["red"])))
    found = lakehouse.collect(lakehouse.read(TABLE)).sort_by("n")
    assert found["colour"].to_pylist() == [None, "red"]


def test_changed_type_is_refused(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, rows(1))
    with pytest.raises(LakehouseError, match="do not fit"):
        lakehouse.append(TABLE, pa.table({"n": ["one"], "run": ["a"]}))
    assert numbers(lakehouse) == [1]


def test_missing_table_and_snapshot_say_what_to_do(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    with pytest.raises(LakehouseError, match="make data"):
        lakehouse.read(TABLE)
    lakehouse.append(TABLE, rows(1))
    with pytest.raises(LakehouseError, match="no snapshot 42"):
        lakehouse.read(TABLE, 42)


def test_looking_creates_nothing(project: Settings) -> None:
    assert LocalLakehouse(project).snapshot(TABLE) is None
    assert not (project.root / "lake").exists()


def test_tag_can_be_set_twice(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    snapshot = lakehouse.append(TABLE, rows(1))
    lakehouse.tag(snapshot, "train-1")
    lakehouse.tag(snapshot, "train-1")


@pytest.mark.slow
def test_rows_of_processes_that_write_at_once_are_all_there(project: Settings) -> None:
    LocalLakehouse(project).append(TABLE, rows(0))
    program = """
import sys
from pathlib import Path
import pyarrow as pa
from {{ cookiecutter.package_name }}.data.lakehouse import TableName
from {{ cookiecutter.package_name }}.data.local_lakehouse import LocalLakehouse
from {{ cookiecutter.package_name }}.settings import load_settings
lakehouse = LocalLakehouse(load_settings(Path(sys.argv[1])))
for number in range(3):
    rows = pa.table({"n": [int(sys.argv[2]) * 10 + number], "run": ["a"]})
    lakehouse.append(TableName("gold", "shop"), rows)
"""
    command = [sys.executable, "-c", program, str(project.root)]
    writers = [subprocess.Popen([*command, str(writer)]) for writer in (1, 2, 3)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    assert numbers(LocalLakehouse(project)) == [0, 10, 11, 12, 20, 21, 22, 30, 31, 32]
