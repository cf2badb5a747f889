"""A time that is spread over several columns: year, month, day and hour, or a date and a clock."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from goldpath.adoption.column_profile import AdoptionError, ColumnProfile
from goldpath.adoption.date_formats import DATE_SHARE, ISO, YEARS, find_date_formats, read_dates
from goldpath.contract import ContractError, Feature
from goldpath.lake.event_time import format_pattern

ORDERED = 0.9
NAMES = {
    "%Y": ("year", "yr", "yyyy", "jahr", "ano", "año", "anno", "année", "annee", "rok"),
    "%m": ("month", "mon", "mnth", "mo", "mm", "monat", "mes", "mês", "mois", "mese"),
    "%d": ("day", "dd", "day_of_month", "dayofmonth", "mday", "tag", "dia", "día", "jour"),
    "%H": ("hour", "hours", "hr", "hh", "hour_of_day", "hourofday", "stunde", "hora", "heure"),
    "%M": ("minute", "minutes", "min", "minuto"),
    "%S": ("second", "seconds", "sec", "segundo"),
}
# Behind another word these are units or statistics: rain_mm, temp_min, delay_sec.
ABBREVIATED = ("mm", "dd", "mo", "hh", "min", "sec")
OTHER_DAYS = ("week", "work", "working", "business")
DATE_PARTS = ("%Y", "%m", "%d")
# fmt: off
MONTH_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)
# fmt: on
RANGES = {
    "%Y": YEARS,
    "%m": (1, 12),
    "%d": (1, 31),
    "%H": (0, 23),
    "%M": (0, 59),
    "%S": (0, 59),
}
CLOCK = re.compile(
    r"\d{1,2}(:\d{2}(:\d{2})?|\.\d{2}\.\d{2})|\d{1,2}(:\d{2}){0,2} ?[AaPp][Mm]", re.ASCII
)
DOTTED_CLOCK = re.compile(r"\d{1,2}\.\d{2}", re.ASCII)
HALF_DAYS = ("%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p", "%I %p", "%I%p")
CLOCKS = ("%H:%M", "%H:%M:%S", "%H.%M.%S", "%H.%M", *HALF_DAYS, "%H")
WHOLE = re.compile(r"(\d+)\.0+", re.ASCII)

Profiles = Mapping[str, ColumnProfile]


def read_parts(profiles: Profiles, names: Sequence[str]) -> tuple[str, pd.Series] | None:
    """The format of several columns' joined texts, and the rows' moments; None where none fits.

    Args:
        profiles: Every column.
        names: The columns in the order in which they are joined.
    """
    present = all_present(profiles, names)
    found: list[tuple[float, str, pd.Series]] = []
    for format_ in filter(_can_be_read, _formats(profiles, names)):
        moments = read_dates(_joined(profiles, names, format_), format_)
        if present.any() and moments[present].notna().mean() >= DATE_SHARE:
            found.append((_order_share(moments), format_, moments))
    if not found:
        return None
    # Where day and month can be swapped, the file's order tells; else the likeliest format.
    in_order = max(found, key=lambda each: each[0])
    _, format_, moments = in_order if in_order[0] > ORDERED else found[0]
    return format_, moments


def require_parts(profiles: Profiles, names: Sequence[str], asked: str) -> tuple[str, pd.Series]:
    """As `read_parts`, of columns that were asked for.

    Raises:
        AdoptionError: If they make no time together.
    """
    found = read_parts(profiles, names)
    if found is None:
        values = ", ".join(f"{name} {_example(profiles[name])}" for name in names)
        raise AdoptionError(
            f"TIME={asked}: these columns make no time together, or hold {values}",
            "name columns of numbers in the order year+month+day+hour+minute, or a column of dates "
            "and one of times such as 13:45 (date+time)",
        )
    return found


def find_calendar(profiles: Profiles, taken: Collection[str]) -> tuple[str, ...]:
    """Columns that are called year, month and day, with hour and minute where they are there.

    Of several columns those of one prefix belong together, such as `sale_year` and `sale_month`,
    and then those that are called `year` without one. Hours and minutes of another prefix are
    something else: `rush_hour`, `delay_minutes`.

    Returns:
        In this order; nothing where one of the first three is missing, is there twice, or holds
        other values.
    """
    called = _called(profiles, taken)
    dates = [called[directive] for directive in DATE_PARTS]
    prefixes = dict.fromkeys(["", *(prefix for columns in dates for prefix in columns)])
    shares = {prefix: sum(prefix in columns for columns in dates) for prefix in prefixes}
    best = max(shares, key=lambda prefix: shares[prefix])
    whole = [prefix for prefix, share in shares.items() if share == len(DATE_PARTS)]
    if "" not in whole and len(whole) > 1:
        return ()
    found: list[str] = []
    for directive, columns in called.items():
        own = columns.get(best) or columns.get("") or []
        if not own and directive in DATE_PARTS:
            own = [name for names in columns.values() for name in names]
        if len(own) != 1:
            break
        found += own
    return tuple(found) if len(found) >= len(DATE_PARTS) else ()


def ask_about_hours(
    profiles: Profiles, calendar: Sequence[str], taken: Collection[str]
) -> tuple[str, ...]:
    """A question where a time is read by the day, and beside it are hours of another prefix.

    Args:
        profiles: Every column.
        calendar: The columns that the time is read from, such as year, month and day.
        taken: Columns that have another role.
    """
    hours = _called(profiles, {*taken, *calendar})["%H"]
    found = [name for names in hours.values() for name in names]
    if len(calendar) > len(DATE_PARTS) or not found:
        return ()
    joined, hour = "+".join(calendar), found[0]
    return (
        f"question: is {hour} the hour of the event time? The time is read by the day, from "
        f"{joined}; say TIME={joined}+{hour} if it is",
    )


def suspected_calendar(profiles: Profiles, taken: Collection[str]) -> tuple[str, ...]:
    """Columns that are called like parts of a date, and do not make a whole time by themselves."""
    called = _called(profiles, taken)
    parts = {name for part in DATE_PARTS for names in called[part].values() for name in names}
    return tuple(name for name in profiles if name in parts)


def longest_time(profiles: Profiles, taken: Collection[str]) -> tuple[str, ...]:
    """The columns called like year, month and day, if together they can be read as a time."""
    called = _called(profiles, taken)
    names = [next(iter(columns.values()))[0] for part in DATE_PARTS if (columns := called[part])]
    has_no_gap = all(called[part] for part in DATE_PARTS[: len(names)])
    if names and has_no_gap and read_parts(profiles, names) is not None:
        return tuple(names)
    return ()


def find_clock(profiles: Profiles, date: str, taken: Collection[str]) -> str | None:
    """The one column of clock times, such as 18:00 or 18.00.00, that belongs to a date."""
    found = [
        name
        for name, profile in profiles.items()
        if name not in taken and name != date and profile.distinct > 1 and _holds_clocks(profile)
    ]
    return found[0] if len(found) == 1 else None


def calendar_feature(feature: Feature, directive: str) -> Feature:
    """A part of the time as a feature: of the calendar's range, and a year without end."""
    if not feature.is_numeric:  # 01 or January: the file need not have had every month
        return feature.model_copy(update={"categories": None, "closed": False})
    low, high = (None, None) if directive == "%Y" else map(float, RANGES[directive])
    return feature.model_copy(update={"minimum": low, "maximum": high})


