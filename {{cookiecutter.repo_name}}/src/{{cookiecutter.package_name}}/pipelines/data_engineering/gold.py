"""Gold: entity, event time, features and target; what models are trained on and score."""

from ...contract import EVENT_TIME, Contract
from ...data.lakehouse import Lakehouse, Snapshot, overwrite_if_changed
from ...data.tables import gold_table, silver_table


def publish(lakehouse: Lakehouse, contract: Contract) -> Snapshot:
    """Write the gold table from silver; an unchanged silver writes no new snapshot."""
    silver = lakehouse.read(silver_table(contract))
    time = [EVENT_TIME] if contract.has_time else []
    columns = [contract.entity_column, *time, *contract.feature_names, contract.target.column]
    rows = lakehouse.collect(silver.select(*columns).order_by([*time, contract.entity_column]))
    return overwrite_if_changed(lakehouse, gold_table(contract), rows)
