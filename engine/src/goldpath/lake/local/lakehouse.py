"""The lakehouse on one machine: Iceberg with a SQLite catalog, DuckDB through Ibis.

DuckDB writes the data files, so rows stream from an expression to disk; pyiceberg registers them in
one commit. Until then no reader sees them, so a killed writer leaves the table as it was.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.lake.iceberg_metadata import (
    add_tag,
    describe,
    drop_snapshots,
    expire_older,
    referenced_files,
    remove_tag,
    require_snapshot,
    table_schema,
    transaction_of,
)
from goldpath.lake.lakehouse import LakehouseError, Partitions, Snapshot, TableName
from goldpath.lake.local.catalog import LocalCatalog
from goldpath.lake.local.data_files import DataFiles
from goldpath.settings import Settings

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

ROWS_PER_COPY = 1_000_000
# No writer takes so long between a data file and its commit.
ORPHAN_AGE = timedelta(days=1)
# A partition with so many files below this size is worth rewriting.
MANY_FILES = 4
SMALL_FILE_BYTES = 32 * 1024 * 1024


class LocalLakehouse:
    """Implements `Lakehouse` in a folder of the project."""

    def __init__(self, settings: Settings) -> None:
        self._catalog = LocalCatalog(settings)
        self._files = DataFiles(self._catalog, settings.lake.memory)

    # ---- reading

    def exists(self, table: TableName) -> bool:
        """Whether the table was ever written."""
        return self._catalog.exists(table)

    def tables(self) -> list[TableName]:
        """Every table of the lake, by layer and name."""
        return self._catalog.tables()

    def read(
        self,
        table: TableName,
        snapshot_id: int | None = None,
        partitions: Partitions | None = None,
    ) -> "ibis.Table":
        """The table, or some of its partitions, as an expression: at a snapshot, or as it is now.

        Data files are handed to DuckDB directly, which is 2.5 times cheaper than through Arrow.
        Only this class writes them, and it never writes row-level deletes.

        Raises:
            LakehouseError: If there is no such table or snapshot, or a file of it is lost.
        """
        iceberg = self._catalog.load(table)
        if snapshot_id is not None:
            require_snapshot(table, iceberg, snapshot_id)
        scan = iceberg.scan(row_filter=_condition(partitions), snapshot_id=snapshot_id)
        with self._catalog.read_errors(table):
            paths = [_path(task.file) for task in scan.plan_files()]
            return self._files.read(paths, scan.projection().as_arrow(), partitions)

    def collect(self, expression: "ibis.Table") -> "pa.Table":
        """Run an expression."""
        return self._files.collect(expression)

    def staged(self, rows: "pa.Table") -> AbstractContextManager["ibis.Table"]:
        """Rows that are not in the lake yet, as an expression within the block."""
        return self._files.staged(rows)

    def materialized(self, expression: "ibis.Table") -> AbstractContextManager["ibis.Table"]:
        """An expression's rows, computed once, to be used several times within the block."""
        return self._files.materialized(expression)

    # ---- writing

    def append(
        self, table: TableName, rows: "ibis.Table | pa.Table", partition_by: str | None = None
    ) -> Snapshot:
        """Add rows in one commit; the table is created where it does not exist.

        Raises:
            LakehouseError: If a column's type is not the table's; nothing is written then.
        """
        import pyarrow as pa

        with self._expression(rows) as expression:
            iceberg = self._prepare(table, expression, partition_by)
            if isinstance(rows, pa.Table) and not iceberg.spec().fields:
                files = [self._files.write_arrow(iceberg, rows)]
            else:
                files = self._files.write(iceberg, expression, None)
        return self._commit(table, files, replaced=None)

    def append_stream(
        self,
        table: TableName,
        batches: "Iterable[pa.RecordBatch]",
        derive: "Callable[[ibis.Table], ibis.Table]",
        partition_by: str | None = None,
    ) -> Snapshot:
        """Add rows of any number in one commit, with memory for some of them only.

        Raises:
            LakehouseError: If a column's type is not the table's; nothing is written then.
        """
        files: list[str] = []
        for piece in _tables_of(batches):
            with self.staged(piece) as staged:
                rows = derive(staged)
                iceberg = self._prepare(table, rows, partition_by)
                files += self._files.write(iceberg, rows, None)
        return self._commit(table, files, replaced=None)

    def overwrite(
        self,
        table: TableName,
        rows: "ibis.Table | pa.Table",
        partitions: Partitions | None = None,
    ) -> Snapshot:
        """Replace the rows of some partitions, or all rows, in one commit.

        Raises:
            LakehouseError: If a column's type is not the table's; nothing is written then.
        """
        with self._expression(rows) as expression:
            column = partitions.column if partitions else None
            iceberg = self._prepare(table, expression, column)
            files = self._files.write(iceberg, expression, partitions)
        return self._commit(table, files, replaced=_condition(partitions))

    def delete(self, table: TableName, column: str, values: Sequence[str]) -> Snapshot:
        """Remove the rows whose text column has one of the values, in one commit.

        Only the files that hold such a row are rewritten.
        """
        with self._catalog.lock():
            iceberg = self._catalog.load(table)
            with self._catalog.read_errors(table):
                held = {_path(task.file): task.file for task in iceberg.scan().plan_files()}
                touched = self._files.holding(column, values, list(held))
            if touched:
                rows = self._files.read(touched, iceberg.schema().as_arrow())
                kept = rows.filter(~rows[column].isin(list(values)).fill_null(False))
                files = self._files.write(iceberg, kept, None)
                self._swap(iceberg, [held[path] for path in touched], files)
        return _require_current(table, iceberg)

    def compact(self, table: TableName) -> Snapshot:
        """Rewrite small files into large ones, where a partition has many; no row changes."""
        with self._catalog.lock():
            iceberg = self._catalog.load(table)
            with self._catalog.read_errors(table):
                held = _small_files(iceberg)
            if held:
                rows = self._files.read([_path(file) for file in held], iceberg.schema().as_arrow())
                files = self._files.write(iceberg, rows, None)
                self._swap(iceberg, held, files)
        return _require_current(table, iceberg)

    @contextmanager
    def _expression(self, rows: "ibis.Table | pa.Table") -> Iterator["ibis.Table"]:
        import pyarrow as pa

        if isinstance(rows, pa.Table):
            with self.staged(rows) as expression:
                yield expression
        else:
            yield rows

    def _prepare(self, table: TableName, rows: "ibis.Table", partition_by: str | None) -> "Table":
        return self._catalog.prepare(table, table_schema(rows.schema()), partition_by)

    def _commit(
        self, table: TableName, files: list[str], replaced: "BooleanExpression | None"
    ) -> Snapshot:
        with self._catalog.lock():
            iceberg = self._catalog.load(table)
            with self._catalog.read_errors(table):
                old = (
                    [task.file for task in iceberg.scan(row_filter=replaced).plan_files()]
                    if replaced is not None
                    else []
                )
            self._swap(iceberg, old, files)
        return _require_current(table, iceberg)

    def _swap(self, iceberg: "Table", old: list["DataFile"], new: list[str]) -> None:
        """Take files out of the table and others in, as one snapshot."""
        from pyiceberg.io.pyarrow import parquet_files_to_data_files

        from goldpath.lake.local.replacement import Replacement

        added = [
            file
            for file in parquet_files_to_data_files(iceberg.io, iceberg.metadata, iter(new))
            if file.record_count
        ]
        if not old and not added and iceberg.current_snapshot() is not None:
            return
        with (
            self._catalog.disk_errors(),
            warnings.catch_warnings(),
            transaction_of(iceberg) as transaction,
        ):
            append = transaction.update_snapshot().fast_append
            with Replacement(transaction, iceberg.io) if old else append() as change:
                for file in old:
                    change.delete_data_file(file)
                for file in added:
                    change.append_data_file(file)

    # ---- snapshots

    def snapshot(self, table: TableName) -> Snapshot | None:
        """The current snapshot, or None where the table has none."""
        return _current(table, self._catalog.load(table)) if self.exists(table) else None

    def snapshots(self, table: TableName) -> list[Snapshot]:
        """Every snapshot that was not expired, the oldest first.

        Raises:
            LakehouseError: If there is no such table.
        """
        iceberg = self._catalog.load(table)
        return [describe(table, iceberg, snapshot) for snapshot in iceberg.snapshots()]

    def tag(self, snapshot: Snapshot, name: str) -> None:
        """Name a snapshot, so that expiry cannot delete it; a second call changes nothing."""
        with self._catalog.lock():
            add_tag(self._catalog.load(snapshot.table), snapshot.snapshot_id, name)

    def untag(self, table: TableName, name: str) -> None:
        """Take a name away; a second call changes nothing."""
        with self._catalog.lock():
            remove_tag(self._catalog.load(table), name)

    def rollback(self, snapshot: Snapshot) -> Snapshot:
        """Make an older snapshot the current one; the later ones stay readable by their number.

        Raises:
            LakehouseError: If the snapshot is not the table's.
        """
        with self._catalog.lock():
            iceberg = self._catalog.load(snapshot.table)
            require_snapshot(snapshot.table, iceberg, snapshot.snapshot_id)
            iceberg.manage_snapshots().set_current_snapshot(snapshot.snapshot_id).commit()
        return _require_current(snapshot.table, iceberg.refresh())

    def expire(self, table: TableName, before: datetime) -> int:
        """Forget older snapshots, but the current and the tagged ones, and delete their files.

        Files that a killed writer left behind go too, once they are a day old.

        Returns:
            How many snapshots went.
        """
        with self._catalog.lock():
            iceberg = self._catalog.load(table)
            with self._catalog.read_errors(table):
                gone, files = expire_older(iceberg, before)
                for file in files:
                    Path(file).unlink(missing_ok=True)
                self._delete_orphans(iceberg)
        return gone

    def purge(self, table: TableName, snapshot_ids: Sequence[int]) -> None:
        """Drop these snapshots, tagged or not, and at once every file that no other one needs.

        Raises:
            LakehouseError: If the current snapshot is among them.
        """
        with self._catalog.lock():
            iceberg = self._catalog.load(table)
            with self._catalog.read_errors(table):
                for file in drop_snapshots(table, iceberg, snapshot_ids):
                    Path(file).unlink(missing_ok=True)
                self._delete_orphans(iceberg, timedelta(0))

    def _delete_orphans(self, iceberg: "Table", age: timedelta = ORPHAN_AGE) -> None:
        """Delete what a killed writer left: data files and manifests, whole or torn."""
        needed = referenced_files(iceberg)
        oldest = (datetime.now(UTC) - age).timestamp()
        place = Path(iceberg.location())
        left = [*(place / "data").rglob("*.parquet"), *(place / "metadata").glob("*.avro")]
        for file in left:
            if str(file) not in needed and file.stat().st_mtime < oldest:
                file.unlink(missing_ok=True)


