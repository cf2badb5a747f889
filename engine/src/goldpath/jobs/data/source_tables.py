"""The further sources: bronze, silver and quarantine of each, and what became of its rows."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from goldpath.contract import EVENT_TIME
from goldpath.errors import ProjectError
from goldpath.jobs.data.bronze import (
    Delivery,
    Supply,
    find_supply,
    ingest,
    new_columns,
    require_columns,
)
from goldpath.jobs.data.intervals import (
    Period,
    keep_intervals_in_step,
    pending_intervals,
    say_intervals,
    silver_record,
    together,
)
from goldpath.jobs.data.recipes import TYPES
from goldpath.jobs.data.silver import commonest_reasons, refine, require_a_row
from goldpath.lake.lakehouse import Lakehouse, LakehouseError
from goldpath.lake.run_log import (
    RunRecord,
    is_same_contract,
    latest_by_subject,
    read_records,
    write_records,
)
from goldpath.lake.tables import BATCH, bronze_table, silver_table
from goldpath.presentation import step
from goldpath.privacy.suppression import Suppression
from goldpath.settings import Settings
from goldpath.source_contract import SourceContract
from goldpath.sources.files import EncodingError

FAULT = "fault"
"""The step of a record that says what is wrong with a source; its subject is the message."""


@dataclass(frozen=True)
class SourceResult:
    """Every bronze row of a further source, accounted for.

    Attributes:
        source: What was read.
        new_batches: Files that bronze did not hold yet.
        recomputed: The intervals that were made anew.
        bronze_rows: Rows that silver is made from.
        silver_rows: Rows that fulfil the contract; with a key, one for each.
        quarantined_rows: Rows that do not, by reason in `quarantine_reasons`.
        duplicate_rows: Accepted rows that a later row with the same key replaced.
        forgotten_rows: Rows of persons who asked to be forgotten, which were not taken in now.
        rows_no_longer_held: Without a key: rows of bronze whose file the source holds no more; they
            are in neither silver nor quarantine.
        quarantine_reasons: The commonest reasons and their counts.
    """

    source: str
    new_batches: int
    recomputed: tuple[str, ...]
    bronze_rows: int
    silver_rows: int
    quarantined_rows: int
    duplicate_rows: int
    forgotten_rows: int
    rows_no_longer_held: int
    quarantine_reasons: dict[str, int]


def find_source_supply(lakehouse: Lakehouse, root: Path, contract: SourceContract) -> Supply:
    """Look what a source holds, and whether it fits its contract and its tables.

    Raises:
        ContractError: If a new file lacks a column that may not be missing, or no file has one.
        LakehouseError: If a column has another type than in silver.
        SourceError: If the source is missing, empty or cannot be read.
    """
    with _named(contract):
        supply = find_supply(lakehouse, root, contract)
        new = new_columns(supply)
        for shown, names in new.items():
            _require_new_file(contract, names, shown.removeprefix(f"{root}/"))
        columns = {name for names in new.values() for name in names}
        if lakehouse.exists(bronze_table(contract)):
            columns.update(lakehouse.read(bronze_table(contract)).columns)
        if columns:
            require_columns(contract, contract.raw_columns, sorted(columns), contract.source.name)
        _require_types(lakehouse, contract)
    return supply


def _require_new_file(contract: SourceContract, names: Sequence[str], shown: str) -> None:
    """A file's rows have a subject, a time, a key and each column that may not be missing."""
    may_lack = {each.name for each in contract.features if each.nullable}
    may_lack -= set(contract.event_time.columns)
    needed = [name for name in contract.raw_columns if name not in may_lack]
    require_columns(contract, needed, names, shown)
    if gone := [name for name in contract.raw_columns if name not in names]:
        step(
            f"{bronze_table(contract)}: {shown} lacks {', '.join(gone)}, which counts as missing "
            "in each of its rows"
        )


def ingest_source(
    lakehouse: Lakehouse,
    contract: SourceContract,
    supply: Supply,
    run_id: str,
    suppression: Suppression,
) -> Delivery:
    """Append the files that bronze does not hold, without rows of forgotten persons."""
    own = replace(suppression, column=contract.entity)
    with _named(contract):
        delivery = ingest(lakehouse, contract, supply, run_id, own)
        write_records(lakehouse, contract, delivery.records)
    return delivery


def refresh_source(
    lakehouse: Lakehouse,
    settings: Settings,
    contract: SourceContract,
    delivery: Delivery,
    period: Period,
    run_id: str,
) -> SourceResult:
    """Make silver and quarantine of the intervals that changed anew.

    Raises:
        LakehouseError: If no row fulfils the contract; silver and quarantine are as they were then.
    """
    with _named(contract):
        done = latest_by_subject(read_records(lakehouse, contract, "silver"))
        of_another_contract = not all(
            is_same_contract(contract, record.fingerprint) for record in done.values()
        )
        if of_another_contract or not (done or delivery.records):
            keep_intervals_in_step(lakehouse, contract)
        pending = pending_intervals(lakehouse, contract, delivery.batches, done, period)
        names = tuple(item.interval for item in pending)
        if pending and not any(done[name].rows_out for name in done.keys() - {*names}):
            require_a_row(lakehouse, contract, delivery.batches, names)
        for batch in together(pending, settings.lake.rows_at_once):
            rows = sum(item.rows for item in batch)
            step(f"{silver_table(contract)}: checking {rows} rows of {say_intervals(batch)}")
            started = datetime.now(UTC).replace(tzinfo=None)
            intervals = tuple(item.interval for item in batch)
            counts = refine(lakehouse, contract, delivery.batches, intervals)
            finished = datetime.now(UTC).replace(tzinfo=None)
            pairs = zip(batch, counts, strict=True)
            records = [silver_record(run_id, *pair, started, finished) for pair in pairs]
            write_records(lakehouse, contract, records)
        return _result(lakehouse, contract, delivery, names)


