"""DuckDB through Ibis, set up so that it prints nothing and reads times the same everywhere."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis


def connect_duckdb(
    memory: str | None = None, temporary_folder: Path | None = None
) -> "ibis.BaseBackend":
    """An in-memory DuckDB.

    Its progress bar would be printed into `--json` output, and times with an offset would be
    converted to the machine's own zone.

    Args:
        memory: What it may use, such as 1GB; beyond that it writes to `temporary_folder`.
        temporary_folder: Where; made when it is needed.
    """
    import ibis

    engine = ibis.duckdb.connect()
    engine.raw_sql("SET enable_progress_bar = false")
    engine.raw_sql("SET TimeZone = 'UTC'")
    # Rows of a table have no order; keeping one costs memory.
    engine.raw_sql("SET preserve_insertion_order = false")
    if memory is not None:
        engine.raw_sql(f"SET memory_limit = {quoted(memory)}")
    if temporary_folder is not None:
        engine.raw_sql(f"SET temp_directory = {quoted(str(temporary_folder))}")
    return engine


def quoted(text: str) -> str:
    """Text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"
