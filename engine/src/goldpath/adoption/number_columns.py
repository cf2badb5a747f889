"""Columns of numbers that other text hides: units, words for a gap, a few values of other forms.

What is found goes into the contract (`unit`, `missing_words`, `unreadable`), so that silver, a
batch and a drift check read later files the same way.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.adoption.column_profile import NUMERIC_SHARE, ColumnProfile
from goldpath.domain import NUMBER
from goldpath.quality.number_text import BLANKS, plain_text

# fmt: off
GAP_WORDS = frozenset((
    "#n/a", "#na", "#n/a!", "n.a.", "n.a", "<na>", "<n/a>", "(null)", "<null>", "[null]", "\\n",
    "nil", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "#error!", "-", "--",
    "---", "\u2013", "\u2014", ".", "..", "...", "*", "**", "***", "_", "/", "//", "unknown",
    "unk", "missing", "undefined", "unavailable", "tbd", "inf", "+inf", "-inf", "infinity",
    "-infinity", "1.#qnan", "1.#inf", "-1.#ind", "not available", "not applicable", "not known",
    "no data", "not reported", "no value",
))
# fmt: on
"""Words for a missing value among numbers. Among categories they stay what they are."""
MANY_NUMBERS = 20
"""Below, a column with other texts beside its numbers is one of categories."""
MOSTLY_NUMBERS = 0.9
ENOUGH_NUMBERS = 0.5
FEW_WORDS = 3
LISTED_WORDS = 20

# fmt: off
UNITS_ALWAYS = frozenset((
    "$", "€", "£", "¥", "₹", "₽", "₩", "₺", "₫", "₦", "₴", "R$", "US$", "USD", "EUR", "GBP",
    "CHF", "BRL", "JPY", "INR", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "zł", "Kč", "kr", "Rs",
    "Rs.", "Fr", "Fr.", "%", "‰", "°", "°C", "°F",
))
# fmt: on
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
WITH_UNIT = re.compile(
    rf"\(?[+-]?{BLANKS}(?:([^\d\s\u00a0\u202f+\-.,()]{{1,4}}(?:\.(?=[ \u00a0\u202f]))?)"
    rf"{BLANKS}{_NUMBER}"
    rf"|{_NUMBER}{BLANKS}([^\d\s\u00a0\u202f+\-.,()][^\d\s,()]{{0,7}}))\)?",
    re.ASCII,
)
# Nearly a number: ranges, bounds, other units, other decimal marks.
NEAR_NUMBER = re.compile(
    rf"{_NUMBER}\s*(?:-|\u2013|\u2014|to|/|\.\.)\s*{_NUMBER}|[<>≤≥~≈±]\s*=?\s*{_NUMBER}"
    rf"|{_NUMBER}\s*[^\d\s][^\d]{{0,14}}|[^\w\s]{{1,4}}\s*{_NUMBER}|[+-]?[\d.,' ]*\d",
    re.ASCII,
)
WORD = re.compile(r"[^\d]{1,20}")
NOT_UNITS = frozenset(["am", "pm", "st", "nd", "rd", "th", "e"])


def read_numbers(profile: ColumnProfile, *, asked: bool = False) -> ColumnProfile:
    """The column as numbers, where that is what it holds; otherwise as it is.

    Args:
        profile: The column as text.
        asked: Whether the user said that it holds numbers: any other text is missing then.

    Returns:
        A profile whose levels are plain numbers. Words for a gap, and values that are no number
        where nearly all are, have become missing; its `unit`, `missing_words` and `unreadable` say
        what was done.
    """
    if profile.not_numbers == 0 or (not asked and profile.is_padded):
        return profile
    rows = dict(zip(profile.levels, map(int, profile.counts), strict=True))
    gaps = [level for level in rows if level.lower() in GAP_WORDS]
    others = {level: count for level, count in rows.items() if level not in set(gaps)}
    unit = _unit(others)

    def plain(level: str) -> str:
        return plain_text(level, unit, ()) or ""

    numbers = {level for level in others if NUMBER.fullmatch(plain(level))}
    unread = [level for level in others if level not in numbers]
    many = len({float(plain(level)) for level in numbers}) > MANY_NUMBERS
    number_rows = sum(others[level] for level in numbers)
    enough = number_rows >= ENOUGH_NUMBERS * profile.present and (many or _are_signs(gaps))
    if not asked and not (enough and _are_numbers(others, number_rows, unread, many=many)):
        return profile
    # What is left besides is a bad value or two: silver refuses their rows.
    lost = unread if asked else list(filter(_is_near_or_word, unread))
    words = [*gaps, *(lost if len(lost) <= LISTED_WORDS else ())]
    read = _changed(profile, plain, drop={*gaps, *lost})
    return replace(
        read, unit=unit, missing_words=tuple(sorted(words)), unreadable=tuple(sorted(lost))
    )


def says_about_numbers(profile: ColumnProfile) -> str:
    """What `read_numbers` did to a column, in words; empty where it did nothing."""
    said = []
    if profile.unit:
        said.append(f"the unit {profile.unit!r} is taken off")
    gaps = [word for word in profile.missing_words if word not in profile.unreadable]
    if gaps:
        said.append(f"{_listed(gaps)} stand{'s' * (len(gaps) == 1)} for a missing value")
    if profile.unreadable:
        count = len(profile.unreadable)
        said.append(
            f"{_listed(profile.unreadable)} {'is' if count == 1 else 'are'} no number"
            f"{'' if count == 1 else 's'} and read as missing"
        )
    return "; ".join(said)


def _unit(rows: dict[str, int]) -> str:
    """The one unit that nearly all numbers carry, or an empty text."""
    counts: dict[str, int] = {}
    levels: dict[str, int] = {}
    for level, count in rows.items():
        if found := WITH_UNIT.fullmatch(level):
            unit = found[1] or found[2]
            counts[unit] = counts.get(unit, 0) + count
            levels[unit] = levels.get(unit, 0) + 1
    if not counts:
        return ""
    unit = max(counts, key=lambda name: counts[name])
    plain = sum(count for level, count in rows.items() if NUMBER.fullmatch(level))
    is_known = unit in UNITS_ALWAYS or (
        unit.lower() not in NOT_UNITS and levels[unit] > MANY_NUMBERS and _is_behind(unit, rows)
    )
    enough = counts[unit] + plain >= MOSTLY_NUMBERS * sum(rows.values()) and counts[unit] > plain
    return unit if is_known and enough else ""


def _is_behind(unit: str, rows: dict[str, int]) -> bool:
    """Whether a unit of letters follows its numbers; before them it is a code: A12, B7."""
    return all(not level.startswith(unit) for level in rows)


def _are_numbers(rows: dict[str, int], number_rows: int, unread: list[str], *, many: bool) -> bool:
    total = sum(rows.values())
    if not total or number_rows < MOSTLY_NUMBERS * total:
        return False
    if not unread:
        return True
    words = [level for level in unread if WORD.fullmatch(level)]
    strange = sum(rows[level] for level in unread if not _is_near_or_word(level))
    return many and len(words) <= FEW_WORDS and strange <= (1 - NUMERIC_SHARE) * total


def _is_near_or_word(level: str) -> bool:
    return (NEAR_NUMBER.fullmatch(level) or WORD.fullmatch(level)) is not None


def _are_signs(words: Sequence[str]) -> bool:
    """Whether no word could be meant as a category beside few numbers."""
    return all(not word[0].isalpha() for word in words)


def _changed(profile: ColumnProfile, plain: Callable[[str], str], drop: set[str]) -> ColumnProfile:
    texts = [None if level in drop else plain(level) for level in profile.levels]
    encoded = profile.values.combine_chunks().dictionary_encode()
    place = dict(zip(profile.levels, texts, strict=True))
    meaning = pa.array([place[level] for level in encoded.dictionary.to_pylist()], pa.string())
    values = pa.chunked_array([pc.take(meaning, encoded.indices)])
    counted = pc.value_counts(values.drop_null())
    return replace(
        profile,
        values=values,
        levels=tuple(counted.field("values").to_pylist()),
        counts=np.asarray(counted.field("counts").to_numpy(zero_copy_only=False), dtype=np.int64),
    )


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(repr(word[:40]) for word in words[:5])
    return shown if len(words) <= 5 else f"{shown}, … ({len(words)} in all)"
