"""The feature store: features as they were at any time, and as they are now, from one definition.

`get_historical_features` asks the lake, `get_online_features` the online store that `materialize`
fills; for the same entity and time both give the same values. The names are Feast's.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..contract import EVENT_TIME, Contract
from ..data.lakehouse import Lakehouse, LakehouseError, Snapshot
from ..data.tables import gold_table
from ..settings import Settings
from .online import OnlineRow, OnlineStore, open_online_store
from .point_in_time import point_in_time_join
from .serving import OnlineFeatures, OnlineReader
from .views import ChosenFeatures, FeatureError, FeatureView, choose_features, load_views

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    import pyarrow as pa

WRITE_ROWS = 5_000
# Columns that no table of the lake has.
QUESTION, RANK = "question__", "rank__"
KEY, TIME, CREATED = "key__", "time__", "created__"


@dataclass(frozen=True)
class MaterializeResult:
    """What was written to the online store, by feature view.

    Attributes:
        online_store: Which one.
        until: The newest event time that could be taken.
        written: Rows that are new or changed.
        removed: Entities whose rows are no longer in the lake.
    """

    online_store: str
    until: str
    written: dict[str, int]
    removed: dict[str, int]


@dataclass(frozen=True)
class ViewSummary:
    """A feature view, for people."""

    name: str
    description: str
    owner: str
    entity: str
    event_time: str
    source: str
    ttl: str
    features: tuple[str, ...]
    online: bool
    online_entities: int


@dataclass(frozen=True)
class _Written:
    """What a view's part of the online store was made from."""

    snapshot: int
    until: datetime
    fingerprint: str

    def dump(self) -> str:
        values = {**vars(self), "until": self.until.isoformat()}
        return json.dumps(values)

    @classmethod
    def parse(cls, text: str) -> "_Written":
        values = json.loads(text)
        return cls(
            values["snapshot"], datetime.fromisoformat(values["until"]), values["fingerprint"]
        )


