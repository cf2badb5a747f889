"""The window columns of a contract, for rows of the lake: gold, training and batches."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goldpath.contract import EVENT_TIME, Contract
from goldpath.features.window.definition import WindowDefinition
from goldpath.features.window.learned import definitions_in, names_in
from goldpath.features.window.sql import with_window_features
from goldpath.features.window.tiles import unknown, values_at

if TYPE_CHECKING:
    import ibis

SQL_TYPES = {"number": "float64", "integer": "int64", "boolean": "boolean", "text": "string"}


def with_window_columns(
    rows: "ibis.Table", contract: Contract, sources: "Mapping[str, ibis.Table]"
) -> "ibis.Table":
    """Rows with their window columns, behind the others; own columns of these names are replaced.

    Args:
        rows: With entity and event time, named as in gold.
        contract: Whose window columns.
        sources: The checked rows of the sources by name. One that is not among them has no row
            that could count: all entities are unknown there.
    """
    definitions = definitions_in(contract)
    if not definitions:
        return rows
    wanted = names_in(contract)
    # A feature may have columns that the contract takes no part in.
    made = {name for each in definitions for name in each.columns}
    own = [name for name in rows.columns if name not in made]
    held = [each for each in definitions if each.source in sources]
    complete = with_window_features(
        held,
        rows.select(*own),
        sources,
        entity=contract.entity_column,
        event_time=EVENT_TIME,
    )
    empty = {
        name: value
        for each in definitions
        if each.source not in sources
        for name, value in _columns_of_nobody(each).items()
    }
    return complete.mutate(**empty).select(*own, *wanted)


def _columns_of_nobody(definition: WindowDefinition) -> dict[str, Any]:
    """What an entity has that nobody knows, as columns: zeros, and missing values."""
    import ibis

    types = definition.types
    return {
        name: ibis.null(SQL_TYPES[types[name]])
        if value is None
        else ibis.literal(repr(value)).cast(SQL_TYPES[types[name]])  # DuckDB's 0.0 is a decimal
        for name, value in values_at(unknown(definition), 0).items()
    }
