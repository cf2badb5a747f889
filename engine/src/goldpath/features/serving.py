"""Online features by entity key: what the service asks. Needs no DuckDB, Ibis or pyiceberg."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from goldpath.contract import Contract
from goldpath.features.online.open_store import open_online_store
from goldpath.features.online.store import OnlineRow, OnlineStore, OnlineStoreError, Value
from goldpath.features.views import (
    ChosenFeatures,
    FeatureError,
    FeatureView,
    choose_features,
    load_views,
)
from goldpath.settings import Settings


@dataclass(frozen=True)
class OnlineFeatures:
    """What is known about one entity.

    Attributes:
        entity: The key that was asked for.
        found: Whether any view knows the entity, however old what it knows is.
        event_time: When the newest of these values became true; None where nothing is known.
        values: By feature; None where nothing is known, or where it is older than the view's ttl.
        expired: The features that are older than their view's ttl.
    """

    entity: str
    found: bool
    event_time: datetime | None
    values: dict[str, Value]
    expired: tuple[str, ...] = ()


class OnlineReader:
    """Reads the online store as the feature views say.

    Args:
        settings: Which store.
        contract: The dataset's contract.
        store: Another store than the settings'.

    Raises:
        FeatureError: If there is no feature view, or one is wrong.
    """

    def __init__(
        self, settings: Settings, contract: Contract, store: OnlineStore | None = None
    ) -> None:
        self.views = tuple(view for view in load_views(settings, contract) if view.online)
        if not self.views:
            raise FeatureError("no feature view is online", "set online: true in features.yaml")
        self.store = store or open_online_store(settings)
        self._everything = choose_features(self.views, None)

    def get(
        self,
        entities: Sequence[str],
        features: Sequence[str] | None = None,
        now: datetime | None = None,
        *,
        full_feature_names: bool = False,
    ) -> list[OnlineFeatures]:
        """The newest features of some entities, in the order of the keys.

        Args:
            entities: The keys.
            features: `view:feature` or plain names; all online ones where not given.
            now: What a ttl is measured from; the present where not given.
            full_feature_names: Call them `view__feature`.

        Raises:
            FeatureError: If a feature is unknown, or was not materialized.
            OnlineStoreError: If there is no store yet, or it does not answer.
        """
        wanted = (
            self._everything
            if features is None and not full_feature_names
            else choose_features(self.views, features, full_feature_names=full_feature_names)
        )
        now = _utc(now) if now else datetime.now(UTC).replace(tzinfo=None)
        read = self.store.read
        rows = [read(each.view.name, entities) for each in wanted]
        return [
            _answer(entity, wanted, [of_view[place] for of_view in rows], now)
            for place, entity in enumerate(entities)
        ]


def _answer(
    entity: str, wanted: Sequence[ChosenFeatures], rows: Sequence[OnlineRow | None], now: datetime
) -> OnlineFeatures:
    values: dict[str, Value] = {}
    expired: list[str] = []
    newest: datetime | None = None
    for each, row in zip(wanted, rows, strict=True):
        ttl = each.view.ttl
        if row is None or (ttl is not None and now - row.event_time > ttl):
            values.update(dict.fromkeys(each.labels))
            if row is not None:
                expired += each.labels
            continue
        if newest is None or row.event_time > newest:
            newest = row.event_time
        try:
            values.update({label: row.values[name] for label, name in each.labels.items()})
        except KeyError as error:
            raise _not_materialized(each.view, error.args[0]) from error
    return OnlineFeatures(entity, any(rows), newest, values, tuple(expired))


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def _not_materialized(view: FeatureView, name: str) -> OnlineStoreError:
    return OnlineStoreError(
        f"the online store has no {view.name}:{name}: it was filled with another contract",
        "make materialize",
    )
