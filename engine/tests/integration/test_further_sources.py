"""Further sources: their own bronze, silver and quarantine beside the main table's."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TypeVar

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis.expr.operations import WindowFunction

from goldpath import Aggregate, Rows, window_feature
from goldpath.contract import Contract, ContractError, dump_contract
from goldpath.errors import ProjectError
from goldpath.jobs.data import silver, source_tables
from goldpath.jobs.data.refresh import DataResult, refresh, refresh_source_alone
from goldpath.jobs.data.report import write_data_report
from goldpath.jobs.data.versions import diff_snapshots, list_versions, rollback
from goldpath.jobs.own_definitions import check_definitions
from goldpath.jobs.privacy.forgetting import forget
from goldpath.jobs.privacy.person_export import export_person
from goldpath.jobs.upkeep.status import project_status
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import LakehouseError, Partitions, Snapshot, TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.lake.tables import gold_table
from goldpath.project import Project
from goldpath.settings import Settings, load_settings
from goldpath.source_contract import load_sources

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


def test_a_file_that_returns_to_earlier_content_is_taken_in_again(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    deliver(project, "pay/a.csv", JANUARY.replace(",10,", ",11,"))
    refresh(project, contract())
    assert amounts(project)["p1 2026-01"] == 11

    deliver(project, "pay/a.csv", JANUARY)
    result = refresh(project, contract())

    assert amounts(project)["p1 2026-01"] == 10
    assert result.sources["payments"].new_batches == 1
    assert result.sources["payments"].bronze_rows == 9
    assert result.sources["payments"].duplicate_rows == 4
    before = state(project)
    again = refresh(project, contract()).sources["payments"]
    assert (again.new_batches, again.recomputed, state(project)) == (0, (), before)


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


class RankingLakehouse(LocalLakehouse):
    """Notes which tables are written from rows that were ranked."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.ranked: dict[str, bool] = {}

    def overwrite(
        self, table: TableName, rows: ibis.Table | pa.Table, partitions: Partitions | None = None
    ) -> Snapshot:
        windows = [] if isinstance(rows, pa.Table) else rows.op().find(WindowFunction)
        self.ranked[str(table)] = bool(windows)
        return super().overwrite(table, rows, partitions)


