"""Bronze: raw rows exactly as they came, append-only, each with its file and its batch."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ...contract import Contract
from ...data.event_time import interval_of
from ...data.lakehouse import Lakehouse
from ...data.run_log import RunRecord
from ...data.sample import write_sample
from ...data.sources import SourcePart, list_parts, open_part
from ...data.tables import BATCH, INGESTED_AT, INTERVAL, ROW_NUMBER, SOURCE_FILE, bronze_table

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

SAMPLE = "data/sample/customers.csv"
SAMPLE_ROWS = 20_000
SAMPLE_SEED = 7


@dataclass(frozen=True)
class Delivery:
    """What a source holds now, and what of it bronze lacked.

    Attributes:
        batches: The batch of each file that the source holds now.
        records: One record for each file that was taken in.
    """

    batches: tuple[str, ...]
    records: tuple[RunRecord, ...]


def ingest(lakehouse: Lakehouse, root: Path, contract: Contract, run_id: str) -> Delivery:
    """Append the files that bronze does not hold; all files of the same columns in one commit.

    Raises:
        SourceError: Where the source is missing or cannot be read; bronze is as it was then.
    """
    if contract.source.path == SAMPLE and not (root / SAMPLE).exists():
        write_sample(root / SAMPLE, SAMPLE_ROWS, SAMPLE_SEED, {})
    parts = list_parts(contract.source, root)
    held = _held_batches(lakehouse, contract)
    new = [part for part in parts if part.digest not in held]
    records: list[RunRecord] = []
    with ExitStack() as stack:
        opened = [(part, stack.enter_context(open_part(part))) for part in new]
        for _, same in groupby(opened, key=lambda pair: pair[1].schema.names):
            records += _append(lakehouse, contract, run_id, list(same))
    return Delivery(tuple(part.digest for part in parts), tuple(records))


def _held_batches(lakehouse: Lakehouse, contract: Contract) -> set[str]:
    table = bronze_table(contract)
    if not lakehouse.exists(table):
        return set()
    return set(lakehouse.collect(lakehouse.read(table).select(BATCH).distinct())[BATCH].to_pylist())


def _append(
    lakehouse: Lakehouse,
    contract: Contract,
    run_id: str,
    opened: "list[tuple[SourcePart, pa.RecordBatchReader]]",
) -> list[RunRecord]:
    now = datetime.now(UTC).replace(tzinfo=None)
    counts = dict.fromkeys((part.name for part, _ in opened), 0)
    snapshot = lakehouse.append_stream(
        bronze_table(contract),
        _numbered(opened, counts),
        lambda raw: _with_interval(raw, contract, now),
        partition_by=INTERVAL,
    )
    return [
        RunRecord(
            run_id=run_id,
            step="bronze",
            subject=part.name,
            rows_in=counts[part.name],
            rows_out=counts[part.name],
            quarantined=0,
            duplicates=0,
            forgotten=0,
            snapshot=snapshot.snapshot_id,
            fingerprint=part.digest,
            started_at=now,
            finished_at=datetime.now(UTC).replace(tzinfo=None),
        )
        for part, _ in opened
    ]


def _with_interval(raw: "ibis.Table", contract: Contract, now: datetime) -> "ibis.Table":
    import ibis

    return raw.mutate(
        **{
            INGESTED_AT: ibis.literal(now, type="timestamp"),
            INTERVAL: interval_of(raw, contract.event_time),
        }
    )


def _numbered(
    opened: "list[tuple[SourcePart, pa.RecordBatchReader]]", counts: dict[str, int]
) -> "Iterator[pa.RecordBatch]":
    """The rows of several files as one stream, each with its file, its batch and its number."""
    import numpy as np
    import pyarrow as pa

    for part, reader in opened:
        for batch in reader:
            first, rows = counts[part.name] + 1, batch.num_rows
            counts[part.name] += rows
            same = np.zeros(rows, dtype=np.int32)
            origin = [
                pa.DictionaryArray.from_arrays(same, [part.name]),
                pa.DictionaryArray.from_arrays(same, [part.digest]),
                pa.array(np.arange(first, first + rows)),
            ]
            names = [*batch.schema.names, SOURCE_FILE, BATCH, ROW_NUMBER]
            yield pa.RecordBatch.from_arrays([*batch.columns, *origin], names=names)
