"""What both lakehouses do with a table's Iceberg metadata: schema, snapshots, tags, expiry.

Iceberg table spec v2, https://iceberg.apache.org/spec/: a snapshot lists manifests, a manifest
lists data files; a tag is a reference that keeps its snapshot from expiring.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from goldpath.lake.lakehouse import LakehouseError, Snapshot, TableName

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot
    from pyiceberg.table.snapshots import Summary

TAG = "tag"


def table_schema(rows: "ibis.Schema") -> "pa.Schema":
    """The columns that a table needs for an expression's rows.

    All are nullable, since a table outlives one contract, and whole numbers are 64 bits wide, since
    the next rows may be larger.
    """
    import pyarrow as pa

    return pa.schema([pa.field(field.name, plain_type(field.type)) for field in rows.to_pyarrow()])


def add_new_columns(table: TableName, iceberg: "Table", schema: "pa.Schema") -> None:
    """Make the table hold every column of the rows.

    Raises:
        LakehouseError: If a column exists with another type; names it, both types and the fix.
    """
    held = {field.name: plain_type(field.type) for field in iceberg.schema().as_arrow()}
    for field in schema:
        if held.get(field.name, field.type) != field.type:
            raise LakehouseError(
                f"{table}: column {field.name!r} is {held[field.name]} in the table and "
                f"{field.type} in the new rows",
                "give the feature its old type or another name; or start anew with another "
                "`dataset` name in config/project.yaml",
            )
    if any(field.name not in held for field in schema):
        with iceberg.update_schema() as update:
            update.union_by_name(schema)


def transaction_of(iceberg: "Table") -> "Transaction":
    """A transaction that works the table's metadata out once for each change.

    pyiceberg copies all of it, every column, whenever it reads one thing of it: thirty times a
    commit, which took a third of the time of a table of 2 000 columns.
    """
    from pyiceberg.table import Transaction

    class Remembering(Transaction):  # type: ignore[misc]
        _known: "tuple[object, object, TableMetadata] | None" = None

        @property
        def table_metadata(self) -> "TableMetadata":
            base, updates = self._table.metadata, self._updates
            known = self._known
            if known is None or known[0] is not base or known[1] is not updates:
                known = self._known = (base, updates, super().table_metadata)
            return known[2]

    return Remembering(iceberg)


def plain_type(kind: "pa.DataType") -> "pa.DataType":
    """One type for those that a table does not tell apart."""
    import pyarrow as pa

    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    return kind


def describe(table: TableName, iceberg: "Table", snapshot: "IcebergSnapshot") -> Snapshot:
    """A snapshot as everything above the lakehouse sees it."""
    summary = snapshot.summary
    tags = sorted(
        name
        for name, reference in iceberg.metadata.refs.items()
        if reference.snapshot_ref_type == TAG and reference.snapshot_id == snapshot.snapshot_id
    )
    return Snapshot(
        table=table,
        snapshot_id=snapshot.snapshot_id,
        committed_at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
        rows=_rows(summary) if summary else 0,
        operation=summary.operation.value if summary else "",
        tags=tuple(tags),
    )


def _rows(summary: "Summary") -> int:
    """Records of the data files, less those that row-level deletes (Athena's) took away."""
    held, gone = (
        int(summary.additional_properties.get(f"total-{kind}", "0"))
        for kind in ("records", "position-deletes")
    )
    return held - gone


def has_row_deletes(snapshot: "IcebergSnapshot") -> bool:
    """Whether rows are marked as deleted in files that still hold them."""
    summary = snapshot.summary
    return (
        summary is not None and summary.additional_properties.get("total-delete-files", "0") != "0"
    )


def require_snapshot(table: TableName, iceberg: "Table", snapshot_id: int) -> None:
    """Check that the table has the snapshot.

    Raises:
        LakehouseError: If it has not; names what it has.
    """
    if iceberg.snapshot_by_id(snapshot_id) is None:
        newest = [str(snapshot.snapshot_id) for snapshot in iceberg.snapshots()[-3:]]
        raise LakehouseError(
            f"{table} has no snapshot {snapshot_id}; its newest are {', '.join(newest) or 'none'}",
            "name one that was not expired: make data-versions",
        )


def add_tag(iceberg: "Table", snapshot_id: int, name: str) -> None:
    """Tag a snapshot; a second call changes nothing."""
    if name not in iceberg.metadata.refs:
        iceberg.manage_snapshots().create_tag(snapshot_id, name).commit()


def remove_tag(iceberg: "Table", name: str) -> None:
    """Take a tag away; a second call changes nothing."""
    if name in iceberg.metadata.refs:
        iceberg.manage_snapshots().remove_tag(name).commit()


def expire_older(iceberg: "Table", before: datetime) -> tuple[int, set[str]]:
    """Drop the snapshots that are older than a moment, but the current and the tagged ones.

    Returns:
        How many went, and the data and metadata files that no remaining snapshot needs.
    """
    held, needed = len(iceberg.snapshots()), referenced_files(iceberg)
    if all(snapshot.timestamp_ms >= before.timestamp() * 1000 for snapshot in iceberg.snapshots()):
        return 0, set()
    iceberg.maintenance.expire_snapshots().older_than(before).commit()
    iceberg.refresh()
    return held - len(iceberg.snapshots()), needed - referenced_files(iceberg)


def drop_snapshots(table: TableName, iceberg: "Table", snapshot_ids: Sequence[int]) -> set[str]:
    """Drop snapshots, and the tags that kept them.

    Returns:
        The data and metadata files that no remaining snapshot needs.

    Raises:
        LakehouseError: If the current snapshot is among them.
    """
    held = {snapshot.snapshot_id for snapshot in iceberg.snapshots()}
    chosen = sorted(held & set(snapshot_ids))
    current = iceberg.current_snapshot()
    if current is not None and current.snapshot_id in chosen:
        raise LakehouseError(
            f"snapshot {current.snapshot_id} is what {table} holds now", "change the table first"
        )
    if not chosen:
        return set()
    before = referenced_files(iceberg)
    for name, reference in list(iceberg.metadata.refs.items()):
        if reference.snapshot_ref_type == TAG and reference.snapshot_id in chosen:
            iceberg.manage_snapshots().remove_tag(name).commit()
    iceberg.refresh().maintenance.expire_snapshots().by_ids(chosen).commit()
    return before - referenced_files(iceberg.refresh())


def marked_snapshots(iceberg: "Table") -> set[int]:
    """The untagged snapshots with row-level deletes: the rows are gone, but not from the files."""
    kept = {item.snapshot_id for item in iceberg.metadata.refs.values()}
    return {
        snapshot.snapshot_id
        for snapshot in iceberg.snapshots()
        if snapshot.snapshot_id not in kept
        and snapshot.summary
        and snapshot.summary.additional_properties.get("total-delete-files", "0") != "0"
    }


def referenced_files(iceberg: "Table") -> set[str]:
    """Every manifest list, manifest and data file that a snapshot of the table needs."""
    files: set[str] = set()
    for snapshot in iceberg.snapshots():
        files.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(iceberg.io):
            if manifest.manifest_path in files:
                continue
            files.add(manifest.manifest_path)
            entries = manifest.fetch_manifest_entry(iceberg.io, discard_deleted=True)
            files.update(entry.data_file.file_path for entry in entries)
    return files
