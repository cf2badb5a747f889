"""What `materialize` keeps of a window feature: each entity's tiles, made by SQL in the lake."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from goldpath.features.window.definition import WindowDefinition
from goldpath.features.window.exact import shifts, units_of
from goldpath.features.window.sql_states import (
    ENTITY,
    TILE,
    VALUE,
    distinct_values,
    parts_of,
    source_rows,
    tiles_in_sql,
)
from goldpath.features.window.tiles import Tile

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa


def tile_tables(
    definition: WindowDefinition, rows: "ibis.Table", *, time: str = "event_time"
) -> "list[ibis.Table]":
    """The queries for a feature's tiles, one row an entity and tile.

    The first has all states but those of different values, of which each has one of its own, with
    a row for each value. Two states of a source can be compared by `difference`: a tile that is not
    the same in both was touched by new, late or withdrawn rows.

    Args:
        definition: The feature.
        rows: The source's.
        time: The column that holds their time.
    """
    held = source_rows([definition], rows, time)
    states = definition.states.values()
    merged = [each for each in states if each.kind != "distinct"]
    apart = [each for each in states if each.kind == "distinct"]
    return [tiles_in_sql(merged, held), *(distinct_values(each, held) for each in apart)]


def tiles_of(definition: WindowDefinition, tables: "list[pa.Table]") -> dict[Any, dict[int, Tile]]:
    """The tiles that `tile_tables` found, by entity and number.

    Args:
        definition: The feature.
        tables: The queries' results, in their order.
    """
    merged, *apart = tables
    values = [_values_by_tile(each) for each in apart]
    found: dict[Any, dict[int, Tile]] = {}
    for row in merged.to_pylist():
        place = (row[ENTITY], row[TILE])
        tile = tuple(_states(definition, row, [each.get(place, ()) for each in values]))
        found.setdefault(row[ENTITY], {})[row[TILE]] = tile
    return found


def _values_by_tile(table: "pa.Table") -> dict[tuple[Any, int], tuple[Any, ...]]:
    collected: dict[tuple[Any, int], list[Any]] = {}
    columns = (table[name].to_pylist() for name in (ENTITY, TILE, VALUE))
    for entity, tile, value in zip(*columns, strict=True):
        collected.setdefault((entity, tile), []).append(value)
    return {place: tuple(sorted(values)) for place, values in collected.items()}


def _states(
    definition: WindowDefinition, row: dict[str, Any], values: list[tuple[Any, ...]]
) -> Iterator[Any]:
    distinct = iter(values)
    number = 0
    for state in definition.states.values():
        if state.kind == "distinct":
            yield next(distinct)
            continue
        parts = [row[part.name] for part in parts_of(number, state)]
        number += 1
        match state.kind:
            case "total" | "squares":
                known = [0.0 if part is None else part for part in parts]
                yield units_of(known, shifts(state.kind, whole=state.is_whole))
            case "first" | "last":
                value, at, _ = parts
                yield None if at is None else (at, value)
            case _:
                yield parts[0]
