"""What is in the lake now, where it came from, and whether every row is accounted for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from goldpath.contract import EVENT_TIME, Contract
from goldpath.jobs.data.silver import commonest_reasons
from goldpath.jobs.data.source_tables import noted_fault, source_account
from goldpath.jobs.labels.label_events import LabelCounts, count_labels, label_events
from goldpath.lake.column_summary import ColumnSummary, summarise_columns
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
from goldpath.source_contract import SourceContract


@dataclass(frozen=True)
class SourceState:
    """What the lake holds of a further source.

    Attributes:
        name: The source's name.
        source: Where rows come from.
        key: What tells its rows apart.
        deliveries: Files that were taken in.
        intervals: The newest account of each interval.
        reasons: Why rows are in quarantine, the commonest first.
        newest_event: The newest event time in silver, or None where silver has no row.
        newest_ingestion: When bronze took rows in last, or None where it never did.
        fault: Why the last refresh left it as it was; empty where it did not.
    """

    name: str
    source: str
    key: str
    deliveries: int
    intervals: list[RunRecord]
    reasons: dict[str, int]
    newest_event: datetime | None
    newest_ingestion: datetime | None
    fault: str = ""

    @property
    def bronze_rows(self) -> int:
        """Rows that silver is made from."""
        return sum(record.rows_in for record in self.intervals)

    @property
    def silver_rows(self) -> int:
        """Rows that fulfil the contract."""
        return sum(record.rows_out for record in self.intervals)

    @property
    def quarantined_rows(self) -> int:
        """Rows that do not."""
        return sum(record.quarantined for record in self.intervals)

    @property
    def duplicate_rows(self) -> int:
        """Rows that a later one with the same key replaced."""
        return sum(record.duplicates for record in self.intervals)

    @property
    def adds_up(self) -> bool:
        """Whether each row of each interval is accounted for."""
        return all(record.adds_up for record in self.intervals)


@dataclass(frozen=True)
class LakeState:
    """Everything that the data page shows.

    Attributes:
        dataset: The contract's dataset.
        source: Where rows come from.
        made_at: When the state was read, UTC.
        tables: The current snapshot of each layer that exists.
        deliveries: Files that were taken in, the oldest first.
        intervals: The newest account of each interval.
        reasons: Why rows are in quarantine, the commonest first.
        newest_event: The newest event time in gold, or None.
        newest_ingestion: When bronze took rows in last.
        training_runs: Runs whose snapshot of gold is tagged.
        columns: Gold's columns.
        sources: The further sources.
        labels: What became of gold's rows where the target is made from events.
    """

    dataset: str
    source: str
    made_at: datetime
    tables: dict[str, Snapshot]
    deliveries: list[RunRecord]
    intervals: list[RunRecord]
    reasons: dict[str, int]
    newest_event: datetime | None
    newest_ingestion: datetime | None
    training_runs: tuple[str, ...]
    columns: list[ColumnSummary]
    sources: tuple[SourceState, ...] = ()
    labels: LabelCounts | None = None


def read_lake_state(
    lakehouse: Lakehouse, contract: Contract, sources: Sequence[SourceContract] = ()
) -> LakeState:
    """Read the accounts of all runs, and summarise gold's columns where the data is.

    Args:
        lakehouse: Where the tables are.
        contract: The main table's.
        sources: The further ones.

    Raises:
        LakehouseError: If there is no gold table yet.
    """
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
    labels = label_events(lakehouse, contract, sources)
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
        newest_event=newest_time(lakehouse, layers["gold"], EVENT_TIME)
        if contract.has_time
        else None,
        newest_ingestion=newest_time(lakehouse, layers["bronze"], INGESTED_AT),
        training_runs=tuple(tag for tag in tags if tag.startswith("train-")),
        columns=summarise_columns(lakehouse, gold, contract),
        sources=tuple(_source_state(lakehouse, each) for each in sources),
        labels=count_labels(lakehouse, labels) if labels else None,
    )


def _source_state(lakehouse: Lakehouse, contract: SourceContract) -> SourceState:
    bronze, silver = bronze_table(contract), silver_table(contract)
    is_made = lakehouse.exists(silver)
    return SourceState(
        name=contract.dataset,
        source=contract.source.name,
        key=contract.key or "file and row number",
        deliveries=len(read_records(lakehouse, contract, "bronze")),
        intervals=source_account(lakehouse, contract),
        reasons=commonest_reasons(lakehouse, contract) if is_made else {},
        newest_event=newest_time(lakehouse, silver, EVENT_TIME) if is_made else None,
        newest_ingestion=(
            newest_time(lakehouse, bronze, INGESTED_AT) if lakehouse.exists(bronze) else None
        ),
        fault=noted_fault(lakehouse, contract),
    )


def newest_time(lakehouse: Lakehouse, table: TableName, column: str) -> datetime | None:
    """The newest time in a column of a table; None where it has no row."""
    rows = lakehouse.read(table)
    newest: datetime | None = lakehouse.collect(rows.aggregate(newest=rows[column].max()))[
        "newest"
    ][0].as_py()
    return newest
