"""Reading event times as one expression that DuckDB and Athena both understand.

`strptime` is not portable: DuckDB's stops the whole query at the first bad row, and Athena has
another one. So a format becomes a regular expression whose parts are put together as ISO 8601
text, and `TRY_CAST` makes a timestamp of it, or null.
"""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from goldpath.contract import ContractError
from goldpath.lake.bare_text import stripped
from goldpath.raw_source import EventTime

if TYPE_CHECKING:
    import ibis

PARTS = {
    "%Y": r"(\d{4})",
    "%y": r"(\d{2})",
    "%m": r"(\d{1,2})",
    "%d": r"(\d{1,2})",
    "%H": r"(\d{1,2})",
    "%M": r"(\d{1,2})",
    "%S": r"(\d{1,2})",
    "%I": r"(0?[1-9]|1[0-2])",
    "%p": r"([AaPp])\.?[Mm]\.?",
    "%b": r"([A-Za-z]{3})[a-z]*\.?",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# A year of four digits first: DuckDB's own cast takes 31/01/24 for a day of the year 31.
ISO_START = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}"
# Text of one of these forms has no offset. DuckDB's plain cast reads a million of them in 0.07 CPU
# seconds, in 0.11 with the question of which form it has; through a zoned type it takes 0.47.
PLAIN_ISO = ("____-__-_____:__:__", "____-__-__")
# Whole formats: seconds and milliseconds since 1970.
EPOCHS = {"%s": ("s", 1), "%s%f": ("ms", 1_000)}
# Read from whole numbers, which a column that once had a gap writes as 2024.0 and 202401.0.
WHOLE_FORMATS = ("%Y", "%Y%m", "%Y%m%d")
# How much of ISO 8601 text names an interval: 2026, 2026-03, 2026-03-15.
INTERVAL_WIDTH = {"year": 4, "month": 7, "day": 10}
# Intervals of rows whose time is unreadable, and of data that has none.
UNKNOWN_INTERVAL = "unknown"
WHOLE_TABLE = "all"
PIVOT = "69"  # POSIX: two-digit years from 69 are in the 1900s


def parse_event_time(raw: "ibis.Table", event_time: EventTime) -> "ibis.Value":
    """The event time of each row as a timestamp without zone; null where the text is none.

    A time with an offset is converted to UTC; one without is taken as it stands.

    Args:
        raw: Rows with text columns.
        event_time: The contract's event time.

    Raises:
        ContractError: If the format holds a directive that is not supported.
    """
    import ibis

    text = _joined_text(raw, event_time)
    moment = _moment(text, event_time.format)
    if event_time.format is None:
        # With blanks around it text is not plain, so most rows need not be stripped.
        bare = text if event_time.more_columns else raw[event_time.column]
        moment = ibis.coalesce(_plain_moment(bare), moment)
    for format_ in event_time.more_formats:
        moment = moment.fill_null(_moment(text, format_))
    if event_time.hour_column is None:
        return moment
    hour = stripped(raw[event_time.hour_column]).try_cast("int64")
    return (hour.between(0, 23)).ifelse(moment + hour.as_interval("h"), None)


def _joined_text(raw: "ibis.Table", event_time: EventTime) -> "ibis.Value":
    """The text that the format reads; null where one of its columns is."""
    text = stripped(raw[event_time.column])
    if not event_time.more_columns and event_time.format not in WHOLE_FORMATS:
        return text
    parts = [text, *(stripped(raw[name]) for name in event_time.more_columns)]
    if "%H.%M" not in (event_time.format or ""):
        # A column of whole numbers that once had a gap is written as 7.0.
        parts = [
            part.re_search(r"^\d+\.0+$").ifelse(part.re_replace(r"\.0+$", ""), part)
            for part in parts
        ]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + " " + part
    return joined


def _plain_moment(text: "ibis.Value") -> "ibis.Value":
    """The moment of ISO 8601 text without an offset; null for other text, also if it is a time."""
    is_plain = (text >= "0") & reduce(or_, [text.like(form) for form in PLAIN_ISO])
    return is_plain.ifelse(text, None).try_cast("timestamp")


def _moment(text: "ibis.Value", format_: str | None) -> "ibis.Value":
    import ibis

    if format_ in EPOCHS:
        count = text.re_search(r"^-?\d{1,14}(\.0+)?$").ifelse(text, None).try_cast("float64")
        seconds = (count / EPOCHS[format_][1]).floor().try_cast("int64")
        return ibis.timestamp("1970-01-01 00:00:00") + seconds.as_interval("s")
    if format_ is None:
        iso = text.re_search(ISO_START).ifelse(text, ibis.null("string"))
    else:
        iso = _as_iso(text, format_)
    # Through a zoned type, since a plain cast drops the offset; the engine's own zone is UTC.
    return iso.try_cast("timestamp('UTC')").cast("timestamp")


