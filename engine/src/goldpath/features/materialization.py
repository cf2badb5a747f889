"""What the online store is to hold, and what it was made from."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from goldpath.features.views import FeatureError, FeatureView, require_columns

if TYPE_CHECKING:
    import ibis

# Columns that no table of the lake has.
KEY, TIME, RANK = "key__", "time__", "rank__"


@dataclass(frozen=True)
class Written:
    """What a view's part of the online store was made from."""

    snapshot: int
    until: datetime
    fingerprint: str

    def dump(self) -> str:
        """As text for the online store."""
        values = {**vars(self), "until": self.until.isoformat()}
        return json.dumps(values)

    @classmethod
    def parse(cls, text: str) -> "Written":
        """Read `dump` back."""
        values = json.loads(text)
        return cls(
            values["snapshot"], datetime.fromisoformat(values["until"]), values["fingerprint"]
        )


def newest_rows(
    view: FeatureView, rows: "ibis.Table", since: datetime | None, until: datetime
) -> "ibis.Table":
    """Each entity's newest row of a time, by the rules of the point-in-time join.

    Args:
        view: The view.
        rows: Its table.
        since: The first event time that counts; None: any.
        until: The last one.

    Raises:
        FeatureError: If a column is missing, or has a type that the online store cannot keep.
    """
    import ibis

    created = [view.created_column] if view.created_column else []
    require_columns(view, rows, [view.entity, view.event_time, *created, *view.features])
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


def withdrawn_rows(old: "ibis.Table", new: "ibis.Table") -> "ibis.Table":
    """Entities that are gone, or whose newest row is older than it was."""
    left = old.select(KEY, TIME)
    right = new.select(now_key=new[KEY], now_time=new[TIME])
    joined = left.left_join(right, left[KEY] == right.now_key)
    gone = joined.filter(joined.now_key.isnull() | (joined.now_time < joined[TIME]))
    return gone.select(KEY)


def fingerprint(view: FeatureView) -> str:
    """Changes where rows that were written under the view mean something else now."""
    parts = (str(view.source), view.entity, view.event_time, view.created_column, view.features)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _refuse_unkept_types(view: FeatureView, table: "ibis.Table") -> None:
    for name in view.features:
        kind = table[name].type()
        if not (kind.is_boolean() or kind.is_integer() or kind.is_floating() or kind.is_string()):
            raise FeatureError(
                f"feature view {view.name!r}: {name} is {kind}, which the online store cannot keep",
                "make it a number, a boolean or a text, or set online: false",
            )
