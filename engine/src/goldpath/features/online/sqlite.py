"""The online store in one SQLite file of the project: a row by its key, in microseconds."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from goldpath.features.online.store import (
    OnlineRow,
    OnlineStoreError,
    dump_values,
    microseconds,
    moment,
    nothing_yet,
)

WRITE_ROWS = 5_000
# WAL: readers go on while a writer commits. secure_delete: who is deleted leaves no bytes behind.
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS online (
  entity_key TEXT NOT NULL, feature_view TEXT NOT NULL,
  event_time INTEGER NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (entity_key, feature_view)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (feature_view TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_SELECT = "SELECT event_time, value FROM online WHERE entity_key = ? AND feature_view = ?"
_DELETE = """
DELETE FROM online WHERE entity_key = ? AND feature_view = coalesce(?, feature_view)
"""
_UPSERT = """
INSERT INTO online VALUES (?, ?, ?, ?)
ON CONFLICT (entity_key, feature_view)
DO UPDATE SET event_time = excluded.event_time, value = excluded.value
WHERE excluded.event_time >= online.event_time
"""


class SqliteOnlineStore:
    """Implements `OnlineStore` in one file, with a connection for each thread.

    Args:
        file: Made by the first write.
        patience: How many seconds it waits for who writes, or repairs the file.
    """

    def __init__(self, file: Path, patience: float = 30) -> None:
        self._file = file
        self._patience = patience
        self._local = threading.local()

    def write_batch(self, view: str, rows: Sequence[OnlineRow]) -> int:
        """Keep rows, but where the store has a newer one."""
        kept = 0
        left = iter(rows)
        while chunk := list(islice(left, WRITE_ROWS)):
            values = [
                (row.entity, view, microseconds(row.event_time), dump_values(row.values))
                for row in chunk
            ]
            with self._transaction() as connection:
                kept += connection.executemany(_UPSERT, values).rowcount
        return kept

    def read(self, view: str, entities: Sequence[str]) -> list[OnlineRow | None]:
        """The entities' rows, in the order of the keys."""
        reader = self._reader()
        execute = reader.execute
        found: list[OnlineRow | None] = []
        try:
            if len(entities) > 1:
                execute("BEGIN")  # else each row asks for the file's locks
            for entity in entities:
                row = execute(_SELECT, (entity, view)).fetchone()
                found.append(row and OnlineRow(entity, moment(row[0]), json.loads(row[1])))
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        finally:
            if reader.in_transaction:
                execute("COMMIT")
        return found

    def delete(self, entity: str, view: str | None = None) -> int:
        """Remove an entity from every view, or from one; its bytes are overwritten."""
        if not self._file.is_file():
            return 0
        with self._transaction() as connection:
            gone = connection.execute(_DELETE, (entity, view)).rowcount
        if gone:
            with self._errors():
                self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def count(self, view: str) -> int:
        """How many entities a view has."""
        if not self._file.is_file():
            return 0
        query = "SELECT count(*) FROM online WHERE feature_view = ?"
        with self._errors():
            return int(self._connection().execute(query, (view,)).fetchone()[0])

    def read_state(self, view: str) -> str | None:
        """What `write_state` kept."""
        if not self._file.is_file():
            return None
        query = "SELECT value FROM state WHERE feature_view = ?"
        with self._errors():
            row = self._connection().execute(query, (view,)).fetchone()
        return str(row[0]) if row else None

    def write_state(self, view: str, state: str) -> None:
        """Remember what the view was written from."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (view, state))

    def _reader(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is not None:
            return found
        if not self._file.is_file():
            raise nothing_yet(f"there is no online store yet: {self._file.name} does not exist")
        return self._connection()

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; it keeps its prepared statements."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            with self._errors():
                self._file.parent.mkdir(parents=True, exist_ok=True)
                found = sqlite3.connect(self._file, timeout=self._patience, isolation_level=None)
                found.executescript(_SCHEMA)
            self._local.connection = found
        return found

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        with self._errors():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> OnlineStoreError:
        return OnlineStoreError(
            f"the online store {self._file} does not answer: {error}",
            "free disk space or make the file writable; if it is damaged, delete it and run: "
            "make materialize",
        )
