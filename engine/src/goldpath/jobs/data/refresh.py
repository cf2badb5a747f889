"""Bronze, silver, gold: from a source to the table that models are trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from goldpath.contract import Contract
from goldpath.features.row.learned import with_row_features
from goldpath.jobs.data.bronze import Delivery, ingest, one_ingestion
from goldpath.jobs.data.gold import publish
from goldpath.jobs.data.recipes import recipes_digest
from goldpath.jobs.data.silver import IntervalCounts, commonest_reasons, current_rows, refine
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.event_time import interval_of, intervals_between
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Partitions
from goldpath.lake.run_log import (
    RunRecord,
    fingerprint,
    is_same_contract,
    latest_by_subject,
    read_records,
    write_records,
)
from goldpath.lake.tables import INGESTED_AT, INTERVAL, bronze_table, gold_table
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.privacy.suppression import SuppressionList
from goldpath.project import Data, unused_definitions
from goldpath.settings import Settings

# Athena opens at most 100 partitions in one statement.
INTERVALS_AT_ONCE = 90


@dataclass(frozen=True)
class DataResult:
    """Every row of bronze, accounted for.

    Attributes:
        source: What was read.
        new_batches: Files that bronze did not hold yet.
        recomputed: The intervals that were made anew.
        bronze_rows: Rows that silver is made from.
        silver_rows: Rows that fulfil the contract, one for each entity and event time.
        quarantined_rows: Rows that do not, by reason in `quarantine_reasons`.
        duplicate_rows: Accepted rows that a later row for the same key replaced.
        left_out_rows: Rows of silver that the project's recipe keeps out of gold.
        quarantine_reasons: The commonest reasons and their counts.
        gold_table: The table that training reads.
        gold_snapshot: Its snapshot.
    """

    source: str
    new_batches: int
    recomputed: tuple[str, ...]
    bronze_rows: int
    silver_rows: int
    quarantined_rows: int
    duplicate_rows: int
    left_out_rows: int
    quarantine_reasons: dict[str, int]
    gold_table: str
    gold_snapshot: int


@dataclass(frozen=True)
class _Pending:
    """An interval, and the bronze rows that it is to be made from."""

    interval: str
    rows: int
    fingerprint: str


@uses_rows
def refresh(
    settings: Settings, contract: Contract, start: date | None = None, end: date | None = None
) -> DataResult:
    """Bring the lake up to date with the contract's source. Twice in a row changes nothing.

    Args:
        settings: Where the lake is.
        contract: What a row is.
        start: With `end`: recompute the intervals of this period, and no others.
        end: The first day after the period.

    Raises:
        SourceError: If the source cannot be read.
        LakehouseError: If no row fulfils the contract, or a column's type changed.
        ProjectDefinitionError: If a recipe or a row feature of the project cannot be used.
    """
    contract = with_row_features(contract, settings.project)
    lakehouse = open_lakehouse(settings)
    run_id = f"data-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    if unused := unused_definitions(contract.dataset):
        step(unused)
    step("bronze: reading the source")
    suppression = SuppressionList(lakehouse, settings, contract).load()
    recipes = settings.project.recipes
    with one_ingestion(settings, contract):
        delivery = ingest(lakehouse, settings.root, contract, run_id, suppression, recipes)
        write_records(lakehouse, contract, delivery.records)
    done = latest_by_subject(read_records(lakehouse, contract, "gold"))
    of_another_contract = not all(
        is_same_contract(contract, record.fingerprint) for record in done.values()
    )
    if of_another_contract or not (done or delivery.records):
        _keep_intervals_in_step(lakehouse, contract)

    pending = _pending(lakehouse, contract, delivery, recipes, done, start, end)
    for batch in _batches(pending, settings.lake.rows_at_once):
        _recompute(lakehouse, contract, delivery, recipes, batch, run_id)
    return _result(lakehouse, contract, delivery, tuple(item.interval for item in pending))


def _recompute(
    lakehouse: Lakehouse,
    contract: Contract,
    delivery: Delivery,
    recipes: Data,
    batch: list[_Pending],
    run_id: str,
) -> None:
    """Silver, quarantine and gold of a few intervals, and then the record that they are done."""
    intervals = tuple(item.interval for item in batch)
    started = datetime.now(UTC).replace(tzinfo=None)
    shown = intervals[0] if len(intervals) == 1 else f"{intervals[0]} to {intervals[-1]}"
    step(f"silver: checking {sum(item.rows for item in batch)} rows of {shown}")
    counts = refine(lakehouse, contract.request, delivery.batches, intervals, recipes)
    step(f"gold: publishing {shown}")
    gold = publish(lakehouse, contract, intervals, recipes)
    published = _gold_rows(lakehouse, contract, recipes, intervals, counts)
    finished = datetime.now(UTC).replace(tzinfo=None)

    def record(name: str, item: _Pending, count: IntervalCounts) -> RunRecord:
        is_silver = name == "silver"
        return RunRecord(
            run_id=run_id,
            step=name,
            subject=item.interval,
            rows_in=count.bronze if is_silver else count.silver,
            rows_out=count.silver if is_silver else published[item.interval],
            quarantined=count.quarantined if is_silver else 0,
            duplicates=count.duplicates if is_silver else 0,
            forgotten=0,
            snapshot=count.snapshot if is_silver else gold.snapshot_id,
            fingerprint=item.fingerprint,
            started_at=started,
            finished_at=finished,
        )

    pairs = list(zip(batch, counts, strict=True))
    records = [record(name, *pair) for name in ("silver", "gold") for pair in pairs]
    write_records(lakehouse, contract, records)


def _gold_rows(
    lakehouse: Lakehouse,
    contract: Contract,
    recipes: Data,
    intervals: tuple[str, ...],
    counts: list[IntervalCounts],
) -> dict[str, int]:
    """How many rows of each interval became gold: all of silver, unless a recipe chooses."""
    if recipes.gold is None:
        return {count.interval: count.silver for count in counts}
    import ibis

    rows = lakehouse.read(gold_table(contract), partitions=Partitions(INTERVAL, intervals))
    held = lakehouse.collect(rows.group_by(INTERVAL).aggregate(rows=ibis._.count())).to_pylist()
    return dict.fromkeys(intervals, 0) | {row[INTERVAL]: row["rows"] for row in held}


def _pending(
    lakehouse: Lakehouse,
    contract: Contract,
    delivery: Delivery,
    recipes: Data,
    done: dict[str, RunRecord],
    start: date | None,
    end: date | None,
) -> list[_Pending]:
    """The intervals that are not made from what bronze holds now; or those of the period."""
    import ibis

    rows = current_rows(lakehouse, contract, delivery.batches)
    own = recipes_digest(rows, contract.request, recipes)
    held = lakehouse.collect(
        rows.group_by(INTERVAL).aggregate(rows=ibis._.count(), newest=rows[INGESTED_AT].max())
    ).to_pylist()
    wanted = {row[INTERVAL]: (row["rows"], row["newest"]) for row in held}
    for vanished in set(done) - set(wanted):
        wanted[vanished] = (0, None)
    pending = [
        _Pending(interval, count, fingerprint(contract, count, newest, own))
        for interval, (count, newest) in sorted(wanted.items())
    ]
    if start is not None or end is not None:
        chosen = set(intervals_between(wanted, start, end))
        return [item for item in pending if item.interval in chosen]
    return [
        item
        for item in pending
        if item.interval not in done or done[item.interval].fingerprint != item.fingerprint
    ]


def _batches(pending: list[_Pending], rows_at_once: int) -> Iterator[list[_Pending]]:
    """Intervals that are worked on together, so that memory has a bound."""
    batch: list[_Pending] = []
    for item in pending:
        full = sum(other.rows for other in batch) + item.rows > rows_at_once
        if batch and (full or len(batch) == INTERVALS_AT_ONCE):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _keep_intervals_in_step(lakehouse: Lakehouse, contract: Contract) -> None:
    """Sort bronze's rows into other intervals where the contract now reads the time otherwise.

    A row's interval is derived, so this changes no raw value.
    """
    table = bronze_table(contract)
    rows = lakehouse.read(table)
    moved = rows.filter(rows[INTERVAL] != interval_of(rows, contract.event_time))
    if lakehouse.collect(moved.limit(1)).num_rows == 0:
        return
    step("bronze: the contract reads the time anew; sorting the rows into their intervals")
    anew = rows.mutate(**{INTERVAL: interval_of(rows, contract.event_time)})
    lakehouse.overwrite(table, anew)


def _result(
    lakehouse: Lakehouse, contract: Contract, delivery: Delivery, recomputed: tuple[str, ...]
) -> DataResult:
    records = latest_by_subject(read_records(lakehouse, contract, "silver")).values()
    published = latest_by_subject(read_records(lakehouse, contract, "gold")).values()
    reasons = commonest_reasons(lakehouse, contract)
    snapshot = lakehouse.snapshot(gold_table(contract))
    silver_rows = sum(record.rows_out for record in records)
    if snapshot is None or silver_rows == 0:
        raise LakehouseError(
            f"no row of {contract.source.name} fulfils the contract; reasons: {reasons}",
            "correct config/project.yaml, or run: make adopt DATA=… TARGET=…",
        )
    return DataResult(
        source=contract.source.name,
        new_batches=len(delivery.records),
        recomputed=recomputed,
        bronze_rows=sum(record.rows_in for record in records),
        silver_rows=silver_rows,
        quarantined_rows=sum(record.quarantined for record in records),
        duplicate_rows=sum(record.duplicates for record in records),
        left_out_rows=sum(record.rows_in - record.rows_out for record in published),
        quarantine_reasons=reasons,
        gold_table=str(snapshot.table),
        gold_snapshot=snapshot.snapshot_id,
    )
