"""JSON lines as text, in batches: one object a line, https://jsonlines.org."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from goldpath.raw_source import Source
from goldpath.sources.files import SourceError, open_text, readable

BATCH_ROWS = 5_000


class _Number(str):
    """A number as it is written: 1.10 stays 1.10, and a long key keeps its last digits."""

    __slots__ = ()


# `json.loads` with arguments would build a decoder for each line. Where no value is nested, plain
# texts do: the garbage collector need not look at them, which takes a third off the time.
_FLAT = json.JSONDecoder(parse_int=str, parse_float=str)
_NESTED = json.JSONDecoder(parse_int=_Number, parse_float=_Number)


def json_batches(file: Path, source: Source) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """Every key of the file in the order of first sight, and the rows as text.

    A missing key and a null are null; a nested value is JSON text; a number keeps its digits.
    The file is read twice: which keys there are is only known at its end.

    Raises:
        SourceError: If a line is not an object; names the line.
    """
    names: dict[str, None] = {}
    for row in _objects(file, source, _FLAT.decode):
        names.update(dict.fromkeys(row))
    return list(names), _rows(file, source, list(names))


def json_text(document: str | bytes) -> str | None:
    """One JSON document as the text of a cell.

    Raises:
        ValueError: If it is not JSON.
    """
    return _text(_NESTED.decode(document if isinstance(document, str) else document.decode()))


def _rows(file: Path, source: Source, names: list[str]) -> Iterator[pa.RecordBatch]:
    held: list[dict[str, object]] = []
    for row in _objects(file, source, _decoded):
        held.append(row)
        if len(held) == BATCH_ROWS:
            yield _batch(held, names)
            held = []
    if held:
        yield _batch(held, names)


def _batch(rows: list[dict[str, object]], names: list[str]) -> pa.RecordBatch:
    columns = [pa.array([_text(row.get(name)) for row in rows], pa.string()) for name in names]
    return pa.RecordBatch.from_arrays(columns, names)


def _objects(
    file: Path, source: Source, decode: Callable[[str], object]
) -> Iterator[dict[str, object]]:
    with readable(file, source), open_text(file, source.encoding) as stream:
        for number, line in enumerate(stream, 1):
            if not (text := line.strip()):
                continue
            try:
                row = decode(text)
            except (ValueError, RecursionError) as error:
                detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
                raise SourceError(
                    f"{file}: line {number} is not JSON: {detail}", _fix(number)
                ) from error
            if not isinstance(row, dict):
                raise SourceError(
                    f"{file}: line {number} is not an object with names and values", _fix(number)
                )
            yield row


def _fix(line: int) -> str:
    if line > 1:
        return 'correct the line: {"name": value, …}; or remove it'
    return "write one object on each line, as jq -c . does (or jq -c '.[]' for a list)"


def _decoded(line: str) -> object:
    """A line's object, with nested values as text."""
    may_nest = "[" in line or "{" in line[1:]
    row = (_NESTED if may_nest else _FLAT).decode(line)
    if not isinstance(row, dict):
        return row
    if may_nest:
        for name, value in row.items():
            if isinstance(value, (dict, list)):
                row[name] = _as_json(value)
    if "\\u" in line:
        # An escape can write half a character, which is no text.
        "".join(value for pair in row.items() for value in pair if isinstance(value, str)).encode()
    return row


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else _as_json(value)


def _as_json(value: object) -> str:
    """A value as JSON text; `json.dumps` would put quotes around the digits of a number."""
    if isinstance(value, _Number):
        return value
    if isinstance(value, dict):
        items = (f"{_as_json(name)}: {_as_json(item)}" for name, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
