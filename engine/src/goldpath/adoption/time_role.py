"""When a row became true: the column or columns, and their format.

What looks like a time and is not surely the event time is a question in `notes`: without a time the
rows are split at random, which makes the score of a time series too good.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from goldpath.adoption.column_inference import describe_levels
from goldpath.adoption.column_profile import (
    AdoptionError,
    ColumnProfile,
    percentage,
    require_column,
)
from goldpath.adoption.date_formats import (
    DATE_SHARE,
    ISO,
    find_date_formats,
    find_epoch,
    find_two_formats,
    has_clock,
    read_dates,
)
from goldpath.adoption.time_parts import (
    find_calendar,
    find_clock,
    part_of,
    read_parts,
    require_parts,
    suspected_calendar,
)
from goldpath.contract import ContractError, EventTime
from goldpath.lake.event_time import format_pattern

SHOWN_BAD = 3
HOUR_NAMES = ("hr", "hour", "hours", "hour_of_day", "hourofday")
NOT_EVENT_TIMES = ("birth", "dob", "born", "due", "expir", "until", "end")

Profiles = Mapping[str, ColumnProfile]


@dataclass(frozen=True)
class TimeRole:
    """The event time, or None.

    Attributes:
        event_time: For the contract.
        moments: One timestamp a row, or None where there is no time.
        reason: Why.
        parts: Columns that hold one part of the time each, such as the month, with its directive.
        notes: What a person should know or decide.
    """

    event_time: EventTime | None
    moments: pd.Series | None
    reason: str
    parts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def decide_time(
    profiles: Profiles, asked: str | None, taken: Collection[str], entity: str | None
) -> TimeRole:
    """Decide the event time.

    Args:
        profiles: Every column.
        asked: `column`, several such as `date+time` or `year+month+day+hour`, `none`, or None to
            look for one.
        taken: Columns that have another role.
        entity: The entity, where it was named: rows may then share a date.

    Raises:
        AdoptionError: If the column asked for holds no dates that the pipeline can read.
    """
    if asked is None:
        return _found_time(profiles, taken, entity)
    if asked.lower() == "none" and asked not in profiles:
        return TimeRole(None, None, "")
    names = [asked] if asked in profiles else [part.strip() for part in asked.split("+")]
    names = [require_column(profiles, name, "TIME") for name in names]
    for column in names:
        if column in taken:
            raise AdoptionError(
                f"TIME={asked}: {column} is already the TARGET or the ID", "name another column"
            )
    if len(names) == 1:
        return _time_role(profiles, names[0], None, entity, "as asked")
    dates = find_date_formats(profiles[names[0]].levels, compact=True)
    if len(names) == 2 and dates:
        date, other = names
        if _holds_hours(profiles[other]) or read_parts(profiles, names) is None:
            _require_hours(profiles[other])
            return _time_role(profiles, date, other, entity, "as asked")
    require_parts(profiles, names, asked)
    return _parts_role(profiles, names, "as asked")


def _found_time(profiles: Profiles, taken: Collection[str], entity: str | None) -> TimeRole:
    free = {name: profile for name, profile in profiles.items() if name not in taken}
    dates = [
        name for name, profile in free.items() if profile.distinct > 1 and _holds_times(profile)
    ]
    found = [name for name in dates if _is_event_time(name) and _is_whole(profiles[name])]
    unlikely = {name for name in profiles if not _is_event_time(name)}
    calendar = find_calendar(profiles, {*taken, *unlikely})
    if len(found) > 1:
        return _question(
            f"several columns could be the event time: {', '.join(found)}; choose one with "
            f"TIME={found[0]}, or say TIME=none"
        )
    if found:
        why = "the only column of dates (TIME=none to do without)"
        clock = find_clock(profiles, found[0], taken)
        if clock is not None and read_parts(profiles, [found[0], clock]) is not None:
            return _parts_role(profiles, [found[0], clock], why)
        return _time_role(profiles, found[0], None, entity, why)
    if calendar and read_parts(profiles, calendar) is not None:
        return _parts_role(profiles, calendar, "found by their names (TIME=none to do without)")
    if dates:
        missing, rows = _missing(profiles[dates[0]]), profiles[dates[0]].rows
        gaps = f" ({missing:,} ({percentage(missing, rows)}) rows have none)" if missing else ""
        return _question(
            f"{', '.join(dates)}: dates{gaps}; say "
            f"TIME={dates[0]} if it is when the row became true, or TIME=none"
        )
    if parts := suspected_calendar(profiles, {*taken, *unlikely}):
        return _question(
            f"{', '.join(parts)} could be parts of the event time; say TIME=year+month+day (and "
            "+hour where the file has it) with these columns' names, or TIME=none"
        )
    return TimeRole(None, None, "")


def _question(said: str) -> TimeRole:
    note = f"{said}. Until then rows are split at random, not by time: a score may be too good"
    return TimeRole(None, None, said, notes=(note,))


def _is_event_time(name: str) -> bool:
    return not any(word in name.lower() for word in NOT_EVENT_TIMES)


def _is_whole(profile: ColumnProfile) -> bool:
    """Whether nearly every row has a value; rows that are empty at a file's end do no harm."""
    return _missing(profile) <= (1 - DATE_SHARE) * profile.rows


