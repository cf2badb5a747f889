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

from goldpath.raw_source import Source
from goldpath.sources.files import SourceError, no_room
from goldpath.sources.json_lines import json_text

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine
    from sqlalchemy.exc import SQLAlchemyError

# Rows can be wide, so few are fetched at a time; a row group for each fetch would be too many.
FETCHED_ROWS = 2_000
ROW_GROUP_BYTES = 1 << 24
FILE = "result.parquet"
EXAMPLE = "postgresql+psycopg://user:password@host/database"


def spool_query(source: Source, folder: TemporaryDirectory[str]) -> tuple[Path, str]:
    """Run the query and keep its rows in a file.

    Returns:
        The file, and a digest of the rows that does not depend on their order.

    Raises:
        SourceError: If the variable is not set, the database does not answer or refuses the
            query, or there is no row. The URL's password is in no message.
    """
    from sqlalchemy.exc import SQLAlchemyError

    url = _url(source)
    engine = _engine(source, url)
    file = Path(folder.name) / FILE
    try:
        try:
            connection = engine.connect()
        except SQLAlchemyError as error:
            raise SourceError(
                f"the database of {source.url_variable} cannot be reached: {_cause(error, url)}",
                "check host, port, user, password and database, and that the server runs",
            ) from error
        with connection, no_room("the query's result", folder.name):
            # The text goes to the driver as it is: neither `:` nor `%` means a parameter.
            result = connection.execution_options(
                stream_results=True, no_parameters=True
            ).exec_driver_sql(source.query or "")
            rows, digest = _spool(result, file)
    except SQLAlchemyError as error:
        raise SourceError(
            f"source.query fails: {_cause(error, url)}", "correct the query in the contract"
        ) from error
    finally:
        engine.dispose()
    if rows == 0:
        raise SourceError("source.query returned no rows", "check the query's conditions")
    return file, digest


def _spool(result: Any, file: Path) -> tuple[int, str]:
    total, rows_read = 0, 0
    schema = pa.schema([(name, pa.string()) for name in result.keys()])  # noqa: SIM118
    held: list[pa.RecordBatch] = []
    with pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while rows := result.fetchmany(FETCHED_ROWS):
            texts = [tuple(_text(value) for value in row) for row in rows]
            total += sum(map(_row_digest, texts))
            rows_read += len(texts)
            held.append(_batch(texts, schema))
            if sum(batch.nbytes for batch in held) > ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held))
                held = []
        writer.write_table(pa.Table.from_batches(held, schema))
    names = " ".join(schema.names)
    digest = hashlib.sha256(f"{names} {rows_read} {total % 2**128}".encode()).hexdigest()[:16]
    return rows_read, digest


def _url(source: Source) -> "URL":
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    address = os.environ.get(source.url_variable, "")
    if not address:
        raise SourceError(
            f"source.query needs a database, and {source.url_variable} is not set",
            f"set {source.url_variable}={EXAMPLE} in .env",
        )
    # SQLAlchemy's own messages can quote parts of the password.
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise SourceError(
            f"{source.url_variable} is no database URL",
            f"write it like {EXAMPLE}; in a password, %40 stands for @, %3A for : and %2F for /",
        ) from None
    # Without a driver's name SQLAlchemy 2.0 means psycopg 2, which is not among the dependencies.
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    # SQLite would make an empty file of a mistyped path.
    is_path = url.get_backend_name() == "sqlite" and "uri" not in url.query
    if is_path and not Path(url.database or "").is_file():
        raise SourceError(
            f"{source.url_variable} names the SQLite file {url.database}, which does not exist",
            "check the path; an absolute one has four slashes: sqlite:////data/shop.db",
        )
    return url


def _engine(source: Source, url: "URL") -> "Engine":
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, InvalidRequestError
    from sqlalchemy.pool import NullPool

    # psycopg makes Python floats of the numbers in JSON, and these have 17 digits at most.
    exact = {"json_deserializer": json_text} if url.get_backend_name() == "postgresql" else {}
    try:
        return create_engine(url, poolclass=NullPool, **exact)
    except (ArgumentError, InvalidRequestError, ModuleNotFoundError) as error:
        raise SourceError(
            f"{source.url_variable} names {url.drivername!r}, for which no driver is installed",
            f"write it like {EXAMPLE} (extra `servers`), or install the driver",
        ) from error


def _cause(error: "SQLAlchemyError", url: "URL") -> str:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return lines[0].replace(str(url.password), "***") if url.password else lines[0]


def _row_digest(row: tuple[str | None, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(json.dumps(row).encode(), digest_size=16).digest())


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
        return json.dumps(value, default=_text, ensure_ascii=False)
    return str(value)
