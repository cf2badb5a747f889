"""Further sources: their own bronze, silver and quarantine beside the main table's."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

import pyarrow.parquet as pq
import pytest

from goldpath.contract import Contract, ContractError, dump_contract
from goldpath.errors import ProjectError
from goldpath.jobs.data import silver, source_tables
from goldpath.jobs.data.refresh import DataResult, refresh
from goldpath.jobs.data.report import write_data_report
from goldpath.jobs.data.versions import diff_snapshots, list_versions, rollback
from goldpath.jobs.own_definitions import check_definitions
from goldpath.jobs.privacy.forgetting import forget
from goldpath.jobs.privacy.person_export import export_person
from goldpath.jobs.upkeep.status import project_status
from goldpath.lake.lakehouse import TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.project import Project
from goldpath.settings import Settings

from ..prepared_projects import PreparedProjects

T = TypeVar("T")

PAYMENTS = """\
source: {path: pay}
entity: client
event_time: {column: paid_at}
key: payment_id
columns:
- {name: amount, type: number, minimum: 0}
- {name: method, type: category, nullable: true}
"""
TICKETS = """\
source: {path: tick}
entity: id
event_time: {column: day}
columns:
- {name: amount, type: category}
"""
JANUARY = "p1,c1,2026-01-05,10,card\np2,c1,2026-01-06,20,cash\np3,c2,2026-01-07,-1,card\n"


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


def describe(root: Path, name: str, text: str) -> None:
    file = root / "config" / "sources" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


def deliver(settings: Settings, name: str, lines: str) -> None:
    headers = {
        "in": "id,day,amount,bought\n",
        "pay": "payment_id,client,paid_at,amount,method\n",
        "tick": "id,day,amount\n",
    }
    file = settings.root / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(headers[file.parent.name] + lines, encoding="utf-8")


def rows(settings: Settings, table: str) -> list[dict[str, object]]:
    lakehouse = LocalLakehouse(settings)
    read = lakehouse.read(TableName(*table.split(".")))
    return sorted(lakehouse.collect(read).to_pylist(), key=str)


def amounts(settings: Settings, table: str = "silver.payments") -> dict[str, object]:
    key = "payment_id" if table.endswith("payments") else "id"
    return {f"{row[key]} {row['_interval']}": row["amount"] for row in rows(settings, table)}


def state(settings: Settings) -> dict[str, object]:
    """Every table's current snapshot."""
    lakehouse = LocalLakehouse(settings)
    return {str(table): lakehouse.snapshot(table) for table in lakehouse.tables()}


def lake_files_with(settings: Settings, person: str) -> list[str]:
    """The data files of the lake that hold the person."""
    return [
        str(file)
        for file in (settings.root / "lake").rglob("*.parquet")
        if any(
            person == str(value).strip()
            for row in pq.read_table(file).to_pylist()
            for value in row.values()
        )
    ]


def two_sources(settings: Settings) -> DataResult:
    """The main table, payments with a key and tickets without one."""
    describe(settings.root, "payments", PAYMENTS)
    describe(settings.root, "tickets", TICKETS)
    deliver(settings, "in/a.csv", "c1,2026-02-01,1,no\nc2,2026-02-01,2,yes\n")
    deliver(settings, "pay/a.csv", JANUARY)
    deliver(settings, "tick/a.csv", "c1,2026-01-05,low\nc1,2026-01-05,low\nc9,2026-01-06,high\n")
    return refresh(settings, contract())


def test_each_source_has_tables_and_an_account_of_its_own(
    prepared_projects: PreparedProjects,
) -> None:
    project, result = prepared_projects.restore(two_sources)
    assert amounts(project) == {"p1 2026-01": 10, "p2 2026-01": 20}
    assert [row["amount"] for row in rows(project, "silver.tickets")] == ["low", "low", "high"]
    assert [row["_reasons"] for row in rows(project, "quarantine.payments")] == [
        "amount: '-1' is below 0"
    ]
    assert result.silver_rows == 2
    assert list(result.sources) == ["payments", "tickets"]
    for source in result.sources.values():
        assert source.bronze_rows == 3
        assert source.bronze_rows == (
            source.silver_rows + source.quarantined_rows + source.duplicate_rows
        )
    assert result.sources["payments"].quarantine_reasons == {"amount: is below 0": 1}


