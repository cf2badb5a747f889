"""CSV as text, in batches: a file larger than memory passes."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..contract import Source
from .source_files import SourceError, open_text, readable

BLOCK_BYTES = 1 << 23
# A number with a decimal comma and without separators of thousands.
DECIMAL_COMMA = r"^(\s*[+-]?\d*),(\d+(?:[eE][+-]?\d+)?\s*)$"


def csv_batches(file: Path, source: Source) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """The header, and the rows as text.

    Raises:
        SourceError: Now or while reading: where there is no header, a line has too many or too few
            fields, a quote is never closed, or the text is not in the encoding.
    """
    header = _csv_header(file, source)
    return header, _rows(file, source, len(header))


def _rows(file: Path, source: Source, width: int) -> Iterator[pa.RecordBatch]:
    # The names may repeat, so the parser gets its own; the header then comes back as the first row.
    names = [f"f{number}" for number in range(width)]
    ragged: list[int] = []

    def note_ragged(row: pa.csv.InvalidRow) -> str:
        ragged.append(row.actual_columns)
        return "skip"

    last: pa.RecordBatch | None = None
    is_first = True
    with readable(file, source):
        try:
            reader = pa.csv.open_csv(
                file,
                read_options=pa.csv.ReadOptions(
                    column_names=names,
                    encoding=source.encoding.removesuffix("-sig"),
                    block_size=BLOCK_BYTES,
                ),
                parse_options=pa.csv.ParseOptions(
                    delimiter=source.delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=note_ragged,
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
            for batch in reader:
                if ragged:
                    raise _ragged_error(file, source, width)
                rows = batch.slice(1) if is_first else batch
                is_first = False
                if rows.num_rows == 0:
                    continue
                last = rows
                yield _with_points(rows) if source.decimal == "," else rows
        except pa.ArrowInvalid:
            _refuse_open_quote(file, source)
            raise
        if ragged:
            raise _ragged_error(file, source, width)
        if last is not None and _ends_in_several_lines(last):
            _refuse_open_quote(file, source)


def _with_points(rows: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        pc.replace_substring_regex(column, pattern=DECIMAL_COMMA, replacement=r"\1.\2")
        for column in rows.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _ends_in_several_lines(rows: pa.RecordBatch) -> bool:
    (row,) = rows.slice(rows.num_rows - 1).to_pylist()
    return any("\n" in value for value in row.values())


def _csv_header(file: Path, source: Source) -> list[str]:
    with readable(file, source), open_text(file, source.encoding) as stream:
        header = next(
            (record for record in csv.reader(stream, delimiter=source.delimiter) if record), None
        )
    if header is None or not any(name.strip() for name in header):
        raise SourceError(
            f"{file} has no header line", "give a file whose first line names the columns"
        )
    return header


def _ragged_error(file: Path, source: Source, expected: int) -> SourceError:
    """Name the first lines whose number of fields is wrong; pyarrow knows rows, not lines."""
    found: list[str] = []
    end = 0
    with open_text(file, source.encoding) as stream:
        reader = csv.reader(stream, delimiter=source.delimiter)
        for record in reader:
            start, end = end + 1, reader.line_num
            if record and len(record) != expected:
                found.append(f"line {start} has {len(record)}")
    some = "; ".join(found[:3]) + (f"; {len(found) - 3} more" if len(found) > 3 else "")
    return SourceError(
        f"{file}: the header has {expected} fields, but {some or 'another line has not'}",
        f"correct these lines, or put double quotes around values that hold {source.delimiter!r} "
        "(no blank before the opening quote)",
    )


def _refuse_open_quote(file: Path, source: Source) -> None:
    """A quote that is never closed swallows the rest of the file into one value, silently."""
    line = 1
    try:
        with open_text(file, source.encoding) as stream:
            reader = csv.reader(stream, delimiter=source.delimiter, strict=True)
            for _ in reader:
                line = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise SourceError(
                f"{file}: the quote that opens in line {line} is never closed",
                "close it, or remove it",
            ) from error
