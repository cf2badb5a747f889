"""The lakehouse on AWS: Iceberg tables in Glue and S3, Athena through Ibis and pyathena.

A table `layer.name` is the Glue table `layer_name` at `s3://bucket/lake/layer/name`. Athena reads
and writes the rows; pyiceberg works on the metadata only: schemas, snapshots, tags. Endpoints other
than AWS's own come from boto3's variables, such as AWS_ENDPOINT_URL_S3.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain, count
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from uuid import uuid4

from goldpath.lake.athena import statements
from goldpath.lake.athena.client import STAGING, AthenaClient, aws_errors, retry_conflicts
from goldpath.lake.athena.sql import TableReference, athena_sql, physical_name, physical_names
from goldpath.lake.iceberg_metadata import (
    add_new_columns,
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
    from pyiceberg.catalog.glue import GlueCatalog
    from pyiceberg.table import Table

LAKE = "lake"
# Athena writes 100 partitions in one statement at most.
MOST_PARTITIONS = 90
# No statement takes so long between a data file and its commit.
ORPHAN_AGE = timedelta(days=1)
# With its defaults OPTIMIZE leaves a file alone that one delete file belongs to.
TABLE_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    "optimize_rewrite_data_file_threshold": "1",
    "optimize_rewrite_delete_file_threshold": "1",
}
STAGED_FILE_BYTES = 128 * 1024 * 1024


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
        self._numbers = count()

    @cached_property
    def _catalog(self) -> "GlueCatalog":
        from pyiceberg.catalog.glue import GlueCatalog

        everywhere = os.environ.get("AWS_ENDPOINT_URL", "")
        endpoints = {
            f"{service.lower()}.endpoint": os.environ.get(f"AWS_ENDPOINT_URL_{service}", everywhere)
            for service in ("S3", "GLUE")
        }
        region = {"s3.region": self._aws.region, "glue.region": self._aws.region}
        given = {name: url for name, url in endpoints.items() if url}
        with aws_errors(self._aws):
            return GlueCatalog("aws", **region, **given)

    # ---- reading

    def exists(self, table: TableName) -> bool:
        """Whether the table was ever written."""
        with aws_errors(self._aws):
            return bool(self._catalog.table_exists(self._identifier(table)))

    def tables(self) -> list[TableName]:
        """Every table of the lake, by layer and name."""
        root = f"s3://{self._aws.bucket}/{LAKE}/"
        found = []
        with aws_errors(self._aws):
            pages = self._client.glue.get_paginator("get_tables").paginate(
                DatabaseName=self._aws.glue_database
            )
            for held in (table for page in pages for table in page["TableList"]):
                location = held.get("StorageDescriptor", {}).get("Location", "")
                if location.startswith(root):
                    layer, _, name = location.removeprefix(root).strip("/").partition("/")
                    found.append(TableName(layer, name))
        return sorted(found, key=str)

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

        iceberg = self._load(table)
        if snapshot_id is not None:
            require_snapshot(table, iceberg, snapshot_id)
        held = iceberg.scan(snapshot_id=snapshot_id).projection()
        columns = {
            field.doc or field.name: ibis_type
            for field, ibis_type in zip(
                held.fields, ibis.Schema.from_pyarrow(held.as_arrow()).types, strict=True
            )
        }
        rows = self._unbound(self._glue_name(table), columns, snapshot_id)
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
        """Rows in a temporary table; they stream, so memory holds some of them only.

        An Iceberg table, since Hive's tables cut a timestamp to milliseconds.
        """
        import ibis
        import pyarrow as pa

        declared = ibis.Schema.from_pyarrow(schema)
        stored = _physical_schema(table_schema(declared))
        rows = pa.RecordBatchReader.from_batches(
            stored, (batch.rename_columns(stored.names).cast(stored) for batch in batches)
        )
        with self._temporary_table() as (name, location):
            with aws_errors(self._aws):
                iceberg = self._catalog.create_table(
                    (self._aws.glue_database, name),
                    stored,
                    location=location,
                    properties={"write.target-file-size-bytes": str(STAGED_FILE_BYTES)},
                )
                iceberg.append(rows)
            yield self._unbound(name, dict(declared.items()))

    @contextmanager
    def materialized(self, expression: "ibis.Table") -> Iterator["ibis.Table"]:
        """An expression's rows, computed once, to be used several times within the block."""
        schema = expression.schema()
        sql = athena_sql(expression, self._aws.glue_database)
        with self._temporary_table() as (name, location):
            self._client.run(
                statements.create_table_as(
                    self._quoted(name), f"{location}/", sql, _physical_schema(table_schema(schema))
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
            self._client.run(statements.insert_into(self._of(table), sql, schema, held))
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
            target = self._of(table)
            if partitions is None:
                key = self._partition_column(table)
                merge = statements.replace_all(target, sql, schema, held, key)
            else:
                key = physical_name(partitions.column)
                values = tuple(dict.fromkeys(partitions.values))
                merge = statements.replace_partitions(target, sql, schema, held, key, values)
            self._client.run(merge)
        return self._current(table)

    def delete(self, table: TableName, column: str, values: Sequence[str]) -> Snapshot:
        """Remove the rows whose text column has one of the values, in one commit."""
        self._load(table)
        if values:
            chosen = tuple(dict.fromkeys(values))
            self._client.run(statements.delete_rows(self._of(table), physical_name(column), chosen))
        return self._current(table)

    def compact(self, table: TableName) -> Snapshot:
        """Rewrite small files into large ones; the rows stay the same."""
        self._load(table)
        self._client.optimize(statements.compact_table(self._of(table)))
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
        """The columns of the table, which is created or given new columns to take the rows."""
        schema = _physical_schema(table_schema(rows.schema()))
        with aws_errors(self._aws):
            if not self.exists(table):
                self._create(table, schema, partition_by)
            iceberg = self._load(table)
            retry_conflicts(lambda: add_new_columns(table, iceberg.refresh(), schema))
        held: pa.Schema = self._load(table).schema().as_arrow()
        return held

    def _create(self, table: TableName, schema: "pa.Schema", partition_by: str | None) -> None:
        from pyiceberg.exceptions import TableAlreadyExistsError

        creation = self._catalog.create_table_transaction(
            self._identifier(table),
            schema,
            location=f"s3://{self._aws.bucket}/{LAKE}/{table.layer}/{table.name}",
            properties=TABLE_PROPERTIES,
        )
        # Another writer may be first.
        with suppress(TableAlreadyExistsError), creation as transaction:
            if partition_by is not None:
                with transaction.update_spec() as specification:
                    specification.add_identity(physical_name(partition_by))

    def _partition_column(self, table: TableName) -> str | None:
        iceberg = self._load(table)
        columns = [field.source_id for field in iceberg.spec().fields]
        return iceberg.schema().find_column_name(columns[0]) if columns else None

    # ---- snapshots

    def snapshot(self, table: TableName) -> Snapshot | None:
        """The current snapshot, or None where the table has none."""
        if not self.exists(table):
            return None
        iceberg = self._load(table)
        current = iceberg.current_snapshot()
        return None if current is None else describe(table, iceberg, current)

    def snapshots(self, table: TableName) -> list[Snapshot]:
        """Every snapshot that was not expired, the oldest first.

        Raises:
            LakehouseError: If there is no such table.
        """
        iceberg = self._load(table)
        return [describe(table, iceberg, snapshot) for snapshot in iceberg.snapshots()]

    def tag(self, snapshot: Snapshot, name: str) -> None:
        """Name a snapshot, so that expiry cannot delete it; a second call changes nothing."""
        with aws_errors(self._aws):
            retry_conflicts(lambda: add_tag(self._load(snapshot.table), snapshot.snapshot_id, name))

    def untag(self, table: TableName, name: str) -> None:
        """Take a name away; a second call changes nothing."""
        with aws_errors(self._aws):
            retry_conflicts(lambda: remove_tag(self._load(table), name))

    def rollback(self, snapshot: Snapshot) -> Snapshot:
        """Make an older snapshot the current one; the later ones stay readable by their number.

        Raises:
            LakehouseError: If the snapshot is not the table's.
        """

        def set_current() -> None:
            iceberg = self._load(snapshot.table)
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
            gone, files = retry_conflicts(lambda: expire_older(self._load(table), before))
            self._client.delete_paths(files)
            self._delete_orphans(self._load(table))
            self._delete_staging()
        return gone

    def purge(self, table: TableName, snapshot_ids: Sequence[int]) -> None:
        """Drop these snapshots, tagged or not, and at once every file that no other one needs.

        Athena's DELETE and MERGE only mark rows as deleted, so files that hold such rows are
        rewritten first. The bucket keeps old versions of what is deleted for its recovery days.

        Raises:
            LakehouseError: If the current snapshot is among them.
        """
        chosen = list(snapshot_ids)
        marked = self._load(table).current_snapshot()
        if marked is not None and marked.snapshot_id not in chosen and has_row_deletes(marked):
            if self.compact(table).snapshot_id == marked.snapshot_id:
                raise LakehouseError(
                    f"{table}: Athena did not rewrite the files that hold deleted rows",
                    "run: make data-maintain, and then this again",
                )
            chosen.append(marked.snapshot_id)
        with aws_errors(self._aws):
            files = retry_conflicts(lambda: drop_snapshots(table, self._load(table), chosen))
            self._client.delete_paths(files)
            self._delete_orphans(self._load(table), timedelta(0))

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

    def _delete_staging(self) -> None:
        oldest = datetime.now(UTC) - ORPHAN_AGE
        pages = self._client.glue.get_paginator("get_tables").paginate(
            DatabaseName=self._aws.glue_database, Expression=f"{STAGING}_*"
        )
        for held in (table for page in pages for table in page["TableList"]):
            location = held.get("StorageDescriptor", {}).get("Location", "")
            is_staging = location.startswith(f"s3://{self._aws.bucket}/{STAGING}/")
            if is_staging and held["CreateTime"] < oldest:
                self._drop(held["Name"], location)

    def _current(self, table: TableName) -> Snapshot:
        snapshot = self.snapshot(table)
        if snapshot is None:
            # Athena commits nothing where there are no rows.
            with aws_errors(self._aws), self._load(table).transaction() as transaction:
                transaction.update_snapshot().fast_append().commit()
            snapshot = self.snapshot(table)
        if snapshot is None:
            raise LakehouseError(
                f"{table} has no snapshot after a write", "look at the query in Athena's history"
            )
        return snapshot

    # ---- names

    @contextmanager
    def _temporary_table(self) -> Iterator[tuple[str, str]]:
        """A name and a location for a table that is dropped at the end."""
        number = uuid4().hex
        name, location = f"{STAGING}_{number}", f"s3://{self._aws.bucket}/{STAGING}/{number}"
        try:
            yield name, location
        finally:
            self._drop(name, location)

    def _drop(self, name: str, location: str) -> None:
        glue = self._client.glue
        with aws_errors(self._aws):
            # The block may have failed before the table was made.
            with suppress(glue.exceptions.EntityNotFoundException):
                glue.delete_table(DatabaseName=self._aws.glue_database, Name=name)
            self._client.delete_files(location)

    def _unbound(
        self, name: str, columns: dict[str, object], snapshot_id: int | None = None
    ) -> "ibis.Table":
        import ibis

        reference = TableReference(name, snapshot_id, next(self._numbers))
        return ibis.table(columns, name=reference.name)

    def _load(self, table: TableName) -> "Table":
        from pyiceberg.exceptions import NoSuchTableError

        try:
            with aws_errors(self._aws):
                return self._catalog.load_table(self._identifier(table))
        except NoSuchTableError as error:
            raise LakehouseError(f"the table {table} does not exist yet", "make data") from error

    def _identifier(self, table: TableName) -> tuple[str, str]:
        return (self._aws.glue_database, self._glue_name(table))

    def _glue_name(self, table: TableName) -> str:
        return f"{table.layer}_{table.name}".lower()

    def _of(self, table: TableName) -> str:
        return self._quoted(self._glue_name(table))

    def _quoted(self, name: str) -> str:
        return f"{statements.quoted(self._aws.glue_database)}.{statements.quoted(name)}"


def _physical_schema(schema: "pa.Schema") -> "pa.Schema":
    """The columns under their names in Glue; the comment holds a name that is not the same."""
    import pyarrow as pa

    names = physical_names(tuple(schema.names))
    return pa.schema(
        [
            pa.field(
                names[field.name],
                field.type,
                metadata={"doc": field.name} if names[field.name] != field.name else None,
            )
            for field in schema
        ]
    )
