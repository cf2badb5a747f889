"""What changed between two snapshots of a table: rows added, removed, changed, and the columns."""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Snapshot, TableName
from goldpath.lake.tables import (
    BATCH,
    ROW_NUMBER,
    bronze_table,
    gold_table,
    predictions_table,
    quarantine_table,
    runs_table,
    silver_table,
)
from goldpath.row_contract import RowContract

if TYPE_CHECKING:
    import ibis

EXAMPLES = 5
PREDICTIONS = "predictions"
STATUS = "__status"
NUMBER = "__number"


@dataclass(frozen=True)
class SnapshotDiff:
    """The difference between two snapshots of one table.

    Attributes:
        table: The table.
        before: The older one, or the one that was named first.
        after: The other one.
        key: What makes two rows the same row.
        added: Rows that only the second one has.
        removed: Rows that only the first one has.
        changed: Rows that both have, with another value in some column.
        unchanged: Rows that are the same in both.
        changed_values: Of the changed rows, how many have another value, by column.
        added_columns: Columns that only the second one has.
        removed_columns: Columns that only the first one has.
        examples: Some keys of added, removed and changed rows.
    """

    table: str
    before: int
    after: int
    key: tuple[str, ...]
    added: int
    removed: int
    changed: int
    unchanged: int
    changed_values: dict[str, int]
    added_columns: tuple[str, ...]
    removed_columns: tuple[str, ...]
    examples: dict[str, tuple[str, ...]]


def row_key(contract: RowContract, table: TableName) -> tuple[str, ...]:
    """The columns that tell a table's rows apart.

    Raises:
        LakehouseError: If the table is none of the contract's.
    """
    # Without a key a row's number tells rows apart, within their file only.
    numbered = contract.key_columns if contract.has_key else [*contract.key_columns, BATCH]
    if not contract.key_columns:
        numbered = [BATCH, ROW_NUMBER]
    keys = {
        bronze_table(contract): [BATCH, ROW_NUMBER],
        quarantine_table(contract): [BATCH, ROW_NUMBER],
        silver_table(contract): numbered,
        runs_table(contract): ["run_id", "step", "subject"],
    }
    if isinstance(contract, Contract):
        keys[gold_table(contract)] = contract.key_columns
        keys[predictions_table(contract)] = ["run_id", *contract.key_columns]
    if table not in keys:
        raise LakehouseError(
            f"nothing says which rows of {table} are the same row",
            f"compare one of: {', '.join(map(str, keys))}",
        )
    return tuple(keys[table])


def diff_snapshots(
    lakehouse: Lakehouse, contract: RowContract, before: Snapshot, after: Snapshot
) -> SnapshotDiff:
    """Compare two snapshots of a table, row by row.

    Two nulls are the same value. Where several rows have one key (a file without an entity, a file
    that was scored with duplicates), they are compared in the order of their values.

    Raises:
        LakehouseError: If the rows have no key, or a snapshot was expired.
    """
    key = row_key(contract, after.table)
    left = lakehouse.read(before.table, before.snapshot_id)
    right = lakehouse.read(after.table, after.snapshot_id)
    shared = [name for name in right.columns if name in left.columns]
    missing = [name for name in key if name not in shared]
    if missing:
        raise LakehouseError(
            f"{after.table}: a snapshot lacks the key's columns {', '.join(missing)}; it was made "
            "under another contract",
            "compare snapshots of the same contract",
        )
    values = [name for name in shared if name not in key]
    is_unique = contract.has_key and after.table.layer != PREDICTIONS
    old, new = (_side(*side, key, values, is_unique) for side in (("a", left), ("b", right)))
    with lakehouse.materialized(_compared(old, new, key, values)) as compared:
        counts = _counts(lakehouse, compared, values)
        examples = {
            status: _examples(lakehouse, compared, key, status)
            for status in ("added", "removed", "changed")
            if counts[status]
        }
    return SnapshotDiff(
        table=str(after.table),
        before=before.snapshot_id,
        after=after.snapshot_id,
        key=key,
        added=counts["added"],
        removed=counts["removed"],
        changed=counts["changed"],
        unchanged=before.rows - counts["removed"] - counts["changed"],
        changed_values={name: counts[_flag(name)] for name in values if counts[_flag(name)]},
        added_columns=tuple(name for name in right.columns if name not in left.columns),
        removed_columns=tuple(name for name in left.columns if name not in right.columns),
        examples=examples,
    )


def _compared(
    old: "ibis.Table", new: "ibis.Table", key: tuple[str, ...], values: list[str]
) -> "ibis.Table":
    """One row for each key that is not the same in both: its status, and a flag for each column."""
    import ibis

    names = [*key, NUMBER]
    joined = old.outer_join(new, [old[f"a {name}"] == new[f"b {name}"] for name in names])
    only_new, only_old = joined[f"a {NUMBER}"].isnull(), joined[f"b {NUMBER}"].isnull()
    differs = {name: ~joined[f"a {name}"].identical_to(joined[f"b {name}"]) for name in values}
    changed = reduce(or_, differs.values(), ibis.literal(False))
    status = ibis.cases(
        (only_new, "added"), (only_old, "removed"), (changed, "changed"), else_="same"
    )
    compared = joined.select(
        **{name: ibis.coalesce(joined[f"b {name}"], joined[f"a {name}"]) for name in key},
        **{_flag(name): differs[name].ifelse(1, 0) for name in values},
        **{STATUS: status},
    )
    return compared.filter(compared[STATUS] != "same")


def _side(
    prefix: str, rows: "ibis.Table", key: tuple[str, ...], values: list[str], is_unique: bool
) -> "ibis.Table":
    """The rows with their number among those of the same key."""
    import ibis

    number: ibis.Value = ibis.literal(0)
    if not is_unique:
        order = [rows[name] for name in values]
        number = ibis.row_number().over(group_by=list(key), order_by=order)
    numbered = rows.select(*key, *values, **{NUMBER: number})
    return numbered.select(**{f"{prefix} {name}": numbered[name] for name in numbered.columns})


def _counts(lakehouse: Lakehouse, compared: "ibis.Table", values: list[str]) -> dict[str, int]:
    statuses = {
        status: (compared[STATUS] == status).ifelse(1, 0).sum().fill_null(0)
        for status in ("added", "removed", "changed")
    }
    in_both = (compared[STATUS] == "changed").ifelse(1, 0)
    flags = {_flag(name): (compared[_flag(name)] * in_both).sum().fill_null(0) for name in values}
    (row,) = lakehouse.collect(compared.aggregate(**statuses, **flags)).to_pylist()
    return {name: int(count) for name, count in row.items()}


def _examples(
    lakehouse: Lakehouse, compared: "ibis.Table", key: tuple[str, ...], status: str
) -> tuple[str, ...]:
    chosen = compared.filter(compared[STATUS] == status).select(*key).order_by(list(key))
    found = lakehouse.collect(chosen.limit(EXAMPLES)).to_pylist()
    return tuple(" ".join(str(value) for value in row.values()) for row in found)


def _flag(name: str) -> str:
    return f"__changed {name}"
