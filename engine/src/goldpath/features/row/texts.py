"""Operations on texts and times in plain Python: what the batch and the one row share.

The lake computes the same in SQL, so each is chosen such that SQL can say it exactly.
"""

import re
from datetime import date

# Up to here the small letter of a capital one is the same in every version of Unicode.
_LAST_LETTER = 0x52F
CAPITALS, SMALL = (
    "".join(letters)
    for letters in zip(
        *(
            (each, each.lower())
            for each in map(chr, range(_LAST_LETTER + 1))
            if len(each.lower()) == 1 and each.lower() != each
        ),
        strict=True,
    )
)
"""The letters that `lower` changes, and what it changes them to."""

_LOWER = str.maketrans(CAPITALS, SMALL)

TIME = (
    r"([12]\d{3}-\d{2}-\d{2})"
    r"(?:[T ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?:Z|([+-])(0\d|1[0-4]):([0-5]\d))?)?"
)
"""A time as text. Its groups: date, hour, minute, second; sign, hours and minutes of the offset."""

_TIME = re.compile(TIME, re.ASCII)
DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS = 86_400, 3_600, 60
_EPOCH = date(1970, 1, 1).toordinal()

_ATOM = r"(?:\\d|\\[.^$*+?(){}\[\]|\\/-]|\[\^?[^\[\]\\&~|]+\]|[^.^$*+?(){}\[\]|\\])"
_REPEAT = r"(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})?"
_RUN = f"(?:{_ATOM}{_REPEAT})*"
_PATTERN = re.compile(rf"\^?{_RUN}(?:\({_ATOM}{_REPEAT}{_RUN}\){_RUN})?\$?")
_LONGEST_PATTERN = 200
_MOST_REPEATS = 4
_REPEATS = re.compile(r"[*+]|\{\d+,\d*\}")


def lower(text: str) -> str:
    """The text with small letters."""
    return text.translate(_LOWER)


def check_pattern(pattern: str) -> str:
    r"""Why a pattern is not one that all engines read alike; empty where it is.

    Allowed are letters, digits, `\d`, escaped signs, classes such as `[a-z]`, the repetitions
    `* + ? {m,n}` of one of these, `^` at the beginning, `$` at the end, and one group in
    parentheses, which is what is extracted.
    """
    if len(pattern) > _LONGEST_PATTERN:
        return f"takes a pattern of at most {_LONGEST_PATTERN} characters"
    if not _PATTERN.fullmatch(pattern):
        return (
            f"cannot read the pattern {pattern!r} alike in every engine: it may hold letters, "
            r"\d, escaped signs, classes such as [a-z], repetitions of one of these, ^, $ and one "
            "group (without |, *, + or ? behind it)"
        )
    if "--" in pattern:  # Python may read it as a difference of classes one day
        return f"cannot read -- in the pattern {pattern!r}: write \\-"
    if len(_REPEATS.findall(pattern)) > _MOST_REPEATS:
        return f"takes a pattern with at most {_MOST_REPEATS} repetitions"
    try:
        compiled_pattern(pattern)
    except re.error as error:
        return f"cannot read the pattern {pattern!r}: {error}"
    return ""


def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """A checked pattern as Python reads it."""
    return re.compile(with_end(pattern, r"\Z"), re.ASCII)


def with_end(pattern: str, end: str) -> str:
    """A pattern whose `$` is written as the end of the text, and not of its last line."""
    before = pattern[:-1]
    escapes = len(before) - len(before.rstrip("\\"))
    return before + end if pattern.endswith("$") and escapes % 2 == 0 else pattern


def extracted(text: str, pattern: re.Pattern[str]) -> str | None:
    """The pattern's group, or all that it matched, where it stands first."""
    found = pattern.search(text)
    return None if found is None else found.group(pattern.groups)


def seconds_of(text: str) -> float | None:
    """A time as text, as seconds since 1970 in UTC."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, hour, minute, second, sign, offset_hours, offset_minutes = found.groups()
    try:
        days = date.fromisoformat(day).toordinal() - _EPOCH
    except ValueError:
        return None
    local = _clock(hour, minute) + int(second or 0)
    offset = _clock(offset_hours, offset_minutes) * (-1 if sign == "-" else 1)
    return float(days * DAY_SECONDS + local - offset)


def _clock(hours: str | None, minutes: str | None) -> int:
    return int(hours or 0) * HOUR_SECONDS + int(minutes or 0) * MINUTE_SECONDS


def day_of(seconds: float) -> date:
    """The day of a time, in UTC."""
    return date.fromordinal(int(seconds // DAY_SECONDS) + _EPOCH)
