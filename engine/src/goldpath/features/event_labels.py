"""Targets from events: whether one happens to a row's entity within so long after the row's time.

One Ibis expression for DuckDB and Athena, like the point-in-time join: the events' times are laid
between the rows' times, and running extremes find the next event after each row, and the last one
up to it. Events are aggregated by nothing, so an entity may have any number of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from goldpath.contract import EVENT_TIME, Contract, ContractError, Target
from goldpath.features.point_in_time import as_type
from goldpath.source_contract import FOLDER, SourceContract

if TYPE_CHECKING:
    import ibis

KEY, TIME, EVENT, ROW, NEXT, LAST = (
    f"label_{name}__" for name in ("key", "time", "event", "row", "next", "last")
)
_KINDS = {
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "category": (str,),
    "text": (str,),
}


@dataclass(frozen=True)
class Events:
    """The rows of a target's source, and until when they are complete.

    Attributes:
        rows: The checked rows; None where there is none.
        entity: Their column with the main table's subject.
        until: Until when all events are known; a time, or an expression of one. None: no event is
            known, so nothing has a label.
    """

    rows: "ibis.Table | None"
    entity: str
    until: "datetime | ibis.Value | None"


NO_EVENTS = Events(None, "", None)


def event_source(contract: Contract, sources: Iterable[SourceContract]) -> SourceContract:
    """The further source that a contract's target is made from.

    Raises:
        ContractError: If there is none of that name, `target.where` does not fit its columns, or
            `target.observed_until` is still to come.
    """
    target = contract.target
    now = datetime.now(UTC).replace(tzinfo=None)
    if target.observed_until is not None and target.observed_until > now:
        raise ContractError(
            f"{contract.file}: target.observed_until: {target.observed_until} is still to come, "
            "and nobody knows the events up to then",
            "name a time that is over, or leave the key out: the source's newest row counts",
        )
    by_name = {each.dataset: each for each in sources}
    if target.event not in by_name:
        raise ContractError(
            f"{contract.file}: target.event: there is no source {target.event!r}; {FOLDER} holds: "
            f"{', '.join(by_name) or 'none'}",
            f"make add-source NAME={target.event} DATA=… ID=… TIME=…",
        )
    source = by_name[target.event]
    for name, values in target.conditions.items():
        _require_condition(contract, source, name, values)
    return source


def describe_event(contract: Contract) -> str:
    """What a target of events is, in words."""
    target = contract.target
    without, with_event = target.classes
    conditions = [
        f"{name} is {' or '.join(map(str, values))}" for name, values in target.conditions.items()
    ]
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return (
        f"{target.column} is {with_event} if {target.event} has a row of the {contract.entity}"
        f"{where} within {target.within} after the row's time, else {without}"
    )


def with_event_label(rows: "ibis.Table", contract: Contract, events: Events) -> "ibis.Table":
    """Rows with the label of a contract's target behind their columns.

    The rules:

    - An event counts after the row's time and up to `within` later, that moment included.
    - Where that moment is after `events.until` the label is missing, also where an event is known:
      else the newest rows would have labels only if they are positive.
    - With `exclude_after_event` rows at or after an event of their entity are left out.

    Args:
        rows: With entity and event time, named as in gold.
        contract: Its target is made from events.
        events: What happened.
    """
    import ibis

    target = contract.target
    if events.rows is None or events.until is None:
        return rows.mutate(**{target.column: ibis.null("string")})
    found = _neighbours(rows, contract, events)
    within = ibis.interval(seconds=int(target.horizon.total_seconds()))
    happens = found[NEXT] <= found[TIME] + within
    without, with_event = target.classes
    label = happens.fill_null(False).ifelse(with_event, without)
    is_known = found[TIME] <= events.until - target.horizon
    found = found.mutate(**{target.column: is_known.ifelse(label, ibis.null("string"))})
    matches = [rows[contract.entity_column] == found[KEY], rows[EVENT_TIME] == found[TIME]]
    joined = rows.left_join(found, matches)
    if target.exclude_after_event:
        joined = joined.filter(joined[LAST].isnull())
    return joined.select(*rows.columns, target.column)


def after_an_event(rows: "ibis.Table", contract: Contract, events: Events) -> "ibis.Table":
    """The rows whose entity had an event at or before their time.

    Args:
        rows: With entity and event time, named as in gold.
        contract: Its target is made from events.
        events: What happened.
    """
    import ibis

    if events.rows is None:
        return rows.limit(0)
    held = _counted(events.rows, contract.target)
    first = held.group_by(**{KEY: held[events.entity]}).aggregate(**{EVENT: held[EVENT_TIME].min()})
    matches = [rows[contract.entity_column] == first[KEY], first[EVENT] <= rows[EVENT_TIME]]
    found: ibis.Table = rows.semi_join(first, matches)
    return found


def _neighbours(rows: "ibis.Table", contract: Contract, events: Events) -> "ibis.Table":
    """Each entity and time of the rows once, with the next event after it and the last up to it."""
    import ibis

    assert events.rows is not None  # noqa: S101  # nosec B101  the caller asked
    held = _counted(events.rows, contract.target)
    kind = held[EVENT_TIME].type()
    key = as_type(rows, contract.entity_column, held[events.entity].type())
    time = as_type(rows, EVENT_TIME, kind)
    asked = rows.select(**{KEY: key, TIME: time}).distinct()
    questions = asked.mutate(**{EVENT: ibis.null(kind), ROW: ibis.literal(1, "int64")})
    answers = held.select(
        **{
            KEY: held[events.entity],
            TIME: held[EVENT_TIME],
            EVENT: held[EVENT_TIME],
            ROW: ibis.literal(0, "int64"),
        }
    )
    both = questions.union(answers.select(*questions.columns), distinct=False)
    # An event at the row's own time is behind it in one order, and so not among the later ones.
    later = ibis.window(
        preceding=None, following=0, group_by=KEY, order_by=[ibis.desc(TIME), ibis.desc(ROW)]
    )
    earlier = ibis.window(preceding=None, following=0, group_by=KEY, order_by=[TIME, ROW])
    event = both[EVENT]
    told = both.mutate(**{NEXT: event.min().over(later), LAST: event.max().over(earlier)})
    return told.filter(told[ROW] == 1).select(KEY, TIME, NEXT, LAST)


def _counted(rows: "ibis.Table", target: Target) -> "ibis.Table":
    """The rows that are the event."""
    for name, values in target.conditions.items():
        rows = rows.filter(rows[name].isin(list(values)))
    return rows


def _require_condition(
    contract: Contract, source: SourceContract, name: str, values: tuple[object, ...]
) -> None:
    """A condition names a column of the source, and values that it may have."""
    feature = source.by_name.get(name)
    if feature is None:
        raise ContractError(
            f"{contract.file}: target.where: {source.file} has no column {name!r}; it has: "
            f"{', '.join(source.feature_names) or 'none'}",
            "name one of them; entity, time and key are no columns",
        )
    for value in values:
        is_kind = isinstance(value, _KINDS[feature.type])
        if feature.type != "boolean" and isinstance(value, bool):
            is_kind = False
        known = feature.categories
        if not is_kind or (known is not None and value not in known):
            what = f"one of {', '.join(known)}" if known is not None else f"a {feature.type}"
            raise ContractError(
                f"{contract.file}: target.where: {name}: {value!r} is no value of {source.file}: "
                f"{name} is {what}",
                "correct the value, or the column in the source's file",
            )
