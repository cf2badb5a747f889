"""The versions of the lake's tables: list them, compare them, go back to one, tidy up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.lake import snapshot_diff
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Snapshot, TableName
from goldpath.lake.snapshot_diff import SnapshotDiff
from goldpath.lake.tables import bronze_table, gold_table, quarantine_table, silver_table
from goldpath.presentation import show, show_rows, step
from goldpath.row_contract import RowContract
from goldpath.settings import Settings
from goldpath.source_contract import load_sources

CURRENT = "current"
PREVIOUS = "previous"
OF_RUN = "run:"
RUN_TAG = "train-"


@dataclass(frozen=True)
class Version:
    """A snapshot that can be read, compared and gone back to.

    Attributes:
        table: The table.
        snapshot: Its number.
        committed_at: When, in UTC.
        rows: Rows of the table in this state.
        operation: What made it.
        tags: Names that keep it; `train-…` is a training run's.
        current: Whether it is what the table holds now.
    """

    table: str
    snapshot: int
    committed_at: datetime
    rows: int
    operation: str
    tags: tuple[str, ...]
    current: bool


@dataclass(frozen=True)
class VersionLine:
    """A snapshot in the list of its table's, as narrow as it can be."""

    snapshot: int
    committed_at: datetime
    rows: int
    operation: str
    now: bool
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Versions:
    """The snapshots of some tables, each table's newest first."""

    versions: tuple[Version, ...]


@dataclass(frozen=True)
class RollbackResult:
    """What went back.

    Attributes:
        table: The table.
        from_snapshot: What it held before; still readable by this number.
        to_snapshot: What it holds now.
        rows_before: Rows of the former.
        rows_now: Rows of the latter.
        next_data_run: What `make data` will do about it.
    """

    table: str
    from_snapshot: int
    to_snapshot: int
    rows_before: int
    rows_now: int
    next_data_run: str


@dataclass(frozen=True)
class TableMaintenance:
    """What was done to one table.

    Attributes:
        table: The table.
        expired_snapshots: Snapshots that were too old and carried no tag.
        kept_snapshots: Those that are left.
        compacted: Whether small files became large ones.
    """

    table: str
    expired_snapshots: int
    kept_snapshots: int
    compacted: bool


@dataclass(frozen=True)
class Maintenance:
    """What was done to every table of the lake."""

    tables: tuple[TableMaintenance, ...]


def list_versions(settings: Settings, contract: Contract, table: str | None = None) -> Versions:
    """The snapshots of one table, or of all.

    Args:
        settings: Where the lake is.
        contract: Completes a layer's name.
        table: `layer.table`, or a layer; all tables where not given.

    Raises:
        LakehouseError: If there is no such table.
    """
    lakehouse = open_lakehouse(settings)
    names = [find_table(lakehouse, contract, table)] if table else lakehouse.tables()
    return Versions(tuple(version for name in names for version in _versions(lakehouse, name)))


def diff_snapshots(
    settings: Settings,
    contract: Contract,
    table: str = "gold",
    before: str = PREVIOUS,
    after: str = CURRENT,
) -> SnapshotDiff:
    """What changed between two snapshots of a table.

    Args:
        settings: Where the lake is.
        contract: Says which rows are the same row.
        table: `layer.table`, or a layer.
        before: A snapshot's number, `previous`, `current`, or `run:<training run>`.
        after: The same.

    Raises:
        LakehouseError: If there is no such table or snapshot.
        NothingToDoError: If the table has one snapshot only, so nothing is previous.
    """
    lakehouse = open_lakehouse(settings)
    name = find_table(lakehouse, contract, table)
    sources = {each.dataset: each for each in load_sources(settings.root, contract.base)}
    first, second = (find_snapshot(lakehouse, name, text) for text in (before, after))
    step(f"{name}: comparing snapshots {first.snapshot_id} and {second.snapshot_id}")
    described = sources.get(name.name, contract)
    return snapshot_diff.diff_snapshots(lakehouse, described, first, second)


def rollback(settings: Settings, contract: Contract, table: str, snapshot: str) -> RollbackResult:
    """Make a former snapshot the current one; the later ones stay readable by their number.

    Args:
        settings: Where the lake is.
        contract: Completes a layer's name.
        table: `layer.table`, or a layer.
        snapshot: As in `diff_snapshots`.

    Raises:
        LakehouseError: If there is no such table or snapshot, or the table is the lake's own.
        NothingToDoError: If the table is at that snapshot already.
    """
    lakehouse = open_lakehouse(settings)
    name = find_table(lakehouse, contract, table)
    if name.layer.startswith("_"):
        raise LakehouseError(
            f"{name} is the lake's own record; it goes forward only",
            "roll a layer back: bronze, silver, gold",
        )
    target = find_snapshot(lakehouse, name, snapshot)
    current = find_snapshot(lakehouse, name, CURRENT)
    if target.snapshot_id == current.snapshot_id:
        raise NothingToDoError(f"{name} is at snapshot {target.snapshot_id} already")
    now = lakehouse.rollback(target)
    return RollbackResult(
        table=str(name),
        from_snapshot=current.snapshot_id,
        to_snapshot=now.snapshot_id,
        rows_before=current.rows,
        rows_now=now.rows,
        next_data_run=_next_data_run((contract, *load_sources(settings.root, contract.base)), name),
    )


