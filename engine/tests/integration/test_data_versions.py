"""Versions: listed, compared, gone back to, tidied up."""

import random
from collections.abc import Sequence
from datetime import date
from typing import Any

import ibis
import pyarrow as pa
import pytest

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.data.versions import diff_snapshots, list_versions, maintain, rollback
from goldpath.lake.lakehouse import LakehouseError, Partitions, Snapshot, TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.settings import Settings

from ..prepared_projects import PreparedProjects

GOLD, BRONZE = TableName("gold", "shop"), TableName("bronze", "shop")


def contract(**changes: object) -> Contract:
    values: dict[str, object] = {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "in"},
        "entity": "id",
        "event_time": {"column": "day"},
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [
            {"name": "amount", "type": "number", "nullable": True},
            {"name": "colour", "type": "category", "nullable": True},
        ],
    }
    return Contract.model_validate(values | changes)


def deliver(settings: Settings, name: str, *lines: str) -> None:
    folder = settings.root / "in"
    folder.mkdir(exist_ok=True)
    text = "id,day,amount,colour,bought\n" + "\n".join(lines) + "\n"
    (folder / name).write_text(text, encoding="utf-8")


def current(settings: Settings, table: TableName = GOLD) -> Snapshot:
    found = LocalLakehouse(settings).snapshot(table)
    assert found is not None
    return found


def held(settings: Settings, table: TableName = GOLD) -> list[dict[str, Any]]:
    lakehouse = LocalLakehouse(settings)
    rows: list[dict[str, Any]] = lakehouse.collect(lakehouse.read(table)).to_pylist()
    return sorted(rows, key=str)


def two_deliveries(settings: Settings) -> tuple[Snapshot, Snapshot]:
    """Gold before and after: c1 changes, c2 stays, c4 is new; c3 changes to null in one column."""
    deliver(
        settings,
        "a.csv",
        "c1,2026-01-01,1,red,no",
        "c2,2026-01-01,,blue,yes",
        "c3,2026-02-01,3,red,no",
    )
    refresh(settings, contract())
    before = current(settings)
    deliver(
        settings,
        "b.csv",
        "c1,2026-01-01,10,green,no",
        "c3,2026-02-01,3,,no",
        "c4,2026-03-01,4,red,yes",
        "c5,2026-03-01,x,red,yes",
    )
    refresh(settings, contract())
    return before, current(settings)


@pytest.fixture
def delivered(prepared_projects: PreparedProjects) -> Settings:
    return prepared_projects.restore(two_deliveries)[0]


def test_every_snapshot_is_listed_and_one_of_each_table_is_current(
    prepared_projects: PreparedProjects,
) -> None:
    project, (before, after) = prepared_projects.restore(two_deliveries)
    LocalLakehouse(project).tag(before, "train-0123456789abcdef")
    versions = list_versions(project, contract()).versions
    tables = {version.table for version in versions}
    assert {"bronze.shop", "silver.shop", "gold.shop", "_pipeline_runs.shop"} <= tables
    assert sum(version.current for version in versions) == len(tables)
    gold = list_versions(project, contract(), "gold").versions
    assert [version.snapshot for version in gold] == [after.snapshot_id, before.snapshot_id]
    assert [version.rows for version in gold] == [4, 3]
    assert gold[1].tags == ("train-0123456789abcdef",)
    assert gold == list_versions(project, contract(), "gold.shop").versions


def test_rows_and_values_that_changed_are_counted(prepared_projects: PreparedProjects) -> None:
    project, (before, after) = prepared_projects.restore(two_deliveries)
    diff = diff_snapshots(project, contract())
    assert (diff.before, diff.after) == (before.snapshot_id, after.snapshot_id)
    assert (diff.added, diff.removed, diff.changed, diff.unchanged) == (1, 0, 2, 1)
    assert diff.changed_values == {"amount": 1, "colour": 2}
    assert diff.key == ("id", "event_time")
    assert diff.examples["added"] == ("c4 2026-03-01 00:00:00",)
    assert [example.split()[0] for example in diff.examples["changed"]] == ["c1", "c3"]
    back = diff_snapshots(project, contract(), "gold", "current", "previous")
    assert (back.added, back.removed, back.changed) == (0, 1, 2)


def test_a_snapshot_does_not_differ_from_itself(delivered: Settings) -> None:
    diff = diff_snapshots(delivered, contract(), "gold", "current", "current")
    assert (diff.added, diff.removed, diff.changed, diff.unchanged) == (0, 0, 0, 4)
    assert diff.examples == {}


