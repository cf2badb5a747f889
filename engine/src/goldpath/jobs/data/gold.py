"""Gold: entity, event time, features and target; what models are trained on and score.

The project's window and row features are columns of gold, computed here: the former from the rows
of further sources up to each row's time, then the latter from all columns of the row.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from goldpath.contract import EVENT_TIME, Contract
from goldpath.features.event_labels import NO_EVENTS, Events, with_event_label
from goldpath.features.row.learned import definitions_of
from goldpath.features.row.sql import with_sql_features
from goldpath.features.window.lake_columns import with_window_columns
from goldpath.features.window.learned import names_in
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
    sources: "Mapping[str, ibis.Table] | None" = None,
    events: Events = NO_EVENTS,
) -> Snapshot:
    """Write some intervals of the gold table anew from silver.

    Args:
        lakehouse: Where the tables are.
        contract: With the project's window and row features.
        intervals: Which.
        recipes: May leave rows out.
        sources: The rows of further sources that may count in these intervals, by name.
        events: What the target is made from, if it is no column.
    """
    partitions = Partitions(INTERVAL, intervals)
    silver = lakehouse.read(silver_table(contract), partitions=partitions)
    rows = gold_rows(silver, contract, recipes, sources or {}, events)
    rows = rows.order_by(row_order(contract))
    return lakehouse.overwrite(gold_table(contract), rows, partitions)


def gold_rows(
    silver: "ibis.Table",
    contract: Contract,
    recipes: Data,
    sources: "Mapping[str, ibis.Table]",
    events: Events = NO_EVENTS,
) -> "ibis.Table":
    """The rows of silver that become gold, with their window and row features.

    Args:
        silver: The main table's rows.
        contract: With the project's window and row features.
        recipes: May leave rows out.
        sources: The checked rows of the further sources, by name.
        events: What the target is made from, if it is no column.
    """
    time = [EVENT_TIME] if contract.has_time else []
    columns = [contract.entity_column, *time, *contract.request.feature_names]
    if contract.target.event:
        silver = with_event_label(silver.select(*columns, INTERVAL), contract, events)
    chosen = choose_rows(silver.select(*columns, *contract.label_columns, INTERVAL), recipes)
    definitions = definitions_of(contract)
    made = [*names_in(contract), *(each.name for each in definitions)]
    if not made:
        return chosen
    known = with_window_columns(chosen, contract, sources)
    complete = with_sql_features(definitions, known) if definitions else known
    return complete.select(*columns, *made, *contract.label_columns, INTERVAL)
