"""The feature store: features as they were at any time, and as they are now, from one definition.

`get_historical_features` asks the lake, `get_online_features` the online store that `materialize`
fills; for the same entity and time both give the same values. The names are Feast's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from goldpath.contract import EVENT_TIME, Contract
from goldpath.features.entity_rows import QUESTION, as_arrow, questions, refuse_taken, require_once
from goldpath.features.materialization import (
    KEY,
    TIME,
    Written,
    fingerprint,
    newest_rows,
    withdrawn_rows,
)
from goldpath.features.online.open_store import open_online_store
from goldpath.features.online.store import OnlineRow, OnlineStore
from goldpath.features.point_in_time import point_in_time_join
from goldpath.features.serving import OnlineFeatures, OnlineReader
from goldpath.features.views import (
    ChosenFeatures,
    FeatureError,
    FeatureView,
    choose_features,
    load_views,
    require_columns,
)
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Snapshot
from goldpath.lake.tables import gold_table
from goldpath.privacy.erasure import rows_in_use
from goldpath.settings import Settings

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    import pyarrow as pa

WRITE_ROWS = 5_000
CREATED = "created__"  # a column that no table of the lake has


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


class FeatureStore:
    """The project's feature views, over the lake and the online store.

    Args:
        settings: The views, and which online store.
        contract: The dataset's contract.
        lakehouse: The lake.
        store: Another online store than the settings'.

    Raises:
        FeatureError: If there is no feature view, or one is wrong.

    Example:
        >>> from datetime import datetime
        >>> import pandas as pd
        >>> from goldpath import FeatureStore, load_contract, load_settings, open_lakehouse
        >>> settings = load_settings()
        >>> lake = open_lakehouse(settings)
        >>> store = FeatureStore(settings, load_contract(settings.root), lake)
        >>> rows = pd.DataFrame({"customer_id": ["C000001"], "event_time": [datetime(2030, 1, 1)]})
        >>> store.get_historical_features(rows, ["tenure_months", "region"]).column_names
        ['customer_id', 'event_time', 'tenure_months', 'region']
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
            FeatureError: If a column or a feature is missing, or a name would stand twice.
            LakehouseError: If a view's table or the snapshot does not exist.
        """
        import ibis

        chosen = choose_features(self.views, features, full_feature_names=full_feature_names)
        if isinstance(entity_rows, ibis.Table):
            joined = self._joined(entity_rows, chosen, snapshot_id)
            rows = self._lakehouse.collect(joined)
            asked = self._lakehouse.collect(entity_rows.aggregate(rows=ibis._.count()))
            require_once(rows.num_rows, asked["rows"][0].as_py())
            return rows
        table = as_arrow(entity_rows)
        refuse_taken(table.column_names, chosen)
        with self._lakehouse.staged(questions(table, chosen)) as asked:
            answers = self._lakehouse.collect(self._joined(asked, chosen, snapshot_id))
        require_once(answers.num_rows, table.num_rows)
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
            require_columns(view, table, [*own, *created, *each.labels.values()])
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
            FeatureError: If no view is online, or a feature has a type that is not kept.
            LakehouseError: If a view's table does not exist.
            OnlineStoreError: If the store does not answer.
        """
        until = _utc(end) if end else datetime.now(UTC).replace(tzinfo=None)
        since = _utc(start) if start else None
        written: dict[str, int] = {}
        removed: dict[str, int] = {}
        with rows_in_use(self._settings):
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
        now = Written(snapshot.snapshot_id, until, fingerprint(view))
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

    def _last_write(self, view: FeatureView) -> Written | None:
        """What the store holds, unless the lake can no longer say what that was."""
        text = self._online_store().read_state(view.name)
        if text is None:
            return None
        before = Written.parse(text)
        held = {snapshot.snapshot_id for snapshot in self._lakehouse.snapshots(view.source)}
        return before if before.snapshot in held else None

    def _newest(
        self, view: FeatureView, snapshot_id: int, since: datetime | None, until: datetime
    ) -> "ibis.Table":
        return newest_rows(view, self._lakehouse.read(view.source, snapshot_id), since, until)

    def _remove(self, view: FeatureView, old: "ibis.Table", new: "ibis.Table") -> int:
        """Take withdrawn rows out: the store would keep them before the older ones that follow."""
        withdrawn = self._lakehouse.collect(withdrawn_rows(old, new))
        store = self._online_store()
        return sum(store.delete(entity, view.name) for entity in withdrawn[KEY].to_pylist())

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


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
