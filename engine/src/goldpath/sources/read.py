"""Sources into text: every column a string, as the source has it; types come with the contract.

Bronze keeps what the source says, so that silver can say which value was wrong. CSV gives its text;
typed values (Parquet, a database) are written as text that reads back to the same value. Rows
stream: no source has to fit into memory.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from goldpath.raw_source import Source
from goldpath.sources.csv import csv_batches
from goldpath.sources.files import (
    SourceError,
    clean_names,
    find_files,
    is_json_lines,
    is_parquet,
    require_content,
)
from goldpath.sources.json_lines import json_batches
from goldpath.sources.number_marks import read_marks
from goldpath.sources.parquet import parquet_batches
from goldpath.sources.s3 import SCHEME, S3Object, downloaded, list_objects
from goldpath.sources.sql import spool_query


@dataclass(frozen=True)
class SourcePart:
    """One file of a source, or the result of its query.

    Attributes:
        name: The file's name within its folder; people read it in bronze.
        digest: Names the batch: 16 hexadecimal digits that change with the content.
        source: How it is written.
        local: Gives the file for the time of a block.
        shown: What messages call it.
    """

    name: str
    digest: str
    source: Source
    local: Callable[[], AbstractContextManager[Path]] = field(repr=False, compare=False)
    shown: str


def list_parts(source: Source, root: Path) -> list[SourcePart]:
    """What a source holds now, by name.

    Args:
        source: Files, a folder, a glob, an S3 prefix or a query.
        root: Where a relative path starts.

    Raises:
        SourceError: If there is nothing, or it cannot be reached.
    """
    if source.query is not None:
        return [_query_part(source)]
    if source.path.startswith(SCHEME):
        return [_object_part(source, item) for item in list_objects(source.path)]
    return [_file_part(source, name, file) for name, file in find_files(source.path, root)]


@contextmanager
def open_part(part: SourcePart) -> Iterator[pa.RecordBatchReader]:
    """The rows of a part as a stream, every column as text.

    Padding and BOM are taken off the names. An empty CSV field is an empty string; a null stays
    null. Decimal commas become points, and marks between groups of digits go, where the source says
    so.

    Raises:
        SourceError: At once, or while the rows are read: where the file is empty or damaged, has no
            rows, names a column twice, or has a line with too many or too few fields.
    """
    with part.local() as file:
        names, batches, is_csv = _read(part, file)
        schema = pa.schema([(name, pa.string()) for name in names])
        renamed = _renamed(part, file, schema, batches)
        read = (read_marks(rows, part.source, is_csv=is_csv) for rows in renamed)
        yield pa.RecordBatchReader.from_batches(schema, read)


def read_raw(source: Source, root: Path) -> pa.Table:
    """All rows of a source in memory, every column as text; a column that a file lacks is null.

    Raises:
        SourceError: As `list_parts` and `open_part` do.
    """
    tables = []
    for part in list_parts(source, root):
        with open_part(part) as reader:
            tables.append(reader.read_all())
    return pa.concat_tables(tables, promote_options="default")


def changed_names(source: Source, root: Path) -> dict[str, str]:
    """The columns of a source's first file that are called otherwise than its header says.

    Padding alone is no other name. A query names its columns itself, and objects of S3 are not
    loaded once more for it.

    Returns:
        By the column's name what the header says.

    Raises:
        SourceError: If the file is missing or damaged.
    """
    if source.query is not None or source.path.startswith(SCHEME):
        return {}
    (name, file), *_ = find_files(source.path, root)
    names, _, _ = _written(SourcePart(name, "", source, lambda: nullcontext(file), str(file)), file)
    cleaned = clean_names(str(file), names)
    pairs = zip(cleaned, names, strict=True)
    return {name: written for name, written in pairs if name != written.strip(" \t\ufeff")}


def whole_digest(parts: list[SourcePart]) -> str:
    """Names what all parts hold together, as `SourcePart.digest` names what one holds."""
    digests = [part.digest for part in parts]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("-".join(digests).encode()).hexdigest()[:16]


def _file_part(source: Source, name: str, file: Path) -> SourcePart:
    require_content(file)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    return SourcePart(name, digest, source, lambda: nullcontext(file), str(file))


def _object_part(source: Source, item: S3Object) -> SourcePart:
    return SourcePart(item.key, item.digest, source, lambda: downloaded(item), item.address)


def _query_part(source: Source) -> SourcePart:
    # The folder lives as long as the part, whose `local` holds on to it.
    folder = TemporaryDirectory(prefix="source-")
    file, digest = spool_query(source, folder)

    def local() -> AbstractContextManager[Path]:
        return nullcontext(Path(folder.name) / file.name)

    return SourcePart("query", digest, source, local, source.name)


def _read(part: SourcePart, file: Path) -> tuple[list[str], Iterator[pa.RecordBatch], bool]:
    """The names, the rows as text, and whether people wrote that text."""
    names, batches, is_csv = _written(part, file)
    return clean_names(part.shown, names), batches, is_csv


def _written(part: SourcePart, file: Path) -> tuple[list[str], Iterator[pa.RecordBatch], bool]:
    """The same with the names as they are written."""
    with _shown_as(part, file):
        require_content(file)
        is_csv = False
        if is_parquet(file):
            names, batches = parquet_batches(file)
        elif is_json_lines(file):
            names, batches = json_batches(file, part.source)
        else:
            names, batches = csv_batches(file, part.source)
            is_csv = True
        return names, batches, is_csv


def _renamed(
    part: SourcePart, file: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    rows = 0
    with _shown_as(part, file):
        for batch in batches:
            rows += batch.num_rows
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    if rows == 0:
        raise SourceError(f"{part.shown} has column names but no rows", "give a file with rows")


@contextmanager
def _shown_as(part: SourcePart, file: Path) -> Iterator[None]:
    """Name a temporary file's origin in messages."""
    try:
        yield
    except SourceError as error:
        raise type(error)(error.message.replace(str(file), part.shown), error.fix) from error
