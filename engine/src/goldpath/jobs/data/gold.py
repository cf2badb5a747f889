"""Gold: entity, event time, features and target; what models are trained on and score."""

from goldpath.contract import EVENT_TIME, Contract
from goldpath.lake.lakehouse import Lakehouse, Partitions, Snapshot
from goldpath.lake.tables import INTERVAL, gold_table, silver_table


def publish(lakehouse: Lakehouse, contract: Contract, intervals: tuple[str, ...]) -> Snapshot:
    """Write some intervals of the gold table anew from silver."""
    partitions = Partitions(INTERVAL, intervals)
    silver = lakehouse.read(silver_table(contract), partitions=partitions)
    time = [EVENT_TIME] if contract.has_time else []
    columns = [contract.entity_column, *time, *contract.feature_names, contract.target.column]
    rows = silver.select(*columns, INTERVAL).order_by([*time, contract.entity_column])
    return lakehouse.overwrite(gold_table(contract), rows, partitions)
