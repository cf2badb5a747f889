"""The data page: what is in the lake, its origin, and whether every row is accounted for."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from goldpath.contract import EVENT_TIME, Contract
from goldpath.jobs.data.page import render_page
from goldpath.jobs.data.silver import commonest_reasons
from goldpath.lake.column_summary import ColumnSummary, summarise_columns
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Snapshot, TableName
from goldpath.lake.run_log import RunRecord, latest_by_subject, read_records
from goldpath.lake.tables import (
    INGESTED_AT,
    bronze_table,
    gold_table,
    predictions_table,
    quarantine_table,
    silver_table,
)
from goldpath.privacy.erasure import uses_rows
from goldpath.settings import Settings

PAGE = "data.html"


@dataclass(frozen=True)
class LakeState:
    """Everything that the page shows.

    Attributes:
        dataset: The contract's dataset.
        source: Where rows come from.
        made_at: When the page was made, UTC.
        tables: The current snapshot of each layer that exists.
        deliveries: Files that were taken in, the oldest first.
        intervals: The newest account of each interval.
        reasons: Why rows are in quarantine, the commonest first.
        newest_event: The newest event time in gold, or None.
        newest_ingestion: When bronze took rows in last.
        training_runs: Runs whose snapshot of gold is tagged.
        columns: Gold's columns.
    """

    dataset: str
    source: str
    made_at: datetime
    tables: dict[str, Snapshot]
    deliveries: list[RunRecord]
    intervals: list[RunRecord]
    reasons: dict[str, int]
    newest_event: datetime | None
    newest_ingestion: datetime
    training_runs: tuple[str, ...]
    columns: list[ColumnSummary]


@dataclass(frozen=True)
class DataReport:
    """Where the page is, and what it counts.

    Attributes:
        page: The HTML file.
        intervals: Intervals on it.
        columns: Columns on it.
        gold_rows: Rows that training reads.
        unaccounted: Intervals whose rows do not add up; there should be none.
    """

    page: str
    intervals: int
    columns: int
    gold_rows: int
    unaccounted: tuple[str, ...]


@uses_rows
def write_data_report(settings: Settings, contract: Contract) -> DataReport:
    """Write `reports/data.html`: one file, with nothing to load from elsewhere.

    Raises:
        LakehouseError: If there is no data yet.
    """
    state = _lake_state(open_lakehouse(settings), contract)
    page = settings.reports / PAGE
    _write_whole(page, render_page(state))
    return DataReport(
        page=settings.shown(page),
        intervals=len(state.intervals),
        columns=len(state.columns),
        gold_rows=state.tables["gold"].rows,
        unaccounted=tuple(item.subject for item in state.intervals if not adds_up(item)),
    )


def adds_up(record: RunRecord) -> bool:
    """Whether each bronze row of an interval is in silver, in quarantine, or a duplicate."""
    return record.rows_in == record.rows_out + record.quarantined + record.duplicates


def _lake_state(lakehouse: Lakehouse, contract: Contract) -> LakeState:
    layers = {
        "bronze": bronze_table(contract),
        "quarantine": quarantine_table(contract),
        "silver": silver_table(contract),
        "gold": gold_table(contract),
        "predictions": predictions_table(contract),
    }
    found = {layer: lakehouse.snapshot(table) for layer, table in layers.items()}
    tables = {layer: snapshot for layer, snapshot in found.items() if snapshot is not None}
    if "gold" not in tables:
        raise LakehouseError("there is nothing to report: the lake has no gold table", "make data")
    gold = lakehouse.read(layers["gold"])
    tags = [tag for item in lakehouse.snapshots(layers["gold"]) for tag in item.tags]
    return LakeState(
        dataset=contract.dataset,
        source=contract.source.name,
        made_at=datetime.now(UTC),
        tables=tables,
        deliveries=read_records(lakehouse, contract, "bronze"),
        intervals=sorted(
            latest_by_subject(read_records(lakehouse, contract, "silver")).values(),
            key=lambda record: record.subject,
        ),
        reasons=commonest_reasons(lakehouse, contract),
        newest_event=_newest(lakehouse, layers["gold"], EVENT_TIME) if contract.has_time else None,
        newest_ingestion=_newest(lakehouse, layers["bronze"], INGESTED_AT),
        training_runs=tuple(tag for tag in tags if tag.startswith("train-")),
        columns=summarise_columns(lakehouse, gold, contract),
    )


def _newest(lakehouse: Lakehouse, table: TableName, column: str) -> datetime:
    rows = lakehouse.read(table)
    newest: datetime = lakehouse.collect(rows.aggregate(newest=rows[column].max()))["newest"][
        0
    ].as_py()
    return newest


def _write_whole(page: Path, text: str) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    draft = page.with_suffix(".tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(page)
