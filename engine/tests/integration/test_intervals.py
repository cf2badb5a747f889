"""Intervals: computed once, again on demand, and again where something changed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from goldpath.contract import Contract
from goldpath.jobs.data import bronze
from goldpath.jobs.data.refresh import DataResult, refresh
from goldpath.lake.event_time import intervals_between
from goldpath.lake.lakehouse import LakehouseError, TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.lake.run_log import read_records
from goldpath.settings import Settings
from goldpath.sources.files import SourceError

from ..prepared_projects import PreparedProjects

HEADER = "id,day,amount,bought\n"
JANUARY = "1,2026-01-05,10,no\n2,2026-01-06,20,yes\n"
FEBRUARY = "1,2026-02-05,30,no\n2,2026-02-06,x,yes\n"


def contract(**changes: object) -> Contract:
    values: dict[str, object] = {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "in"},
        "entity": "id",
        "event_time": {"column": "day"},
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [{"name": "amount", "type": "number"}],
    }
    return Contract.model_validate(values | changes)


def deliver(settings: Settings, name: str, lines: str, header: str = HEADER) -> None:
    folder = settings.root / "in"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(header + lines, encoding="utf-8")


def rows(settings: Settings, layer: str) -> list[dict[str, object]]:
    lakehouse = LocalLakehouse(settings)
    found: list[dict[str, object]] = lakehouse.collect(
        lakehouse.read(TableName(layer, "shop"))
    ).to_pylist()
    return sorted(found, key=str)


def amounts(settings: Settings, layer: str = "gold") -> dict[tuple[str, str], object]:
    return {(str(r["id"]), str(r["_interval"])): r["amount"] for r in rows(settings, layer)}


def files(settings: Settings, layer: str, interval: str) -> list[Path]:
    lakehouse = LocalLakehouse(settings)
    held = lakehouse._catalog.load(TableName(layer, "shop")).scan().plan_files()
    return sorted(Path(task.file.file_path) for task in held if task.file.partition[0] == interval)


def january(settings: Settings) -> DataResult:
    deliver(settings, "a.csv", JANUARY)
    return refresh(settings, contract())


def two_months(settings: Settings) -> DataResult:
    """Two months, a row without a time, and a row that is refused."""
    deliver(settings, "a.csv", JANUARY + FEBRUARY + "3,never,5,no\n")
    return refresh(settings, contract())


def test_two_runs_at_once_take_a_file_in_once(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project, "a.csv", JANUARY)
    other_came, held = threading.Event(), bronze._held_batches
    looked: list[object] = []

    def after_the_other(*arguments: Any) -> Any:
        """The first appends when the other has looked what bronze holds, or waits to look."""
        found = held(*arguments)
        looked.append(found)
        if len(looked) == 1:
            assert other_came.wait(60)
        other_came.set()
        return found

    def said(message: str) -> None:
        if "waiting for another run" in message:
            other_came.set()

    monkeypatch.setattr(bronze, "_held_batches", after_the_other)
    monkeypatch.setattr(bronze, "step", said)
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(lambda _: refresh(project, contract()), range(2)))

    assert [row["id"] for row in rows(project, "bronze")] == ["1", "2"]
    assert sorted(result.new_batches for result in results) == [0, 1]
    assert {result.bronze_rows for result in results} == {2}


def test_each_row_lies_in_the_interval_of_its_time(prepared_projects: PreparedProjects) -> None:
    project, result = prepared_projects.restore(two_months)
    assert result.recomputed == ("2026-01", "2026-02", "unknown")
    assert amounts(project) == {("1", "2026-01"): 10, ("2", "2026-01"): 20, ("1", "2026-02"): 30}
    assert {(r["id"], r["_interval"]) for r in rows(project, "quarantine")} == {
        ("2", "2026-02"),
        ("3", "unknown"),
    }


def test_running_again_computes_nothing(prepared_projects: PreparedProjects) -> None:
    project, first = prepared_projects.restore(january)
    again = refresh(project, contract())
    assert again.recomputed == ()
    assert again.new_batches == 0
    assert again.gold_snapshot == first.gold_snapshot
    assert again.silver_rows == first.silver_rows == 2


def test_late_rows_land_in_their_interval_and_only_it_is_recomputed(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_months)
    untouched = files(project, "gold", "2026-02")
    deliver(project, "b.csv", "1,2026-01-05,11,no\n9,2026-01-31,90,yes\n")
    result = refresh(project, contract())
    assert result.recomputed == ("2026-01",)
    assert amounts(project)["9", "2026-01"] == 90
    assert amounts(project)["1", "2026-01"] == 11  # the later delivery wins
    assert files(project, "gold", "2026-02") == untouched


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (date(2026, 1, 31), date(2026, 2, 1), ["2026-01"]),
        (date(2026, 2, 1), None, ["2026-02"]),
        (None, date(2026, 2, 1), ["2026-01"]),
        (date(2026, 1, 31), date(2026, 2, 2), ["2026-01", "2026-02"]),
        (date(2027, 1, 1), date(2027, 2, 1), []),
    ],
)
def test_backfill_recomputes_the_intervals_of_the_period(
    prepared_projects: PreparedProjects, start: date | None, end: date | None, expected: list[str]
) -> None:
    project, _ = prepared_projects.restore(two_months)
    before = {layer: rows(project, layer) for layer in ("silver", "quarantine", "gold")}
    for _ in range(3):
        assert list(refresh(project, contract(), start, end).recomputed) == expected
    assert {layer: rows(project, layer) for layer in before} == before


def test_a_killed_or_failed_interval_is_done_by_the_next_run(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project, "a.csv", JANUARY)
    lakehouse = LocalLakehouse
    real = lakehouse.overwrite

    def fail_at_gold(self: LocalLakehouse, table: TableName, *rest: object) -> object:
        if table.layer == "gold":
            raise LakehouseError("the power went", "switch it on")
        return real(self, table, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(lakehouse, "overwrite", fail_at_gold)
        with pytest.raises(LakehouseError, match="power"):
            refresh(project, contract())
    assert refresh(project, contract()).recomputed == ("2026-01",)
    assert len(amounts(project)) == 2


def test_every_step_of_a_run_is_on_record(project: Settings) -> None:
    deliver(project, "a.csv", JANUARY + FEBRUARY + "1,2026-01-05,12,no\n")
    refresh(project, contract())
    lakehouse = LocalLakehouse(project)
    bronze = read_records(lakehouse, contract(), "bronze")
    silver = read_records(lakehouse, contract(), "silver")
    gold = read_records(lakehouse, contract(), "gold")
    assert [(r.subject, r.rows_in, r.rows_out) for r in bronze] == [("a.csv", 5, 5)]
    assert [(r.subject, r.rows_in, r.rows_out, r.quarantined, r.duplicates) for r in silver] == [
        ("2026-01", 3, 2, 0, 1),
        ("2026-02", 2, 1, 1, 0),
    ]
    assert [(r.subject, r.rows_in, r.rows_out) for r in gold] == [
        ("2026-01", 2, 2),
        ("2026-02", 1, 1),
    ]


def test_a_new_nullable_feature_flows_through(prepared_projects: PreparedProjects) -> None:
    project, _ = prepared_projects.restore(january)
    deliver(project, "b.csv", "5,2026-03-01,50,no,red\n", "id,day,amount,bought,colour\n")
    wider = contract(
        features=[
            {"name": "amount", "type": "number"},
            {"name": "colour", "type": "category", "nullable": True},
        ]
    )
    result = refresh(project, wider)
    assert result.recomputed == ("2026-01", "2026-03")
    assert {str(r["id"]): r["colour"] for r in rows(project, "gold")} == {
        "1": None,
        "2": None,
        "5": "red",
    }


def test_a_changed_type_is_refused_and_nothing_is_lost(prepared_projects: PreparedProjects) -> None:
    project, _ = prepared_projects.restore(january)
    before = rows(project, "gold")
    text = contract(features=[{"name": "amount", "type": "category"}])
    with pytest.raises(LakehouseError, match=r"silver.shop: column 'amount' is double .* string"):
        refresh(project, text)
    assert rows(project, "gold") == before


def test_another_unit_sorts_the_rows_anew(prepared_projects: PreparedProjects) -> None:
    project, _ = prepared_projects.restore(two_months)
    yearly = contract(event_time={"column": "day", "interval": "year"})
    assert refresh(project, yearly).recomputed == ("2026", "2026-01", "2026-02", "unknown")
    assert {r["_interval"] for r in rows(project, "gold")} == {"2026"}
    assert len(rows(project, "gold")) == 3
    assert refresh(project, yearly).recomputed == ()


def test_without_an_entity_the_files_of_now_are_the_dataset(project: Settings) -> None:
    keyless = contract(entity=None)
    deliver(project, "a.csv", JANUARY)
    deliver(project, "b.csv", FEBRUARY)
    assert refresh(project, keyless).silver_rows == 3
    (project.root / "in" / "b.csv").unlink()
    deliver(project, "a.csv", "7,2026-01-09,70,no\n")
    assert refresh(project, keyless).silver_rows == 1
    assert [r["amount"] for r in rows(project, "gold")] == [70]


def test_without_a_time_there_is_one_interval(project: Settings) -> None:
    timeless = contract(event_time=None)
    deliver(project, "a.csv", JANUARY)
    assert refresh(project, timeless).recomputed == ("all",)
    assert refresh(project, timeless).recomputed == ()


def test_an_error_late_in_a_file_leaves_bronze_as_it_was(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(january)
    before = rows(project, "bronze")
    deliver(project, "b.csv", FEBRUARY + "1,2,3\n")
    with pytest.raises(SourceError, match="line 4 has 3"):
        refresh(project, contract())
    assert rows(project, "bronze") == before


def test_intervals_are_worked_on_in_bounded_groups(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "".join(f"{n},2026-{1 + n % 6:02d}-{1 + n % 28:02d},{n},no\n" for n in range(600))
        + "9999,2026-01-01,1,yes\n"
    )
    deliver(project, "a.csv", lines)
    narrow = project.model_copy(
        update={"lake": project.lake.model_copy(update={"rows_at_once": 250})}
    )
    result = refresh(narrow, contract())
    assert len(result.recomputed) == 6
    assert len(rows(narrow, "gold")) == 601
    snapshots = LocalLakehouse(narrow).snapshots(TableName("gold", "shop"))
    assert len(snapshots) == 3


def test_the_source_table_may_be_larger_than_one_batch(project: Settings) -> None:
    count = 120_000
    table = pa.table(
        {
            "id": [str(n) for n in range(count)],
            "day": ["2026-01-01"] * count,
            "amount": ["1"] * count,
            "bought": ["no", "yes"] * (count // 2),
        }
    )
    (project.root / "in").mkdir()
    pa.parquet.write_table(table, project.root / "in" / "a.parquet")
    assert refresh(project, contract()).silver_rows == count
    lakehouse = LocalLakehouse(project)
    numbers = lakehouse.collect(lakehouse.read(TableName("bronze", "shop")))["_row_number"]
    assert sorted(map(int, numbers.to_pylist())) == list(range(1, count + 1))


def test_periods_against_brute_force() -> None:
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 31), date(2026, 2, 1)]
    for width in (4, 7, 10):
        names = sorted({day.isoformat()[:width] for day in days})
        for start in [None, *days]:
            for end in [None, *days]:
                if start is not None and end is not None and end <= start:
                    continue
                wanted = {
                    day.isoformat()[:width]
                    for day in days
                    if (start is None or day >= start) and (end is None or day < end)
                }
                found = set(intervals_between(names, start, end))
                # An interval overlaps the period where one of all its days lies in it.
                assert wanted <= found
                for name in found - wanted:
                    first, last = name + "-01-01"[width - 4 :], name + "-12-31"[width - 4 :]
                    assert end is None or first < end.isoformat()
                    assert start is None or last >= start.isoformat()
