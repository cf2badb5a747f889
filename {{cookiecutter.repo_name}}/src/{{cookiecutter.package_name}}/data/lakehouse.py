"""The lakehouse, as everything above sees it: named tables with snapshots."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from ..errors import ProjectError

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
    """One committed state of a table."""

    table: TableName
    snapshot_id: int
    committed_at: datetime
    rows: int


class Lakehouse(Protocol):
    """Iceberg tables, wherever they live; transformations are Ibis expressions."""

    def exists(self, table: TableName) -> bool:
        """Whether the table was ever written."""
        ...

    def read(self, table: TableName, snapshot_id: int | None = None) -> "ibis.Table":
        """The table as an expression, at a snapshot or as it is now.

        Raises:
            LakehouseError: Where there is no such table or snapshot.
        """
        ...

    def collect(self, expression: "ibis.Table") -> "pa.Table":
        """Run an expression."""
        ...

    def append(self, table: TableName, rows: "pa.Table") -> Snapshot:
        """Add rows; the table is created where it does not exist."""
        ...

    def overwrite(
        self, table: TableName, rows: "pa.Table", where: dict[str, str] | None = None
    ) -> Snapshot:
        """Replace all rows, or those where each column of `where` has its value, in one commit."""
        ...

    def snapshot(self, table: TableName) -> Snapshot | None:
        """The current snapshot, or None where the table has none."""
        ...

    def tag(self, snapshot: Snapshot, name: str) -> None:
        """Name a snapshot, so that expiry cannot delete it; a second call changes nothing."""
        ...


def overwrite_if_changed(lakehouse: Lakehouse, table: TableName, rows: "pa.Table") -> Snapshot:
    """Replace a table's rows; equal rows (in the same order) write no new snapshot."""
    current = lakehouse.snapshot(table)
    if (
        current is not None
        and current.rows == rows.num_rows
        and lakehouse.collect(lakehouse.read(table)).equals(rows)
    ):
        return current
    return lakehouse.overwrite(table, rows)
