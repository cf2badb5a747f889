"""Which dates a text can be: formats tried on every value, and settled by the values."""

import re
from collections.abc import Iterable, Sequence
from itertools import product

import pandas as pd

from goldpath.lake.event_time import WHOLE_FORMATS

ISO = "ISO 8601"
DATE_SHARE = 0.95
"""How many values of a column of dates, at least, are dates: a bad row hides no time."""
FEWEST_DATES = 4
"""From so many values on, one may be bad, whatever share that is."""
TRIED_FIRST = 50
HEAD_SHARE = 0.9
YEARS = (1900, 2100)
# Texts of other shapes are no dates; it spares numbers and categories the parsing.
DATE_SHAPE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})(\D|$)"
    r"|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4}"
    r"|\d{4}[-/]\d{1,2}$|\d{1,2}/\d{4}$|[A-Za-z]{3,9}[ -]\d{2,4}$|\d{4}[ -][A-Za-z]{3,9}$",
    re.ASCII,
)
EPOCH_NAME = re.compile(
    r"time|stamp|epoch|unix|date|created|updated|(^|_)(ts|at|when)$", re.IGNORECASE
)
# Seconds since 1970 of the years 2000 to 2035; milliseconds are a thousand times as many.
EPOCH_SECONDS = (946_684_800, 2_051_222_400)
DAYS_NAME = re.compile(r"date|datum|time|zeit|stamp|fecha", re.IGNORECASE)
# Spreadsheets count days from here; the bounds are the first days of 1980 and 2061.
FIRST_DAY = pd.Timestamp("1899-12-30")
SPREADSHEET_DAYS = (29_221, 58_807)
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p")
YEAR_FIRST = [
    f"{date}{clock}"
    for date, clock in product(
        ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"), (*CLOCKS, "T%H:%M", "T%H:%M:%S")
    )
] + ["%Y-%m", "%Y/%m"]
MONTH_OR_DAY_FIRST = [
    f"{first}{mark}{second}{mark}{year}{clock}"
    for mark, year, clock in product("/-.", ("%Y", "%y"), CLOCKS)
    for first, second in (("%m", "%d"), ("%d", "%m"))
]
WITH_MONTH_NAMES = [
    f"{date}{clock}"
    for date, clock in product(
        ("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"), CLOCKS
    )
] + ["%m/%Y", "%b %Y", "%b-%Y", "%b-%y", "%B %Y", "%Y %b", "%Y-%b"]
COMPACT = ["%Y%m%d"]
# A column of whole numbers that once had a gap is written as 202401.0.
COMPACT_MONTH = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(\.0+)?$", re.ASCII)
MONTH_NAME = re.compile(
    r"month|monat|(^|_)mes(_|$)|mois|period|yyyymm|date|datum|time|zeit|(^|_)ym(_|$)", re.IGNORECASE
)
COMPACT_DATE = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\.0+)?$", re.ASCII)
EPOCH = re.compile(r"(\d{9,10}|\d{12,13})(\.0+)?$", re.ASCII)
EPOCHS = {"%s": 1, "%s%f": 1_000}
NUMBER_FORMATS = {
    "%s": "seconds since 1970",
    "%s%f": "milliseconds since 1970",
    "%Y%m": "year and month",
}
FEWEST_COMPACT = 3
SAMPLED = 500
FIGURE = re.compile(r"[1-9]")


def find_date_formats(levels: Sequence[str], *, compact: bool = False) -> list[str]:
    """The formats that read the values as dates, but for a few bad ones.

    Args:
        levels: Distinct texts.
        compact: Whether few values such as `20240131` may be dates; they may as well be numbers.

    Returns:
        Formats for `strptime`, or `ISO`, the best first: of those that read enough of the values,
        the ones that read the most; none where the values are no dates.
    """
    head = _with_figures(levels[:TRIED_FIRST])
    if not (head if compact else _begins_with(levels, DATE_SHAPE, COMPACT_DATE)):
        return []
    levels = _with_figures(levels)
    enough = enough_dates(len(levels))
    if len(levels) >= FEWEST_COMPACT and _matched(COMPACT_DATE, levels) >= enough:
        return COMPACT if _read_share(levels, COMPACT[0]) >= enough else []
    found: dict[str, float] = {}
    for format_ in (
        ISO,
        *YEAR_FIRST,
        *MONTH_OR_DAY_FIRST,
        *WITH_MONTH_NAMES,
        *(COMPACT if compact else []),
    ):
        # The head may hold more bad values than its part; the final count is over all.
        if _read_share(head, format_) < 0.5:
            continue
        share = _read_share(levels, format_)
        if share >= enough:
            found[format_] = share
            if format_ == ISO or format_ in YEAR_FIRST:
                break
    return [format_ for format_, share in found.items() if share == max(found.values())]


