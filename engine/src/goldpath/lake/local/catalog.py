"""The catalog of the local lake: which tables there are, and one writer at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from goldpath.lake.iceberg_metadata import add_new_columns
from goldpath.lake.lakehouse import LakehouseError, TableName
from goldpath.lake.local.relocation import require_own_files
from goldpath.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table


class LocalCatalog:
    """Iceberg's catalog in a SQLite file of the project; made by the first write."""

    def __init__(self, settings: Settings) -> None:
        self.file = settings.root / settings.lake.catalog
        self._root = settings.root
        self._warehouse = settings.root / settings.lake.warehouse

    @cached_property
    def _iceberg(self) -> "SqlCatalog":
        from pyiceberg.catalog.sql import SqlCatalog

        with self.disk_errors():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._warehouse.mkdir(parents=True, exist_ok=True)
        return SqlCatalog("local", uri=f"sqlite:///{self.file}", warehouse=str(self._warehouse))

    def exists(self, table: TableName) -> bool:
        """Whether the table was ever written."""
        return self.file.is_file() and self._iceberg.table_exists(str(table))

    def tables(self) -> list[TableName]:
        """Every table of the lake, by layer and name."""
        if not self.file.is_file():
            return []
        found = [
            TableName(layer, name)
            for (space,) in self._iceberg.list_namespaces()
            for layer, name in self._iceberg.list_tables(space)
        ]
        return sorted(found, key=str)

    def load(self, table: TableName) -> "Table":
        """A table, as it is now.

        Raises:
            LakehouseError: If it was never written.
        """
        from pyiceberg.exceptions import NoSuchTableError

        missing = LakehouseError(f"the table {table} does not exist yet", "make data")
        if not self.file.is_file():
            raise missing
        try:
            return self._iceberg.load_table(str(table))
        except NoSuchTableError as error:
            raise missing from error

    def prepare(self, table: TableName, schema: "pa.Schema", partition_by: str | None) -> "Table":
        """The table, created or with new columns added, ready to take rows with this schema."""
        from pyiceberg.table.name_mapping import NameMapping

        with self.lock():
            self._iceberg.create_namespace_if_not_exists(table.layer)
            if self._iceberg.table_exists(str(table)):
                iceberg = self._iceberg.load_table(str(table))
                add_new_columns(table, iceberg, schema)
                return iceberg
            iceberg = self._iceberg.create_table(
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

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One writer commits at a time; the operating system frees the lock of a killed one.

        Raises:
            LakehouseError: If the lake's files are those of another folder, or the disk fails.
        """
        with self.disk_errors():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            stream = (self.file.parent / ".commit.lock").open("w")
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            require_own_files(self.file, self._warehouse, self._root)
            yield

    @contextmanager
    def disk_errors(self) -> Iterator[None]:
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