def _missing(profile: ColumnProfile) -> int:
    """Rows without a time that can be read, in a column of times."""
    return int(_read_time(profile)[1].isna().sum())


def _parts_role(profiles: Profiles, names: Sequence[str], why: str) -> TimeRole:
    read = read_parts(profiles, names)
    if read is None:
        raise ValueError(f"{', '.join(names)} make no time")
    format_, moments = read
    parts = {
        name: directive
        for place, name in enumerate(names)
        if (directive := part_of(format_, place)) is not None
    }
    joined = "+".join(names)
    return TimeRole(
        EventTime(column=names[0], more_columns=tuple(names[1:]), format=format_),
        moments,
        f"{why}; {joined} together, read as {format_}"
        + ("; each of them is a feature, too" if parts else ""),
        parts,
        _missing_note(moments, joined),
    )


def _missing_note(
    moments: pd.Series, name: str, profile: ColumnProfile | None = None
) -> tuple[str, ...]:
    """How many rows have no time, with examples of what the column holds there."""
    missing = int(moments.isna().sum())
    if not missing:
        return ()
    values = profile.values.filter(pa.array(moments.isna())).drop_null() if profile else None
    bad = values.unique().to_pylist() if values is not None else []
    shown = ", ".join(repr(text[:40]) for text in bad[:SHOWN_BAD])
    such = f" ({shown}{', …' if len(bad) > SHOWN_BAD else ''})" if bad else ""
    have, them = ("row has", "it") if missing == 1 else ("rows have", "them")
    return (f"{missing:,} {have} no {name} that can be read{such}: silver will quarantine {them}",)


def _holds_times(profile: ColumnProfile) -> bool:
    """Whether the values are times, in one format, in two, or as a count since 1970."""
    if _readable(find_date_formats(profile.levels)):
        return True
    epoch = find_epoch(profile.name, profile.levels)
    return epoch[1] if epoch else find_two_formats(profile.levels) is not None


def _time_role(
    profiles: Profiles, date: str, hour: str | None, entity: str | None, why: str
) -> TimeRole:
    profile = profiles[date]
    formats, moments, settled = _read_time(profile)
    format_, *more_formats = formats
    reason = f"{why}; {settled}"
    if hour is None and not has_clock(moments):
        hour = _found_hour(profiles, moments, entity)
        reason += f"; the hour comes from {hour}, which makes the times unique" if hour else ""
    if hour is not None:
        moments = moments + pd.to_timedelta(_hours(profiles[hour]), unit="h")
    event_time = EventTime(
        column=date,
        format=None if format_ == ISO else format_,
        more_formats=tuple(more_formats),
        hour_column=hour,
    )
    return TimeRole(event_time, moments, reason, notes=_missing_note(moments, date, profile))


