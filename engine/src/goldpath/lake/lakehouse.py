"""The lakehouse, as everything above sees it: named Iceberg tables with snapshots.

Transformations are Ibis expressions over `read`. Where they run, and in which SQL, is the
implementation's business: DuckDB on one machine (`local`), Athena on AWS (`athena`).
`connection.open_lakehouse` chooses; nothing above asks which it got.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from goldpath.errors import ProjectError

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa


class LakehouseError(ProjectError):
    """A table is missing, or a write does not fit it."""


@dataclass(frozen=True)
class TableName:
    """A table: its layer (`bronze`, `silver`, `gold`, …) and its name."""

    layer: str
    name: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.name}"


@dataclass(frozen=True)
class Snapshot:
    """One committed state of a table.

    Attributes:
        table: The table.
        snapshot_id: Iceberg's number for it.
        committed_at: When, in UTC.
        rows: Rows of the table in this state.
        operation: What made it: append, overwrite or delete.
        tags: Names that protect it from expiry.
    """

    table: TableName
    snapshot_id: int
    committed_at: datetime
    rows: int
    operation: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Partitions:
    """Some of a table's partitions: those where a text column has one of the values."""

    column: str
    values: tuple[str, ...]


class Lakehouse(Protocol):
    """Iceberg tables, wherever they live; transformations are Ibis expressions."""

    def exists(self, table: TableName) -> bool:
        """Whether the table was ever written."""
        ...

    def tables(self) -> list[TableName]:
        """Every table of the lake, by layer and name."""
        ...

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
        ...

    def collect(self, expression: "ibis.Table") -> "pa.Table":
        """Run an expression."""
        ...

    def staged(self, rows: "pa.Table") -> AbstractContextManager["ibis.Table"]:
        """Rows that are not in the lake yet, as an expression within the block."""
        ...

    def materialized(self, expression: "ibis.Table") -> AbstractContextManager["ibis.Table"]:
        """An expression's rows, computed once, to be used several times within the block."""
        ...

    def append(
        self, table: TableName, rows: "ibis.Table | pa.Table", partition_by: str | None = None
    ) -> Snapshot:
        """Add rows in one commit; the table is created where it does not exist.

        New columns are added to the table; columns that the rows lack become null.

        Args:
            table: The table.
            rows: Rows, or an expression for them.
            partition_by: The text column that a new table is partitioned by.

        Raises:
            LakehouseError: If a column's type is not the table's; nothing is written then.
        """
        ...

    def append_stream(
        self,
        table: TableName,
        batches: "Iterable[pa.RecordBatch]",
        derive: "Callable[[ibis.Table], ibis.Table]",
        partition_by: str | None = None,
    ) -> Snapshot:
        """Add rows of any number in one commit, with memory for some of them only.

        Args:
            table: The table.
            batches: Rows, read to the end; an error in them leaves the table as it was.
            derive: What to write, as an expression over the rows.
            partition_by: The text column that a new table is partitioned by.

        Raises:
            LakehouseError: If a column's type is not the table's; nothing is written then.
        """
        ...

    def overwrite(
        self,
        table: TableName,
        rows: "ibis.Table | pa.Table",
        partitions: Partitions | None = None,
    ) -> Snapshot:
        """Replace the rows of some partitions, or all rows, in one commit.

        Every row must belong to one of the partitions. A partition without a row is emptied. A new
        table is partitioned by the partitions' column.

        Raises:
            LakehouseError: If a column's type is not the table's; nothing is written then.
        """
        ...

    def delete(self, table: TableName, column: str, values: Sequence[str]) -> Snapshot:
        """Remove the rows whose text column has one of the values, in one commit."""
        ...

    def snapshot(self, table: TableName) -> Snapshot | None:
        """The current snapshot, or None where the table has none."""
        ...

    def snapshots(self, table: TableName) -> list[Snapshot]:
        """Every snapshot that was not expired, the oldest first.

        Raises:
            LakehouseError: If there is no such table.
        """
        ...

    def tag(self, snapshot: Snapshot, name: str) -> None:
        """Name a snapshot, so that expiry cannot delete it; a second call changes nothing."""
        ...

    def untag(self, table: TableName, name: str) -> None:
        """Take a name away; a second call changes nothing."""
        ...

    def rollback(self, snapshot: Snapshot) -> Snapshot:
        """Make an older snapshot the current one; the later ones stay readable by their number.

        Raises:
            LakehouseError: If the snapshot is not the table's.
        """
        ...

    def expire(self, table: TableName, before: datetime) -> int:
        """Forget the snapshots that are older, but the current and the tagged ones.

        Data files that no remaining snapshot needs are deleted, and so are files that a killed
        writer left behind.

        Returns:
            How many snapshots went.
        """
        ...

    def purge(self, table: TableName, snapshot_ids: Sequence[int]) -> None:
        """Drop these snapshots, tagged or not, and at once every file that no other one needs.

        What a killed writer left behind goes, too, however young; so nobody may be writing to the
        table meanwhile.

        Raises:
            LakehouseError: If the current snapshot is among them.
        """
        ...

    def compact(self, table: TableName) -> Snapshot:
        """Rewrite small files into large ones, where there are many; the rows stay the same."""
        ...
