"""Files into text: every column a string, as the file has it; types come with the contract.

Bronze keeps what the file says, so that silver can say which value was wrong. A CSV file gives its
text; a Parquet file's typed values are written as text that reads back to the same value.
"""

import codecs
import csv
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ..contract import Source
from ..errors import ProjectError

BLOCK_BYTES = 1 << 24
# A number with a decimal comma and without separators of thousands.
DECIMAL_COMMA = r"^(\s*[+-]?\d*),(\d+(?:[eE][+-]?\d+)?\s*)$"
NOT_TEXT = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "export it as CSV or Parquet"),
    (b"\x1f\x8b", "compressed with gzip", "uncompress it first: gunzip FILE"),
    (b"BZh", "compressed with bzip2", "uncompress it first: bunzip2 FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "uncompress it first: unzstd FILE"),
)


class SourceError(ProjectError):
    """A file cannot be read as a table."""


def read_raw(source: Source, root: Path) -> pa.Table:
    """Read a file, every column as text.

    Args:
        source: The file, and how it is written.
        root: Where a relative path starts.

    Returns:
        One string column for each column of the file, padding and BOM taken off the names. An
        empty CSV field is an empty string; a Parquet null stays null. A number with a decimal
        comma gets a point, where the source says that commas are decimal.

    Raises:
        SourceError: Where the file is missing, empty or damaged, has no rows, names a column twice,
            or has a line with too many or too few fields.
    """
    file = root / source.path
    require_content(file)
    table = _read_parquet(file) if is_parquet(file) else _read_csv(file, source)
    if table.num_rows == 0:
        raise SourceError(f"{file} has column names but no rows", "give a file with rows")
    return table.rename_columns(_clean_names(file, table.column_names))


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its first bytes; its name says nothing certain."""
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def require_content(file: Path) -> None:
    """Check that there is a file, that it holds something, and that it is not an archive.

    Raises:
        SourceError: Where it is not so.
    """
    if file.is_dir():
        raise SourceError(
            f"{file} is a folder; a CSV or Parquet file is expected", "name one file in it"
        )
    if not file.is_file():
        raise SourceError(
            f"{file} does not exist", "check the path; a relative one starts at the project's root"
        )
    try:
        with file.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise SourceError(
            f"{file} cannot be read: {error.strerror}", "check its permissions"
        ) from error
    if not head:
        raise SourceError(f"{file} is empty (0 bytes)", "give a file with a header line and rows")
    for magic, what, fix in NOT_TEXT:
        if head.startswith(magic):
            raise SourceError(f"{file} is {what}; a CSV or Parquet file is expected", fix)


# ---- CSV


def _read_csv(file: Path, source: Source) -> pa.Table:
    header = _csv_header(file, source)
    # The names may repeat, so the parser gets its own; the header then comes back as the first row.
    names = [f"f{number}" for number in range(len(header))]
    ragged: list[int] = []

    def note_ragged(row: pa.csv.InvalidRow) -> str:
        ragged.append(row.actual_columns)
        return "skip"

    with readable(file, source):
        table = pa.csv.read_csv(
            file,
            read_options=pa.csv.ReadOptions(
                column_names=names,
                encoding=source.encoding.removesuffix("-sig"),
                block_size=BLOCK_BYTES,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=source.delimiter, newlines_in_values=True, invalid_row_handler=note_ragged
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
        if ragged:
            raise _ragged_error(file, source, len(header))
        rows = table.slice(1)
        _refuse_open_quote(file, source, rows)
    if source.decimal == ",":
        rows = pa.table([_decimal_points(column) for column in rows.columns], names=names)
    return rows.rename_columns(header)


def _decimal_points(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(column, pattern=DECIMAL_COMMA, replacement=r"\1.\2")


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


def _refuse_open_quote(file: Path, source: Source, rows: pa.Table) -> None:
    """A quote that is never closed swallows the rest of the file into one value, silently."""
    if rows.num_rows == 0 or not any(
        "\n" in value for value in rows.slice(rows.num_rows - 1).to_pylist()[0].values()
    ):
        return
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


@contextmanager
def readable(file: Path, source: Source) -> Iterator[None]:
    """Turn a parser's complaints into a `SourceError` that names the setting to change."""
    try:
        codecs.lookup(source.encoding)
        yield
    except LookupError as error:
        raise SourceError(
            f"{source.encoding!r} is no encoding that Python knows", "set source.encoding"
        ) from error
    except (UnicodeError, csv.Error, pa.ArrowException) as error:
        detail = str(error).splitlines()[0]
        if isinstance(error, UnicodeError) or "UTF8" in detail:
            raise SourceError(
                f"{file} is not {source.encoding} text: {detail}",
                "set source.encoding in config/project.yaml, or run adopt again",
            ) from error
        raise SourceError(f"{file} is not readable as CSV: {detail}", "correct the file") from error


def open_text(file: Path, encoding: str) -> TextIO:
    """Open a file for `csv.reader`."""
    # utf-8-sig also reads UTF-8 without a BOM, and a BOM must never become part of a name.
    return file.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="")


# ---- Parquet


def _read_parquet(file: Path) -> pa.Table:
    try:
        table = pa.parquet.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{file} is not a readable Parquet file: {str(error).splitlines()[0]}",
            "write or copy it again",
        ) from error
    return pa.table([_as_text(column) for column in table.columns], names=table.column_names)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Typed values as text that reads back to the same value; times in UTC, to the microsecond."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _as_text(column.cast(kind.value_type))
    if pa.types.is_floating(kind):
        # The shortest text of a float32 is exact among float32 only; a double's is for everyone.
        column = column.cast(pa.float64())
    elif pa.types.is_timestamp(kind):
        if kind.tz is not None:
            column = column.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit))
        column = column.cast(pa.timestamp("us"), safe=False)
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.chunked_array(
            [[_nested_text(value) for value in column.to_pylist()]], pa.string()
        )
    return pc.cast(column, pa.string())


def _nested_text(value: object) -> str | None:
    if value is None:
        return None
    return (
        value.hex()
        if isinstance(value, bytes)
        else json.dumps(value, default=str, ensure_ascii=False)
    )


# ---- names


def _clean_names(file: Path, names: list[str]) -> list[str]:
    """Take padding off; number the columns without a name; refuse a name that comes twice."""
    # A line break, a tab or a BOM within a name becomes a blank.
    printable = ["".join(c if c.isprintable() else " " for c in name) for name in names]
    cleaned = [
        " ".join(name.split()) or f"column_{number}" for number, name in enumerate(printable, 1)
    ]
    # SQL engines take `Age` and `age` for the same column.
    folded = [name.casefold() for name in cleaned]
    repeated = list(dict.fromkeys(name for name in cleaned if folded.count(name.casefold()) > 1))
    if repeated:
        raise SourceError(
            f"{file}: the header names columns more than once (capitals or not): "
            + ", ".join(repeated),
            "give each column its own name",
        )
    return cleaned


# ---- parts: a minimal version until the streaming one is in place


@dataclass(frozen=True)
class SourcePart:
    """One file of a source, and the digest of its bytes."""

    name: str
    digest: str
    source: Source
    root: Path


def list_parts(source: Source, root: Path) -> list[SourcePart]:
    """The files of a source."""
    file = root / source.path
    require_content(file)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    return [SourcePart(file.name, digest, source, root)]


@contextmanager
def open_part(part: SourcePart) -> Iterator[pa.RecordBatchReader]:
    """A file's rows as a stream, every column as text."""
    yield read_raw(part.source, part.root).to_reader()