def part_of(format_: str, place: int) -> str | None:
    """The directive that a column holds alone, or None for one with a date or a clock."""
    words = format_.split(" ")
    is_part = place < len(words) and (words[place] in RANGES or words[place] in ("%b", "%B"))
    return words[place] if is_part else None


def all_present(profiles: Profiles, names: Sequence[str]) -> np.ndarray:
    """Rows where each of the columns has a value, shape (rows,)."""
    masks = [profiles[name].values.is_valid().to_numpy(zero_copy_only=False) for name in names]
    return np.asarray(np.logical_and.reduce(masks))


def in_range(profile: ColumnProfile, directive: str) -> bool:
    """Whether each number is one that this part of a time can be; a few words are bad values."""
    low, high = RANGES[directive]
    numbers = profile.numbers
    whole = (numbers >= low) & (numbers <= high) & (numbers == np.floor(numbers))
    few_words = profile.not_numbers <= (1 - DATE_SHARE) * profile.present
    return bool(whole.any() and few_words and (whole | np.isnan(numbers)).all())


def _order_share(moments: pd.Series) -> float:
    """How many rows are not earlier than the one before."""
    steps = moments.dropna().diff().dropna()
    return float((steps >= pd.Timedelta(0)).mean()) if len(steps) else 0.0


