"""Files that a source may hold: which ones they are, and what can be said before reading them."""

import codecs
import csv
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pyarrow as pa

from goldpath.domain import NUMBER
from goldpath.errors import ProjectError
from goldpath.raw_source import Source

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", *JSON_SUFFIXES)
HEAD_CHARACTERS = 1 << 20
GLOB_CHARACTERS = frozenset("*?[")
NOT_TEXT = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "export it as CSV or Parquet"),
    (b"\x1f\x8b", "compressed with gzip", "uncompress it first: gunzip FILE"),
    (b"BZh", "compressed with bzip2", "uncompress it first: bunzip2 FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "uncompress it first: unzstd FILE"),
)


class SourceError(ProjectError):
    """A file cannot be read as a table."""


class EncodingError(SourceError):
    """A file is not encoded as its contract says."""


def find_files(path: str, root: Path) -> list[tuple[str, Path]]:
    """The files of a path: itself, those in a folder, or those that a glob matches, by name.

    Args:
        path: A file, a folder or a glob; a relative one starts at the root.
        root: The project's folder.

    Returns:
        The name of each file (relative to its folder), and where it is. Left out are hidden files,
        those that start with an underscore, and those whose suffix says something else than data
        (a glob may name another suffix: `*.dat`).

    Raises:
        SourceError: If there is none.
    """
    place = root / path
    if place.is_file():
        return [(place.name, place)]
    if place.is_dir():
        folder, pattern = place, "**/*"
    elif GLOB_CHARACTERS & set(path):
        parts = Path(path).parts
        depth = next(i for i, part in enumerate(parts) if GLOB_CHARACTERS & set(part))
        folder, pattern = root.joinpath(*parts[:depth]), str(Path(*parts[depth:]))
    else:
        require_content(place)
        raise AssertionError("a missing file is an error")
    found = [file for file in folder.glob(pattern) if file.is_file()]
    suffixes = {*SUFFIXES, *filter(None, [Path(pattern).suffix.lower()])}
    data = [
        (name, file)
        for name, file in sorted((file.relative_to(folder).as_posix(), file) for file in found)
        if file.suffix.lower() in suffixes and not is_set_aside(name)
    ]
    if not data:
        raise SourceError(
            f"{place} holds no data file ({', '.join(SUFFIXES)})", "check the path and the suffixes"
        )
    return data


def is_set_aside(name: str) -> bool:
    """Whether a file or a folder on its way is hidden, or for a program only, like `_SUCCESS`."""
    return any(part.startswith((".", "_")) for part in name.split("/"))


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its first bytes; its name says nothing certain."""
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def is_json_lines(path: Path) -> bool:
    """Whether a file is JSON lines: its name says so, or its first line is a JSON object."""
    if path.suffix.lower() in JSON_SUFFIXES:
        return True
    try:
        with path.open(encoding="utf-8-sig") as stream:
            head = stream.read(HEAD_CHARACTERS).lstrip()
        first, *_ = head.splitlines() or [""]
        return first.startswith("{") and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def require_content(file: Path) -> None:
    """Check that there is a file, that it holds something, and that it is not an archive.

    Raises:
        SourceError: If it is not so.
    """
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
            raise SourceError(
                f"{file} is {what}; a CSV, Parquet or JSON lines file is expected", fix
            )


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
    except OSError as error:
        raise SourceError(
            f"{file} cannot be read: {error.strerror or error}",
            "check the disk and the permissions",
        ) from error
    except (UnicodeError, csv.Error, pa.ArrowException) as error:
        detail = str(error).splitlines()[0]
        if isinstance(error, UnicodeError) or "UTF8" in detail:
            raise EncodingError(
                f"{file} is not {source.encoding} text: {detail}",
                "set source.encoding in config/project.yaml, or run adopt again",
            ) from error
        raise SourceError(f"{file} is not readable as CSV: {detail}", "correct the file") from error


@contextmanager
def no_room(what: str, folder: str) -> Iterator[None]:
    """Say where a temporary copy did not fit."""
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"{folder} cannot take a copy of {what}: {error.strerror or error}",
            "free space there, or name another folder in TMPDIR",
        ) from error


def open_text(file: Path, encoding: str) -> TextIO:
    """Open a file for `csv.reader`."""
    # utf-8-sig also reads UTF-8 without a BOM, and a BOM must never become part of a name.
    return file.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="")


def clean_names(file: str, names: list[str]) -> list[str]:
    """Take padding off; number the columns without a name; refuse a name that comes twice."""
    # A line break, a tab or a BOM within a name becomes a blank.
    printable = ["".join(c if c.isprintable() else " " for c in name) for name in names]
    cleaned = [
        " ".join(name.split()) or f"column_{number}" for number, name in enumerate(printable, 1)
    ]
    # SQL engines take `Age` and `age` for the same column.
    folded = [name.casefold() for name in cleaned]
    count = Counter(folded)
    repeated = list(dict.fromkeys(name for name in cleaned if count[name.casefold()] > 1))
    if repeated:
        raise SourceError(
            f"{file}: the header names columns more than once (capitals or not): "
            + ", ".join(repeated),
            "give each column its own name"
            if not all(map(NUMBER.fullmatch, repeated))
            else "the first line seems to be a row of data: add a line with names before it",
        )
    return cleaned
