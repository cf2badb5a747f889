"""Parquet as text that reads back to the same values, in batches."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from goldpath.sources.files import SourceError

BATCH_ROWS = 50_000
BATCH_BYTES = 4 << 20
"""Of rows that are wide there are fewer in a batch."""

# Without a buffer's size, a row group is read whole, and it may be the whole file.
BUFFER_BYTES = 1 << 20


def parquet_batches(file: Path) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """The column names, and the rows as text.

    Raises:
        SourceError: Now or while reading: where the file is damaged.
    """
    try:
        names = pa.parquet.read_schema(file).names
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error
    return names, _rows(file, names)


def _rows(file: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    # Opened when it is its turn: a folder may hold more files than a process may keep open.
    try:
        with pa.parquet.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False) as opened:
            for batch in opened.iter_batches(batch_size=_rows_a_batch(opened.metadata)):
                columns = [as_text(column) for column in batch.columns]
                yield pa.RecordBatch.from_arrays(columns, names)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error


def _rows_a_batch(metadata: pa.parquet.FileMetaData) -> int:
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    row_bytes = sum(group.total_byte_size for group in groups) / max(1, metadata.num_rows)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(1.0, row_bytes))))


def _damaged(file: Path, error: Exception) -> SourceError:
    return SourceError(
        f"{file} is not a readable Parquet file: {str(error).splitlines()[0]}",
        "write or copy it again",
    )


def as_text(column: pa.Array) -> pa.Array:
    """Typed values as text that reads back to the same value; times in UTC, to the microsecond."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return as_text(column.cast(kind.value_type))
    if pa.types.is_floating(kind):
        # The shortest text of a float32 is exact among float32 only; a double's is for everyone.
        column = column.cast(pa.float64())
    elif pa.types.is_timestamp(kind):
        if kind.tz is not None:
            column = column.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit))
        column = column.cast(pa.timestamp("us"), safe=False)
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([_nested_text(value) for value in column.to_pylist()], pa.string())
    return pc.cast(column, pa.string())


def _nested_text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return _inner_text(value)
    return json.dumps(value, default=_inner_text, ensure_ascii=False)


def _inner_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
