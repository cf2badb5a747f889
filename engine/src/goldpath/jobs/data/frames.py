"""A table of the lake as an expression for people: some rows of it, in an order that stays."""

from typing import TYPE_CHECKING

from goldpath.jobs.data.versions import CURRENT, find_snapshot, find_table
from goldpath.lake.lakehouse import Lakehouse
from goldpath.row_contract import EVENT_TIME, ContractError, RowContract

if TYPE_CHECKING:
    import ibis


def table_rows(
    lakehouse: Lakehouse,
    contract: RowContract,
    table: str,
    limit: int | None = None,
    snapshot: int | str = CURRENT,
) -> "ibis.Table":
    """The rows of a table, by time and entity where it has them.

    Args:
        lakehouse: Where it is.
        contract: Completes a layer's name, and names the entity.
        table: A layer (`gold`), or `layer.table`.
        limit: The first so many rows; all where not given.
        snapshot: Its number, `previous`, `current`, or `run:<training run>`.

    Raises:
        LakehouseError: If there is no such table or snapshot; names those that exist.
        ContractError: If the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise ContractError(f"limit={limit} is no number of rows", "give 1 or more, or none")
    name = find_table(lakehouse, contract, table)
    rows = lakehouse.read(name, find_snapshot(lakehouse, name, str(snapshot)).snapshot_id)
    subject = dict.fromkeys([EVENT_TIME, contract.entity_column, *contract.key_columns])
    rows = rows.order_by([each for each in subject if each in rows.columns] or rows.columns)
    return rows if limit is None else rows.limit(limit)