def test_a_training_run_names_its_snapshot(prepared_projects: PreparedProjects) -> None:
    project, (before, _) = prepared_projects.restore(two_deliveries)
    LocalLakehouse(project).tag(before, "train-0123456789abcdef")
    for name in ("run:0123456789abcdef", "run:01234567"):
        assert diff_snapshots(project, contract(), "gold", name).before == before.snapshot_id
    with pytest.raises(LakehouseError, match="no snapshot 'run:none'"):
        diff_snapshots(project, contract(), "gold", "run:none")


@pytest.mark.parametrize(
    ("layer", "added", "removed"), [("bronze", 4, 0), ("silver", 1, 0), ("quarantine", 1, 0)]
)
def test_every_layer_is_compared(delivered: Settings, layer: str, added: int, removed: int) -> None:
    diff = diff_snapshots(delivered, contract(), layer)
    assert (diff.added, diff.removed) == (added, removed)


def test_a_new_column_is_named(project: Settings) -> None:
    narrow = contract(features=[{"name": "amount", "type": "number"}])
    deliver(project, "a.csv", "c1,2026-01-01,1,red,no", "c2,2026-01-01,2,red,yes")
    refresh(project, narrow)
    refresh(project, contract())
    diff = diff_snapshots(project, contract())
    assert diff.added_columns == ("colour",)
    assert (diff.added, diff.removed, diff.changed) == (0, 0, 0)


def test_rows_with_one_key_are_compared_as_often_as_they_come(project: Settings) -> None:
    keyless = contract(entity=None, event_time=None)
    deliver(project, "a.csv", "c1,2026-01-01,1,red,no", "c2,2026-01-01,2,red,yes")
    deliver(project, "b.csv", "c1,2026-01-01,1,red,no", "c2,2026-01-01,3,red,yes")
    refresh(project, keyless)
    deliver(project, "b.csv", "c1,2026-01-01,1,red,no", "c2,2026-01-01,7,red,yes")
    refresh(project, keyless)
    diff = diff_snapshots(project, keyless)
    assert (diff.added, diff.removed, diff.changed, diff.unchanged) == (0, 0, 1, 3)
    assert diff.changed_values == {"amount": 1}


@pytest.mark.parametrize("seed", range(5))
def test_counts_against_brute_force(project: Settings, seed: int) -> None:
    draw = random.Random(seed)

    def table() -> dict[str, tuple[object, ...]]:
        return {
            f"c{n}": (draw.choice([None, 1.0, 2.0]), draw.choice([None, "red", "blue"]))
            for n in draw.sample(range(40), 25)
        }

    def rows(values: dict[str, tuple[object, ...]]) -> pa.Table:
        return pa.table(
            {
                "id": pa.array(list(values), pa.string()),
                "amount": pa.array([value[0] for value in values.values()], pa.float64()),
                "colour": pa.array([value[1] for value in values.values()], pa.string()),
            }
        )

    old, new = table(), table()
    lakehouse = LocalLakehouse(project)
    lakehouse.overwrite(GOLD, rows(old))
    lakehouse.overwrite(GOLD, rows(new))
    diff = diff_snapshots(project, contract(event_time=None))
    both = old.keys() & new.keys()
    changed = [name for name in both if old[name] != new[name]]
    assert (diff.added, diff.removed) == (len(new) - len(both), len(old) - len(both))
    assert (diff.changed, diff.unchanged) == (len(changed), len(both) - len(changed))
    assert diff.changed_values == {
        column: count
        for place, column in enumerate(("amount", "colour"))
        if (count := sum(old[name][place] != new[name][place] for name in changed))
    }


def test_rollback_restores_the_rows_and_keeps_the_later_snapshot(delivered: Settings) -> None:
    later = held(delivered)
    result = rollback(delivered, contract(), "gold", "previous")
    assert (result.rows_before, result.rows_now) == (4, 3)
    assert "leaves it so" in result.next_data_run
    assert len(held(delivered)) == 3
    lakehouse = LocalLakehouse(delivered)
    again = lakehouse.collect(lakehouse.read(GOLD, result.from_snapshot)).to_pylist()
    assert sorted(again, key=str) == later
    rollback(delivered, contract(), "gold", str(result.from_snapshot))
    assert held(delivered) == later


