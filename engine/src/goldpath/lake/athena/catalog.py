"""The catalog of the lake on AWS: Iceberg tables in one Glue database, their files in one bucket.

A table `layer.name` is the Glue table `layer_name` at `s3://bucket/lake/layer/name`. pyiceberg
works on the metadata only. Endpoints other than AWS's own come from boto3's variables, such as
AWS_ENDPOINT_URL_S3.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

from goldpath.lake.athena import statements
from goldpath.lake.athena.client import STAGING, AthenaClient, aws_errors, retry_conflicts
from goldpath.lake.athena.sql import physical_name, physical_names
from goldpath.lake.iceberg_metadata import add_new_columns
from goldpath.lake.lakehouse import LakehouseError, TableName
from goldpath.settings import AwsSettings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog.glue import GlueCatalog
    from pyiceberg.table import Table

LAKE = "lake"
# With its defaults OPTIMIZE leaves a file alone that one delete file belongs to.
TABLE_PROPERTIES = {
    "write.parquet.compression-codec": "zstd",
    "optimize_rewrite_data_file_threshold": "1",
    "optimize_rewrite_delete_file_threshold": "1",
}
STAGED_FILE_BYTES = 128 * 1024 * 1024


class AwsCatalog:
    """Finds, makes and drops tables.

    Args:
        aws: Names bucket and database.
        client: Deletes what a dropped table leaves in the bucket.
    """

    def __init__(self, aws: AwsSettings, client: AthenaClient) -> None:
        self._aws = aws
        self._client = client

    @cached_property
    def _iceberg(self) -> "GlueCatalog":
        from pyiceberg.catalog.glue import GlueCatalog

        everywhere = os.environ.get("AWS_ENDPOINT_URL", "")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", everywhere)
        given = {"s3.endpoint": endpoint} if endpoint else {}
        with aws_errors(self._aws):
            # A session of its own would read botocore's files again, a good tenth of a second.
            glue = self._client.glue
            return GlueCatalog("aws", client=glue, **{"s3.region": self._aws.region}, **given)

    def exists(self, table: TableName) -> bool:
        """Whether the table was ever written."""
        with aws_errors(self._aws):
            return bool(self._iceberg.table_exists(self._identifier(table)))

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

    def load(self, table: TableName) -> "Table":
        """A table, as it is now.

        Raises:
            LakehouseError: If it was never written.
        """
        from pyiceberg.exceptions import NoSuchTableError

        try:
            with aws_errors(self._aws):
                return self._iceberg.load_table(self._identifier(table))
        except NoSuchTableError as error:
            raise LakehouseError(f"the table {table} does not exist yet", "make data") from error

    def prepare(
        self, table: TableName, schema: "pa.Schema", partition_by: str | None
    ) -> "pa.Schema":
        """The columns of the table, which is created or given new columns to take such rows."""
        with aws_errors(self._aws):
            if not self.exists(table):
                self._create(table, schema, partition_by)
            iceberg = self.load(table)
            retry_conflicts(lambda: add_new_columns(table, iceberg.refresh(), schema))
        held: pa.Schema = self.load(table).schema().as_arrow()
        return held

    def _create(self, table: TableName, schema: "pa.Schema", partition_by: str | None) -> None:
        from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError

        creation = self._iceberg.create_table_transaction(
            self._identifier(table),
            schema,
            location=f"s3://{self._aws.bucket}/{LAKE}/{table.layer}/{table.name}",
            properties=TABLE_PROPERTIES,
        )
        try:
            with creation as transaction:
                if partition_by is not None:
                    with transaction.update_spec() as specification:
                        specification.add_identity(physical_name(partition_by))
        # Another writer may be first: PyIceberg says so in one way where it meets the table before
        # its own commit, and in another where Glue refuses the commit.
        except (CommitFailedException, TableAlreadyExistsError):
            if not self.exists(table):
                raise

    def partition_column(self, table: TableName) -> str | None:
        """The column that the table is partitioned by, or None."""
        iceberg = self.load(table)
        columns = [field.source_id for field in iceberg.spec().fields]
        return iceberg.schema().find_column_name(columns[0]) if columns else None

    @contextmanager
    def staging_table(
        self, schema: "pa.Schema", batches: "Iterable[pa.RecordBatch]"
    ) -> Iterator[str]:
        """Rows in a temporary table; they stream, so memory holds some of them only.

        An Iceberg table, since Hive's tables cut a timestamp to milliseconds.
        """
        import pyarrow as pa

        rows = pa.RecordBatchReader.from_batches(
            schema, (batch.rename_columns(schema.names).cast(schema) for batch in batches)
        )
        with self.temporary_table() as (name, location):
            with aws_errors(self._aws):
                iceberg = self._iceberg.create_table(
                    (self._aws.glue_database, name),
                    schema,
                    location=location,
                    properties={"write.target-file-size-bytes": str(STAGED_FILE_BYTES)},
                )
                iceberg.append(rows)
            yield name

    @contextmanager
    def temporary_table(self) -> Iterator[tuple[str, str]]:
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

    def delete_staging(self, oldest: datetime) -> None:
        """Drop the temporary tables that killed writers left before a moment."""
        pages = self._client.glue.get_paginator("get_tables").paginate(
            DatabaseName=self._aws.glue_database, Expression=f"{STAGING}_*"
        )
        for held in (table for page in pages for table in page["TableList"]):
            location = held.get("StorageDescriptor", {}).get("Location", "")
            is_staging = location.startswith(f"s3://{self._aws.bucket}/{STAGING}/")
            if is_staging and held["CreateTime"] < oldest:
                self._drop(held["Name"], location)

    def glue_name(self, table: TableName) -> str:
        """What the table is called in Glue."""
        return f"{table.layer}_{table.name}".lower()

    def of(self, table: TableName) -> str:
        """The table as SQL names it."""
        return self.quoted(self.glue_name(table))

    def quoted(self, name: str) -> str:
        """A table in Glue as SQL names it."""
        return f"{statements.quoted(self._aws.glue_database)}.{statements.quoted(name)}"

    def _identifier(self, table: TableName) -> tuple[str, str]:
        return (self._aws.glue_database, self.glue_name(table))


def physical_schema(schema: "pa.Schema") -> "pa.Schema":
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