def test_a_source_is_a_frame(
    prepared_projects: PreparedProjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    (project.root / "config" / "project.yaml").write_text(dump_contract(contract()))
    monkeypatch.chdir(project.root)
    own = Project(name="shop")
    assert own.source("payments")["amount"].tolist() == [10, 20]
    assert own.source("tickets", as_="arrow", limit=2).column("amount").to_pylist() == ["low"] * 2
    with pytest.raises(ProjectError, match="no source 'silver'; config/sources holds: payments, t"):
        own.source("silver")


def test_running_again_changes_nothing(prepared_projects: PreparedProjects) -> None:
    project, _ = prepared_projects.restore(two_sources)
    before = state(project)
    again = refresh(project, contract())
    assert state(project) == before
    assert {source.recomputed for source in again.sources.values()} == {()}
    assert again.recomputed == ()


def test_late_rows_reach_their_interval_and_the_last_row_of_a_key_wins(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    deliver(project, "pay/b.csv", "p4,c3,2026-03-01,40,card\np1,c1,2026-01-05,11,card\n")
    payments = refresh(project, contract()).sources["payments"]
    assert payments.recomputed == ("2026-01", "2026-03")
    assert payments.duplicate_rows == 1
    assert amounts(project) == {"p1 2026-01": 11, "p2 2026-01": 20, "p4 2026-03": 40}


class KilledError(Exception):
    """Stands for a kill."""


def killed_at_call(number: int, function: Callable[..., T]) -> Callable[..., T]:
    calls = iter(range(1, number + 1))

    def call(*arguments: object) -> T:
        if next(calls) == number:
            raise KilledError
        return function(*arguments)

    return call


def test_a_row_whose_time_is_corrected_leaves_the_interval_that_it_was_in(
    prepared_projects: PreparedProjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    deliver(project, "pay/b.csv", "p1,c1,2026-02-05,11,card\np2,c1,2026-02-06,-5,cash\n")

    one_by_one = project.model_copy(
        update={"lake": project.lake.model_copy(update={"rows_at_once": 1})}
    )
    monkeypatch.setattr(source_tables, "refine", killed_at_call(2, silver.refine))
    with pytest.raises(KilledError):
        refresh(one_by_one, contract())
    monkeypatch.undo()
    assert amounts(project) == {"p2 2026-01": 20}  # what comes instead is yet to be written
    payments = refresh(project, contract()).sources["payments"]
    assert payments.recomputed == ("2026-01", "2026-02")
    # What p2 was corrected to is refused, so its former row stands.
    assert amounts(project) == {"p1 2026-02": 11, "p2 2026-01": 20}
    assert (payments.bronze_rows, payments.silver_rows) == (5, 2)
    assert (payments.quarantined_rows, payments.duplicate_rows) == (2, 1)
    # The period names the new interval only; the former one is kept in step with it.
    once_more = refresh(project, contract(), date(2026, 2, 1), date(2026, 3, 1))
    assert once_more.sources["payments"].recomputed == ("2026-01", "2026-02")
    assert amounts(project) == {"p1 2026-02": 11, "p2 2026-01": 20}


def test_without_a_key_each_row_of_the_files_that_are_there_stands(
    prepared_projects: PreparedProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    deliver(project, "tick/b.csv", "c1,2026-01-05,low\n")
    deliver(project, "tick/b2.csv", "c1,2026-01-05,low\n")  # the same content: one delivery
    tickets = refresh(project, contract()).sources["tickets"]
    assert (tickets.silver_rows, tickets.duplicate_rows, tickets.new_batches) == (4, 0, 1)

    deliver(project, "tick/a.csv", "c9,2026-01-06,high\n")
    tickets = refresh(project, contract()).sources["tickets"]
    assert (tickets.bronze_rows, tickets.silver_rows, tickets.rows_no_longer_held) == (2, 2, 3)
    assert "3 rows of files that tick holds no more are left out" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "pay" / "a.csv").unlink(), "pay holds no data file"),
        (lambda root: (root / "pay" / "b.csv").write_text(""), "is empty"),
        (lambda root: (root / "pay" / "b.csv").write_text("payment_id\n"), "no rows"),
        (
            lambda root: describe(
                root, "payments", PAYMENTS.replace("number, minimum: 0", "category")
            ),
            "column amount is string now, and float64 in silver.payments",
        ),
        (
            lambda root: describe(root, "payments", PAYMENTS.replace("method", "channel")),
            "lacks the columns channel",
        ),
        (
            lambda root: (root / "pay" / "b.csv").write_text("payment_id,client,amount\np4,c1,4\n"),
            "pay/b.csv lacks the columns paid_at; it has: amount, client, payment_id",
        ),
        (
            lambda root: (root / "pay" / "b.csv").write_text(
                "payment_id;client;paid_at;amount\np4;c1;2026-01-09;4\n"
            ),
            "pay/b.csv lacks the columns client, payment_id, amount, paid_at",
        ),
        (
            lambda root: (root / "pay" / "b.csv").write_text(
                "payment_id,client,paid_at\np4,c1,2026-01-09\n"
            ),
            "pay/b.csv lacks the columns amount",
        ),
    ],
    ids=[
        "missing",
        "empty",
        "no rows",
        "another type",
        "a column that is not there",
        "no time in a new file",
        "another delimiter in a new file",
        "no value that is needed in a new file",
    ],
)
def test_a_source_that_does_not_fit_leaves_every_table_as_it_was(
    break_it: object, message: str, prepared_projects: PreparedProjects
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    before = state(project)
    deliver(project, "in/b.csv", "c4,2026-02-01,4,no\n")
    deliver(project, "tick/b.csv", "c4,2026-02-01,low\n")
    break_it(project.root)  # type: ignore[operator]
    with pytest.raises(ProjectError) as caught:
        refresh(project, contract())
    assert message in caught.value.message
    assert caught.value.message.startswith("config/sources/payments.yaml")
    assert state(project) == before


def test_a_new_file_without_a_column_that_may_be_missing_is_taken_in_and_said(
    prepared_projects: PreparedProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    (project.root / "pay" / "b.csv").write_text(
        "payment_id,client,paid_at,amount\np4,c1,2026-01-09,4\n"
    )
    refresh(project, contract())
    assert amounts(project)["p4 2026-01"] == 4
    said = " ".join(capsys.readouterr().err.split())
    assert "pay/b.csv lacks method, which counts as missing in each of its rows" in said


def test_a_file_of_the_main_table_without_its_time_is_an_error_and_not_a_traceback(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    before = state(project)
    (project.root / "in" / "b.csv").write_text("id;day;amount;bought\nc4;2026-02-01;4;no\n")
    with pytest.raises(ContractError, match=r"in/b\.csv lacks the columns day; it has: id;day"):
        refresh(project, contract())
    assert state(project) == before


def test_a_forgotten_person_is_out_of_every_source_and_stays_out(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    deliver(project, "pay/b.csv", "p8, c1 ,2026-01-09,-8,card\np9,c2,2026-01-09,9,card\n")
    refresh(project, contract())

    held = forget(project, contract(), "c1", yes=False)
    assert held.rows == {
        "bronze.payments": 3,
        "bronze.shop": 1,
        "bronze.tickets": 2,
        "gold.shop": 1,
        "quarantine.payments": 1,
        "silver.payments": 2,
        "silver.shop": 1,
        "silver.tickets": 2,
    }
    assert {Path(file).parent.name: rows for file, rows in held.sources.items()} == {
        "in": "1 rows",
        "pay": "1 rows",
        "tick": "2 rows",
    }
    file = project.root / "c1.json"
    export_person(project, contract(), "c1", file)
    tables = json.loads(file.read_text("utf-8"))["tables"]
    assert set(tables) == set(held.rows)
    assert tables["silver.payments"]["entity_column"] == "client"
    assert tables["silver.payments"]["columns"]["client"] == {"personal": True}
    assert sorted(row["amount"] for row in tables["silver.payments"]["rows"]) == [10, 20]

    assert forget(project, contract(), "c1", yes=True).state == "forgotten"
    assert lake_files_with(project, "c1") == []
    deliver(project, "pay/c.csv", "p5,c1,2026-04-01,50,card\np6,c2,2026-04-01,60,card\n")
    after = refresh(project, contract())
    assert after.sources["payments"].forgotten_rows == 1
    assert amounts(project) == {"p6 2026-04": 60, "p9 2026-01": 9}
    assert lake_files_with(project, "c1") == []
    again = refresh(project, contract())
    assert {source.recomputed for source in again.sources.values()} == {()}


def test_tables_of_a_source_that_is_described_no_more_are_named_as_not_searched(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    (project.root / "config" / "sources" / "payments.yaml").unlink()
    done = forget(project, contract(), "c1", yes=True)
    assert done.not_searched == ("bronze.payments", "quarantine.payments", "silver.payments")
    assert "Look at the tables that were not searched" in done.message


def test_status_check_report_and_versions_name_the_sources(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    tables = project_status(project, contract()).tables
    assert tables["silver.payments"] == "2 rows"
    assert tables["quarantine.tickets"] == "0 rows"

    report = write_data_report(project, contract())
    assert report.sources == {"payments": 2, "tickets": 3}
    assert report.unaccounted == ()
    page = (project.reports / "data.html").read_text("utf-8")
    assert "Further sources" in page
    assert "2026-01-06" in page

    deliver(project, "pay/b.csv", "p1,c1,2026-01-05,11,card\n")
    refresh(project, contract())
    assert {each.table for each in list_versions(project, contract()).versions} >= {
        "bronze.payments",
        "silver.payments",
    }
    diff = diff_snapshots(project, contract(), "silver.payments")
    assert (diff.key, diff.changed, diff.unchanged) == (("payment_id",), 1, 1)
    back = rollback(project, contract(), "bronze.payments", "previous")
    assert "takes the files of the later batches in again" in back.next_data_run
    assert refresh(project, contract()).sources["payments"].new_batches == 1
    assert amounts(project)["p1 2026-01"] == 11

    describe(project.root, "payments", PAYMENTS.replace("number", "money"))
    assert project_status(project, contract()).next_command.startswith("config/sources/payments")
    with pytest.raises(ContractError, match="found 'money'"):
        check_definitions(project, contract())