@pytest.mark.parametrize("came_twice", [False, True])
def test_without_a_key_rows_are_ranked_only_if_one_of_them_came_twice(
    came_twice: bool, prepared_projects: PreparedProjects
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    lakehouse = RankingLakehouse(project)
    bronze = TableName("bronze", "tickets")
    if came_twice:  # as when two machines read the source at once
        lakehouse.append(bronze, lakehouse.collect(lakehouse.read(bronze)), "_interval")
    batches = tuple({str(row["_batch_id"]) for row in rows(project, "bronze.tickets")})
    (tickets,) = (each for each in load_sources(project.root, "shop") if each.dataset == "tickets")
    (counts,) = silver.refine(lakehouse, tickets, batches, ("2026-01",))
    assert (counts.bronze, counts.silver) == (6 if came_twice else 3, 3)
    assert counts.duplicates == (3 if came_twice else 0)
    assert lakehouse.ranked["silver.tickets"] == came_twice
    assert [row["amount"] for row in rows(project, "silver.tickets")].count("low") == 2


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
def test_a_needed_source_that_does_not_fit_leaves_every_table_as_it_was(
    break_it: object, message: str, prepared_projects: PreparedProjects
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    before = state(project)
    deliver(project, "in/b.csv", "c4,2026-02-01,4,no\n")
    deliver(project, "tick/b.csv", "c4,2026-02-01,low\n")
    break_it(project.root)  # type: ignore[operator]
    with pytest.raises(ProjectError) as caught:
        refresh(needing_payments(project), contract())
    assert message in caught.value.message
    assert caught.value.message.startswith("config/sources/payments.yaml")
    assert state(project) == before


@window_feature(source="payments", over="30d")
def paid(payments: Rows) -> dict[str, Aggregate]:
    return {"times": payments.count()}


def needing_payments(settings: Settings) -> Settings:
    return load_settings(settings.root, Project(features=lambda: [paid]))


NO_PAYMENT = "p1,c1,2026-01-05,-10,card\np2,c1,2026-01-06,-20,cash\n"


def test_a_needed_source_without_one_valid_row_leaves_silver_and_gold_as_they_were(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    before = state(project)
    deliver(project, "in/b.csv", "c4,2026-02-01,4,no\n")
    # Without a key a file takes the place of the one that had this name.
    without_key = PAYMENTS.replace("key: payment_id\n", "")
    describe(project.root, "payments", without_key)
    deliver(project, "pay/a.csv", NO_PAYMENT)

    for _ in range(2):
        with pytest.raises(ProjectError) as caught:
            refresh(needing_payments(project), contract())

        assert caught.value.message == (
            "config/sources/payments.yaml: no row of pay fulfils it; reasons: "
            "{'amount: is below 0': 2}"
        )
        assert caught.value.fix.startswith("correct the file, or run: make add-source")
        now = state(project)
        kept = [name for name in before if name.split(".")[0] in ("silver", "quarantine", "gold")]
        assert {name: now[name] for name in kept} == {name: before[name] for name in kept}

    deliver(project, "pay/a.csv", JANUARY)
    mended = refresh(needing_payments(project), contract())
    assert mended.silver_rows == 3
    assert mended.sources["payments"].silver_rows == 2


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "pay" / "a.csv").unlink(), "pay holds no data file"),
        (
            lambda root: describe(root, "payments", PAYMENTS.replace("minimum: 0", "minimum: 99")),
            "no row of pay fulfils it; reasons: {'amount: is below 99': 3}",
        ),
    ],
    ids=["missing", "no row fulfils it"],
)
def test_a_source_that_nothing_needs_stops_nothing_and_is_said_until_it_is_mended(
    break_it: Callable[[Path], object],
    message: str,
    prepared_projects: PreparedProjects,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    before = state(project)
    deliver(project, "in/b.csv", "c4,2026-02-01,4,no\n")
    break_it(project.root)

    result = refresh(project, contract())

    assert result.silver_rows == 3
    assert [*result.sources] == ["tickets"]
    assert message in result.broken_sources["payments"]
    assert "WARNING: the source payments is left as it was" in " ".join(
        capsys.readouterr().err.split()
    )
    now = state(project)
    kept = [name for name in before if name.endswith(".payments") and name[0] != "_"]
    assert {name: now[name] for name in kept} == {name: before[name] for name in kept}
    status = project_status(project, contract())
    assert message in status.broken_sources["payments"]
    assert message in status.next_command
    assert message in write_data_report(project, contract()).broken_sources["payments"]
    assert "payments was left as it was" in (project.reports / "data.html").read_text("utf-8")
    refresh(project, contract())
    assert state(project) == now

    describe(project.root, "payments", PAYMENTS)
    deliver(project, "pay/a.csv", JANUARY)
    assert refresh(project, contract()).broken_sources == {}
    assert project_status(project, contract()).broken_sources == {}


def contents(settings: Settings) -> dict[str, list[object]]:
    """The rows of each layer's tables, without what differs from run to run."""
    layers = ("bronze", "silver", "quarantine", "gold")
    tables = [str(each) for each in LocalLakehouse(settings).tables() if each.layer in layers]
    return {
        table: [
            {name: value for name, value in row.items() if name != "_ingested_at"}
            for row in rows(settings, table)
        ]
        for table in tables
    }


def test_parts_of_a_refresh_in_any_order_and_at_once_make_the_tables_of_the_whole(
    prepared_projects: PreparedProjects,
) -> None:
    def deliver_more(settings: Settings) -> Settings:
        deliver(settings, "in/b.csv", "c4,2026-02-03,4,no\nc1,2026-02-01,9,yes\n")
        deliver(settings, "pay/b.csv", "p4,c3,2026-03-01,40,card\np1,c1,2026-01-05,11,card\n")
        deliver(settings, "tick/b.csv", "c4,2026-02-05,low\n")
        return settings

    whole = deliver_more(prepared_projects.restore(two_sources)[0])
    refresh(whole, contract())
    expected = contents(whole)
    parts = deliver_more(prepared_projects.restore(two_sources)[0])

    with ThreadPoolExecutor(3) as pool:
        own = [
            pool.submit(refresh_source_alone, parts, contract(), name)
            for name in ("tickets", "payments")
        ]
        gold = pool.submit(refresh, parts, contract(), further_sources=False)

    assert [each.result().new_batches for each in own] == [1, 1]
    assert gold.result().new_batches == 1
    assert gold.result().sources == {}
    assert contents(parts) == expected
    before = state(parts)
    assert refresh(parts, contract()).recomputed == ()
    assert refresh_source_alone(parts, contract(), "payments").recomputed == ()
    assert state(parts) == before
    january = refresh_source_alone(
        parts, contract(), "payments", date(2026, 1, 1), date(2026, 2, 1)
    )
    assert january.recomputed == ("2026-01",)


def test_gold_alone_is_refused_before_a_source_that_it_is_made_from(
    project: Settings,
) -> None:
    describe(project.root, "payments", PAYMENTS)
    deliver(project, "in/a.csv", "c1,2026-02-01,1,no\nc2,2026-02-01,2,yes\n")
    deliver(project, "pay/a.csv", JANUARY)
    needing = needing_payments(project)

    with pytest.raises(LakehouseError, match="gold is made from payments, too") as refused:
        refresh(needing, contract(), further_sources=False)
    assert refused.value.fix == "first: data --only payments"
    assert not open_lakehouse(project).exists(gold_table(contract()))

    refresh_source_alone(needing, contract(), "payments")
    assert refresh(needing, contract(), further_sources=False).silver_rows == 2


def test_a_source_that_fails_alone_stops_what_needs_it_only(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    (project.root / "pay" / "a.csv").unlink()
    with pytest.raises(ProjectError, match="pay holds no data file"):
        refresh_source_alone(needing_payments(project), contract(), "payments")
    assert project_status(project, contract()).broken_sources == {}  # the commands stop instead

    with pytest.raises(ProjectError, match="pay holds no data file"):
        refresh_source_alone(project, contract(), "payments")

    assert "pay holds no" in project_status(project, contract()).broken_sources["payments"]
    refresh_source_alone(project, contract(), "tickets")
    deliver(project, "in/b.csv", "c4,2026-02-01,4,no\n")
    gold = refresh(project, contract(), further_sources=False)
    assert gold.silver_rows == 3
    assert "pay holds no data file" in gold.broken_sources["payments"]
    deliver(project, "pay/a.csv", JANUARY)
    refresh_source_alone(project, contract(), "payments")
    assert refresh(project, contract(), further_sources=False).broken_sources == {}
    with pytest.raises(ContractError, match="shop has no source bills"):
        refresh_source_alone(project, contract(), "bills")


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


def test_a_file_of_forgotten_persons_alone_is_taken_in_once(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(two_sources)
    deliver(project, "pay/b.csv", "p9,c2,2026-01-09,9,card\n")
    forget(project, contract(), "c1", yes=True)
    deliver(project, "pay/a.csv", "p1,c1,2026-01-05,12,card\n")
    first = refresh(project, contract()).sources["payments"]

    again = refresh(project, contract()).sources["payments"]

    assert (first.new_batches, again.new_batches) == (2, 0)


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
