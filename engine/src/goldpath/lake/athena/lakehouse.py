"""The lakehouse on AWS: Iceberg tables in Glue and S3, Athena through Ibis and pyathena.

Athena reads and writes the rows; pyiceberg works on the metadata only: schemas, snapshots, tags.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain, count
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from goldpath.lake.athena import statements
from goldpath.lake.athena.catalog import AwsCatalog, physical_schema
from goldpath.lake.athena.client import AthenaClient, aws_errors, retry_conflicts
from goldpath.lake.athena.sql import TableReference, athena_sql, physical_name
from goldpath.lake.iceberg_metadata import (
    add_tag,
    describe,
    drop_snapshots,
    expire_older,
    has_row_deletes,
    referenced_files,
    remove_tag,
    require_snapshot,
    table_schema,
)
from goldpath.lake.lakehouse import LakehouseError, Partitions, Snapshot, TableName
from goldpath.settings import AwsSettings, Settings

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from pyiceberg.table import Table

# Athena writes 100 partitions in one statement at most.
MOST_PARTITIONS = 90
# No statement takes so long between a data file and its commit.
ORPHAN_AGE = timedelta(days=1)


class AwsLakehouse:
    """Implements `Lakehouse` in one bucket and one Glue database."""

    def __init__(self, settings: Settings) -> None:
        if settings.aws is None:
            raise LakehouseError(
                "lake.backend is aws, but config/aws_config.yaml is missing",
                "restore it from git, or set MLOPS_LAKE__BACKEND=local",
            )
        self._aws: AwsSettings = settings.aws
        self._client = AthenaClient(self._aws)
        self._catalog = AwsCatalog(self._aws, self._client)
        self._numbers = count()

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

        Raises:
            LakehouseError: If there is no such table or snapshot.
        """
        import ibis

        iceberg = self._catalog.load(table)
        if snapshot_id is not None:
            require_snapshot(table, iceberg, snapshot_id)
        held = iceberg.scan(snapshot_id=snapshot_id).projection()
        columns = {
            field.doc or field.name: ibis_type
            for field, ibis_type in zip(
                held.fields, ibis.Schema.from_pyarrow(held.as_arrow()).types, strict=True
            )
        }
        rows = self._unbound(self._catalog.glue_name(table), columns, snapshot_id)
        if partitions is not None:
            rows = rows.filter(rows[partitions.column].isin(partitions.values))
        return rows

    def collect(self, expression: "ibis.Table") -> "pa.Table":
        """Run an expression."""
        sql = athena_sql(expression, self._aws.glue_database)
        return self._client.fetch(sql, expression.schema().to_pyarrow())

    @contextmanager
    def staged(self, rows: "pa.Table") -> Iterator["ibis.Table"]:
        """Rows that are not in the lake yet, as an expression within the block."""
        with self._staged(rows.schema, rows.to_batches()) as staged:
            yield staged

    @contextmanager
    def _staged(
        self, schema: "pa.Schema", batches: "Iterable[pa.RecordBatch]"
    ) -> Iterator["ibis.Table"]:
        """Rows in a temporary table, as an expression."""
        import ibis

        declared = ibis.Schema.from_pyarrow(schema)
        stored = physical_schema(table_schema(declared))
        with self._catalog.staging_table(stored, batches) as name:
            yield self._unbound(name, dict(declared.items()))

    @contextmanager
    def materialized(self, expression: "ibis.Table") -> Iterator["ibis.Table"]:
        """An expression's rows, computed once, to be used several times within the block."""
        schema = expression.schema()
        sql = athena_sql(expression, self._aws.glue_database)
        with self._catalog.temporary_table() as (name, location):
            self._client.run(
                statements.create_table_as(
                    self._catalog.quoted(name),
                    f"{location}/",
                    sql,
                    physical_schema(table_schema(schema)),
                )
            )
            yield self._unbound(name, dict(schema.items()))

    # ---- writing

    def append(
        self, table: TableName, rows: "ibis.Table | pa.Table", partition_by: str | None = None
    ) -> Snapshot:
        """Add rows in one commit; the table is created where it does not exist.

        Raises:
            LakehouseError: If a column's type is not the table's; nothing is written then.
        """
        with self._expression(rows) as expression:
            schema = self._prepare(table, expression, partition_by)
            held = {physical_name(name) for name in expression.columns}
            sql = athena_sql(expression, self._aws.glue_database)
            self._client.run(statements.insert_into(self._catalog.of(table), sql, schema, held))
        return self._current(table)

    def append_stream(
        self,
        table: TableName,
        batches: "Iterable[pa.RecordBatch]",
        derive: "Callable[[ibis.Table], ibis.Table]",
        partition_by: str | None = None,
    ) -> Snapshot:
        """Add rows of any number in one commit, with memory for some of them only.

        Raises:
            LakehouseError: If there is no row, or a column's type is not the table's; nothing
                is written then.
        """
        rest = iter(batches)
        first = next(rest, None)
        if first is None:
            raise LakehouseError(f"there are no rows to add to {table}", "check the source")
        with self._staged(first.schema, chain([first], rest)) as staged:
            return self.append(table, derive(staged), partition_by)

    def overwrite(
        self,
        table: TableName,
        rows: "ibis.Table | pa.Table",
        partitions: Partitions | None = None,
    ) -> Snapshot:
        """Replace the rows of some partitions, or all rows, in one commit.

        Raises:
            LakehouseError: If a column's type is not the table's, or where the partitions are
                more than Athena writes at once; nothing is written then.
        """
        if partitions is not None and len(partitions.values) > MOST_PARTITIONS:
            raise LakehouseError(
                f"{table}: {len(partitions.values)} partitions at once; Athena writes "
                f"{MOST_PARTITIONS} safely",
                "write fewer intervals at once, or set a longer event_time.interval",
            )
        with self._expression(rows) as expression:
            column = partitions.column if partitions else None
            schema = self._prepare(table, expression, column)
            held = {physical_name(name) for name in expression.columns}
            sql = athena_sql(expression, self._aws.glue_database)
            target = self._catalog.of(table)
            if partitions is None:
                key = self._catalog.partition_column(table)
                merge = statements.replace_all(target, sql, schema, held, key)
            else:
                key = physical_name(partitions.column)
                values = tuple(dict.fromkeys(partitions.values))
                merge = statements.replace_partitions(target, sql, schema, held, key, values)
            self._client.run(merge)
        return self._current(table)

    def delete(self, table: TableName, column: str, values: Sequence[str]) -> Snapshot:
        """Remove the rows whose text column has one of the values, in one commit."""
        self._catalog.load(table)
        if values:
            chosen = tuple(dict.fromkeys(values))
            self._client.run(
                statements.delete_rows(self._catalog.of(table), physical_name(column), chosen)
            )
        return self._current(table)

    def compact(self, table: TableName) -> Snapshot:
        """Rewrite small files into large ones; the rows stay the same."""
        self._catalog.load(table)
        self._client.optimize(statements.compact_table(self._catalog.of(table)))
        return self._current(table)

    @contextmanager
    def _expression(self, rows: "ibis.Table | pa.Table") -> Iterator["ibis.Table"]:
        import pyarrow as pa

        if isinstance(rows, pa.Table):
            with self.staged(rows) as expression:
                yield expression
        else:
            yield rows

    def _prepare(
        self, table: TableName, rows: "ibis.Table", partition_by: str | None
    ) -> "pa.Schema":
        schema = physical_schema(table_schema(rows.schema()))
        return self._catalog.prepare(table, schema, partition_by)

    # ---- snapshots

    def snapshot(self, table: TableName) -> Snapshot | None:
        """The current snapshot, or None where the table has none."""
        if not self.exists(table):
            return None
        iceberg = self._catalog.load(table)
        current = iceberg.current_snapshot()
        return None if current is None else describe(table, iceberg, current)

    def snapshots(self, table: TableName) -> list[Snapshot]:
        """Every snapshot that was not expired, the oldest first.

        Raises:
            LakehouseError: If there is no such table.
        """
        iceberg = self._catalog.load(table)
        return [describe(table, iceberg, snapshot) for snapshot in iceberg.snapshots()]

    def tag(self, snapshot: Snapshot, name: str) -> None:
        """Name a snapshot, so that expiry cannot delete it; a second call changes nothing."""
        with aws_errors(self._aws):
            retry_conflicts(
                lambda: add_tag(self._catalog.load(snapshot.table), snapshot.snapshot_id, name)
            )

    def untag(self, table: TableName, name: str) -> None:
        """Take a name away; a second call changes nothing."""
        with aws_errors(self._aws):
            retry_conflicts(lambda: remove_tag(self._catalog.load(table), name))

    def rollback(self, snapshot: Snapshot) -> Snapshot:
        """Make an older snapshot the current one; the later ones stay readable by their number.

        Raises:
            LakehouseError: If the snapshot is not the table's.
        """

        def set_current() -> None:
            iceberg = self._catalog.load(snapshot.table)
            require_snapshot(snapshot.table, iceberg, snapshot.snapshot_id)
            iceberg.manage_snapshots().set_current_snapshot(snapshot.snapshot_id).commit()

        with aws_errors(self._aws):
            retry_conflicts(set_current)
        return self._current(snapshot.table)

    def expire(self, table: TableName, before: datetime) -> int:
        """Forget older snapshots, but the current and the tagged ones, and delete their files.

        Not VACUUM, which goes by the snapshots' age alone and takes no moment. Files that a
        killed writer left behind go too, once they are a day old, and so do staging tables.

        Returns:
            How many snapshots went.
        """
        with aws_errors(self._aws):
            gone, files = retry_conflicts(lambda: expire_older(self._catalog.load(table), before))
            self._client.delete_paths(files)
            self._delete_orphans(self._catalog.load(table))
            self._catalog.delete_staging(datetime.now(UTC) - ORPHAN_AGE)
        return gone

    def purge(self, table: TableName, snapshot_ids: Sequence[int]) -> None:
        """Drop these snapshots, tagged or not, and at once every file that no other one needs.

        Athena's DELETE and MERGE only mark rows as deleted, so files that hold such rows are
        rewritten first. The bucket keeps old versions of what is deleted for its recovery days.

        Raises:
            LakehouseError: If the current snapshot is among them.
        """
        chosen = list(snapshot_ids)
        marked = self._catalog.load(table).current_snapshot()
        if marked is not None and marked.snapshot_id not in chosen and has_row_deletes(marked):
            if self.compact(table).snapshot_id == marked.snapshot_id:
                raise LakehouseError(
                    f"{table}: Athena did not rewrite the files that hold deleted rows",
                    "run: make data-maintain, and then this again",
                )
            chosen.append(marked.snapshot_id)
        with aws_errors(self._aws):
            files = retry_conflicts(
                lambda: drop_snapshots(table, self._catalog.load(table), chosen)
            )
            self._client.delete_paths(files)
            self._delete_orphans(self._catalog.load(table), timedelta(0))

    def _delete_orphans(self, iceberg: "Table", age: timedelta = ORPHAN_AGE) -> None:
        """Delete what a killed writer left: data files and manifests, whole or torn."""
        needed = referenced_files(iceberg)
        oldest = datetime.now(UTC) - age
        for folder, suffix in (("data", ""), ("metadata", ".avro")):
            place = urlparse(f"{iceberg.location()}/{folder}/")
            for keys in self._client.list_keys(place.netloc, place.path.lstrip("/")):
                old = {
                    f"s3://{place.netloc}/{key}"
                    for key, modified in keys
                    if modified < oldest and key.endswith(suffix)
                }
                self._client.delete_paths(old - needed)

    def _current(self, table: TableName) -> Snapshot:
        snapshot = self.snapshot(table)
        if snapshot is None:
            # Athena commits nothing where there are no rows.
            with aws_errors(self._aws), self._catalog.load(table).transaction() as transaction:
                transaction.update_snapshot().fast_append().commit()
            snapshot = self.snapshot(table)
        if snapshot is None:
            raise LakehouseError(
                f"{table} has no snapshot after a write", "look at the query in Athena's history"
            )
        return snapshot

    def _unbound(
        self, name: str, columns: dict[str, object], snapshot_id: int | None = None
    ) -> "ibis.Table":
        import ibis

        reference = TableReference(name, snapshot_id, next(self._numbers))
        return ibis.table(columns, name=reference.name)
