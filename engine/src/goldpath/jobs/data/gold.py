"""Gold: entity, event time, features and target; what models are trained on and score."""

from goldpath.contract import EVENT_TIME, Contract
from goldpath.jobs.data.recipes import choose_rows
from goldpath.lake.gold_frame import row_order
from goldpath.lake.lakehouse import Lakehouse, Partitions, Snapshot
from goldpath.lake.tables import INTERVAL, gold_table, silver_table
from goldpath.project import NO_RECIPES, Data


def publish(
    lakehouse: Lakehouse,
    contract: Contract,
    intervals: tuple[str, ...],
    recipes: Data = NO_RECIPES,
) -> Snapshot:
    """Write some intervals of the gold table anew from silver."""
    partitions = Partitions(INTERVAL, intervals)
    silver = lakehouse.read(silver_table(contract), partitions=partitions)
    time = [EVENT_TIME] if contract.has_time else []
    columns = [contract.entity_column, *time, *contract.feature_names, contract.target.column]
    chosen = choose_rows(silver.select(*columns, INTERVAL), recipes)
    rows = chosen.order_by(row_order(contract))
    return lakehouse.overwrite(gold_table(contract), rows, partitions)