def interval_of(raw: "ibis.Table", event_time: EventTime | None) -> "ibis.Value":
    """The interval that each row belongs to, such as 2026-03 for a monthly table."""
    import ibis

    if event_time is None:
        return ibis.literal(WHOLE_TABLE)
    moment = parse_event_time(raw, event_time).cast("string")
    return moment.substr(0, INTERVAL_WIDTH[event_time.interval]).fill_null(UNKNOWN_INTERVAL)


def intervals_between(intervals: Iterable[str], start: date | None, end: date | None) -> list[str]:
    """The intervals that overlap a period.

    Args:
        intervals: Names of intervals; those without a time are in no period.
        start: The first day, or None for no bound.
        end: The first day that is no longer in it, or None for no bound.
    """
    dated = [name for name in intervals if name not in (UNKNOWN_INTERVAL, WHOLE_TABLE)]
    return [
        name
        for name in dated
        if (start is None or name >= start.isoformat()[: len(name)])
        and (end is None or name <= (end - timedelta(days=1)).isoformat()[: len(name)])
    ]


def format_pattern(format_: str) -> tuple[str, list[str]]:
    """A `strptime` format as a regular expression and the directives of its groups, in order.

    Raises:
        ContractError: If a directive is not supported, or the date has neither year and month nor
            is a year alone.
    """
    if format_ in EPOCHS:
        return r"^-?\d{1,14}(\.0+)?$", []
    pattern, directives = "", []
    # English month names are told by their first three letters, however many are written.
    for piece in re.findall(r"%.|[^%]+", format_.replace("%B", "%b")):
        if piece in PARTS:
            pattern += PARTS[piece]
            directives.append(piece)
        elif piece.startswith("%"):
            raise ContractError(
                f"event_time.format: {piece} in {format_!r} is not supported",
                f"use {' '.join(PARTS)}, %s (seconds since 1970) or ISO 8601",
            )
        else:
            pattern += re.escape(piece)
    year_and_month = {"%m", "%b"} & set(directives) and {"%Y", "%y"} & set(directives)
    if not year_and_month and directives != ["%Y"]:
        raise ContractError(
            f"event_time.format {format_!r} has no complete date",
            "give year and month, and the day where there is one; a year alone is %Y",
        )
    return f"^{pattern}$", directives


def _as_iso(text: "ibis.Value", format_: str) -> "ibis.Value":
    import ibis

    pattern, directives = format_pattern(format_)

    def part(directive: str, width: int = 2) -> "ibis.Value":
        if directive not in directives:
            return ibis.literal("0" * width)
        return text.re_extract(pattern, directives.index(directive) + 1).lpad(width, "0")

    if "%Y" in directives:
        year = part("%Y", 4)
    else:
        short = part("%y")
        year = (short >= PIVOT).ifelse(ibis.literal("19") + short, ibis.literal("20") + short)
    # A month without a day begins on its first, and so does a year.
    day = part("%d") if "%d" in directives else ibis.literal("01")
    if "%b" in directives:
        month = _month_number(part("%b", 3))
    else:
        month = part("%m") if "%m" in directives else ibis.literal("01")
    iso = (
        year
        + "-"
        + month
        + "-"
        + day
        + " "
        + (_hour_of_day(part("%I"), part("%p", 1)) if "%I" in directives else part("%H"))
        + ":"
        + part("%M")
        + ":"
        + part("%S")
    )
    return text.re_search(pattern).ifelse(iso, None)


def _month_number(name: "ibis.Value") -> "ibis.Value":
    """The month of an English name's first three letters; anything else makes no date."""
    import ibis

    short = name.lower()
    numbered = [(short == month, f"{number:02}") for number, month in enumerate(MONTHS, 1)]
    return ibis.cases(*numbered, else_="00")


def _hour_of_day(hour: "ibis.Value", half: "ibis.Value") -> "ibis.Value":
    """12 AM is midnight, 12 PM noon; without AM or PM the hour stands as it is."""
    twelve = hour.try_cast("int64") % 12
    of_day = (half.lower() == "p").ifelse(twelve + 12, twelve)
    return half.lower().isin(["a", "p"]).ifelse(of_day.cast("string").lpad(2, "0"), hour)
