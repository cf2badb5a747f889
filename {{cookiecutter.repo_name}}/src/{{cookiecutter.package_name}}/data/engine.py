"""DuckDB through Ibis, set up so that it prints nothing and reads times the same everywhere."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis


def connect_duckdb() -> "ibis.BaseBackend":
    """An in-memory DuckDB.

    Its progress bar would be printed into `--json` output, and times with an offset would be
    converted to the machine's own zone.
    """
    import ibis

    engine = ibis.duckdb.connect()
    engine.raw_sql("SET enable_progress_bar = false")
    engine.raw_sql("SET TimeZone = 'UTC'")
    return engine
