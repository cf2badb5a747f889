"""Which dates a text can be: formats tried on every value, and settled by the values."""

import re
from collections.abc import Iterable, Sequence
from itertools import product

import pandas as pd

ISO = "ISO 8601"
TRIED_FIRST = 50
YEARS = (1900, 2100)
# Texts of other shapes are no dates; it spares numbers and categories the parsing.
DATE_SHAPE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})(\D|$)"
    r"|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{2,4}|[A-Za-z]{3,9} \d{1,2}, \d{4}",
    re.ASCII,
)
CLOCKS = ("", " %H:%M", " %H:%M:%S")
YEAR_FIRST = [
    f"{date}{clock}"
    for date, clock in product(
        ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"), (*CLOCKS, "T%H:%M", "T%H:%M:%S")
    )
]
MONTH_OR_DAY_FIRST = [
    f"{first}{mark}{second}{mark}{year}{clock}"
    for mark, year, clock in product("/-.", ("%Y", "%y"), CLOCKS)
    for first, second in (("%m", "%d"), ("%d", "%m"))
]
# Recognised, so that such a column is called what it is; silver reads numbers only.
UNREADABLE = [
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%d/%m/%Y %I:%M %p",
]
COMPACT = ["%Y%m%d"]


def find_date_formats(
    levels: Sequence[str], share: float = 1.0, *, compact: bool = False
) -> list[str]:
    """The formats that read the values as dates.

    Args:
        levels: Distinct texts.
        share: How many of them, at least, the format must read.
        compact: Whether `20240131` may be a date; it may as well be a number.

    Returns:
        Formats for `strptime`, or `ISO`, the best first; none where the values are no dates.
    """
    head = levels[:TRIED_FIRST]
    shaped = sum(DATE_SHAPE.match(level) is not None for level in head)
    if not head or (shaped < share * len(head) * 0.9 and not compact):
        return []
    found = []
    for format_ in (
        ISO,
        *YEAR_FIRST,
        *MONTH_OR_DAY_FIRST,
        *UNREADABLE,
        *(COMPACT if compact else []),
    ):
        # The head may hold more bad values than its part; the final count is over all.
        if _read_share(head, format_) >= min(share, 0.5) and _read_share(levels, format_) >= share:
            found.append(format_)
            if format_ == ISO or format_ in YEAR_FIRST:
                break
    return found


def read_dates(values: Iterable[str | None], format_: str) -> pd.Series:
    """Timestamps without zone; missing where a value is no date of this format, or implausible."""
    texts = pd.Series(list(values), dtype="object")
    if format_ == ISO:
        texts = texts.where(texts.str.match(r"\d{4}-\d{2}-\d{2}", na=False))
        moments = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    else:
        moments = pd.to_datetime(texts, format=format_, errors="coerce", utc=True)
    moments = moments.dt.tz_localize(None)
    return moments.where(moments.dt.year.between(*YEARS))


def has_clock(moments: pd.Series) -> bool:
    """Whether some moment is not at midnight."""
    known = moments.dropna()
    return bool((known != known.dt.normalize()).any())


def _read_share(levels: Sequence[str], format_: str) -> float:
    return float(read_dates(levels, format_).notna().mean())