class SourceFaults:
    """What is wrong with sources that nothing needs: it is noted and said, and stops nothing.

    Args:
        lakehouse: Where it is noted, so that `status` and the data report say it, too.
        needed: The names of the sources that features or the target are made from.
        run_id: The run, for the record.
    """

    def __init__(self, lakehouse: Lakehouse, needed: Collection[str], run_id: str) -> None:
        self._lakehouse, self._needed, self._run_id = lakehouse, needed, run_id
        self.found: dict[str, str] = {}

    @contextmanager
    def kept(self, contract: SourceContract) -> Iterator[None]:
        """Keep the fault of a source that nothing needs.

        Raises:
            ProjectError: If the source is needed.
        """
        try:
            yield
        except ProjectError as error:
            if contract.dataset in self._needed:
                raise
            self.found[contract.dataset] = f"{error.message}: {error.fix}"
            step(
                f"WARNING: the source {contract.dataset} is left as it was: {error.message}. No "
                f"feature and no target is made from it, so the others go on; {error.fix}"
            )

    def note(self, sources: Sequence[SourceContract]) -> None:
        """Note for each source what is wrong with it, or that nothing is any more."""
        for each in sources:
            fault = self.found.get(each.dataset, "")
            if fault != noted_fault(self._lakehouse, each):
                now = datetime.now(UTC).replace(tzinfo=None)
                numbers = dict.fromkeys(
                    ("rows_in", "rows_out", "quarantined", "duplicates", "forgotten", "snapshot"), 0
                )
                record = RunRecord(
                    run_id=self._run_id,
                    step=FAULT,
                    subject=fault,
                    fingerprint="",
                    started_at=now,
                    finished_at=now,
                    **numbers,
                )
                write_records(self._lakehouse, each, [record])


def noted_fault(lakehouse: Lakehouse, contract: SourceContract) -> str:
    """What was wrong with a source at the last refresh; empty where nothing was."""
    records = read_records(lakehouse, contract, FAULT)
    return records[-1].subject if records else ""


def noted_faults(lakehouse: Lakehouse, sources: Sequence[SourceContract]) -> dict[str, str]:
    """What was wrong with sources at their last refresh, by name."""
    faults = {each.dataset: noted_fault(lakehouse, each) for each in sources}
    return {name: fault for name, fault in faults.items() if fault}


def source_account(lakehouse: Lakehouse, contract: SourceContract) -> list[RunRecord]:
    """The newest record of each interval of a source's silver, by interval."""
    latest = latest_by_subject(read_records(lakehouse, contract, "silver")).values()
    return sorted(latest, key=lambda record: record.subject)


def _result(
    lakehouse: Lakehouse,
    contract: SourceContract,
    delivery: Delivery,
    recomputed: tuple[str, ...],
) -> SourceResult:
    records = source_account(lakehouse, contract)
    # A source of nothing but forgotten persons' rows has no interval, so no silver either.
    reasons = commonest_reasons(lakehouse, contract) if records else {}
    bronze_rows = sum(record.rows_in for record in records)
    silver_rows = sum(record.rows_out for record in records)
    left = 0 if contract.has_key else _rows_no_longer_held(lakehouse, contract, delivery)
    if left:
        step(
            f"{silver_table(contract)}: {left} rows of files that {contract.source.name} holds no "
            "more are left out, since no key tells them from those of the files that came instead"
        )
    return SourceResult(
        source=contract.source.name,
        new_batches=len(delivery.records),
        recomputed=recomputed,
        bronze_rows=bronze_rows,
        silver_rows=silver_rows,
        quarantined_rows=sum(record.quarantined for record in records),
        duplicate_rows=sum(record.duplicates for record in records),
        forgotten_rows=sum(record.forgotten for record in delivery.records),
        rows_no_longer_held=left,
        quarantine_reasons=reasons,
    )


def _rows_no_longer_held(lakehouse: Lakehouse, contract: SourceContract, delivery: Delivery) -> int:
    bronze = lakehouse.read(bronze_table(contract))
    left = bronze.filter(bronze[BATCH].notin(delivery.batches))
    return int(lakehouse.collect(left.aggregate(rows=left.count()))["rows"][0].as_py())


def _require_types(lakehouse: Lakehouse, contract: SourceContract) -> None:
    """Check that silver can take the contract's columns, before anything is written."""
    import ibis

    if not lakehouse.exists(silver_table(contract)):
        return
    held = lakehouse.read(silver_table(contract)).schema()
    wanted = dict.fromkeys(contract.identifiers, "string") | {EVENT_TIME: "timestamp"}
    wanted |= {feature.name: TYPES[feature.type] for feature in contract.features}
    for name, kind in wanted.items():
        if name in held and type(held[name]) is not type(ibis.dtype(kind)):
            raise LakehouseError(
                f"column {name} is {kind} now, and {held[name]} in {silver_table(contract)}",
                f"give it its former type in {contract.file}, or the source another name "
                "(rename the file); the tables are as they were",
            )


@contextmanager
def _named(contract: SourceContract) -> Iterator[None]:
    """Name the source's file in messages."""
    try:
        yield
    except ProjectError as error:
        if isinstance(error, EncodingError):
            error.fix = f"set source.encoding in {contract.file}, or run: {contract.inferred_by}"
        if error.message.startswith(contract.file):
            raise
        error.message = f"{contract.file}: {error.message}"
        raise
