"""A SQL query as text, over any database that SQLAlchemy reaches.

The result is streamed into a temporary Parquet file, since its digest names the batch: a query
whose rows did not change brings no new batch.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet

from ..contract import Source
from .source_files import SourceError

if TYPE_CHECKING:
    from sqlalchemy import Engine

BATCH_ROWS = 10_000
FILE = "result.parquet"


def spool_query(source: Source, folder: TemporaryDirectory[str]) -> tuple[Path, str]:
    """Run the query and keep its rows in a file.

    Returns:
        The file, and a digest of the rows that does not depend on their order.

    Raises:
        SourceError: Where the variable is not set, the database does not answer or refuses the
            query, or there is no row. The URL's password is in no message.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    engine = _engine(source)
    file = Path(folder.name) / FILE
    total, rows_read = 0, 0
    try:
        with engine.connect().execution_options(stream_results=True) as connection:
            result = connection.execute(text(source.query or ""))
            schema = pa.schema([(name, pa.string()) for name in list(result.keys())])
            with pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
                while rows := result.fetchmany(BATCH_ROWS):
                    texts = [tuple(_text(value) for value in row) for row in rows]
                    total += sum(map(_row_digest, texts))
                    rows_read += len(texts)
                    writer.write_batch(_batch(texts, schema))
    except SQLAlchemyError as error:
        raise _explained(source, error) from error
    finally:
        engine.dispose()
    if rows_read == 0:
        raise SourceError("source.query returned no rows", "check the query's conditions")
    names = " ".join(schema.names)
    digest = hashlib.sha256(f"{names} {rows_read} {total % 2**128}".encode()).hexdigest()[:16]
    return file, digest


def _engine(source: Source) -> "Engine":
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    address = os.environ.get(source.url_variable, "")
    if not address:
        raise SourceError(
            f"source.query needs a database, and {source.url_variable} is not set",
            f"set {source.url_variable}=postgresql+psycopg://user:password@host/database in .env",
        )
    try:
        url = make_url(address)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        return create_engine(url)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise SourceError(
            f"{source.url_variable} is no URL of an installed database driver",
            "write it like postgresql+psycopg://user:password@host/database",
        ) from error


def _explained(source: Source, error: Exception) -> SourceError:
    cause = getattr(error, "orig", None) or error
    first = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    from sqlalchemy.exc import InterfaceError, OperationalError

    if isinstance(error, (OperationalError, InterfaceError)):
        return SourceError(
            f"the database of {source.url_variable} does not answer the query: {first}",
            "check host, port, user and database, and that the server runs",
        )
    return SourceError(f"source.query is refused: {first}", "correct the query in the contract")


def _row_digest(row: tuple[str | None, ...]) -> int:
    text = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest())


def _batch(rows: Sequence[tuple[str | None, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns: Iterator[tuple[str | None, ...]] = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(c, pa.string()) for c in columns], schema=schema)


def _text(value: Any) -> str | None:
    """A database's value as text that reads back to the same value; times in UTC."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return moment.isoformat(sep=" ")
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (dict, list)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
