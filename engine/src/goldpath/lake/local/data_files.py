"""Data files of the local lake: rows as Parquet, written and read by DuckDB."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from goldpath.lake.engine import connect_duckdb, quoted
from goldpath.lake.iceberg_metadata import plain_type
from goldpath.lake.lakehouse import Partitions
from goldpath.lake.local.catalog import LocalCatalog
from goldpath.lake.local.damage import file_errors

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from pyiceberg.table import Table

FILE_COLUMN = "__file"


class DataFiles:
    """Rows between expressions and files; no reader sees a file before it is committed.

    Args:
        catalog: Says where the lake is, and what a full disk means.
        memory: What DuckDB may use, such as 1GB.
    """

    def __init__(self, catalog: LocalCatalog, memory: str | None) -> None:
        self._catalog = catalog
        self._memory = memory
        self._numbers = count()

    @cached_property
    def _engine(self) -> "ibis.BaseBackend":
        return connect_duckdb(self._memory, self._catalog.file.parent / "spill")

    def read(
        self, paths: list[str], schema: "pa.Schema", partitions: Partitions | None = None
    ) -> "ibis.Table":
        """Files as an expression with the columns of the schema."""
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
        with file_errors("the lake"):
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
        with self._catalog.disk_errors():
            rows = self._engine.create_table(name, expression, temp=True)
        try:
            yield rows
        finally:
            self._engine.raw_sql(f"DROP TABLE IF EXISTS {_identifier(name)}")

    def holding(self, column: str, values: Sequence[str], paths: list[str]) -> list[str]:
        """Those of the files with a row whose text column has one of the values."""
        if not paths or not values:
            return []
        rows = self._engine.read_parquet(
            paths, union_by_name=True, hive_partitioning=False, filename=FILE_COLUMN
        )
        if column not in rows.columns:
            return []
        found = rows.filter(rows[column].isin(list(values))).select(FILE_COLUMN).distinct()
        return sorted(self.collect(found)[FILE_COLUMN].to_pylist())

    def write(
        self, iceberg: "Table", rows: "ibis.Table", partitions: Partitions | None
    ) -> list[str]:
        """Write rows as Parquet into a new folder of the table; nobody sees them yet."""
        import ibis

        rows = _as_declared(rows, ibis.Schema.from_pyarrow(iceberg.schema().as_arrow()))
        columns = [field.name for field in iceberg.spec().fields]
        with self._catalog.disk_errors():
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

    def write_arrow(self, iceberg: "Table", rows: "pa.Table") -> str:
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
        with self._catalog.disk_errors():
            file = _new_folder(iceberg) / "rows.parquet"
            pyarrow.parquet.write_table(
                rows.select(schema.names).cast(schema), file, compression="zstd"
            )
        return str(file)

    def _name(self, kind: str) -> str:
        return f"__{kind}_{next(self._numbers)}"


def _new_folder(iceberg: "Table") -> Path:
    folder = Path(iceberg.location()) / "data" / uuid4().hex
    folder.mkdir(parents=True)
    return folder


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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
