"""The gold table as a frame, at the snapshot that a run names."""

import pandas as pd

from goldpath.contract import EVENT_TIME, Contract
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Snapshot
from goldpath.lake.shards import Shard
from goldpath.lake.tables import gold_table


def read_gold(
    lakehouse: Lakehouse,
    contract: Contract,
    snapshot_id: int | None = None,
    shard: Shard | None = None,
) -> pd.DataFrame:
    """Rows of the gold table, or of one part of it, in the order of time and entity.

    Where the target is made from events, rows that have no label yet are left out.

    Raises:
        LakehouseError: If the table is missing, or was made with another contract.
    """
    expression = lakehouse.read(gold_table(contract), snapshot_id)
    wanted = [contract.entity_column, *contract.feature_names, *contract.label_columns]
    missing = [name for name in wanted if name not in expression.columns]
    if missing:
        raise LakehouseError(
            f"{gold_table(contract)} lacks the contract's columns {', '.join(missing)}", "make data"
        )
    time = [EVENT_TIME] if contract.has_time else []
    if contract.target.event:
        expression = expression.filter(expression[contract.target.column].notnull())
    if shard is not None:
        expression = expression.filter(shard.holds(expression, contract))
    rows = expression.select(*time, *wanted).order_by(row_order(contract))
    frame: pd.DataFrame = lakehouse.collect(rows).to_pandas()
    return frame


def row_order(contract: Contract) -> list[str]:
    """The columns that gold is ordered by, so that the same rows always come in the same order."""
    subject = [*([EVENT_TIME] if contract.has_time else []), contract.entity_column]
    if not contract.entity_repeats:
        return subject
    return [*subject, *contract.feature_names, *contract.label_columns]


def gold_snapshot(lakehouse: Lakehouse, contract: Contract) -> Snapshot:
    """The gold table's current snapshot.

    Raises:
        LakehouseError: If there is none.
    """
    snapshot = lakehouse.snapshot(gold_table(contract))
    if snapshot is None:
        raise LakehouseError(
            f"there is no training data yet: {gold_table(contract)} does not exist", "make data"
        )
    return snapshot
