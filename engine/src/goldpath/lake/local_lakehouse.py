"""The lakehouse on one machine: Iceberg with a SQLite catalog, DuckDB through Ibis.

DuckDB writes the data files, so rows stream from an expression to disk; pyiceberg registers them in
one commit. Until then no reader sees them, so a killed writer leaves the table as it was.
"""

import fcntl
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from goldpath.lake.engine import connect_duckdb, quoted
from goldpath.lake.iceberg_metadata import (
    add_new_columns,
    add_tag,
    describe,
    drop_snapshots,
    expire_older,
    plain_type,
    referenced_files,
    remove_tag,
    require_snapshot,
    table_schema,
)
from goldpath.lake.lakehouse import LakehouseError, Partitions, Snapshot, TableName
from goldpath.settings import Settings

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

ROWS_PER_COPY = 1_000_000
# No writer takes so long between a data file and its commit.
ORPHAN_AGE = timedelta(days=1)
# A partition with so many files below this size is worth rewriting.
MANY_FILES = 4
SMALL_FILE_BYTES = 32 * 1024 * 1024
FILE_COLUMN = "__file"


class LocalLakehouse:
    """Implements `Lakehouse` in a folder of the project."""

    def __init__(self, settings: Settings) -> None:
        self._catalog_file = settings.root / settings.lake.catalog
        self._warehouse = settings.root / settings.lake.warehouse
        self._memory = settings.lake.memory
        self._numbers = count()

    @cached_property
    def _catalog(self) -> "SqlCatalog":
        from pyiceberg.catalog.sql import SqlCatalog

        with self._disk_errors():
            self._catalog_file.parent.mkdir(parents=True, exist_ok=True)
            self._warehouse.mkdir(parents=True, exist_ok=True)
        return SqlCatalog(
            "local", uri=f"sqlite:///{self._catalog_file}", warehouse=str(self._warehouse)
        )

    @cached_property
    def _engine(self) -> "ibis.BaseBackend":
        return connect_duckdb(self._memory, self._catalog_file.parent / "spill")

    # ---- reading

    def exists(self, table: TableName) -> bool:
        """Whether the table was ever written."""
        return self._catalog_file.is_file() and self._catalog.table_exists(str(table))

    def tables(self) -> list[TableName]:
        """Every table of the lake, by layer and name."""
        if not self._catalog_file.is_file():
            return []
        found = [
            TableName(layer, name)
            for (space,) in self._catalog.list_namespaces()
            for layer, name in self._catalog.list_tables(space)
        ]
        return sorted(found, key=str)

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
            LakehouseError: If there is no such table or snapshot.
        """
        iceberg = self._load(table)
        if snapshot_id is not None:
            require_snapshot(table, iceberg, snapshot_id)
        scan = iceberg.scan(row_filter=_condition(partitions), snapshot_id=snapshot_id)
        paths = [_path(task.file) for task in scan.plan_files()]
        return self._read_files(paths, scan.projection().as_arrow(), partitions)

    def _read_files(
        self, paths: list[str], schema: "pa.Schema", partitions: Partitions | None = None
    ) -> "ibis.Table":
        import ibis

        declared = ibis.Schema.from_pyarrow(schema)
        if not paths:
            name = self._name("empty")
            return self._engine.create_table(name, schema=declared, temp=True)
        # The partition's value is in the file; from its folder's name it would come back typed.
        rows = self._engine.read_parquet(paths, union_by_name=True, hive_partitioning=False)
        if partitions is not None:
            rows = rows.filter(rows[partitions.column].isin(partitions.values))
        return _as_declared(rows, declared)

    def collect(self, expression: "ibis.Table") -> "pa.Table":
        """Run an expression."""
        return self._engine.to_pyarrow(expression)

    @contextmanager
    def staged(self, rows: "pa.Table") -> Iterator["ibis.Table"]:
        """Rows that are not in the lake yet, as an expression within the block."""
        name = self._name("staged")
        self._engine.con.register(name, rows)
        try:
            yield self._engine.table(name)
        finally:
            self._engine.con.unregister(name)

    @contextmanager
    def materialized(self, expression: "ibis.Table") -> Iterator["ibis.Table"]:
        """An expression's rows, computed once, to be used several times within the block."""
        name = self._name("materialized")
        with self._disk_errors():
            rows = self._engine.create_table(name, expression, temp=True)
        try:
            yield rows
        finally:
            self._engine.raw_sql(f"DROP TABLE IF EXISTS {_identifier(name)}")

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
                files = [self._write_arrow(iceberg, rows)]
            else:
                files = self._write_files(iceberg, expression, None)
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
                files += self._write_files(iceberg, rows, None)
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
            files = self._write_files(iceberg, expression, partitions)
        return self._commit(table, files, replaced=_condition(partitions))

    def delete(self, table: TableName, column: str, values: Sequence[str]) -> Snapshot:
        """Remove the rows whose text column has one of the values, in one commit.

        Only the files that hold such a row are rewritten.
        """
        with self._lock():
            iceberg = self._load(table)
            held = {_path(task.file): task.file for task in iceberg.scan().plan_files()}
            touched = self._files_with(column, values, list(held))
            if touched:
                rows = self._read_files(touched, iceberg.schema().as_arrow())
                kept = rows.filter(~rows[column].isin(list(values)).fill_null(False))
                files = self._write_files(iceberg, kept, None)
                self._swap(iceberg, [held[path] for path in touched], files)
        return _require_current(table, iceberg)

    def _files_with(self, column: str, values: Sequence[str], paths: list[str]) -> list[str]:
        if not paths or not values:
            return []
        rows = self._engine.read_parquet(
            paths, union_by_name=True, hive_partitioning=False, filename=FILE_COLUMN
        )
        if column not in rows.columns:
            return []
        found = rows.filter(rows[column].isin(list(values))).select(FILE_COLUMN).distinct()
        return sorted(self.collect(found)[FILE_COLUMN].to_pylist())

    def compact(self, table: TableName) -> Snapshot:
        """Rewrite small files into large ones, where a partition has many; no row changes."""
        with self._lock():
            iceberg = self._load(table)
            held = _small_files(iceberg)
            if held:
                rows = self._read_files([_path(file) for file in held], iceberg.schema().as_arrow())
                files = self._write_files(iceberg, rows, None)
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
        """The table, created or with new columns added, ready to take the rows."""
        from pyiceberg.table.name_mapping import NameMapping

        schema = table_schema(rows.schema())
        with self._lock():
            self._catalog.create_namespace_if_not_exists(table.layer)
            if self._catalog.table_exists(str(table)):
                iceberg = self._catalog.load_table(str(table))
                add_new_columns(table, iceberg, schema)
                return iceberg
            iceberg = self._catalog.create_table(
                str(table), schema=schema, location=str(self._warehouse / table.layer / table.name)
            )
            mapping: NameMapping = iceberg.schema().name_mapping
            with iceberg.transaction() as transaction:
                transaction.set_properties(
                    # DuckDB's files carry names and no Iceberg field numbers.
                    **{"schema.name-mapping.default": mapping.model_dump_json()},
                    # Metadata outlives rows, so it must hold no value of them; DuckDB goes by the
                    # smallest and largest values that are in the files themselves.
                    **{"write.metadata.metrics.default": "counts"},
                )
                if partition_by is not None:
                    # pyiceberg learns a file's partition from its bounds.
                    transaction.set_properties(
                        **{f"write.metadata.metrics.column.{partition_by}": "full"}
                    )
                    with transaction.update_spec() as specification:
                        specification.add_identity(partition_by)
            return iceberg

    def _write_files(
        self, iceberg: "Table", rows: "ibis.Table", partitions: Partitions | None
    ) -> list[str]:
        """Write rows as Parquet into a new folder of the table; nobody sees them yet."""
        import ibis

        rows = _as_declared(rows, ibis.Schema.from_pyarrow(iceberg.schema().as_arrow()))
        columns = [field.name for field in iceberg.spec().fields]
        with self._disk_errors():
            folder = _new_folder(iceberg)
            if columns and (partitions is None or len(partitions.values) > 1):
                self._copy(rows, folder, f", PARTITION_BY ({_identifier(columns[0])})")
            else:
                self._copy(rows, folder / "rows.parquet", "")
        return sorted(str(file) for file in folder.rglob("*.parquet"))

    def _copy(self, rows: "ibis.Table", target: Path, options: str) -> None:
        name = self._name("copied")
        self._engine.create_view(name, rows)
        try:
            self._engine.raw_sql(
                f"COPY (FROM {_identifier(name)}) TO {quoted(str(target))} "
                f"(FORMAT parquet, COMPRESSION zstd, WRITE_PARTITION_COLUMNS{options})"
            )
        finally:
            self._engine.raw_sql(f"DROP VIEW {_identifier(name)}")

    def _write_arrow(self, iceberg: "Table", rows: "pa.Table") -> str:
        """The same for rows in memory, which PyArrow writes in half the time that DuckDB takes."""
        import pyarrow as pa
        import pyarrow.parquet

        schema = pa.schema(
            [
                (field.name, plain_type(field.type))
                for field in iceberg.schema().as_arrow()
                if field.name in rows.column_names
            ]
        )
        with self._disk_errors():
            file = _new_folder(iceberg) / "rows.parquet"
            pyarrow.parquet.write_table(
                rows.select(schema.names).cast(schema), file, compression="zstd"
            )
        return str(file)

    def _commit(
        self, table: TableName, files: list[str], replaced: "BooleanExpression | None"
    ) -> Snapshot:
        with self._lock():
            iceberg = self._load(table)
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

        added = [
            file
            for file in parquet_files_to_data_files(iceberg.io, iceberg.metadata, iter(new))
            if file.record_count
        ]
        if not old and not added and iceberg.current_snapshot() is not None:
            return
        with (
            self._disk_errors(),
            warnings.catch_warnings(),
            iceberg.transaction() as transaction,
        ):
            snapshot = transaction.update_snapshot()
            with snapshot.overwrite() if old else snapshot.fast_append() as change:
                for file in old:
                    change.delete_data_file(file)
                for file in added:
                    change.append_data_file(file)

    # ---- snapshots

    def snapshot(self, table: TableName) -> Snapshot | None:
        """The current snapshot, or None where the table has none."""
        return _current(table, self._load(table)) if self.exists(table) else None

    def snapshots(self, table: TableName) -> list[Snapshot]:
        """Every snapshot that was not expired, the oldest first.

        Raises:
            LakehouseError: If there is no such table.
        """
        iceberg = self._load(table)
        return [describe(table, iceberg, snapshot) for snapshot in iceberg.snapshots()]

    def tag(self, snapshot: Snapshot, name: str) -> None:
        """Name a snapshot, so that expiry cannot delete it; a second call changes nothing."""
        with self._lock():
            add_tag(self._load(snapshot.table), snapshot.snapshot_id, name)

    def untag(self, table: TableName, name: str) -> None:
        """Take a name away; a second call changes nothing."""
        with self._lock():
            remove_tag(self._load(table), name)

    def rollback(self, snapshot: Snapshot) -> Snapshot:
        """Make an older snapshot the current one; the later ones stay readable by their number.

        Raises:
            LakehouseError: If the snapshot is not the table's.
        """
        with self._lock():
            iceberg = self._load(snapshot.table)
            require_snapshot(snapshot.table, iceberg, snapshot.snapshot_id)
            iceberg.manage_snapshots().set_current_snapshot(snapshot.snapshot_id).commit()
        return _require_current(snapshot.table, iceberg.refresh())

    def expire(self, table: TableName, before: datetime) -> int:
        """Forget older snapshots, but the current and the tagged ones, and delete their files.

        Files that a killed writer left behind go too, once they are a day old.

        Returns:
            How many snapshots went.
        """
        with self._lock():
            iceberg = self._load(table)
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
        with self._lock():
            iceberg = self._load(table)
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

    # ---- the catalog and the disk

    def _load(self, table: TableName) -> "Table":
        from pyiceberg.exceptions import NoSuchTableError

        missing = LakehouseError(f"the table {table} does not exist yet", "make data")
        if not self._catalog_file.is_file():
            raise missing
        try:
            return self._catalog.load_table(str(table))
        except NoSuchTableError as error:
            raise missing from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer commits at a time; the operating system frees the lock of a killed one."""
        with self._disk_errors():
            self._catalog_file.parent.mkdir(parents=True, exist_ok=True)
            stream = (self._catalog_file.parent / ".commit.lock").open("w")
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Turn what a full or read-only disk raises into a sentence; the last snapshot stays."""
        import duckdb
        from sqlalchemy.exc import OperationalError

        try:
            yield
        except (
            OSError,
            duckdb.IOException,
            duckdb.OutOfMemoryException,
            OperationalError,
        ) as error:
            raise LakehouseError(
                f"the lake at {self._warehouse} cannot be written: {str(error).splitlines()[0]}",
                "free disk space or make the folder writable, and run the command again; "
                "the tables are as they were",
            ) from error

    def _name(self, kind: str) -> str:
        return f"__{kind}_{next(self._numbers)}"


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


def _new_folder(iceberg: "Table") -> Path:
    folder = Path(iceberg.location()) / "data" / uuid4().hex
    folder.mkdir(parents=True)
    return folder


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _condition(partitions: Partitions | None) -> "BooleanExpression":
    from pyiceberg.expressions import AlwaysTrue, In

    return AlwaysTrue() if partitions is None else In(partitions.column, partitions.values)


def _path(file: "DataFile") -> str:
    return str(file.file_path).removeprefix("file://")


def _as_declared(rows: "ibis.Table", declared: "ibis.Schema") -> "ibis.Table":
    """Columns in the table's order; one that no file holds yet (it was added later) is null."""
    import ibis

    if rows.schema() == declared:
        return rows
    columns = {}
    for name, kind in declared.items():
        if name not in rows.columns:
            columns[name] = ibis.null(kind)
        else:
            columns[name] = rows[name] if rows[name].type() == kind else rows[name].cast(kind)
    return rows.select(**columns)