def find_number_format(name: str, levels: Sequence[str]) -> tuple[str, bool] | None:
    """The format of a column of numbers that are times: counts since 1970, and 202401 for a month.

    Args:
        name: The column; its name decides, since any such number could be a count or an amount.
        levels: Distinct texts.

    Returns:
        A key of `NUMBER_FORMATS`, and whether the name says that it is a time; None where the
        values are no such numbers.
    """
    if not _begins_with(levels, COMPACT_MONTH, EPOCH):
        return None
    levels = _with_figures(levels)
    if len(levels) < FEWEST_COMPACT:
        return None
    enough = enough_dates(len(levels))
    if _matched(COMPACT_MONTH, levels) >= enough:
        return "%Y%m", MONTH_NAME.search(name) is not None
    if _matched(EPOCH, levels) < enough:
        return None
    counts = [float(level) for level in levels if EPOCH.fullmatch(level)]
    for format_, factor in (("%s", 1), ("%s%f", 1_000)):
        low, high = (bound * factor for bound in EPOCH_SECONDS)
        if sum(low <= count <= high for count in counts) >= enough * len(levels):
            return format_, EPOCH_NAME.search(name) is not None
    return None


def spreadsheet_day(name: str, levels: Sequence[str]) -> str | None:
    """The first value as a date, where a column called so holds days as spreadsheets count them.

    Example:
        >>> spreadsheet_day("date", ["45322.5", "45323", "45324.25"])
        '2024-01-31'
    """
    if DAYS_NAME.search(name) is None or len(levels) < FEWEST_COMPACT:
        return None
    days = pd.to_numeric(pd.Series(list(levels)), errors="coerce")
    likely = days.between(*SPREADSHEET_DAYS)
    if likely.mean() < enough_dates(len(levels)):
        return None
    return str((FIRST_DAY + pd.Timedelta(int(days[likely].iloc[0]), unit="D")).date())


def find_two_formats(levels: Sequence[str]) -> tuple[str, str] | None:
    """Two formats that read the values together, where no one does; ISO first."""
    if not _begins_with(levels, DATE_SHAPE):
        return None
    levels = _with_figures(levels)
    tried = [ISO, *YEAR_FIRST, *MONTH_OR_DAY_FIRST, *WITH_MONTH_NAMES]
    some = levels[:: max(len(levels) // SAMPLED, 1)]
    read = {format_: read_dates(some, format_).notna().to_numpy() for format_ in tried}
    first = max(tried, key=lambda format_: int(read[format_].sum()))
    # Day and month swapped within one column is no second format: most rows fit both.
    others = [format_ for format_ in tried if format_ not in (first, _swapped(first))]
    second = max(others, key=lambda format_: int((read[format_] & ~read[first]).sum()))
    if not read[first].any() or not (read[second] & ~read[first]).any():
        return None
    both = read_dates(levels, first).notna() | read_dates(levels, second).notna()
    if both.mean() < enough_dates(len(levels)):
        return None
    return (second, first) if second == ISO else (first, second)


def _swapped(format_: str) -> str:
    return format_.replace("%d", "%D").replace("%m", "%d").replace("%D", "%m")


def enough_dates(values: int) -> float:
    """The share of a column's different values that are dates, at least, where it holds dates.

    Example:
        >>> enough_dates(100), enough_dates(10), enough_dates(3)
        (0.95, 0.9, 0.95)
    """
    one_bad = 1 - 1 / values if values >= FEWEST_DATES else 1.0
    return min(DATE_SHARE, one_bad)


def read_dates(values: Iterable[str | None], format_: str) -> pd.Series:
    """Timestamps without zone; missing where a value is no date of this format, or implausible."""
    texts = pd.Series(list(values), dtype="object")
    moments: pd.Series
    if format_ in EPOCHS:
        counts = pd.to_numeric(texts, errors="coerce") // EPOCHS[format_]
        moments = pd.to_datetime(counts, unit="s", errors="coerce", utc=True)
    elif format_ == ISO:
        texts = texts.where(texts.str.match(r"\d{4}-\d{2}-\d{2}", na=False))
        moments = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    else:
        if format_ in WHOLE_FORMATS:
            texts = texts.str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
        moments = pd.to_datetime(texts, format=format_, errors="coerce", utc=True)
    moments = moments.dt.tz_localize(None)
    return moments.where(moments.dt.year.between(*YEARS))


def has_clock(moments: pd.Series) -> bool:
    """Whether some moment is not at midnight."""
    known = moments.dropna()
    return bool((known != known.dt.normalize()).any())


def _with_figures(levels: Sequence[str]) -> Sequence[str]:
    """The values that could be a date; `unknown`, `Total` and 0000-00-00 stand for none.

    Returns:
        Nothing where most are such words.
    """
    found = [level for level in levels if FIGURE.search(level)]
    return found if 2 * len(found) >= len(levels) else []


def _begins_with(levels: Sequence[str], *shapes: re.Pattern[str]) -> bool:
    """Whether the first values have one of the shapes; it spares most columns the rest."""
    head = _with_figures(levels[:TRIED_FIRST])
    enough = min(HEAD_SHARE * DATE_SHARE, enough_dates(len(head)))
    return bool(head) and max(_matched(shape, head) for shape in shapes) >= enough


def _matched(pattern: re.Pattern[str], levels: Sequence[str]) -> float:
    """The share of values that the pattern finds at their beginning."""
    return sum(pattern.match(level) is not None for level in levels) / len(levels)


def _read_share(levels: Sequence[str], format_: str) -> float:
    return float(read_dates(levels, format_).notna().mean())
