"""Saving and bringing back MLflow's database: SQLite's own interface, and PostgreSQL's programs."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from goldpath.errors import ProjectError

SQLITE_FILE = "mlflow.db"
DUMP_FILE = "mlflow.sql.dump"
SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgresql+psycopg://", "postgresql+psycopg2://", "postgres://")


class BackupError(ProjectError):
    """A backup cannot be made, is damaged, or must not be restored here."""


def dump_database(database: str, folder: Path) -> str:
    """Save a database into a folder; says which kind it is."""
    if database.startswith(SQLITE):
        file = Path(database.removeprefix(SQLITE))
        if not file.is_file():
            raise BackupError(f"there is no registry: {file} is missing", "make train-local")
        try:
            with (
                closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True)) as source,
                closing(sqlite3.connect(folder / SQLITE_FILE)) as copy,
            ):
                source.backup(copy)
        except sqlite3.Error as error:
            raise BackupError(f"{file} cannot be read: {error}", "is it a database?") from error
        return "sqlite"
    _postgres(database, "pg_dump", "--format=custom", "--no-owner", f"--file={folder / DUMP_FILE}")
    return "postgresql"


def load_database(folder: Path, database: str, *, force: bool) -> None:
    """Bring a saved database back."""
    if not database.startswith(SQLITE):
        clean = ["--clean", "--if-exists"] if force else []
        _postgres(
            database,
            *("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", *clean),
            *("--dbname", _postgres_name(database), str(folder / DUMP_FILE)),
        )
        return
    file = Path(database.removeprefix(SQLITE))
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    shutil.copyfile(folder / SQLITE_FILE, part)
    for suffix in ("-wal", "-shm", "-journal"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    part.replace(file)


def _postgres(database: str, program: str, *arguments: str) -> str:
    """Run one of PostgreSQL's programs; the password goes by the environment, not the command."""
    if not database.startswith(POSTGRES):
        raise BackupError(
            f"{scheme(database)} is neither SQLite nor PostgreSQL",
            "use your database's own tools, then copy the artifact folder",
        )
    found = shutil.which(program) or next(
        map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)), None
    )
    if found is None:
        raise BackupError(f"{program} is not installed", "install PostgreSQL's client programs")
    parts = urlsplit(database)
    environment = {
        **os.environ,
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": _postgres_name(database),
    }
    done = subprocess.run(
        [found, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise BackupError(f"{program} failed: {lines[0][:300]}", "see the database's log")
    return done.stdout


def _postgres_name(database: str) -> str:
    return unquote(urlsplit(database).path.lstrip("/"))


def scheme(uri: str) -> str:
    """The kind of a database, from its URL."""
    return uri.partition("://")[0]


def shown_database(uri: str) -> str:
    """The URL without user and password."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def is_empty(database: str) -> bool:
    """Whether there is no registry in a database."""
    if database.startswith(SQLITE):
        return not Path(database.removeprefix(SQLITE)).exists()
    query = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    said = _postgres(database, "psql", "--no-psqlrc", "--tuples-only", "--command", query)
    return said.strip() in ("0", "")
