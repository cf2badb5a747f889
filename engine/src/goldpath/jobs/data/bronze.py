"""Bronze: raw rows as they came, append-only, each with its file and its batch.

The project's recipe may add columns, or leave out those that must not be stored.
"""

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.jobs.data.recipes import store_raw
from goldpath.lake.event_time import interval_of
from goldpath.lake.lakehouse import Lakehouse, LakehouseError
from goldpath.lake.run_log import RunRecord, read_records
from goldpath.lake.tables import BATCH, INGESTED_AT, INTERVAL, ROW_NUMBER, SOURCE_FILE, bronze_table
from goldpath.presentation import step
from goldpath.privacy.suppression import Suppression
from goldpath.project import NO_RECIPES, Data
from goldpath.row_contract import ContractError, RowContract
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings
from goldpath.sources.files import SourceError
from goldpath.sources.read import SourcePart, list_parts, open_part
from goldpath.sources.s3 import SCHEME

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

SAMPLE = "data/sample/customers.csv"
SAMPLE_ROWS = 20_000
SAMPLE_SEED = 7
SAMPLE_HISTORY = ("data/sample/payments", "data/sample/tickets")


@dataclass(frozen=True)
class Supply:
    """What a source holds now.

    Attributes:
        parts: Its files, or its query's result.
        new: Those whose rows bronze lacks.
    """

    parts: tuple[SourcePart, ...]
    new: tuple[SourcePart, ...]


@dataclass(frozen=True)
class Delivery:
    """What a source holds now, and what of it bronze lacked.

    Attributes:
        batches: The batch of each file that the source holds now.
        records: One record for each file that was taken in.
    """

    batches: tuple[str, ...]
    records: tuple[RunRecord, ...]


@dataclass
class _Count:
    """Rows of one file."""

    read: int = 0
    kept: int = 0


@dataclass(frozen=True)
class _Held:
    """What of a source bronze has taken in.

    Attributes:
        batches: All of it.
        newest: The batch of each file that came last.
    """

    batches: frozenset[str]
    newest: Mapping[str, str]


