"""Bronze, silver, gold: from the sources to the table that models are trained on."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from goldpath.contract import Contract
from goldpath.features.learned import learned_contract
from goldpath.jobs.data.bronze import Delivery, find_supply, ingest, one_ingestion
from goldpath.jobs.data.gold import publish
from goldpath.jobs.data.intervals import (
    PendingInterval,
    Period,
    keep_intervals_in_step,
    pending_intervals,
    say_intervals,
    silver_record,
    together,
)
from goldpath.jobs.data.recipes import recipes_digest
from goldpath.jobs.data.silver import IntervalCounts, commonest_reasons, current_rows, refine
from goldpath.jobs.data.source_tables import (
    SourceResult,
    find_source_supply,
    ingest_source,
    refresh_source,
)
from goldpath.jobs.windows.window_rows import (
    WindowSources,
    of_interval,
    rows_reached,
    window_sources,
)
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Partitions
from goldpath.lake.run_log import (
    is_same_contract,
    latest_by_subject,
    read_records,
    write_records,
)
from goldpath.lake.tables import INTERVAL, gold_table
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.privacy.suppression import SuppressionList
from goldpath.project import Data, unused_definitions
from goldpath.settings import Settings
from goldpath.source_contract import load_sources


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
        sources: The same of each further source, by name.
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
    sources: Mapping[str, SourceResult] = field(default_factory=dict)


@uses_rows
def refresh(
    settings: Settings, contract: Contract, start: date | None = None, end: date | None = None
) -> DataResult:
    """Bring the lake up to date with the contract's source and the further ones.

    Twice in a row changes nothing.

    Args:
        settings: Where the lake is.
        contract: What a row is.
        start: With `end`: recompute the intervals of this period, and no others.
        end: The first day after the period.

    Raises:
        ContractError: If a file of `config/sources` is wrong.
        SourceError: If a source cannot be read.
        LakehouseError: If no row fulfils the contract, or a column's type changed.
        ProjectDefinitionError: If a recipe or a feature of the project cannot be used.
    """
    sources = load_sources(settings.root, contract.dataset)
    contract = learned_contract(settings, contract)
    lakehouse = open_lakehouse(settings)
    run_id = f"data-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    if unused := unused_definitions(contract.dataset):
        step(unused)
    step("bronze: reading the source")
    suppression = SuppressionList(lakehouse, settings, contract).load()
    recipes, period = settings.project.recipes, Period(start, end)
    with ExitStack() as locks:
        for table in (contract, *sources):
            locks.enter_context(one_ingestion(settings, table))
        # Everything is looked at before anything is written: a source that is missing, or does not
        # fit, leaves every table as it was.
        supply = find_supply(lakehouse, settings.root, contract)
        supplies = [find_source_supply(lakehouse, settings.root, each) for each in sources]
        delivery = ingest(lakehouse, contract, supply, run_id, suppression, recipes)
        write_records(lakehouse, contract, delivery.records)
        deliveries = [
            ingest_source(lakehouse, each, found, run_id, suppression)
            for each, found in zip(sources, supplies, strict=True)
        ]
    results = {
        each.dataset: refresh_source(lakehouse, settings, each, delivered, period, run_id)
        for each, delivered in zip(sources, deliveries, strict=True)
    }
    done = latest_by_subject(read_records(lakehouse, contract, "gold"))
    of_another_contract = not all(
        is_same_contract(contract, record.fingerprint) for record in done.values()
    )
    if of_another_contract or not (done or delivery.records):
        keep_intervals_in_step(lakehouse, contract)

    rows = current_rows(lakehouse, contract, delivery.batches)
    known = window_sources(lakehouse, contract, sources)
    own = of_interval(known, recipes_digest(rows, contract.request, recipes))
    pending = pending_intervals(lakehouse, contract, delivery.batches, done, period, own)
    for batch in together(pending, settings.lake.rows_at_once):
        _recompute(lakehouse, contract, delivery, recipes, batch, run_id, known)
    result = _result(lakehouse, contract, delivery, tuple(item.interval for item in pending))
    return replace(result, sources=results)


def _recompute(
    lakehouse: Lakehouse,
    contract: Contract,
    delivery: Delivery,
    recipes: Data,
    batch: list[PendingInterval],
    run_id: str,
    sources: WindowSources,
) -> None:
    """Silver, quarantine and gold of a few intervals, and then the record that they are done."""
    intervals = tuple(item.interval for item in batch)
    started = datetime.now(UTC).replace(tzinfo=None)
    shown = say_intervals(batch)
    step(f"silver: checking {sum(item.rows for item in batch)} rows of {shown}")
    counts = refine(lakehouse, contract.request, delivery.batches, intervals, recipes)
    step(f"gold: publishing {shown}")
    reached = rows_reached(lakehouse, sources, intervals)
    gold = publish(lakehouse, contract, intervals, recipes, reached)
    published = _gold_rows(lakehouse, contract, recipes, intervals, counts)
    finished = datetime.now(UTC).replace(tzinfo=None)

    pairs = list(zip(batch, counts, strict=True))
    silver = [silver_record(run_id, item, count, started, finished) for item, count in pairs]
    write_records(
        lakehouse,
        contract,
        [
            *silver,
            *(
                replace(
                    record,
                    step="gold",
                    rows_in=record.rows_out,
                    rows_out=published[record.subject],
                    quarantined=0,
                    duplicates=0,
                    snapshot=gold.snapshot_id,
                )
                for record in silver
            ),
        ],
    )


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
