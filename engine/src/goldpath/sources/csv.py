"""CSV as text, in batches: a file larger than memory passes."""

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from goldpath.raw_source import Source
from goldpath.sources.files import SourceError, open_text, readable

# pyarrow reads ahead: its memory is some 50 blocks, whatever the file's size. 2 MiB take 130 MB and
# are no slower than 8 MiB, which take 430 MB; no row may be longer than a block.
BLOCK_BYTES = 1 << 21
# Python's own limit of 128 KiB is below what people write into a field of free text.
LONGEST_VALUE = 1 << 24
RAGGED_LINES_NAMED = 3
RAGGED = re.compile(r"Expected \d+ columns, got \d+")
END_OF_FILE = "\x1a"


@dataclass(frozen=True)
class _Flaws:
    """What is wrong with the lines of a file.

    Attributes:
        open_quote: The line with the quote that is never closed.
        ragged: The lines with too many or too few fields, as a sentence.
    """

    open_quote: int | None
    ragged: str


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
    last: pa.RecordBatch | None = None
    header_rows = 1
    with readable(file, source):
        try:
            reader = pa.csv.open_csv(
                file,
                read_options=pa.csv.ReadOptions(
                    column_names=names,
                    encoding=source.encoding.removesuffix("-sig"),
                    block_size=BLOCK_BYTES,
                    skip_rows=source.skip_lines,
                ),
                parse_options=pa.csv.ParseOptions(
                    # No handler of bad rows: pyarrow's threads would call it, and a thread that
                    # waits for Python while the process ends takes it down (exit code 134).
                    delimiter=source.delimiter,
                    newlines_in_values=True,
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
            for batch in reader:
                rows = batch.slice(header_rows)
                header_rows = max(header_rows - batch.num_rows, 0)
                if rows.num_rows == 0:
                    continue
                last = rows
                yield rows
        except pa.ArrowInvalid as error:
            flaws = _find_flaws(file, source, width)
            _refuse_open_quote(file, flaws)
            if "straddling" in str(error):
                raise SourceError(
                    f"{file}: a row has more than {BLOCK_BYTES >> 20} MiB",
                    "shorten its values, or give the file as Parquet",
                ) from None
            if not RAGGED.search(str(error)):
                raise
            raise SourceError(
                f"{file}: the header has {width} fields, but {flaws.ragged or 'a line has not'}",
                "correct these lines, or put double quotes around values that hold "
                f"{source.delimiter!r} (no blank before the opening quote)",
            ) from None
        if last is not None and _ends_in_several_lines(last):
            _refuse_open_quote(file, _find_flaws(file, source, width))


def _ends_in_several_lines(rows: pa.RecordBatch) -> bool:
    (row,) = rows.slice(rows.num_rows - 1).to_pylist()
    return any("\n" in value or "\r" in value for value in row.values())


def _csv_header(file: Path, source: Source) -> list[str]:
    with readable(file, source), csv_records(file, source) as records:
        header = next((record for _, record in records if record), None)
    if header is None or not any(name.strip() for name in header):
        raise SourceError(
            f"{file} has no header line", "give a file whose first line names the columns"
        )
    return header


def _refuse_open_quote(file: Path, flaws: _Flaws) -> None:
    """A quote that is never closed swallows the rest of the file into one value, silently."""
    if flaws.open_quote is not None:
        raise SourceError(
            f"{file}: the quote that opens in line {flaws.open_quote} is never closed",
            "close it, or remove it",
        )


def _find_flaws(file: Path, source: Source, expected: int) -> _Flaws:
    """Look for the lines at fault with Python's parser; pyarrow knows rows, not lines."""
    named: list[str] = []
    others = 0
    line, last = 1, [""]
    # An open quote takes in whatever follows, and so the mark after the last line, too.
    with csv_records(file, source, end=[END_OF_FILE]) as records:
        for line, last in records:
            if not last or last == [END_OF_FILE] or len(last) == expected:
                continue
            if len(named) < RAGGED_LINES_NAMED:
                named.append(f"line {line} has {len(last)}")
            else:
                others += 1
    some = "; ".join(named) + (f"; {others} more" if others else "")
    return _Flaws(None if last == [END_OF_FILE] else line, some)


@contextmanager
def csv_records(
    file: Path, source: Source, end: Iterable[str] = ()
) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Every record with the line where it begins, as Python's parser sees the file.

    Args:
        file: The file.
        source: Its encoding and delimiter.
        end: Lines that are read after the file's own.

    Raises:
        SourceError: While reading, where a value is too long to be meant.
    """

    def numbered(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(lines, delimiter=source.delimiter)
        begins = first = 1 + source.skip_lines
        try:
            for record in reader:
                yield begins, record
                begins = reader.line_num + first
        except csv.Error as error:
            if "field limit" not in str(error):
                raise
            raise SourceError(
                f"{file}: a quote that opens in line {begins} is never closed, or a value there "
                f"has more than {LONGEST_VALUE:,} characters",
                "close it, or remove it",
            ) from error

    limit = csv.field_size_limit(LONGEST_VALUE)
    try:
        with open_text(file, source.encoding) as stream:
            yield numbered(chain(islice(stream, source.skip_lines, None), end))
    finally:
        csv.field_size_limit(limit)
