"""The tiles of one entity: what the online store holds, and what the service computes from it.

Plain Python on plain JSON: a service by entity key needs nothing else. A tile is a list of states
in the order of the definition's; what no row has touched is not there. Tiles are merged without
rounding, so it does not matter how often, and in which order, rows came.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, TypeAlias

from goldpath.features.row.document import DocumentError
from goldpath.features.row.operations import Plain
from goldpath.features.window.aggregates import StateKind
from goldpath.features.window.definition import Output, WindowDefinition
from goldpath.features.window.exact import deviation_of, mean_of, total_of
from goldpath.features.window.geometry import MICROSECONDS

Found: TypeAlias = Plain | None
Tile: TypeAlias = tuple[Any, ...]
"""The value of each state: a number of rows; a sum in units, or None where a value was too large;
a value or None; a pair of a time in microseconds and a value, or None; a sorted tuple of values; a
time, or None."""

FORMAT = 1
DAY = 86_400


def _least(values: Sequence[Any]) -> Any:
    return min((each for each in values if each is not None), default=None)


def _most(values: Sequence[Any]) -> Any:
    return max((each for each in values if each is not None), default=None)


def _added(values: Sequence[int | None]) -> int | None:
    known = [each for each in values if each is not None]
    return sum(known) if len(known) == len(values) else None


_MERGE: dict[StateKind, Callable[[Sequence[Any]], Any]] = {
    "rows": sum,
    "known": sum,
    "total": _added,
    "squares": _added,
    "lowest": _least,
    "highest": _most,
    "first": _least,
    "last": _most,
    "distinct": lambda values: tuple(sorted({*chain.from_iterable(values)})),
    "newest": _most,
}


def merged(definition: WindowDefinition, tiles: Sequence[Tile]) -> Tile:
    """Several tiles as one; of none, what an entity has that nobody knows."""
    states = definition.states.values()
    columns = zip(*tiles, strict=True) if tiles else [()] * len(states)
    return tuple(_MERGE[state.kind](values) for state, values in zip(states, columns, strict=True))


@dataclass(frozen=True)
class EntityTiles:
    """The tiles of one entity.

    Attributes:
        definition: Of the feature that they are for.
        tiles: By their numbers, in their order.
    """

    definition: WindowDefinition
    tiles: Mapping[int, Tile]

    def with_rows(self, new: Mapping[int, Tile]) -> "EntityTiles":
        """With the tiles of further rows; rows that came late change older tiles."""
        both = dict(self.tiles)
        for number, tile in new.items():
            held = both.get(number)
            both[number] = tile if held is None else merged(self.definition, [held, tile])
        return EntityTiles(self.definition, dict(sorted(both.items())))

    def replaced(self, new: Mapping[int, Tile | None]) -> "EntityTiles":
        """With some tiles made anew from all of their rows; None: the rows are gone."""
        both = {**self.tiles, **new}
        kept = {number: tile for number, tile in sorted(both.items()) if tile is not None}
        return EntityTiles(self.definition, kept)

    def since(self, time: int) -> "EntityTiles":
        """Without the tiles that no window reaches at a time, in microseconds, or later."""
        longest = max(self.definition.windows) // self.definition.geometry.tile
        oldest = self.definition.geometry.end(time) - longest
        kept = {number: tile for number, tile in self.tiles.items() if number >= oldest}
        return EntityTiles(self.definition, kept)

    def dump(self) -> str:
        """As text for the online store."""
        numbers = list(self.tiles)
        # Tiles follow each other closely: the distances are shorter than the numbers.
        steps = [each - before for each, before in zip(numbers, [0, *numbers], strict=False)]
        document = [FORMAT, self.definition.digest[:16], steps, list(self.tiles.values())]
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def parse(
        cls, definition: WindowDefinition, text: str, decode: Callable[[str], Any] = json.loads
    ) -> "EntityTiles":
        """Read `dump` back.

        Args:
            definition: Of the feature.
            text: What was dumped.
            decode: Reads JSON, whole numbers of any length included.

        Raises:
            DocumentError: If the tiles are not this feature's: its definition has changed.
        """
        form, digest, steps, held = decode(text)
        if form != FORMAT or digest != definition.digest[:16]:
            raise DocumentError(
                f"the online store's tiles of {definition.name!r} were made by another definition",
                "make materialize",
            )
        rows: Iterable[Tile] = map(tuple, held)
        if definition.holds_lists:
            rows = (tuple(map(_revived, values)) for values in held)
        return cls(definition, dict(zip(accumulate(steps), rows, strict=True)))


def _revived(value: Any) -> Any:
    """A state as JSON gives it back: pairs and sets are lists there."""
    return tuple(value) if isinstance(value, list) else value


def unknown(definition: WindowDefinition) -> EntityTiles:
    """An entity that has no rows: nobody knows it."""
    return EntityTiles(definition, {})


def values_at(entity: EntityTiles, time: int) -> dict[str, Found]:
    """The feature's columns at a time.

    Args:
        entity: The tiles of the entity; more than the windows hold does no harm.
        time: In microseconds since 1970, in UTC.

    Returns:
        By column: an int, a float, a bool or a str, or None where it is missing.
    """
    definition = entity.definition
    end = definition.geometry.end(time)
    numbers, tiles = list(entity.tiles), list(entity.tiles.values())
    last = bisect_left(numbers, end)
    windows: dict[int, Tile] = {}
    together, before = merged(definition, []), last
    # The shorter windows are parts of the longer ones.
    for length in definition.lengths:
        first = bisect_left(numbers, end - length)
        if first < before:
            together = merged(definition, [together, *tiles[first:before]])
        before = first
        windows[length] = together
    return {
        name: _result(
            output, {part: windows[length][place] for part, place in places.items()}, time
        )
        for name, output, length, places in definition.plan
    }


def _result(output: Output, parts: Mapping[str, Any], time: int) -> Found:
    result = _RESULTS[output.aggregation](parts, time)
    if output.type == "integer" and result is not None:
        return int(result)
    # Zero has no sign that could be seen.
    found: Found = result + 0.0 if output.type == "number" and result is not None else result
    return found


def _share(parts: Mapping[str, Any], _: int) -> float | None:
    return parts["holding"] / parts["rows"] if parts["rows"] else None


def _seconds(parts: Mapping[str, Any], time: int) -> float | None:
    return None if parts["newest"] is None else (time - parts["newest"]) / MICROSECONDS


def _days(parts: Mapping[str, Any], time: int) -> float | None:
    seconds = _seconds(parts, time)
    return None if seconds is None else seconds / DAY


def _of_pair(kind: str) -> Callable[[Mapping[str, Any], int], Any]:
    return lambda parts, _: None if parts[kind] is None else parts[kind][1]


_RESULTS: dict[str, Callable[[Mapping[str, Any], int], Any]] = {
    "count": lambda parts, _: parts["rows"],
    "sum": lambda parts, _: total_of(parts["total"]),
    "mean": lambda parts, _: mean_of(total_of(parts["total"]), parts["known"]),
    "std": lambda parts, _: deviation_of(
        total_of(parts["total"]), parts["squares"], parts["known"]
    ),
    "min": lambda parts, _: parts["lowest"],
    "max": lambda parts, _: parts["highest"],
    "first": _of_pair("first"),
    "last": _of_pair("last"),
    "distinct_count": lambda parts, _: len(parts["distinct"]),
    "share": _share,
    "seconds_since_last": _seconds,
    "days_since_last": _days,
}
