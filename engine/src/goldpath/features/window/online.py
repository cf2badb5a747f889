"""Window features by entity key: what the service asks the online store, and computes from it.

`materialize` keeps each entity's tiles under a view of the store for each definition, and says of
the view until when it is complete. Needs no DuckDB, Ibis or pyiceberg.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.online.store import (
    OnlineRow,
    OnlineStore,
    OnlineStoreError,
    microseconds,
    nothing_yet,
)
from goldpath.features.window.definition import EVERYBODY, WindowDefinition
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


class NotKnownYetError(OnlineStoreError):
    """A forecast is asked for that takes rows which the store does not have yet."""


class TimeNotKeptError(ProjectError):
    """A forecast is asked for whose time is over."""


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


@dataclass(frozen=True)
class WindowColumns:
    """What is looked up for a model.

    Attributes:
        definitions: Of its window features.
        names: Its columns, in their order.
    """

    definitions: tuple[WindowDefinition, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, contract: Contract) -> "WindowColumns":
        """Those of a model's contract."""
        return cls(definitions_in(contract), tuple(names_in(contract)))


class WindowReader:
    """Computes window columns of an entity at a time.

    Args:
        store: Opens the online store, when it is first needed.
        ttl: How old the last materialization may be; None: any age.
        counted: Called with what became of each definition that was asked for.
        decode: Reads JSON; a service has a quicker one.
    """

    def __init__(
        self,
        store: Callable[[], OnlineStore],
        ttl: timedelta | None = None,
        counted: Callable[[Outcome], None] = lambda _: None,
        decode: Callable[[str], Any] = json.loads,
    ) -> None:
        self._open = store
        self._ttl = ttl
        self._counted = counted
        self._decode = decode
        self._store: OnlineStore | None = None
        self._states: dict[str, tuple[float, TilesWritten]] = {}

    def values(self, contract: Contract, entity: str, at: datetime) -> dict[str, Found]:
        """The window columns of a contract for one entity; see `values_of`."""
        return self.values_of(contract, [entity], at)[0]

    def values_of(
        self, contract: Contract, entities: Sequence[str], at: datetime
    ) -> list[dict[str, Found]]:
        """The window columns of a contract, in the order of the keys; each definition is one read.

        Those of a materialization that is older than the ttl are missing.

        Args:
            contract: A model's.
            entities: The keys; one may be there several times.
            at: The time, UTC.

        Raises:
            OnlineStoreError: If the store does not answer, or was never filled for the contract.
        """
        asked = list(dict.fromkeys(entities))
        columns = WindowColumns.of(contract)
        found = dict(zip(asked, self.look_up(columns, asked, at), strict=True))
        return [found[entity] for entity in entities]

    def values_ahead(
        self,
        contract: Contract,
        entities: Sequence[str],
        times: Sequence[datetime],
        now: datetime,
        *,
        unknown_is_missing: bool = False,
    ) -> list[dict[str, Found]]:
        """The same of a forecast, each row at a time of its own; each definition is one read.

        Args:
            contract: A model's.
            entities: The keys.
            times: One a key, UTC.
            now: The present.
            unknown_is_missing: Whether a column is missing where the store does not know yet what
                it takes; else it is an error.

        Raises:
            OnlineStoreError: If the store does not answer, was never filled for the contract, or
                does not know yet what is needed.
            TimeNotKeptError: If a time is over, and what it needs is gone.
        """
        asked = [(entity, _plain(time)) for entity, time in zip(entities, times, strict=True)]
        distinct = list(dict.fromkeys(asked))

        def of(definition: WindowDefinition) -> list[tuple[Outcome, dict[str, Found]]]:
            return self._ahead(definition, distinct, now, unknown_is_missing=unknown_is_missing)

        values = self._collected(WindowColumns.of(contract), len(distinct), of)
        found = dict(zip(distinct, values, strict=True))
        return [found[each] for each in asked]

    def look_up(
        self, columns: "WindowColumns", entities: Sequence[str], at: datetime
    ) -> list[dict[str, Found]]:
        """The same for columns that are known already; a key that is there twice counts twice.

        Raises:
            OnlineStoreError: As above.
        """
        plain = _plain(at)
        return self._collected(columns, len(entities), lambda each: self._of(each, entities, plain))

    def _collected(
        self,
        columns: "WindowColumns",
        count: int,
        of: "Callable[[WindowDefinition], list[tuple[Outcome, dict[str, Found]]]]",
    ) -> list[dict[str, Found]]:
        """The columns of all definitions, side by side; what became of each is counted."""
        outcomes: list[Outcome] = []
        found: list[dict[str, Found]] = [{} for _ in range(count)]
        for definition in columns.definitions:
            try:
                answers = of(definition)
            except OnlineStoreError:
                self._counted("unavailable")
                raise
            for values, (outcome, of_definition) in zip(found, answers, strict=True):
                outcomes.append(outcome)
                values |= of_definition
        for outcome in outcomes:
            self._counted(outcome)
        return [{name: values[name] for name in columns.names} for values in found]

    def _of(
        self, definition: WindowDefinition, entities: Sequence[str], at: datetime
    ) -> list[tuple[Outcome, dict[str, Found]]]:
        state = self._state(definition)
        if self._is_expired(state, at):
            return [("expired", dict.fromkeys(definition.columns)) for _ in entities]
        keys = entities if definition.entity else [EVERYBODY] * len(entities)
        rows = self._opened().read(view_of(definition), keys)
        time = microseconds(at)
        tiles = (self._tiles(definition, state, row) for row in rows)
        return [(outcome, values_at(each, time)) for outcome, each in tiles]

    def _ahead(
        self,
        definition: WindowDefinition,
        asked: Sequence[tuple[str, datetime]],
        now: datetime,
        *,
        unknown_is_missing: bool,
    ) -> list[tuple[Outcome, dict[str, Found]]]:
        state = self._state(definition)
        beyond = set()
        for at in dict.fromkeys(each for _, each in asked):
            try:
                _require_reach(definition, state, at)
            except NotKnownYetError:
                if not unknown_is_missing:
                    raise
                beyond.add(at)
        if self._is_expired(state, _plain(now)):
            return [("expired", dict.fromkeys(definition.columns)) for _ in asked]
        owners = [entity if definition.entity else EVERYBODY for entity, _ in asked]
        keys = list(dict.fromkeys(owners))
        rows = self._opened().read(view_of(definition), keys)
        tiles = {
            key: self._tiles(definition, state, row) for key, row in zip(keys, rows, strict=True)
        }
        found: list[tuple[Outcome, dict[str, Found]]] = []
        for owner, (_, at) in zip(owners, asked, strict=True):
            if at in beyond:
                found.append(("unavailable", dict.fromkeys(definition.columns)))
                continue
            outcome, held = tiles[owner]
            found.append((outcome, values_at(held, microseconds(at))))
        return found

    def _is_expired(self, state: TilesWritten, now: datetime) -> bool:
        return self._ttl is not None and now - state.until > self._ttl

    def _tiles(
        self, definition: WindowDefinition, state: TilesWritten, row: OnlineRow | None
    ) -> tuple[Outcome, EntityTiles]:
        if row is None or row.event_time < state.whole:
            return "unknown", unknown(definition)
        tiles = EntityTiles.parse(definition, str(row.values[TILES]), self._decode)
        return "found", tiles

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


def _plain(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def _require_reach(definition: WindowDefinition, state: TilesWritten, at: datetime) -> None:
    """Refuse a time whose windows end after what the store knows, or before what it keeps."""
    geometry, until = definition.geometry, microseconds(state.until)
    end, name = geometry.end(microseconds(at)), definition.name
    if end * geometry.width > until:
        raise NotKnownYetError(
            f"the online store knows {definition.source} until {state.until:%F %T}, and {name} at "
            f"{_plain(at):%F %T} takes later rows",
            "make data materialize",
        )
    if end < geometry.end(until):
        raise TimeNotKeptError(
            f"{_plain(at):%F %T} is over: the online store keeps what {name} takes of times from "
            f"{state.until:%F %T} on",
            "score rows of the past in a batch: make batch-predict",
        )


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