class FeatureStore:
    """The project's feature views, over the lake and the online store.

    Args:
        settings: The views, and which online store.
        contract: The dataset's contract.
        lakehouse: The lake.
        store: Another online store than the settings'.

    Raises:
        FeatureError: Where there is no feature view, or one is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        lakehouse: Lakehouse,
        store: OnlineStore | None = None,
    ) -> None:
        self.views = load_views(settings, contract)
        self._settings = settings
        self._contract = contract
        self._lakehouse = lakehouse
        self._store = store
        self._reader: OnlineReader | None = None

    # ---- offline

    def get_historical_features(
        self,
        entity_rows: "pa.Table | pd.DataFrame | ibis.Table",
        features: Sequence[str] | None = None,
        *,
        snapshot_id: int | None = None,
        full_feature_names: bool = False,
    ) -> "pa.Table":
        """What was known about each entity at its time; `point_in_time_join` states the rules.

        Args:
            entity_rows: The entity's column and `event_time`; further columns come back as they
                are. Times with a zone are converted to UTC, those without one are taken as UTC.
            features: `view:feature` or plain names; all where not given.
            snapshot_id: Which state of the gold table to read; the current one where not given.
            full_feature_names: Call them `view__feature`.

        Returns:
            The rows, in their order (an expression's rows have none), with the features added.

        Raises:
            FeatureError: Where a column or a feature is missing, or a name would stand twice.
            LakehouseError: Where a view's table or the snapshot does not exist.
        """
        import ibis

        chosen = choose_features(self.views, features, full_feature_names=full_feature_names)
        if isinstance(entity_rows, ibis.Table):
            joined = self._joined(entity_rows, chosen, snapshot_id)
            rows = self._lakehouse.collect(joined)
            asked = self._lakehouse.collect(entity_rows.aggregate(rows=ibis._.count()))
            _require_once(rows.num_rows, asked["rows"][0].as_py())
            return rows
        table = _as_arrow(entity_rows)
        _refuse_taken(table.column_names, chosen)
        with self._lakehouse.staged(_questions(table, chosen)) as questions:
            answers = self._lakehouse.collect(self._joined(questions, chosen, snapshot_id))
        _require_once(answers.num_rows, table.num_rows)
        answers = answers.sort_by(QUESTION)
        for label in (label for each in chosen for label in each.labels):
            table = table.append_column(label, answers[label])
        return table

    def _joined(
        self, rows: "ibis.Table", chosen: Sequence[ChosenFeatures], snapshot_id: int | None
    ) -> "ibis.Table":
        for each in chosen:
            view = each.view
            table = self._table(view, snapshot_id)
            own = [view.entity, view.event_time]
            created = [view.created_column] if view.created_column else []
            _require_columns(view, table, [*own, *created, *each.labels.values()])
            # A label may be a column of the view's table that means something else.
            renamed = {label: table[name] for label, name in each.labels.items()}
            tie = {CREATED: table[view.created_column]} if view.created_column else {}
            features = table.select(
                **{view.entity: table[view.entity], TIME: table[view.event_time]}, **renamed, **tie
            )
            rows = point_in_time_join(
                rows,
                features,
                entity=view.entity,
                event_time=EVENT_TIME,
                columns=list(each.labels),
                feature_time=TIME,
                ttl=view.ttl,
                created=CREATED if view.created_column else None,
                one_row_per_time=view.one_row_per_time,
            )
        return rows

    # ---- online

    def materialize(
        self, start: datetime | None = None, end: datetime | None = None
    ) -> MaterializeResult:
        """Write the newest row of each entity to the online store.

        Without `start`, only what changed in the lake since the last call is written, late rows and
        corrections included; entities that are gone are removed. Running it again changes nothing,
        and an older row never replaces a newer one.

        Args:
            start: Take rows from this event time on only; nothing is removed then.
            end: Take rows up to this event time, itself included; now where not given.

        Raises:
            FeatureError: Where no view is online, or a feature has a type that is not kept.
            LakehouseError: Where a view's table does not exist.
            OnlineStoreError: Where the store does not answer.
        """
        until = _utc(end) if end else datetime.now(UTC).replace(tzinfo=None)
        since = _utc(start) if start else None
        written: dict[str, int] = {}
        removed: dict[str, int] = {}
        for view in self._online_views():
            written[view.name], removed[view.name] = self._write_view(view, since, until)
        return MaterializeResult(
            self._settings.features.online_store, until.isoformat(), written, removed
        )

    def _write_view(
        self, view: FeatureView, since: datetime | None, until: datetime
    ) -> tuple[int, int]:
        snapshot = self._snapshot(view)
        newest = self._newest(view, snapshot.snapshot_id, since, until)
        now = _Written(snapshot.snapshot_id, until, _fingerprint(view))
        before = self._last_write(view)
        changed, removed = newest, 0
        if since is None and before and before.fingerprint == now.fingerprint:
            if until < before.until:
                now = before  # what was written since then stays, and stays known
            else:
                old = self._newest(view, before.snapshot, None, before.until)
                changed = newest.difference(old)
                removed = self._remove(view, old, newest)
        written = self._write(view, changed)
        if since is None:
            self._online_store().write_state(view.name, now.dump())
        return written, removed

    def _last_write(self, view: FeatureView) -> _Written | None:
        """What the store holds, unless the lake can no longer say what that was."""
        text = self._online_store().read_state(view.name)
        if text is None:
            return None
        before = _Written.parse(text)
        held = {snapshot.snapshot_id for snapshot in self._lakehouse.snapshots(view.source)}
        return before if before.snapshot in held else None

    def _newest(
        self, view: FeatureView, snapshot_id: int, since: datetime | None, until: datetime
    ) -> "ibis.Table":
        import ibis

        rows = self._lakehouse.read(view.source, snapshot_id)
        created = [view.created_column] if view.created_column else []
        _require_columns(view, rows, [view.entity, view.event_time, *created, *view.features])
        _refuse_unkept_types(view, rows)
        time = rows[view.event_time]
        taken = rows[view.entity].notnull() & (time <= ibis.literal(until, type=time.type()))
        if since is not None:
            taken = taken & (time >= ibis.literal(since, type=time.type()))
        columns = [view.event_time, *created, *view.features]
        first = [ibis.desc(rows[name], nulls_first=False) for name in columns]
        if view.one_row_per_time:
            first = first[:1]
        rank = ibis.row_number().over(group_by=view.entity, order_by=first)
        ranked = rows.filter(taken).mutate(**{RANK: rank})
        best = ranked.filter(ranked[RANK] == 0)
        return best.select(
            **{KEY: best[view.entity].cast("string"), TIME: best[view.event_time]},
            **{name: best[name] for name in view.features},
        )

    def _remove(self, view: FeatureView, old: "ibis.Table", new: "ibis.Table") -> int:
        """Take out who is gone, and whose newest row was withdrawn: an older one follows."""
        left = old.select(KEY, TIME)
        right = new.select(now_key=new[KEY], now_time=new[TIME])
        joined = left.left_join(right, left[KEY] == right.now_key)
        gone = joined.filter(joined.now_key.isnull() | (joined.now_time < joined[TIME]))
        entities = self._lakehouse.collect(gone.select(KEY))[KEY].to_pylist()
        return sum(self._online_store().delete(entity, view.name) for entity in entities)

    def _write(self, view: FeatureView, rows: "ibis.Table") -> int:
        written = 0
        for batch in self._lakehouse.collect(rows).to_batches(max_chunksize=WRITE_ROWS):
            keys = batch.column(KEY).to_pylist()
            times = batch.column(TIME).to_pylist()
            values = batch.select(list(view.features)).to_pylist()
            kept = [OnlineRow(*row) for row in zip(keys, times, values, strict=True)]
            written += self._online_store().write_batch(view.name, kept)
        return written

    def get_online_features(
        self,
        entity_keys: Sequence[str],
        features: Sequence[str] | None = None,
        now: datetime | None = None,
        *,
        full_feature_names: bool = False,
    ) -> list[OnlineFeatures]:
        """The newest features of some entities, in the order of the keys; see `OnlineReader`."""
        if self._reader is None:
            self._reader = OnlineReader(self._settings, self._contract, self._online_store())
        return self._reader.get(entity_keys, features, now, full_feature_names=full_feature_names)

    def summaries(self) -> list[ViewSummary]:
        """The feature views, and how many entities each has online."""
        store = self._online_store()
        return [
            ViewSummary(
                view.name,
                view.description,
                view.owner,
                view.entity,
                view.event_time,
                str(view.source),
                "for ever" if view.ttl is None else str(view.ttl),
                view.features,
                view.online,
                store.count(view.name) if view.online else 0,
            )
            for view in self.views
        ]

    def _online_store(self) -> OnlineStore:
        if self._store is None:
            self._store = open_online_store(self._settings)
        return self._store

    def _online_views(self) -> list[FeatureView]:
        views = [view for view in self.views if view.online]
        if not views:
            raise FeatureError("no feature view is online", "set online: true in features.yaml")
        return views

    def _snapshot(self, view: FeatureView) -> Snapshot:
        snapshot = self._lakehouse.snapshot(view.source)
        if snapshot is None:
            raise LakehouseError(
                f"feature view {view.name!r}: the table {view.source} does not exist", "make data"
            )
        return snapshot

    def _table(self, view: FeatureView, snapshot_id: int | None) -> "ibis.Table":
        """A view's table at one snapshot, because the join reads it twice."""
        if snapshot_id is None or view.source != gold_table(self._contract):
            snapshot_id = self._snapshot(view).snapshot_id
        return self._lakehouse.read(view.source, snapshot_id)


def _as_arrow(rows: "pa.Table | pd.DataFrame") -> "pa.Table":
    import pyarrow as pa

    return rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)


