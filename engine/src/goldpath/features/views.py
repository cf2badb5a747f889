"""Feature views: which features an entity has, when they became true and how long they are good.

`config/features.yaml` holds them. What a view leaves out is the contract's, so that the shipped
file names no column and holds after `adopt`, too. The words are Feast's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import ProjectError
from goldpath.lake.lakehouse import TableName
from goldpath.lake.tables import gold_table
from goldpath.settings import FeatureViewSettings, Settings

if TYPE_CHECKING:
    import ibis

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class FeatureError(ProjectError):
    """A feature view, or a feature, is not there or does not fit."""


class FeatureView(BaseModel):
    """Some features of one entity, from one table of the lake.

    Attributes:
        name: Names the view in `view:feature` and in the online store.
        entity: Column that identifies the subject.
        event_time: Column that says when a row became true.
        ttl: How old a value may be; None: any age.
        owner: Whom to ask about it.
        source: The table.
        created_column: Of rows with one entity and time, the largest value here wins.
        features: Columns of the table, in order.
        online: Whether it is materialized.
        description: For people.
        one_row_per_time: Whether the table never holds two rows for one entity and time; gold
            does not, because silver keeps one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    entity: str
    event_time: str
    ttl: timedelta | None
    owner: str
    source: TableName
    created_column: str | None
    features: tuple[str, ...]
    online: bool
    description: str
    one_row_per_time: bool


@dataclass(frozen=True)
class ChosenFeatures:
    """What is asked of one view: its features by their names in the answer."""

    view: FeatureView
    labels: dict[str, str]


def load_views(settings: Settings, contract: Contract) -> tuple[FeatureView, ...]:
    """The project's feature views.

    Raises:
        FeatureError: If there is none, or one is wrong; names the view and the fix.
    """
    if not settings.features.views:
        raise FeatureError(
            "config/features.yaml has no feature view", "restore the file from git, or add a view"
        )
    views = tuple(_complete(view, contract) for view in settings.features.views)
    names = [view.name for view in views]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise FeatureError(
            f"feature views named twice: {', '.join(repeated)}", "rename one in features.yaml"
        )
    return views


def has_views(contract: Contract) -> bool:
    """Whether the contract alone makes a feature view: it knows who and when."""
    return contract.entity is not None and contract.has_time


def choose_features(
    views: Sequence[FeatureView], wanted: Sequence[str] | None, *, full_feature_names: bool = False
) -> list[ChosenFeatures]:
    """Which features of which views are asked for, and what they are called in the answer.

    Args:
        views: The project's views.
        wanted: `view:feature`, or a feature's name where one view alone has it; None: all.
        full_feature_names: Call them `view__feature`, so that views may have features of one name.

    Raises:
        FeatureError: If a name is unknown, or stands for several features.
    """
    names = [f"{view.name}:{name}" for view in views for name in view.features]
    chosen: dict[str, dict[str, str]] = {}
    taken: dict[str, str] = {}
    for text in dict.fromkeys(names if wanted is None else wanted):
        view, feature = _find(views, text)
        label = f"{view.name}__{feature}" if full_feature_names else feature
        if taken.setdefault(label, view.name) != view.name:
            raise FeatureError(
                f"views {taken[label]} and {view.name} both have a feature {feature!r}",
                "ask for one of them, or with full_feature_names=True",
            )
        chosen.setdefault(view.name, {})[label] = feature
    by_name = {view.name: view for view in views}
    return [ChosenFeatures(by_name[name], labels) for name, labels in chosen.items()]


def require_columns(view: FeatureView, table: "ibis.Table", names: Sequence[str]) -> None:
    """Check that the table has what the view needs of it.

    Raises:
        FeatureError: If it lacks a column.
    """
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise FeatureError(
            f"feature view {view.name!r}: {view.source} lacks {', '.join(missing)}",
            f"make data, or correct features.yaml; the table has: {', '.join(table.columns)}",
        )


def parse_ttl(text: str | None) -> timedelta | None:
    """`365d`, `12h`, `90s` as a duration."""
    return None if text is None else timedelta(seconds=int(text[:-1]) * SECONDS[text[-1]])


def _complete(view: FeatureViewSettings, contract: Contract) -> FeatureView:
    entity = view.entity or contract.entity
    event_time = view.event_time or (EVENT_TIME if contract.has_time else None)
    if entity is None or event_time is None:
        lacking = " and no ".join(
            word for word, value in (("entity", entity), ("event time", event_time)) if not value
        )
        raise FeatureError(
            f"feature view {view.name!r}: the contract has no {lacking}",
            "a feature belongs to somebody at some time: set them in config/project.yaml "
            "(make adopt … ID=… TIME=…), or in config/features.yaml",
        )
    gold = gold_table(contract)
    source = TableName(*view.source.split(".")) if view.source else gold
    features = view.features or tuple(contract.feature_names)
    unknown = [name for name in features if source == gold and name not in contract.by_name]
    if unknown:
        raise FeatureError(
            f"feature view {view.name!r} names features that the contract lacks: "
            f"{', '.join(unknown)}",
            f"the contract has: {', '.join(contract.feature_names)}",
        )
    taken = sorted({entity, event_time} & set(features))
    if taken or len(set(features)) < len(features):
        found = f"{', '.join(taken)} as features" if taken else "a feature twice"
        raise FeatureError(f"feature view {view.name!r} has {found}", "take it out of `features`")
    return FeatureView(
        name=view.name,
        entity=entity,
        event_time=event_time,
        ttl=parse_ttl(view.ttl),
        owner=view.owner,
        source=source,
        created_column=view.created_column,
        features=features,
        online=view.online,
        description=view.description,
        one_row_per_time=source == gold
        and (entity, event_time) == (contract.entity, EVENT_TIME)
        and view.created_column is None,
    )


def _find(views: Sequence[FeatureView], text: str) -> tuple[FeatureView, str]:
    found = [
        (view, feature)
        for view in views
        for feature in view.features
        if text in (feature, f"{view.name}:{feature}")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{view.name}:{feature}" for view, feature in found)
        raise FeatureError(f"{text!r} may be {names}", "ask with the view's name in front")
    known = ", ".join(f"{view.name}:{feature}" for view in views for feature in view.features)
    raise FeatureError(f"there is no feature {text!r}", f"ask for some of: {known}")
