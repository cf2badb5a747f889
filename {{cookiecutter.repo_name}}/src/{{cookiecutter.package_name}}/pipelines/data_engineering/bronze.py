"""Bronze: raw rows exactly as they came, append-only, each with its file and its batch."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...contract import Contract
from ...data.lakehouse import Lakehouse
from ...data.quality import number_rows
from ...data.sample import write_sample
from ...data.sources import read_raw
from ...data.tables import bronze_table

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = "data/sample/customers.csv"
BATCH = "_batch_id"
INGESTED_AT = "_ingested_at"
SAMPLE_ROWS = 20_000
SAMPLE_SEED = 7


@dataclass(frozen=True)
class Batch:
    """One file's delivery: the digest of its bytes, and whether bronze lacked it."""

    batch_id: str
    is_new: bool


def ingest(lakehouse: Lakehouse, root: Path, contract: Contract) -> Batch:
    """Append the source's rows, unless bronze already holds this very file.

    Raises:
        SourceError: Where the file is missing or cannot be read.
    """
    file = root / contract.source.path
    if contract.source.path == SAMPLE and not file.exists():
        write_sample(file, SAMPLE_ROWS, SAMPLE_SEED, {})
    raw = read_raw(contract.source, root)
    batch_id = file_digest(file)
    table = bronze_table(contract)
    if lakehouse.exists(table):
        held = lakehouse.read(table)
        if lakehouse.collect(held.filter(held[BATCH] == batch_id).limit(1)).num_rows:
            return Batch(batch_id, is_new=False)
    lakehouse.append(table, _with_origin(raw, file, batch_id))
    return Batch(batch_id, is_new=True)


def file_digest(file: Path) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _with_origin(raw: "pa.Table", file: Path, batch_id: str) -> "pa.Table":
    import pyarrow as pa

    rows = raw.num_rows
    now = datetime.now(UTC).replace(tzinfo=None)
    numbered = number_rows(raw)
    numbered = numbered.append_column("_source_file", pa.array([file.name] * rows, pa.string()))
    numbered = numbered.append_column(BATCH, pa.array([batch_id] * rows, pa.string()))
    return numbered.append_column(INGESTED_AT, pa.array([now] * rows, pa.timestamp("us")))
