"""Whether the registry's database answers, asked before MLflow is: MLflow tries for minutes."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from goldpath.registry.stores.login import shown_uri
from goldpath.registry.stores.store import SQLITE, RegistryError

WAIT_SECONDS = 4
PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mssql": 1433}
RESTORE = "restore it: make restore FROM=backups/…; or move it away to begin with an empty registry"


def require_answer(uri: str) -> None:
    """Ask the database one question.

    Args:
        uri: sqlite:///…, postgresql://… or another database's URL for SQLAlchemy.

    Raises:
        RegistryError: If it does not answer within seconds, is locked or damaged.
    """
    if uri.startswith(SQLITE):
        _ask_file(Path(uri.removeprefix(SQLITE)))
        return
    kind = urlsplit(uri).scheme.partition("+")[0]
    if kind in PORTS:
        _ask_server(uri, kind)


def file_error(file: Path, error: sqlite3.Error) -> RegistryError:
    """What is wrong with MLflow's SQLite file, and what to do."""
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return RegistryError(
            f"another process has locked the registry {file} for more than {WAIT_SECONDS} seconds",
            f"let it finish, or end it (fuser {file} names it), and run the command again",
        )
    if isinstance(error, sqlite3.OperationalError):
        return RegistryError(f"the registry {file} cannot be used: {error}", "check its owner")
    return RegistryError(f"the registry {file} is damaged: {error}", RESTORE)


def _ask_file(file: Path) -> None:
    if not file.is_file():
        return
    if not file.stat().st_size:
        raise RegistryError(f"the registry {file} is damaged: it is empty", RESTORE)
    try:
        with closing(sqlite3.connect(file, timeout=WAIT_SECONDS)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
            except sqlite3.OperationalError as error:
                if "readonly" not in str(error):  # one may read what one may not write
                    raise
    except sqlite3.Error as error:
        raise file_error(file, error) from error


def _ask_server(uri: str, kind: str) -> None:
    parts = urlsplit(uri)
    try:
        if kind.startswith("postgres") and _ask_postgres(uri):
            return
        if parts.hostname:
            address = (parts.hostname, parts.port or PORTS[kind])
            socket.create_connection(address, timeout=WAIT_SECONDS).close()
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RegistryError(
            f"the registry's database {shown_uri(uri)} does not answer: {reason}",
            "start it, or correct MLFLOW_TRACKING_URI (host, port, name and password)",
        ) from error


def _ask_postgres(uri: str) -> bool:
    """Log in, which a server that hangs does not answer; False without psycopg."""
    try:
        import psycopg
    except ImportError:
        return False
    address = "postgresql://" + uri.partition("://")[2]
    try:
        with psycopg.connect(address, connect_timeout=WAIT_SECONDS) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        raise OSError(str(error)) from error
    return True
