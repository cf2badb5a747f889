"""Which intervals of a table are to be made anew, in which order, and the account of each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from goldpath.jobs.data.silver import (
    IntervalCounts,
    current_rows,
    intervals_sharing_keys,
    spans_intervals,
)
from goldpath.lake.event_time import interval_of, intervals_between
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.run_log import RunRecord, fingerprint
from goldpath.lake.tables import INGESTED_AT, INTERVAL, bronze_table
from goldpath.presentation import step
from goldpath.row_contract import RowContract

# Athena opens at most 100 partitions in one statement.
INTERVALS_AT_ONCE = 90


@dataclass(frozen=True)
class PendingInterval:
    """An interval, and the bronze rows that it is to be made from."""

    interval: str
    rows: int
    fingerprint: str


@dataclass(frozen=True)
class Period:
    """The days whose intervals are recomputed, and no others; without bounds: what changed.

    Attributes:
        start: The first day.
        end: The first day after the period.
    """

    start: date | None = None
    end: date | None = None


def pending_intervals(
    lakehouse: Lakehouse,
    contract: RowContract,
    batches: tuple[str, ...],
    done: Mapping[str, RunRecord],
    period: Period,
    own: Callable[[str], str] = lambda _: "",
) -> list[PendingInterval]:
    """The intervals that are not made from what bronze holds now; or those of the period.

    Args:
        lakehouse: Where bronze is.
        contract: The table's.
        batches: What the source holds now.
        done: The newest record of each interval.
        period: The days, if some were named.
        own: What an interval is made from beside its own rows, as text: the project's recipes,
            and the rows of other tables.
    """
    import ibis

    rows = current_rows(lakehouse, contract, batches)
    held = lakehouse.collect(
        rows.group_by(INTERVAL).aggregate(rows=ibis._.count(), newest=rows[INGESTED_AT].max())
    ).to_pylist()
    wanted = {row[INTERVAL]: (row["rows"], row["newest"]) for row in held}
    for vanished in set(done) - set(wanted):
        wanted[vanished] = (0, None)
    pending = [
        PendingInterval(interval, count, fingerprint(contract, count, newest, own(interval)))
        for interval, (count, newest) in sorted(wanted.items())
    ]
    if period.start is not None or period.end is not None:
        names = set(intervals_between(wanted, period.start, period.end))
    else:
        names = {
            item.interval
            for item in pending
            if item.interval not in done or done[item.interval].fingerprint != item.fingerprint
        }
    chosen = [item for item in pending if item.interval in names]
    if not spans_intervals(contract) or len(chosen) in (0, len(pending)):
        return chosen
    # First, so that a run that is killed between them finds these again by those that changed.
    sharing = set(intervals_sharing_keys(lakehouse, contract, sorted(names)))
    return [*(item for item in pending if item.interval in sharing), *chosen]


def own_account(
    lakehouse: Lakehouse, contract: RowContract, batches: tuple[str, ...]
) -> dict[str, RunRecord]:
    """What silver's intervals are made from, for features that read the main table's own rows.

    Silver itself is written while gold is: a record of it would make every later interval anew
    with each run.
    """
    import ibis

    rows = current_rows(lakehouse, contract, batches)
    held = lakehouse.collect(
        rows.group_by(INTERVAL).aggregate(rows=ibis._.count(), newest=rows[INGESTED_AT].max())
    ).to_pylist()
    return {
        row[INTERVAL]: RunRecord(
            run_id="",
            step="bronze",
            subject=row[INTERVAL],
            rows_in=row["rows"],
            rows_out=row["rows"],
            quarantined=0,
            duplicates=0,
            forgotten=0,
            snapshot=0,
            fingerprint=str(row["newest"]),
            started_at=row["newest"],
            finished_at=row["newest"],
        )
        for row in held
    }


def together(pending: list[PendingInterval], rows_at_once: int) -> Iterator[list[PendingInterval]]:
    """Intervals that are worked on together, so that memory has a bound."""
    batch: list[PendingInterval] = []
    for item in pending:
        full = sum(other.rows for other in batch) + item.rows > rows_at_once
        if batch and (full or len(batch) == INTERVALS_AT_ONCE):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def say_intervals(batch: list[PendingInterval]) -> str:
    """The intervals of a batch, for people."""
    first, last = batch[0].interval, batch[-1].interval
    return first if len(batch) == 1 else f"{first} to {last}"


def keep_intervals_in_step(lakehouse: Lakehouse, contract: RowContract) -> None:
    """Sort bronze's rows into other intervals where the contract now reads the time otherwise.

    A row's interval is derived, so this changes no raw value.
    """
    table = bronze_table(contract)
    rows = lakehouse.read(table)
    moved = rows.filter(rows[INTERVAL] != interval_of(rows, contract.event_time))
    if lakehouse.collect(moved.limit(1)).num_rows == 0:
        return
    step(f"{table}: the contract reads the time anew; sorting the rows into their intervals")
    anew = rows.mutate(**{INTERVAL: interval_of(rows, contract.event_time)})
    lakehouse.overwrite(table, anew)


def silver_record(
    run_id: str, item: PendingInterval, count: IntervalCounts, started: datetime, finished: datetime
) -> RunRecord:
    """What a run did to one interval of silver."""
    return RunRecord(
        run_id=run_id,
        step="silver",
        subject=item.interval,
        rows_in=count.bronze,
        rows_out=count.silver,
        quarantined=count.quarantined,
        duplicates=count.duplicates,
        forgotten=0,
        snapshot=count.snapshot,
        fingerprint=item.fingerprint,
        started_at=started,
        finished_at=finished,
    )
