"""Window features by entity key: what the service asks the online store, and computes from it.

`materialize` keeps each entity's tiles under a view of the store for each definition, and says of
the view until when it is complete. Needs no DuckDB, Ibis or pyiceberg.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from goldpath.contract import Contract
from goldpath.features.online.store import OnlineStore, OnlineStoreError, microseconds, nothing_yet
from goldpath.features.window.definition import WindowDefinition
from goldpath.features.window.learned import definitions_in, names_in
from goldpath.features.window.tiles import EntityTiles, Found, unknown, values_at

VIEW = "windows:"
"""What the names of these views begin with; no feature view's name has a colon."""

INDEX = VIEW + "all"
"""The state that names the views that were ever written, and still hold rows."""

TILES = "tiles"
"""The one value of a row."""

STATE_SECONDS = 5.0
"""How long what a view says of itself is believed."""

Outcome: TypeAlias = Literal["found", "unknown", "expired", "unavailable"]
OUTCOMES: tuple[Outcome, ...] = ("found", "unknown", "expired", "unavailable")


def view_of(definition: WindowDefinition) -> str:
    """The view of the online store that holds a definition's tiles."""
    return VIEW + definition.digest[:24]


@dataclass(frozen=True)
class TilesWritten:
    """Until when a view is complete, and what it was made from.

    Attributes:
        snapshot: Of the source's silver; 0 where it had no table.
        until: When that was, UTC without a zone.
        whole: When all entities were written last; rows that are older are left over from before.
        definition: The definition's document.
    """

    snapshot: int
    until: datetime
    whole: datetime
    definition: str

    def dump(self) -> str:
        """As text for the online store."""
        times = {"until": self.until.isoformat(), "whole": self.whole.isoformat()}
        return json.dumps({**vars(self), **times})

    @classmethod
    def parse(cls, text: str) -> "TilesWritten":
        """Read `dump` back."""
        values = json.loads(text)
        until, whole = (datetime.fromisoformat(values[name]) for name in ("until", "whole"))
        return cls(values["snapshot"], until, whole, values["definition"])


class WindowReader:
    """Computes window columns of an entity at a time.

    Args:
        store: Opens the online store, when it is first needed.
        ttl: How old the last materialization may be; None: any age.
        counted: Called with what became of each definition that was asked for.
    """

    def __init__(
        self,
        store: Callable[[], OnlineStore],
        ttl: timedelta | None = None,
        counted: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        self._open = store
        self._ttl = ttl
        self._counted = counted
        self._store: OnlineStore | None = None
        self._states: dict[str, tuple[float, TilesWritten]] = {}

    def values(self, contract: Contract, entity: str, at: datetime) -> dict[str, Found]:
        """The window columns of a contract.

        Those of a materialization that is older than the ttl are missing.

        Args:
            contract: A model's.
            entity: The key.
            at: The time, UTC.

        Raises:
            OnlineStoreError: If the store does not answer, or was never filled for the contract.
        """
        found: dict[str, Found] = {}
        for definition in definitions_in(contract):
            try:
                found |= self._of(definition, entity, at)
            except OnlineStoreError:
                self._counted("unavailable")
                raise
        return {name: found[name] for name in names_in(contract)}

    def _of(self, definition: WindowDefinition, entity: str, at: datetime) -> dict[str, Found]:
        state = self._state(definition)
        now = at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
        if self._ttl is not None and now - state.until > self._ttl:
            self._counted("expired")
            return dict.fromkeys(definition.columns)
        (row,) = self._opened().read(view_of(definition), [entity])
        if row is None or row.event_time < state.whole:
            self._counted("unknown")
            tiles = unknown(definition)
        else:
            self._counted("found")
            tiles = EntityTiles.parse(definition, str(row.values[TILES]))
        return values_at(tiles, microseconds(at))

    def _state(self, definition: WindowDefinition) -> TilesWritten:
        view, now = view_of(definition), time.monotonic()
        known = self._states.get(view)
        if known is not None and now - known[0] < STATE_SECONDS:
            return known[1]
        text = self._opened().read_state(view)
        if text is None:
            raise nothing_yet(f"the online store was never filled for the window {definition.name}")
        state = TilesWritten.parse(text)
        self._states[view] = (now, state)
        return state

    def _opened(self) -> OnlineStore:
        if self._store is None:
            self._store = self._open()
        return self._store


def declare_empty(
    store: OnlineStore, definitions: Sequence[WindowDefinition], until: datetime
) -> None:
    """Say that nobody has rows, as of a source without any: for trials of a service."""
    for each in definitions:
        state = TilesWritten(0, until, until, json.dumps(each.dump()))
        store.write_state(view_of(each), state.dump())


def written_views(store: OnlineStore) -> list[str]:
    """The views of window features that hold rows."""
    text = store.read_state(INDEX)
    return [] if text is None else [str(each) for each in json.loads(text)]


def remember_views(store: OnlineStore, views: Sequence[str]) -> None:
    """Say which views hold rows; before the first row of a new one is written."""
    if sorted(views) != written_views(store):
        store.write_state(INDEX, json.dumps(sorted(views)))
