"""JSON lines as text, in batches: one object a line, https://jsonlines.org."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ..contract import Source
from .source_files import SourceError, open_text, readable

BATCH_ROWS = 20_000


def json_batches(file: Path, source: Source) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """Every key of the file in the order of first sight, and the rows as text.

    A missing key and a null are null; a nested value is JSON text; a number keeps its digits.

    Raises:
        SourceError: Where a line is not an object; names the line.
    """
    names = list(dict.fromkeys(name for row in _objects(file, source) for name in row))
    return names, _rows(file, source, names)


def _rows(file: Path, source: Source, names: list[str]) -> Iterator[pa.RecordBatch]:
    held: list[dict[str, object]] = []
    for row in _objects(file, source):
        held.append(row)
        if len(held) == BATCH_ROWS:
            yield _batch(held, names)
            held = []
    if held:
        yield _batch(held, names)


def _batch(rows: list[dict[str, object]], names: list[str]) -> pa.RecordBatch:
    columns = [pa.array([_text(row.get(name)) for row in rows], pa.string()) for name in names]
    return pa.RecordBatch.from_arrays(columns, names)


def _objects(file: Path, source: Source) -> Iterator[dict[str, object]]:
    with readable(file, source), open_text(file, source.encoding) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_int=str, parse_float=str)
            except ValueError as error:
                raise SourceError(
                    f"{file}: line {number} is not JSON: {error}", "correct or remove the line"
                ) from error
            if not isinstance(row, dict):
                raise SourceError(
                    f"{file}: line {number} is not an object with names and values",
                    'write {"name": value, …} on each line',
                )
            yield row


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)