@contextmanager
def one_ingestion(settings: Settings, contract: RowContract) -> Iterator[None]:
    """Let a second run on this machine wait, and then find what the first has taken in.

    Which files bronze lacks is read before they are appended, so two runs at once would both append
    them. The operating system frees the lock of a killed run.
    """
    folder = (
        (settings.root / settings.lake.catalog).parent
        if settings.lake.backend == "local"
        else settings.run_directory
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / f".ingest-{contract.base}.lock").open("w")
    except OSError as error:
        raise LakehouseError(
            f"the lake at {folder} cannot be written: {error.strerror}",
            "free disk space or make the folder writable, and run the command again",
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            step("bronze: waiting for another run that reads the source")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def find_supply(lakehouse: Lakehouse, root: Path, contract: RowContract) -> Supply:
    """Look what a source holds now, and what of it bronze lacks; nothing is written to the lake.

    Args:
        lakehouse: Where bronze is.
        root: Where a relative path of the source starts.
        contract: Names the source.

    Raises:
        SourceError: If the source is missing or empty.
    """
    generate_sample(root, contract)
    if contract.source.path in SAMPLE_HISTORY and not (root / contract.source.path).exists():
        raise SourceError(
            f"{contract.source.path} does not exist: the sample was written without its history",
            "make sample writes both",
        )
    parts = list_parts(contract.source, root)
    held = _held_batches(lakehouse, contract)
    # Of files with the same content the first stands for all.
    first = {part.digest: part for part in reversed(parts)}
    new = [
        part
        for part in parts
        if first[part.digest] is part
        # The last row of a key wins, so content that a file had before must come last again.
        and (part.digest not in held.batches or _was_replaced(part, held, contract))
    ]
    return Supply(tuple(parts), tuple(new))


def generate_sample(root: Path, contract: RowContract) -> None:
    """Write the sample with its history, where the contract asks for it and it is not there."""
    if contract.source.path == SAMPLE and not (root / SAMPLE).exists():
        write_sample(root / SAMPLE, SAMPLE_ROWS, SAMPLE_SEED, {}, history=True)


def _was_replaced(part: SourcePart, held: _Held, contract: RowContract) -> bool:
    """Whether later content of the file, which it no longer holds, wins over this."""
    return contract.has_key and held.newest.get(part.name, part.digest) != part.digest


def new_columns(supply: Supply) -> dict[str, list[str]]:
    """The columns of each new file, by what messages call it; each has a row that can be read.

    Objects of S3 are left out: each look at one would be a download.

    Raises:
        SourceError: If a file is empty, damaged, or has no row.
    """
    names: dict[str, list[str]] = {}
    for part in supply.new:
        if not part.shown.startswith(SCHEME):
            with open_part(part) as reader:
                names[part.shown] = reader.schema.names
                reader.read_next_batch()
    return names


def ingest(
    lakehouse: Lakehouse,
    contract: RowContract,
    supply: Supply,
    run_id: str,
    suppression: Suppression,
    recipes: Data = NO_RECIPES,
) -> Delivery:
    """Append the files that bronze does not hold; all files of the same columns in one commit.

    Args:
        lakehouse: Where bronze is.
        contract: Names the table and the event time.
        supply: What the source holds.
        run_id: The run, for the records.
        suppression: Whose rows are not taken in.
        recipes: The project's own.

    Raises:
        ContractError: If a file lacks a column of the time; bronze is as it was then.
        SourceError: If the source cannot be read; bronze is as it was then.
    """
    records: list[RunRecord] = []
    with ExitStack() as stack:
        opened = [(part, stack.enter_context(open_part(part))) for part in supply.new]
        for part, reader in opened:
            _require_time(contract, part, reader.schema.names, recipes)
        for _, same in groupby(opened, key=lambda pair: pair[1].schema.names):
            records += _append(lakehouse, contract, run_id, list(same), suppression, recipes)
    return Delivery(tuple(part.digest for part in supply.parts), tuple(records))


def _require_time(
    contract: RowContract, part: SourcePart, names: Sequence[str], recipes: Data
) -> None:
    """Insist on the time's columns, by which bronze is divided: a file of another form has none."""
    wanted = contract.event_time.columns if contract.event_time else []
    if not set(wanted) <= set(names):  # then the recipe may make them
        import ibis

        kinds = {SOURCE_FILE: "string", BATCH: "string", ROW_NUMBER: "int64"}
        probe = ibis.table(dict.fromkeys(names, "string") | kinds, name="raw")
        names = store_raw(probe, contract, recipes).columns
    require_columns(contract, wanted, names, part.shown)


def require_columns(
    contract: RowContract, wanted: Sequence[str], names: Sequence[str], shown: str
) -> None:
    """Insist that a file has the columns that it cannot do without.

    Raises:
        ContractError: If it lacks one.
    """
    if missing := [name for name in wanted if name not in names]:
        raise ContractError(
            f"{shown} lacks the columns {', '.join(missing)}; it has: "
            f"{', '.join(sorted(name for name in names if not name.startswith('_')))}",
            f"correct {contract.file} or the file, or run: {contract.inferred_by}",
        )


def _held_batches(lakehouse: Lakehouse, contract: RowContract) -> _Held:
    import ibis

    table = bronze_table(contract)
    if not lakehouse.exists(table):
        return _Held(frozenset(), {})
    files = lakehouse.read(table).group_by(SOURCE_FILE, BATCH)
    rows = lakehouse.collect(files.aggregate(came=ibis._[INGESTED_AT].max())).to_pylist()
    came = [(row["came"], row[SOURCE_FILE], row[BATCH]) for row in rows]
    # A file that holds nothing but rows of forgotten persons leaves no row behind.
    came += [
        (record.started_at, record.subject, record.fingerprint)
        for record in read_records(lakehouse, contract, "bronze")
        if record.forgotten == record.rows_in
    ]
    came.sort()
    return _Held(frozenset(batch for *_, batch in came), {file: batch for _, file, batch in came})


def _append(
    lakehouse: Lakehouse,
    contract: RowContract,
    run_id: str,
    opened: "list[tuple[SourcePart, pa.RecordBatchReader]]",
    suppression: Suppression,
    recipes: Data,
) -> list[RunRecord]:
    now = datetime.now(UTC).replace(tzinfo=None)
    counts = {part.name: _Count() for part, _ in opened}
    snapshot = lakehouse.append_stream(
        bronze_table(contract),
        _numbered(opened, counts, suppression),
        lambda raw: with_interval(store_raw(raw, contract, recipes), contract, now),
        partition_by=INTERVAL,
    )
    return [
        RunRecord(
            run_id=run_id,
            step="bronze",
            subject=part.name,
            rows_in=counts[part.name].read,
            rows_out=counts[part.name].kept,
            quarantined=0,
            duplicates=0,
            forgotten=counts[part.name].read - counts[part.name].kept,
            snapshot=snapshot.snapshot_id,
            fingerprint=part.digest,
            started_at=now,
            finished_at=datetime.now(UTC).replace(tzinfo=None),
        )
        for part, _ in opened
    ]


def with_interval(raw: "ibis.Table", contract: RowContract, now: datetime) -> "ibis.Table":
    """Rows with the time at which they came, and the interval that they belong to."""
    import ibis

    return raw.mutate(
        **{
            INGESTED_AT: ibis.literal(now, type="timestamp"),
            INTERVAL: interval_of(raw, contract.event_time),
        }
    )


def _numbered(
    opened: "list[tuple[SourcePart, pa.RecordBatchReader]]",
    counts: "dict[str, _Count]",
    suppression: Suppression,
) -> "Iterator[pa.RecordBatch]":
    """The rows of several files as one stream, each with its file, its batch and its number."""
    import numpy as np
    import pyarrow as pa

    for part, reader in opened:
        for batch in reader:
            count, rows = counts[part.name], batch.num_rows
            first = count.read + 1
            count.read += rows
            same = np.zeros(rows, dtype=np.int32)
            origin = [
                pa.DictionaryArray.from_arrays(same, [part.name]),
                pa.DictionaryArray.from_arrays(same, [part.digest]),
                pa.array(np.arange(first, first + rows)),
            ]
            names = [*batch.schema.names, SOURCE_FILE, BATCH, ROW_NUMBER]
            numbered = pa.RecordBatch.from_arrays([*batch.columns, *origin], names=names)
            kept = suppression.keep(numbered)
            count.kept += kept.num_rows
            yield kept