def snake_case(name: str) -> str:
    """`SaleYear`, `Sale Year` and `sale-year` as `sale_year`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[\W_]+", "_", words).strip("_").lower()


def _called(profiles: Profiles, taken: Collection[str]) -> dict[str, dict[str, list[str]]]:
    """By directive and prefix, the columns that are called so and hold such values."""
    found: dict[str, dict[str, list[str]]] = {directive: {} for directive in NAMES}
    for name, profile in profiles.items():
        part = None if name in taken else _part_called(name)
        if part is not None and _written_as(profile, part[0]):
            found[part[0]].setdefault(part[1], []).append(name)
    return found


def _part_called(name: str) -> tuple[str, str] | None:
    """The directive and the prefix of a column's name: `%Y` and `sale` of `sale_year`."""
    lower = snake_case(name)
    for directive, names in NAMES.items():
        if lower in names:
            return directive, ""
    for directive, names in NAMES.items():
        for each in names:
            prefix = lower.removesuffix(f"_{each}")
            if prefix != lower and each not in ABBREVIATED and prefix not in OTHER_DAYS:
                return directive, prefix
    return None


def _written_as(profile: ColumnProfile, directive: str) -> str | None:
    """The directive that reads the values: for a month also by its English name."""
    if in_range(profile, directive):
        return directive
    levels = {level.lower() for level in profile.levels}
    if directive == "%m" and len(levels) > 1:
        if levels <= set(MONTH_NAMES):
            return "%B"
        if levels <= {month[:3] for month in MONTH_NAMES}:
            return "%b"
    return None


def _holds_clocks(profile: ColumnProfile) -> bool:
    dotted = "time" in profile.name.lower() or "uhr" in profile.name.lower()
    clocks = [
        bool(CLOCK.fullmatch(level) or (dotted and DOTTED_CLOCK.fullmatch(level)))
        for level in profile.levels
    ]
    return int(profile.counts[clocks].sum()) >= DATE_SHARE * profile.present


def _formats(profiles: Profiles, names: Sequence[str]) -> Iterator[str]:
    """Formats that the values allow, the likeliest first."""
    by_name = [_directive_of(name, profiles[name]) for name in names]
    if all(by_name) and len(set(by_name)) == len(by_name):
        yield " ".join(map(str, by_name))
    by_place = [_written_as(profiles[name], part) for name, part in zip(names, NAMES, strict=False)]
    if len(names) == len(by_place) and all(by_place):
        yield " ".join(map(str, by_place))
    if len(names) == 2:
        found = find_date_formats(profiles[names[0]].levels)
        days = [each for each in found if "%H" not in each and "%I" not in each]
        dates = ["%Y-%m-%d" if each == ISO else each for each in days]
        for date, clock in product(dates, CLOCKS):
            yield f"{date} {clock}"


def _directive_of(name: str, profile: ColumnProfile) -> str | None:
    part = _part_called(name)
    return _written_as(profile, part[0]) if part else None


def _can_be_read(format_: str) -> bool:
    try:
        format_pattern(format_)
    except ContractError:
        return False
    return True


def _joined(profiles: Profiles, names: Sequence[str], format_: str) -> list[str | None]:
    """The rows' texts as silver joins them."""
    columns = [profiles[name].values.to_pylist() for name in names]
    keeps_dots = "%H.%M" in format_

    def text(value: str) -> str:
        whole = None if keeps_dots else WHOLE.fullmatch(value)
        return whole.group(1) if whole else value

    return [None if None in row else " ".join(map(text, row)) for row in zip(*columns, strict=True)]


def _example(profile: ColumnProfile) -> str:
    return f"{profile.levels[0][:20]!r}" if profile.levels else "nothing"