def test_data_leaves_a_rolled_back_layer_until_it_is_asked_to_recompute(
    delivered: Settings,
) -> None:
    later = held(delivered)
    rollback(delivered, contract(), "gold", "previous")
    assert refresh(delivered, contract()).recomputed == ()
    assert len(held(delivered)) == 3
    refresh(delivered, contract(), date(2026, 1, 1), date(2026, 4, 1))
    assert held(delivered) == later


def test_data_takes_the_files_in_again_after_bronze_went_back(delivered: Settings) -> None:
    later = held(delivered)
    result = rollback(delivered, contract(), "bronze", "previous")
    assert "again" in result.next_data_run
    assert refresh(delivered, contract()).new_batches == 1
    assert held(delivered) == later
    rollback(delivered, contract(), "bronze", str(result.to_snapshot))
    (delivered.root / "in" / "b.csv").unlink()
    assert refresh(delivered, contract()).silver_rows == 3
    assert [row["id"] for row in held(delivered)] == ["c1", "c2", "c3"]


@pytest.mark.parametrize(
    ("table", "snapshot", "message"),
    [
        ("platinum", "previous", "there is no table platinum.shop; the lake has: _pipeline_runs"),
        ("gold", "12345", "there is no snapshot '12345'; its newest are"),
        ("gold", "yesterday", "there is no snapshot 'yesterday'"),
        ("_pipeline_runs", "previous", "the lake's own record"),
    ],
)
def test_unknown_tables_and_snapshots_are_refused(
    delivered: Settings, table: str, snapshot: str, message: str
) -> None:
    before = held(delivered)
    with pytest.raises(LakehouseError, match=message):
        rollback(delivered, contract(), table, snapshot)
    assert held(delivered) == before


def test_going_back_to_where_a_table_is_changes_nothing(delivered: Settings) -> None:
    with pytest.raises(NothingToDoError, match="already"):
        rollback(delivered, contract(), "gold", "current")


def test_nothing_is_previous_to_the_first_snapshot(project: Settings) -> None:
    deliver(project, "a.csv", "c1,2026-01-01,1,red,no", "c2,2026-01-01,2,red,yes")
    refresh(project, contract())
    with pytest.raises(NothingToDoError, match="no snapshot before"):
        diff_snapshots(project, contract())


def days(settings: Settings, count: int) -> Settings:
    lake = settings.lake.model_copy(update={"snapshot_days": count})
    return settings.model_copy(update={"lake": lake})


def data_files(settings: Settings, table: TableName) -> Sequence[object]:
    folder = settings.root / "lake" / "warehouse" / table.layer / table.name
    return sorted(folder.rglob("*.parquet"))


def test_maintenance_forgets_old_snapshots_but_the_tagged_and_the_current(
    prepared_projects: PreparedProjects,
) -> None:
    project, (before, after) = prepared_projects.restore(two_deliveries)
    lakehouse = LocalLakehouse(project)
    lakehouse.tag(before, "train-1")
    deliver(project, "c.csv", "c1,2026-01-01,11,red,no")
    refresh(project, contract())
    assert {item.expired_snapshots for item in maintain(days(project, 30)).tables} == {0}
    done = {item.table: item for item in maintain(days(project, 0)).tables}
    assert (done["gold.shop"].expired_snapshots, done["gold.shop"].kept_snapshots) == (1, 2)
    assert [found.snapshot_id for found in lakehouse.snapshots(GOLD)] == [
        before.snapshot_id,
        current(project).snapshot_id,
    ]
    assert after.snapshot_id not in {found.snapshot_id for found in lakehouse.snapshots(GOLD)}


def test_maintenance_makes_many_small_files_one(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    for number in range(8):
        rows = pa.table({"n": [number], "_interval": ["a" if number < 7 else "b"]})
        lakehouse.append(BRONZE, rows, partition_by="_interval")
    assert len(data_files(project, BRONZE)) == 8
    (done,) = maintain(days(project, 0)).tables
    assert done.compacted
    assert len(data_files(project, BRONZE)) == 2
    assert sorted(row["n"] for row in held(project, BRONZE)) == list(range(8))
    only = lakehouse.read(BRONZE, partitions=Partitions("_interval", ("b",)))
    assert lakehouse.collect(only.aggregate(n=ibis._.n.sum()))["n"].to_pylist() == [7]
    (again,) = maintain(days(project, 0)).tables
    assert not again.compacted
