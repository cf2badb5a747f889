"""Writes each entity's tiles to the online store: those that changed since the last time.

What a view holds is known by the snapshot of the source that it was made from, so what has changed
is the difference of two snapshots: late rows, corrected ones and withdrawn ones are in it. The
state is written last: a run that was killed is done again, and writes the same.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from goldpath.features.online.store import MICROSECOND, OnlineRow, OnlineStore, microseconds
from goldpath.features.window.definition import EVERYBODY, WindowDefinition, parse_window
from goldpath.features.window.online import (
    TILES,
    TilesWritten,
    remember_views,
    view_of,
    written_views,
)
from goldpath.features.window.sql_states import ENTITY, TILE
from goldpath.features.window.stored import tile_tables, tiles_of
from goldpath.features.window.tiles import EntityTiles
from goldpath.lake.lakehouse import Lakehouse, TableName

if TYPE_CHECKING:
    import ibis

ENTITIES_AT_ONCE = 20_000


@dataclass(frozen=True)
class WrittenTiles:
    """What became of a window feature in the online store.

    Attributes:
        written: Entities that are new or changed.
        removed: Entities without a row that a window could reach.
    """

    written: int
    removed: int


def write_tiles(
    lakehouse: Lakehouse,
    store: OnlineStore,
    definitions: Sequence[WindowDefinition],
    until: datetime,
) -> dict[str, WrittenTiles]:
    """Bring the tiles of some definitions up to date; others in the store stay as they are.

    Args:
        lakehouse: Where the sources are.
        store: The online store.
        definitions: Of the project, and of the versions that serve.
        until: Now, UTC without a zone.

    Returns:
        By the feature's name, with a part of its digest where two have one name.

    Raises:
        OnlineStoreError: If the store does not answer.
        FeatureError: If a source lacks a column.
    """
    views = {view_of(each): each for each in definitions}
    remember_views(store, sorted({*written_views(store), *views}))
    names = [each.name for each in views.values()]
    found: dict[str, WrittenTiles] = {}
    for view, each in views.items():
        shown = each.name if names.count(each.name) == 1 else f"{each.name} ({each.digest[:8]})"
        found[shown] = _write(lakehouse, store, view, each, until)
    return found


def retire_tiles(
    lakehouse: Lakehouse, store: OnlineStore, kept: Sequence[WindowDefinition]
) -> list[str]:
    """Take tiles out that no definition in use reads.

    Args:
        lakehouse: Where the sources are, which say whose tiles there are.
        store: The online store.
        kept: What the project and the versions that serve compute.

    Returns:
        The names of the features that went.
    """
    wanted = {view_of(each) for each in kept}
    held = written_views(store)
    gone: list[str] = []
    for view in held:
        text = store.read_state(view)
        if view in wanted or text is None:
            continue
        definition = parse_window(json.loads(TilesWritten.parse(text).definition))
        table = TableName("silver", definition.source)
        if lakehouse.exists(table):
            rows = lakehouse.read(table)
            for entity in _entities(lakehouse, definition, rows):
                store.delete(entity, view)
        gone.append(definition.name)
        held = [each for each in held if each != view]
        remember_views(store, held)
    return sorted(gone)


def _write(
    lakehouse: Lakehouse,
    store: OnlineStore,
    view: str,
    definition: WindowDefinition,
    until: datetime,
) -> WrittenTiles:
    source = TableName("silver", definition.source)
    snapshot = lakehouse.snapshot(source) if lakehouse.exists(source) else None
    document = json.dumps(definition.dump())
    held = _held(store, view)
    if held is not None:  # a clock may go back, and no row replaces a newer one
        until = max(until, held.until + MICROSECOND)
    before = held if held is not None and _is_in_lake(lakehouse, source, held) else None
    if snapshot is None:
        store.write_state(view, TilesWritten(0, until, until, document).dump())
        return WrittenTiles(0, 0)
    now = TilesWritten(snapshot.snapshot_id, until, before.whole if before else until, document)
    with ExitStack() as kept:
        tiles = [
            kept.enter_context(lakehouse.materialized(each))
            for each in _tiles(lakehouse, source, definition, snapshot.snapshot_id, until)
        ]
        entities = tiles[0].select(ENTITY).distinct()
        changed, removed = entities, 0
        if before is not None:
            old = _tiles(lakehouse, source, definition, before.snapshot, until)
            touched = _touched(tiles, old).intersect(entities)
            changed = kept.enter_context(lakehouse.materialized(touched))
            was = _tiles(lakehouse, source, definition, before.snapshot, before.until)[0]
            gone = lakehouse.collect(was.select(ENTITY).distinct().difference(entities))
            removed = sum(store.delete(str(key), view) for key in gone[ENTITY].to_pylist())
        written = 0
        for low, high in _ranges(lakehouse, changed):
            written += store.write_batch(
                view, list(_rows(lakehouse, definition, tiles, changed, low, high, until))
            )
    store.write_state(view, now.dump())
    return WrittenTiles(written, removed)


def _entities(lakehouse: Lakehouse, definition: WindowDefinition, rows: "ibis.Table") -> list[str]:
    if not definition.entity:
        return [EVERYBODY]
    keys = lakehouse.collect(rows.select(key=rows[definition.entity]).distinct())
    return [str(each) for each in keys["key"].to_pylist()]


def _held(store: OnlineStore, view: str) -> TilesWritten | None:
    text = store.read_state(view)
    return None if text is None else TilesWritten.parse(text)


def _is_in_lake(lakehouse: Lakehouse, source: TableName, held: TilesWritten) -> bool:
    """Whether the lake can still say what a view was made from."""
    return lakehouse.exists(source) and held.snapshot in {
        each.snapshot_id for each in lakehouse.snapshots(source)
    }


def _tiles(
    lakehouse: Lakehouse,
    source: TableName,
    definition: WindowDefinition,
    snapshot: int,
    until: datetime,
) -> "list[ibis.Table]":
    """The tiles that windows reach at a time or later."""
    geometry = definition.geometry
    oldest = geometry.end(microseconds(until)) - max(definition.windows) // geometry.tile
    rows = lakehouse.read(source, snapshot)
    return [each.filter(each[TILE] >= oldest) for each in tile_tables(definition, rows)]


def _touched(new: "Sequence[ibis.Table]", old: "Sequence[ibis.Table]") -> "ibis.Table":
    """The entities of which a tile is not the same in both."""
    found: list[ibis.Table] = []
    for one, other in zip(new, old, strict=True):
        found += [
            one.difference(other).select(ENTITY).distinct(),
            other.difference(one).select(ENTITY).distinct(),
        ]
    entities = found[0]
    for each in found[1:]:
        entities = entities.union(each, distinct=True)
    return entities


def _ranges(lakehouse: Lakehouse, entities: "ibis.Table") -> Iterator[tuple[str, str]]:
    """The first and the last entity of each part that is held in memory together."""
    keys = lakehouse.collect(entities.order_by(ENTITY))[ENTITY].to_pylist()
    for first in range(0, len(keys), ENTITIES_AT_ONCE):
        part = keys[first : first + ENTITIES_AT_ONCE]
        yield part[0], part[-1]


def _rows(
    lakehouse: Lakehouse,
    definition: WindowDefinition,
    tiles: "Sequence[ibis.Table]",
    entities: "ibis.Table",
    low: str,
    high: str,
    until: datetime,
) -> Iterator[OnlineRow]:
    parts = [
        lakehouse.collect(
            each.filter((each[ENTITY] >= low) & (each[ENTITY] <= high)).semi_join(entities, ENTITY)
        )
        for each in tiles
    ]
    for entity, numbered in tiles_of(definition, parts).items():
        held = EntityTiles(definition, dict(sorted(numbered.items())))
        yield OnlineRow(str(entity), until, {TILES: held.dump()})