def _read_time(profile: ColumnProfile) -> tuple[tuple[str, ...], pd.Series, str]:
    """The formats, the rows' moments, and how they were settled."""
    formats = find_date_formats(profile.levels, compact=True)
    readable = _readable(formats)
    examples = ", ".join(profile.levels[:3])[:100] or "nothing"
    texts = pd.Series(profile.values.to_pylist(), dtype="object")

    def moments_of(format_: str) -> pd.Series:
        read = read_dates(profile.levels, format_)
        return pd.to_datetime(texts.map(dict(zip(profile.levels, read, strict=True))))

    if epoch := None if readable else find_epoch(profile.name, profile.levels):
        unit = "seconds" if epoch[0] == "%s" else "milliseconds"
        return (epoch[0],), moments_of(epoch[0]), f"read as {unit} since 1970"
    if two := None if readable else find_two_formats(profile.levels):
        moments = moments_of(two[0]).fillna(moments_of(two[1]))
        return two, moments, f"two formats: read as {two[0]}, else as {two[1]}; check them"
    if not readable:
        what = "dates in words" if formats else "no dates that are known here"
        raise AdoptionError(
            f"TIME={profile.name} holds {what}, such as {examples}",
            "write them as 2024-01-31, 2024-01-31 13:45 or 31/01/2024, or leave TIME out",
        )
    first = readable[0]
    if len(readable) == 1:
        return (first,), moments_of(first), f"read as {first}, which alone fits the values"
    # Both readings are dates in every row: no day is above 12.
    by_order = {format_: _order_share(moments_of(format_)) for format_ in readable}
    best = max(by_order, key=lambda format_: by_order[format_])
    if by_order[best] > 0.9 and by_order[best] > sorted(by_order.values())[-2]:
        return (
            (best,),
            moments_of(best),
            f"day and month could be swapped; read as {best}, which is the file's order",
        )
    default = next((f for f in readable if f.startswith("%m" if "/" in f else "%d")), first)
    return (
        (default,),
        moments_of(default),
        f"day and month could be swapped in every row; taken as {default}: check it",
    )


def _readable(formats: list[str]) -> list[str]:
    """The formats that silver can read."""

    def can_read(format_: str) -> bool:
        try:
            format_pattern(format_)
        except ContractError:
            return False
        return True

    return [format_ for format_ in formats if format_ == ISO or can_read(format_)]


def _order_share(moments: pd.Series) -> float:
    """How many rows are not earlier than the one before."""
    steps = moments.dropna().diff().dropna()
    return float((steps >= pd.Timedelta(0)).mean()) if len(steps) else 0.0


def _found_hour(profiles: Profiles, moments: pd.Series, entity: str | None) -> str | None:
    """A column of hours that tells apart rows of the same date (and entity)."""
    key = {"date": moments}
    if entity is not None:
        key["entity"] = pd.Series(profiles[entity].values.to_pylist(), dtype="object")
    dates = pd.DataFrame(key)
    if not dates.duplicated().any():
        return None
    for name, profile in profiles.items():
        if name.lower() not in HOUR_NAMES or not _holds_hours(profile):
            continue
        if not dates.assign(hour=_hours(profile)).duplicated().any():
            return name
    return None


def _holds_hours(profile: ColumnProfile) -> bool:
    numbers = profile.numbers
    return bool(
        profile.distinct > 0
        and profile.not_numbers == 0
        and ((numbers >= 0) & (numbers <= 23) & (numbers == np.floor(numbers))).all()
    )


def _require_hours(profile: ColumnProfile) -> None:
    if not _holds_hours(profile):
        raise AdoptionError(
            f"TIME=…+{profile.name}: hours from 0 to 23 are expected, "
            f"found {describe_levels(profile.levels)}",
            "name a column of hours after the +, or leave it out",
        )


def _hours(profile: ColumnProfile) -> pd.Series:
    hours = dict(zip(profile.levels, profile.numbers, strict=True))
    return pd.Series(profile.values.to_pylist(), dtype="object").map(hours).astype("float64")