def _tables_of(batches: "Iterable[pa.RecordBatch]") -> Iterator["pa.Table"]:
    """The rows in pieces of bounded size.

    DuckDB could read a stream, too, but a COPY holds on to all of its batches until it ends.
    """
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= ROWS_PER_COPY:
            yield pa.Table.from_batches(held)
            held, rows = [], 0
    if held:
        yield pa.Table.from_batches(held)


def _current(table: TableName, iceberg: "Table") -> Snapshot | None:
    current = iceberg.current_snapshot()
    return None if current is None else describe(table, iceberg, current)


def _require_current(table: TableName, iceberg: "Table") -> Snapshot:
    snapshot = _current(table, iceberg)
    if snapshot is None:
        raise LakehouseError(
            f"{table} has no snapshot after a write", "check the disk and the catalog file"
        )
    return snapshot


def _small_files(iceberg: "Table") -> list["DataFile"]:
    """The small files of the partitions that have many of them."""
    by_partition: dict[str, list[DataFile]] = {}
    for task in iceberg.scan().plan_files():
        if task.file.file_size_in_bytes < SMALL_FILE_BYTES:
            by_partition.setdefault(str(task.file.partition), []).append(task.file)
    crowded = [files for files in by_partition.values() if len(files) >= MANY_FILES]
    return [file for files in crowded for file in files]


def _condition(partitions: Partitions | None) -> "BooleanExpression":
    from pyiceberg.expressions import AlwaysTrue, In

    return AlwaysTrue() if partitions is None else In(partitions.column, partitions.values)


def _path(file: "DataFile") -> str:
    return str(file.file_path).removeprefix("file://")