def maintain(settings: Settings) -> Maintenance:
    """Compact tables of many small files; forget snapshots older than `lake.snapshot_days`.

    Tagged snapshots and current ones stay.
    """
    lakehouse = open_lakehouse(settings)
    oldest = datetime.now(UTC) - timedelta(days=settings.lake.snapshot_days)
    done = []
    for name in lakehouse.tables():
        step(f"{name}: compacting small files, expiring snapshots before {oldest:%Y-%m-%d %H:%M}")
        before = lakehouse.snapshot(name)
        if before is None:
            continue
        now = lakehouse.compact(name)
        expired = lakehouse.expire(name, oldest)
        done.append(
            TableMaintenance(
                table=str(name),
                expired_snapshots=expired,
                kept_snapshots=len(lakehouse.snapshots(name)),
                compacted=now.snapshot_id != before.snapshot_id,
            )
        )
    return Maintenance(tuple(done))


def find_table(lakehouse: Lakehouse, contract: RowContract, text: str) -> TableName:
    """The table that a person means: `layer.table`, or the dataset's table of a layer.

    Raises:
        LakehouseError: If there is none; names those that exist.
    """
    layer, _, name = text.partition(".")
    own = bronze_table(contract) if layer == "bronze" else TableName(layer, contract.dataset)
    table = TableName(layer, name) if name else own
    held = lakehouse.tables()
    if table not in held:
        raise LakehouseError(
            f"there is no table {table}; the lake has: {', '.join(map(str, held)) or 'none yet'}",
            "name one of them, or its layer; where there is none: make data",
        )
    return table


def find_snapshot(lakehouse: Lakehouse, table: TableName, text: str) -> Snapshot:
    """The snapshot that a person means: its number, `previous`, `current` or `run:<training run>`.

    Raises:
        LakehouseError: If there is none.
        NothingToDoError: If nothing is previous.
    """
    held = lakehouse.snapshots(table)
    current = lakehouse.snapshot(table)
    if current is None:
        raise LakehouseError(f"{table} has no snapshot yet", "make data")
    if text == CURRENT:
        return current
    if text == PREVIOUS:
        place = [found.snapshot_id for found in held].index(current.snapshot_id)
        if place == 0:
            raise NothingToDoError(
                f"{table} has no snapshot before the current one", "make data-versions"
            )
        return held[place - 1]
    if text.startswith(OF_RUN):
        tag = RUN_TAG + text.removeprefix(OF_RUN)
        found = [snapshot for snapshot in held if _has_tag(snapshot, tag)]
    else:
        found = [snapshot for snapshot in held if str(snapshot.snapshot_id) == text]
    if len(found) == 1:
        return found[0]
    newest = ", ".join(str(snapshot.snapshot_id) for snapshot in held[-3:])
    raise LakehouseError(
        f"{table}: {'several snapshots match' if found else 'there is no snapshot'} {text!r}; its "
        f"newest are {newest}",
        "name one that was not expired (make data-versions): its number, `previous`, `current`, "
        "or run:ID of a training run",
    )


def _has_tag(snapshot: Snapshot, start: str) -> bool:
    """Whether a tag is the name, or starts with it: MLflow's run ids are long."""
    return start in snapshot.tags or (
        len(start) >= len(RUN_TAG) + 8 and any(tag.startswith(start) for tag in snapshot.tags)
    )


def _versions(lakehouse: Lakehouse, table: TableName) -> list[Version]:
    current = lakehouse.snapshot(table)
    return [
        Version(
            table=str(table),
            snapshot=found.snapshot_id,
            committed_at=found.committed_at,
            rows=found.rows,
            operation=found.operation,
            tags=found.tags,
            current=current is not None and found.snapshot_id == current.snapshot_id,
        )
        for found in reversed(lakehouse.snapshots(table))
    ]


def _next_data_run(contracts: Sequence[RowContract], table: TableName) -> str:
    if table in map(bronze_table, contracts):
        return (
            "takes the files of the later batches in again, where the source still holds them, "
            "and recomputes the intervals whose bronze rows changed"
        )
    layers = (silver_table, quarantine_table, gold_table)
    if table in [layer(each) for each in contracts for layer in layers]:
        return (
            "leaves it so: an interval is recomputed when its bronze rows or the contract change, "
            "or when it is named with --from and --to"
        )
    return "does not touch it"


def show_versions(versions: Versions, as_json: bool) -> None:
    """Print the snapshots."""
    if as_json:
        show(versions, as_json)
    else:
        for table, held in groupby(versions.versions, key=lambda version: version.table):
            lines = [
                VersionLine(
                    item.snapshot,
                    item.committed_at,
                    item.rows,
                    item.operation,
                    item.current,
                    item.tags,
                )
                for item in held
            ]
            show_rows(lines, f"Snapshots of {table}, the newest first")
        if not versions.versions:
            show_rows((), "Snapshots")


def show_maintenance(maintenance: Maintenance, as_json: bool) -> None:
    """Print what was done to each table."""
    if as_json:
        show(maintenance, as_json)
    else:
        show_rows(maintenance.tables, "What was done")
