"""How a CSV file is written: its encoding, its delimiter and its decimal mark."""

import codecs
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from goldpath.domain import NUMBER
from goldpath.raw_source import Source
from goldpath.sources.csv import csv_records
from goldpath.sources.files import (
    SourceError,
    find_files,
    is_json_lines,
    is_parquet,
    open_text,
    readable,
    require_content,
)

DELIMITERS = (",", ";", "\t", "|")
WIDTH_RECORDS = 200
DECIMAL_RECORDS = 5_000
BLOCK_BYTES = 1 << 24
MOST_PREAMBLE = 20
FEWEST_RECORDS = 3
LONGEST_PREAMBLE = 100
SEPARATOR_LINE = re.compile(r'"?sep=(.|\\t)"?', re.IGNORECASE)
# Digits behind the mark M that make no group of three, or a zero before it; also Rs. 12,50.
SURE_DECIMAL = (
    r"(?:[^\d\s.,]{1,3}(?:\.\s|\s?))?[+-]?"
    r"(?:\d*M(?:\d{1,2}|\d{4,})|0M\d+|\d{4,}M\d+)(?:\s?[^\d\s.,]{1,4})?"
)
# Control characters in Latin-1; letters and quotes in the Western code page 1252.
C1_CONTROLS = bytes(range(0x80, 0xA0))


def detect_dialect(path: Path, like: Source | None = None) -> Source:
    """Find out how a file is written.

    The encoding comes from all bytes, the delimiter and the decimal mark from the first records.
    What a file of few rows leaves open is decided as in the source that the contract was made from.

    Args:
        path: A CSV, Parquet or JSON lines file; or a folder or a glob of files that are all
            written like the first.
        like: The contract's source, for a file of the same columns: the marks between groups of
            digits are those, and so is the decimal mark where this file shows none.

    Returns:
        The source that `read_raw` takes, with the path as it was given.

    Raises:
        SourceError: If the file is missing, empty, or neither text nor Parquet.
    """
    (_, first), *_ = find_files(str(path), Path())
    require_content(first)
    thousands = like.thousands if like else {}
    if is_parquet(first):
        return Source(path=str(path), thousands=thousands)
    source = Source(path=str(path), encoding=_detect_encoding(first), thousands=thousands)
    if is_json_lines(first):
        return source
    said = _said_delimiter(first, source)
    if said is not None:
        source = source.model_copy(update={"delimiter": said, "skip_lines": 1})
    else:
        source = source.model_copy(update={"delimiter": _detect_delimiter(first, source)})
    preamble = source.skip_lines + _preamble_lines(first, source)
    source = source.model_copy(update={"skip_lines": preamble})
    return source.model_copy(update={"decimal": _detect_decimal(first, source, like)})


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
        widths = [len(record) for record in _first_records(path, tried, WIDTH_RECORDS)]
        if not widths:
            return (0.0, 0)
        # A title above the header is as wide as its own commas; the header is as wide as the rows.
        width = widths[0] if widths[0] > 1 else max(set(widths), key=widths.count)
        return (widths.count(width) / len(widths), width) if width > 1 else (0.0, 0)

    return max(DELIMITERS, key=score)


def _said_delimiter(path: Path, source: Source) -> str | None:
    """The delimiter that Excel writes into a line of its own before the header: `sep=;`."""
    with readable(path, source), open_text(path, source.encoding) as stream:
        found = SEPARATOR_LINE.fullmatch(stream.readline(LONGEST_PREAMBLE).strip("\r\n"))
    return found[1].replace("\\t", "\t") if found else None


def _preamble_lines(path: Path, source: Source) -> int:
    """How many lines come before the header: a title, a date, a note.

    A header is as wide as the rows below it and holds names: neither empty nor numbers, each once.
    What is above it is narrower. Where that does not hold, the file is read from its first line.
    """
    with readable(path, source), csv_records(path, source) as records:
        head = list(islice(records, WIDTH_RECORDS))
    widths = [len(record) for _, record in head if record]
    if len(widths) < FEWEST_RECORDS:
        return 0
    width = max(set(widths), key=widths.count)
    first = next((len(record) for _, record in head if record), 0)
    if width < 2 or first >= width or widths.count(width) < len(widths) - MOST_PREAMBLE:
        return 0
    for line, record in head[: MOST_PREAMBLE + 1]:
        if len(record) > width:
            return 0
        if len(record) == width:
            return line - 1 - source.skip_lines if _are_names(record) else 0
    return 0


def _are_names(record: list[str]) -> bool:
    names = [name.strip() for name in record]
    return all(names) and len(set(names)) == len(names) and not any(map(NUMBER.fullmatch, names))


def _detect_decimal(path: Path, source: Source, like: Source | None) -> Literal[".", ","]:
    """A comma where more values read as `1,5` than as `1.5`.

    `1,531` and `1.531` say nothing: they may as well be thousands. Only where there is nothing else
    do they count, in a file whose delimiter is no comma.
    """
    values: dict[str, list[str]] = {",": [], ".": []}
    with readable(path, source), csv_records(path, source) as records:
        for _, record in islice(records, DECIMAL_RECORDS):
            for mark, held in values.items():
                held += [value.strip() for value in record if mark in value]

    def found(pattern: str, mark: str) -> Iterator[bool]:
        written = re.compile(pattern.replace("M", re.escape(mark)))
        return (written.fullmatch(value) is not None for value in values[mark])

    def decides(pattern: str) -> Literal[".", ","] | None:
        """The mark of more values. A wide file has millions, and nearly always of one mark."""
        if not any(found(pattern, ",")):
            return "." if any(found(pattern, ".")) else None
        commas, points = (sum(found(pattern, each)) for each in (",", "."))
        return None if commas == points else "," if commas > points else "."

    if (sure := decides(SURE_DECIMAL)) is not None:
        return sure
    if like is not None:
        return like.decimal
    if source.delimiter == ",":
        return "."
    return decides(r"[+-]?\d+M\d+") or "."


def _first_records(path: Path, source: Source, count: int) -> list[list[str]]:
    with readable(path, source), csv_records(path, source) as records:
        return [record for _, record in islice(records, count) if record]
