"""Gold: entity, event time, features and target; what models are trained on and score.

The project's row features are columns of gold, computed here from the rows of silver.
"""

from typing import TYPE_CHECKING

from goldpath.contract import EVENT_TIME, Contract
from goldpath.features.row.learned import definitions_of
from goldpath.features.row.sql import with_sql_features
from goldpath.jobs.data.recipes import choose_rows
from goldpath.lake.gold_frame import row_order
from goldpath.lake.lakehouse import Lakehouse, Partitions, Snapshot
from goldpath.lake.tables import INTERVAL, gold_table, silver_table
from goldpath.project import NO_RECIPES, Data

if TYPE_CHECKING:
    import ibis


def publish(
    lakehouse: Lakehouse,
    contract: Contract,
    intervals: tuple[str, ...],
    recipes: Data = NO_RECIPES,
) -> Snapshot:
    """Write some intervals of the gold table anew from silver.

    Args:
        lakehouse: Where the tables are.
        contract: With the project's row features.
        intervals: Which.
        recipes: May leave rows out.
    """
    partitions = Partitions(INTERVAL, intervals)
    silver = lakehouse.read(silver_table(contract), partitions=partitions)
    rows = gold_rows(silver, contract, recipes).order_by(row_order(contract))
    return lakehouse.overwrite(gold_table(contract), rows, partitions)


def gold_rows(silver: "ibis.Table", contract: Contract, recipes: Data) -> "ibis.Table":
    """The rows of silver that become gold, with their row features."""
    time = [EVENT_TIME] if contract.has_time else []
    columns = [contract.entity_column, *time, *contract.request.feature_names]
    target = contract.target.column
    chosen = choose_rows(silver.select(*columns, target, INTERVAL), recipes)
    if definitions := definitions_of(contract):
        complete = with_sql_features(definitions, chosen)
        made = [each.name for each in definitions]
        chosen = complete.select(*columns, *made, target, INTERVAL)
    return chosen
