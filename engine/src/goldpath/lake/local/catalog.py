"""The catalog of the local lake: which tables there are, and one writer at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from goldpath.lake.iceberg_metadata import add_new_columns, transaction_of
from goldpath.lake.lakehouse import LakehouseError, TableName
from goldpath.lake.local.damage import file_errors, require_catalog
from goldpath.lake.local.relocation import catalog_entries, foreign_warehouse, require_own_files
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
        with file_errors(f"the catalog {self.file}"):
            return SqlCatalog("local", uri=f"sqlite:///{self.file}", warehouse=str(self._warehouse))

    def _is_there(self) -> bool:
        """Whether there is a catalog that can be read.

        Raises:
            LakehouseError: If it is locked, damaged, or has lost the tables of the warehouse.
        """
        require_catalog(len(catalog_entries(self.file)), self.file, self._warehouse)
        return self.file.is_file()

    def exists(self, table: TableName) -> bool:
        """Whether the table was ever written."""
        if not self._is_there():
            return False
        with self.read_errors(table):
            return bool(self._iceberg.table_exists(str(table)))

    def tables(self) -> list[TableName]:
        """Every table of the lake, by layer and name."""
        self._is_there()
        found = [TableName(entry.layer, entry.name) for entry in catalog_entries(self.file)]
        return sorted(found, key=str)

    def load(self, table: TableName) -> "Table":
        """A table, as it is now.

        Raises:
            LakehouseError: If it was never written, or its metadata is missing or damaged.
        """
        from pyiceberg.exceptions import NoSuchTableError

        missing = LakehouseError(f"the table {table} does not exist yet", "make data")
        if not self._is_there():
            raise missing
        try:
            with self.read_errors(table):
                return self._iceberg.load_table(str(table))
        except NoSuchTableError as error:
            raise missing from error

    @contextmanager
    def read_errors(self, table: TableName) -> Iterator[None]:
        """Turn what lost or damaged files raise into a sentence; a moved project is named first."""
        try:
            with file_errors(str(table)):
                yield
        except LakehouseError:
            former = foreign_warehouse(self.file, self._warehouse, self._root)
            if former is not None and not former.exists():
                require_own_files(self.file, self._warehouse, self._root)
            raise

    def prepare(self, table: TableName, schema: "pa.Schema", partition_by: str | None) -> "Table":
        """The table, created or with new columns added, ready to take rows with this schema."""
        from pyiceberg.table.name_mapping import NameMapping

        with self.lock():
            self._is_there()
            self._iceberg.create_namespace_if_not_exists(table.layer)
            with self.read_errors(table):
                held = self._iceberg.table_exists(str(table))
                iceberg = self._iceberg.load_table(str(table)) if held else None
            if iceberg is not None:
                add_new_columns(table, iceberg, schema)
                return iceberg
            iceberg = self._iceberg.create_table(
                str(table), schema=schema, location=str(self._warehouse / table.layer / table.name)
            )
            mapping: NameMapping = iceberg.schema().name_mapping
            with transaction_of(iceberg) as transaction:
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
