"""How a CSV file is written: its encoding, its delimiter and its decimal mark."""

import codecs
import re
from itertools import islice
from pathlib import Path

from goldpath.contract import Source
from goldpath.sources.csv import csv_records
from goldpath.sources.files import (
    SourceError,
    find_files,
    is_json_lines,
    is_parquet,
    readable,
    require_content,
)

DELIMITERS = (",", ";", "\t", "|")
WIDTH_RECORDS = 200
DECIMAL_RECORDS = 5_000
BLOCK_BYTES = 1 << 24
# Control characters in Latin-1; letters and quotes in the Western code page 1252.
C1_CONTROLS = bytes(range(0x80, 0xA0))


def detect_dialect(path: Path) -> Source:
    """Find out how a file is written.

    The encoding comes from all bytes, the delimiter and the decimal mark from the first records.

    Args:
        path: A CSV, Parquet or JSON lines file; or a folder or a glob of files that are all
            written like the first.

    Returns:
        The source that `read_raw` takes, with the path as it was given.

    Raises:
        SourceError: If the file is missing, empty, or neither text nor Parquet.
    """
    (_, first), *_ = find_files(str(path), Path())
    require_content(first)
    if is_parquet(first):
        return Source(path=str(path))
    source = Source(path=str(path), encoding=_detect_encoding(first))
    if is_json_lines(first):
        return source
    source = source.model_copy(update={"delimiter": _detect_delimiter(first, source)})
    return source.model_copy(update={"decimal": _detect_decimal(first, source)})


def _detect_encoding(path: Path) -> str:
    """UTF-8 if every byte agrees, else the Western code page that the bytes allow."""
    with path.open("rb") as stream:
        head = stream.read(4)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        stream.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        is_utf8 = True
        controls: set[int] = set()
        while block := stream.read(BLOCK_BYTES):
            if b"\x00" in block:
                raise SourceError(
                    f"{path} holds zero bytes: it is not a text file",
                    "give a CSV or a Parquet file",
                )
            controls.update(set(block).intersection(C1_CONTROLS))
            if is_utf8:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    is_utf8 = False
    if is_utf8 and not decoder.getstate()[0]:
        return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"
    if not controls:
        return "latin-1"
    try:
        bytes(controls).decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _detect_delimiter(path: Path, source: Source) -> str:
    """The delimiter with which most records are as long as the header; of equals, the longest.

    `csv.Sniffer` guesses from character counts and takes a decimal comma, or a letter, for it.
    """

    def score(delimiter: str) -> tuple[float, int]:
        tried = source.model_copy(update={"delimiter": delimiter})
        records = _first_records(path, tried, WIDTH_RECORDS)
        if not records or len(records[0]) < 2:
            return (0.0, 0)
        width = len(records[0])
        return (sum(len(record) == width for record in records) / len(records), width)

    return max(DELIMITERS, key=score)


def _detect_decimal(path: Path, source: Source) -> str:
    """A comma where more values read as `1,5` than as `1.5`; in a comma-separated file a point."""
    if source.delimiter == ",":
        return "."
    values = [
        value.strip()
        for record in _first_records(path, source, DECIMAL_RECORDS)
        for value in record
    ]
    commas = sum(re.fullmatch(r"[+-]?\d+,\d+", value) is not None for value in values)
    points = sum(re.fullmatch(r"[+-]?\d+\.\d+", value) is not None for value in values)
    return "," if commas > points else "."


def _first_records(path: Path, source: Source, count: int) -> list[list[str]]:
    with readable(path, source), csv_records(path, source) as records:
        return [record for _, record in islice(records, count) if record]
