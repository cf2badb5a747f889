"""When a row became true: the column or columns, and their format.

What looks like a time and is not surely the event time is a question in `notes`: without a time the
rows are split at random, which makes the score of a time series too good.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    NUMBER_FORMATS,
    TRIED_FIRST,
    find_date_formats,
    find_number_format,
    find_two_formats,
    has_clock,
    read_dates,
    spreadsheet_day,
)
from goldpath.adoption.time_parts import (
    ask_about_hours,
    find_calendar,
    find_clock,
    in_range,
    longest_time,
    part_of,
    read_parts,
    require_parts,
    snake_case,
    suspected_calendar,
)
from goldpath.contract import ContractError
from goldpath.lake.event_time import format_pattern
from goldpath.raw_source import EventTime

SHOWN_BAD = 3
ADD_DATES = "add a column of dates such as 2024-01-31 and name it as TIME"
HOUR_NAMES = ("hr", "hour", "hours", "hour_of_day", "hourofday")
NOT_EVENT_TIMES = re.compile(
    r"birth|geburt|expir|ablauf|(^|_)(dob|born|until|bis|due(date)?|f(ä|ae)llig\w*"
    r"|end(e|s|ed|ing)?|end_?(date|time|day|datum|zeit))(_|$)"
)
# Quarters, weeks, seasons and fiscal years: 2024-Q1, Q1/2024, KW 5/2024, 2023/24, FY24.
PERIOD = re.compile(
    r"(19|20)\d{2}[-/ ]?([QWH]|KW) ?\d{1,2}|([QWH]|KW) ?\d{1,2}[-/ ]((19|20)\d{2}|\d{2})"
    r"|(19|20)\d{2}[-/]\d{2}|FY ?\d{2,4}",
    re.ASCII | re.IGNORECASE,
)
# Month and year in words, in whatever language: Januar 2024, 3. März 2024, janv. 2024.
WORDED = re.compile(r"(?:\d{1,2}\.? ?(?:de )?)?([^\W\d_]{3,12})\.?[ -](?:de )?(?:19|20)\d{2}")
MONTH_STEM = re.compile(
    "jan|feb|mär|mar|mrz|apr|mai|may|jun|jul|aug|sep|okt|oct|nov|dez|dec|fév|fev|avr|jui|aoû|aou|déc"
    "|ene|abr|ago|dic|gen|mag|giu|lug|set|ott|out|mrt|mei|sty|lut|kwi|maj|cze|lip|sie|wrz|paź|lis|gru"
)

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
    if len(names) == 1 and in_range(profiles[names[0]], "%Y"):
        return _parts_role(profiles, names, "as asked")
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
        role = _parts_role(profiles, calendar, "found by their names (TIME=none to do without)")
        asked = ask_about_hours(profiles, calendar, {*taken, *unlikely})
        return replace(role, notes=(*role.notes, *asked))
    if dates:
        missing, rows = _missing(profiles[dates[0]]), profiles[dates[0]].rows
        gaps = f" ({missing:,} ({percentage(missing, rows)}) rows have none)" if missing else ""
        return _question(
            f"{', '.join(dates)}: dates{gaps}; say "
            f"TIME={dates[0]} if it is when the row became true, or TIME=none"
        )
    if parts := suspected_calendar(profiles, {*taken, *unlikely}):
        joined = "+".join(longest_time(profiles, {*taken, *unlikely}))
        answer = f"say TIME={joined} if they are" if joined else ADD_DATES
        return _question(
            f"{', '.join(parts)} could be parts of the event time; {answer}, or TIME=none"
        )
    return _unsure({name: profile for name, profile in free.items() if name not in unlikely})


def _unsure(profiles: Profiles) -> TimeRole:
    """A question about columns whose values may be times, or are times that cannot be read."""
    for name, profile in profiles.items():
        if find_number_format(name, profile.levels) is not None and not _is_key(profile):
            return _question(
                f"{name}: numbers such as {profile.levels[0]} could be times by their values; say "
                f"TIME={name} if it is when the row became true, or TIME=none"
            )
        if day := spreadsheet_day(name, profile.levels):
            return _question(
                f"{name}: numbers such as {profile.levels[0]} could be dates as spreadsheets count "
                f"days ({day}); write them as dates and say TIME={name}, or say TIME=none"
            )
        if _tells_time(profile):
            return _question(
                f"{name} could be the event time, but {profile.levels[0]!r} is no date that can be "
                f"read; {ADD_DATES}, or say TIME=none"
            )
    return TimeRole(None, None, "")


def _is_key(profile: ColumnProfile) -> bool:
    return profile.is_identifier or profile.names_rows or profile.names_subjects


def _tells_time(profile: ColumnProfile) -> bool:
    """Whether the values are periods, or months in words that are not English."""

    def tells(level: str) -> bool:
        words = WORDED.fullmatch(level)
        in_words = words is not None and MONTH_STEM.match(words[1].lower()) is not None
        return in_words or PERIOD.fullmatch(level) is not None

    if profile.distinct < 2 or not any(map(tells, profile.levels[:TRIED_FIRST])):
        return False
    told = profile.counts[[tells(level) for level in profile.levels]].sum()
    return int(told) >= DATE_SHARE * profile.present


def _question(said: str) -> TimeRole:
    note = f"{said}. Until then rows are split at random, not by time: a score may be too good"
    return TimeRole(None, None, said, notes=(note,))


def _is_event_time(name: str) -> bool:
    return NOT_EVENT_TIMES.search(snake_case(name)) is None


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
        f"{why}; {joined}{' together' * (len(names) > 1)}, read as {format_}"
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
    """Whether the values are times, in one format, in two, or as numbers of a column called so."""
    if _readable(find_date_formats(profile.levels)):
        return True
    number = find_number_format(profile.name, profile.levels)
    return number[1] if number else find_two_formats(profile.levels) is not None


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

    if number := None if readable else find_number_format(profile.name, profile.levels):
        return (number[0],), moments_of(number[0]), f"read as {NUMBER_FORMATS[number[0]]}"
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