def _questions(rows: "pa.Table", chosen: Sequence[ChosenFeatures]) -> "pa.Table":
    """What the join needs of the entity rows: their number, whom and when."""
    import pyarrow as pa

    entities = list(dict.fromkeys(each.view.entity for each in chosen))
    missing = [name for name in (*entities, EVENT_TIME) if name not in rows.column_names]
    if missing:
        raise FeatureError(
            f"the entity rows lack {', '.join(missing)}",
            f"give columns {', '.join(entities)} and {EVENT_TIME}",
        )
    keys = {name: _key_column(rows[name]) for name in entities}
    time = _utc_column(rows[EVENT_TIME])
    number = pa.array(range(rows.num_rows), pa.int64())
    return pa.table({QUESTION: number, **keys, EVENT_TIME: time})


def _key_column(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        kind = pa.string()
    return column.cast(kind)


def _utc_column(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Times in UTC without a zone, in microseconds as the lake has them."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_temporal(kind) or pa.types.is_null(kind)):
        raise FeatureError(
            f"{EVENT_TIME} is {kind} in the entity rows", "convert it to a timestamp or a date"
        )
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit))
    return column.cast(pa.timestamp("us"), safe=False)


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def _fingerprint(view: FeatureView) -> str:
    """Changes where rows that were written under the view mean something else now."""
    parts = (str(view.source), view.entity, view.event_time, view.created_column, view.features)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _refuse_taken(columns: Sequence[str], chosen: Sequence[ChosenFeatures]) -> None:
    taken = [label for each in chosen for label in each.labels if label in columns]
    if taken:
        raise FeatureError(
            f"these features would stand twice in the result: {', '.join(taken)}",
            "drop the columns from the entity rows, or ask with full_feature_names=True",
        )


def _require_columns(view: FeatureView, table: "ibis.Table", names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise FeatureError(
            f"feature view {view.name!r}: {view.source} lacks {', '.join(missing)}",
            f"make data, or correct features.yaml; the table has: {', '.join(table.columns)}",
        )


def _refuse_unkept_types(view: FeatureView, table: "ibis.Table") -> None:
    for name in view.features:
        kind = table[name].type()
        if not (kind.is_boolean() or kind.is_integer() or kind.is_floating() or kind.is_string()):
            raise FeatureError(
                f"feature view {view.name!r}: {name} is {kind}, which the online store cannot keep",
                "make it a number, a boolean or a text, or set online: false",
            )


def _require_once(found: int, asked: int) -> None:
    if found != asked:
        raise FeatureError(
            f"{asked} entity rows became {found}: gold holds two rows for one entity and time",
            "make the table again: make data; report it where it stays",
        )
