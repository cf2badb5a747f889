"""What a column of text holds: numbers, truth values, categories, dates, or nothing to learn from.

Every decision looks at all rows, by way of the column's profile, and comes with its reason.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from goldpath.adoption.column_profile import (
    ALMOST_UNIQUE,
    LOCAL_NUMBER,
    NUMERIC_SHARE,
    PADDED_NUMBER,
    AdoptionError,
    ColumnProfile,
    is_no_input,
)
from goldpath.adoption.date_formats import (
    find_date_formats,
    find_number_format,
    find_two_formats,
)
from goldpath.adoption.number_columns import says_about_numbers
from goldpath.contract import Feature
from goldpath.domain import (
    LARGEST_INTEGER,
    LONGEST_FREE_TEXT,
    LONGEST_TEXT,
    MOST_CHARACTERS,
    TRUE_WORDS,
    can_be_listed,
    words_of,
)

FREE_TEXT = "free text"
"""Begins the reason of each column that is taken for texts, or left out because of them."""
LISTED_LEVELS = 50
MAXIMUM_LEVELS = 1_000
FEW_LEVELS = 20
# Several words, nearly every row its own, and nothing to be learned of new ones.
NAMES_AND_ADDRESSES = re.compile(
    r"^(full|first|last|passenger|customer|client|patient|person|employee|user)?[ _-]?name$"
    r"|address$|^street$|^adresse$|^strasse$|^endereco$|^nome$",
    re.IGNORECASE,
)
MOSTLY_UNIQUE = 0.5
TEXT_WORDS = 3
EXAMPLE_WORDS, SHARED_BY = 5, 5
"""Words of a text's example, each of which so many rows have."""
SHOWN_LEVELS = 6
GROWTH = 10
SKEWED = 5
YEARS = (1900.0, 2100.0)
GROWING_NAME = re.compile(
    r"count|total|sum|amount|price|cost|revenue|income|salary|sales|fee|fare|payment|balance|charge"
    r"|budget|spend|visits|views|clicks|quantity|qty|volume|population|distance|(^|_)(num|n|nr)_"
    r"|einwohner|menge|preis|betrag|umsatz|valor|preco|quantidade",
    re.IGNORECASE,
)
# Quarters, weeks, months and seasons as text: 2024-Q1, Q1 2024, 2024-W05, FY24, 2023/24.
PERIOD = re.compile(
    r"\d{4}[-/ ]?[QWHqwh]\d{1,2}|[QWHqwh]\d{1,2}[-/ ]?\d{2,4}|\d{4}[-/]\d{2}|FY ?\d{2,4}", re.ASCII
)
TRUTH_PAIRS = ({"true", "false"}, {"1", "0"}, {"1.0", "0.0"})
FEW_SPELLINGS = 48  # of true and false together, in any case


@dataclass(frozen=True)
class Inference:
    """What a column is to the model: a feature, or nothing, and why.

    Attributes:
        feature: The feature, or None where the column is left out.
        reason: Why.
    """

    feature: Feature | None
    reason: str


def infer_feature(profile: ColumnProfile, asked: str | None = None) -> Inference:
    """Decide what a column is to the model.

    Args:
        profile: The column; neither the target, nor the entity, nor the event time.
        asked: What the user said it is: `number`, `category` or `text`.
    """
    if reason := _nothing_to_learn(profile, as_asked=asked in ("number", "category", "text")):
        return Inference(None, reason)
    if asked == "category":
        return _category(profile, asked=True)
    if asked == "text":
        return _text(profile, "as asked")
    few = profile.distinct <= FEW_SPELLINGS
    if few and {level.lower() for level in profile.levels} in TRUTH_PAIRS:
        feature = Feature(
            name=profile.name,
            type="boolean",
            nullable=profile.missing > 0,
            example=_commonest(profile).lower() in TRUE_WORDS,
        )
        return Inference(feature, f"only {' and '.join(sorted(profile.levels))}")
    if profile.is_numeric:
        return _number(profile)
    if example := local_number(profile):
        return Inference(
            None, f"numbers with separators such as {example!r}: write 1234.5 to use the column"
        )
    return _category(profile)


def text_notes(
    features: Iterable[Feature], profiles: Mapping[str, ColumnProfile], answered: Collection[str]
) -> list[str]:
    """What is taken for free text without having been asked for, and how to say otherwise.

    Args:
        features: All features.
        profiles: Every column.
        answered: Columns that the user has spoken of.
    """
    texts = [each.name for each in features if each.is_free_text and each.name not in answered]
    if not texts:
        return []
    short = [name for name in texts if profiles[name].longest <= LONGEST_TEXT]
    as_whole = f", --as '{short[0]}=category' takes each value as a whole" if short else ""
    return [
        f"{', '.join(texts)} {'is' if len(texts) == 1 else 'are'} read as free text: a model "
        "learns from the words, but cannot be compiled, so the slower pipeline scores rows "
        f"(--as '{texts[0]}=ignored' leaves the column out{as_whole}). Texts about people "
        "belong under personal: in the contract, and are then not logged"
    ]


def local_number(profile: ColumnProfile) -> str:
    """An example of a number with separators, where the column is made of such; else empty."""
    local = np.array(
        [
            math.isnan(number) and LOCAL_NUMBER.fullmatch(level) is not None
            for level, number in zip(profile.levels, profile.numbers, strict=True)
        ],
        dtype=bool,
    )
    others = profile.not_numbers - int(profile.counts[local].sum())
    if not local.any() or others > (1 - NUMERIC_SHARE) * profile.present:
        return ""
    return profile.levels[int(np.flatnonzero(local)[0])]


def describe_domain(feature: Feature | None) -> str:
    """A feature's allowed values for people."""
    if feature is None:
        return "-"
    if feature.type == "boolean":
        return "true, false"
    if feature.is_free_text:
        return feature.domain.describe().removesuffix(", or null")
    if feature.type == "category":
        return describe_levels(feature.categories) if feature.categories else "any text"
    low = "-∞" if feature.minimum is None else f"{feature.minimum:.12g}"
    high = "∞" if feature.maximum is None else f"{feature.maximum:.12g}"
    return f"{low} to {high}"


def describe_levels(levels: tuple[str, ...]) -> str:
    """The first levels, and how many there are."""
    shown = ", ".join(level[:30] for level in levels[:SHOWN_LEVELS])
    return shown if len(levels) <= SHOWN_LEVELS else f"{shown}, … ({len(levels)} in all)"


def sanity_range(
    low: float, high: float, *, whole: bool, grows: bool = False
) -> tuple[float | None, float | None]:
    """A range that new values may be trusted in: wider than the observed one, of the same sign.

    Args:
        low: The smallest value seen.
        high: The largest value seen.
        whole: Whether the values are whole numbers.
        grows: Whether it is a quantity without a natural end, such as a count or money.

    Returns:
        Fractions: 0 and 1. Years: this century and the last. Others: the observed range, widened
        by its width on both sides, not beyond zero where no value was; what grows, to ten times
        the largest value; no bound where a float64 has no number for it.
    """
    if whole and YEARS[0] <= low and high <= YEARS[1]:
        return YEARS
    if low >= 0 and high <= 1 and not whole:
        return 0.0, 1.0
    width = (high - low) or abs(high) or 1.0
    above = max(width, GROWTH * high - high) if grows and high > 0 else width
    step = 10.0 ** (math.floor(math.log10(width)) - 1) if math.isfinite(width) else math.nan
    if whole:
        step = max(step, 1.0)
    wide_low = _rounded(low - width, step, math.floor)
    wide_high = _rounded(high + above, step, math.ceil)
    if low >= 0:
        wide_low = max(wide_low, 0.0)
    elif high <= 0:
        wide_high = min(wide_high, 0.0)
    if whole:
        wide_low = max(wide_low, -float(LARGEST_INTEGER))
        wide_high = min(wide_high, float(LARGEST_INTEGER))
    return (
        wide_low if math.isfinite(wide_low) and wide_low <= low else None,
        wide_high if math.isfinite(wide_high) and wide_high >= high else None,
    )


def _nothing_to_learn(profile: ColumnProfile, *, as_asked: bool) -> str:
    """Why a column is left out whatever its type, or an empty text."""
    if is_no_input(profile.name):
        return "the name is used by this project; rename the column to use it"
    if profile.distinct == 0:
        return "no row has a value"
    if profile.distinct == 1 and profile.missing == 0:
        return f"constant: every row holds {profile.levels[0][:40]!r}"
    if as_asked:
        return ""
    if profile.is_identifier or (profile.names_rows and profile.present > FEW_LEVELS):
        return "an identifier: nearly every row has its own, so nothing can be learned from it"
    if profile.exceeds_float64:
        digits = f"whole numbers of up to {profile.longest} digits, more than a float64 holds"
        return f"an identifier: {digits}"
    if profile.names_subjects:
        return (
            f"an identifier by its name, of {profile.distinct:,} things: of new ones the model "
            f"would know nothing (--as '{profile.name}=category' to use it)"
        )
    number = find_number_format(profile.name, profile.levels)
    is_date = (number and number[1]) or find_date_formats(profile.levels)
    if is_date or find_two_formats(profile.levels):
        return "a date; a model cannot compare it with dates to come (name it as TIME to use it)"
    return ""


def _number(profile: ColumnProfile) -> Inference:
    lenient = bool(set(profile.unreadable) - set(profile.missing_words))
    # A whole column that takes what it cannot read for missing would lose 12.5 without a word.
    whole = profile.is_whole and not lenient
    low, high = float(np.nanmin(profile.numbers)), float(np.nanmax(profile.numbers))
    middle = _middle(profile)
    grows = low >= 0 and (
        (bool(profile.unit) and profile.unit != "%")
        or GROWING_NAME.search(profile.name) is not None
        or high > SKEWED * abs(middle)
    )
    minimum, maximum = sanity_range(low, high, whole=whole, grows=grows)
    feature = Feature(
        name=profile.name,
        type="integer" if whole else "number",
        nullable=profile.missing > 0,
        minimum=minimum,
        maximum=maximum,
        example=int(middle) if whole else middle,
        unit=profile.unit,
        missing_words=profile.missing_words,
        unreadable="missing" if lenient else "refused",
        description=f"in {profile.unit}" if profile.unit else "",
    )
    if minimum == 0 and maximum == 1 and not whole:
        wider = "fractions, so 0 to 1"
    elif (minimum, maximum) == YEARS:
        wider = "years, which go on"
    elif grows:
        wider = f"grows by nature: up to {GROWTH} times as much"
    else:
        sign = "not below 0" if minimum == 0 else "not above 0" if maximum == 0 else "on both sides"
        wider = f"widened by as much, {sign}"
    reason = f"seen {low:.6g} to {high:.6g}; {wider}"
    if said := says_about_numbers(profile):
        reason += f"; {said}"
    if profile.not_numbers:
        reason += f"; {_example_of(profile)} is no number"
    return Inference(feature, reason)


def _category(profile: ColumnProfile, *, asked: bool = False) -> Inference:
    distinct, present = profile.distinct, profile.present
    if asked and profile.longest > LONGEST_TEXT:
        raise AdoptionError(
            f"--as '{profile.name}=category': a category has at most {LONGEST_TEXT} characters, "
            f"and the longest value has {profile.longest:,}",
            f"say --as '{profile.name}=text' to learn from the words, or =ignored",
        )
    if long := [level for level in profile.levels if len(level) > LONGEST_TEXT]:
        if _words_each(long) >= TEXT_WORDS:
            return _text(profile, f"values of more than {LONGEST_TEXT} characters")
        reason = f"values of up to {profile.longest:,} characters, of fewer than {TEXT_WORDS} words"
        return Inference(None, f"{reason} (--as '{profile.name}=text' to learn from their words)")
    if not asked and distinct > FEW_LEVELS and distinct >= ALMOST_UNIQUE * present:
        if _words_each(profile.levels) >= TEXT_WORDS:
            return _text(profile)
        reason = f"an identifier: {distinct:,} different values in {present:,} rows"
        return Inference(None, f"{reason} (--as '{profile.name}=text' to learn from their words)")
    nullable, example = profile.missing > 0, _commonest(profile)
    if all(map(PERIOD.fullmatch, profile.levels)):
        feature = Feature(name=profile.name, type="category", nullable=nullable, example=example)
        return Inference(feature, f"{distinct} different periods; new ones are allowed")
    if distinct <= LISTED_LEVELS and all(map(can_be_listed, profile.levels)):
        levels = tuple(sorted(profile.levels))
        feature = Feature(
            name=profile.name,
            type="category",
            nullable=nullable,
            categories=levels,
            closed=True,
            example=example,
        )
        padded = any(map(PADDED_NUMBER.fullmatch, levels))
        codes = "; codes, for a number has no leading zero" if padded else ""
        return Inference(feature, f"{distinct} different value{'s' * (distinct > 1)}{codes}")
    is_many = not asked and (distinct > MAXIMUM_LEVELS or distinct > MOSTLY_UNIQUE * present)
    if is_many and _words_each(profile.levels) >= TEXT_WORDS:
        return _text(profile)
    if is_many:
        return Inference(
            None,
            f"{distinct:,} categories, {present / distinct:.1f} rows each: too many to learn from "
            f"(limit {MAXIMUM_LEVELS:,}); group them to use the column",
        )
    feature = Feature(name=profile.name, type="category", nullable=nullable, example=example)
    not_listed = "too many to list" if distinct > LISTED_LEVELS else "one with a NUL character"
    return Inference(feature, f"{distinct:,} different values, {not_listed}: new ones are allowed")


def _text(profile: ColumnProfile, why: str = "") -> Inference:
    """Free text, unless a value is longer than any may be."""
    if not why and NAMES_AND_ADDRESSES.search(profile.name):
        return Inference(
            None,
            f"names or addresses: {profile.distinct:,} different values in {profile.present:,} "
            f"rows (--as '{profile.name}=text' to learn from their words)",
        )
    if profile.longest > MOST_CHARACTERS:
        return Inference(
            None, f"{FREE_TEXT}: values of more than {MOST_CHARACTERS:,} characters; shorten them"
        )
    roomy = min(math.ceil(2 * profile.longest / 1_000) * 1_000, MOST_CHARACTERS)
    feature = Feature(
        name=profile.name,
        type="text",
        nullable=profile.missing > 0,
        maximum_length=roomy if roomy > LONGEST_FREE_TEXT else None,
        # The contract, the service's page and its OpenAPI show it, so it is nobody's own text.
        example=" ".join(_shared_words(profile)) or None,
    )
    characters = sum(map(len, profile.levels)) / profile.distinct
    reason = (
        f"{FREE_TEXT}: {profile.distinct:,} different values in {profile.present:,} rows, "
        f"{_words_each(profile.levels):.1f} words and {characters:.0f} characters in the mean"
    )
    return Inference(feature, f"{reason}; {why}" if why else reason)


def _words_each(values: Sequence[str]) -> float:
    """Words in a value, in the mean."""
    return sum(len(value.split()) for value in values) / len(values)


def _shared_words(profile: ColumnProfile) -> list[str]:
    """The commonest words, of those that several rows have."""
    rows = Counter[str]()
    for level, count in zip(profile.levels, profile.counts, strict=True):
        rows.update(dict.fromkeys(words_of(level), int(count)))
    shared = [word for word, count in rows.items() if count >= SHARED_BY]
    return sorted(shared, key=lambda word: (-rows[word], word))[:EXAMPLE_WORDS]


def _commonest(profile: ColumnProfile) -> str:
    return profile.levels[int(np.argmax(profile.counts))]


def _middle(profile: ColumnProfile) -> float:
    """The median, as a value that was seen."""
    order = np.argsort(profile.numbers)[: int(np.isfinite(profile.numbers).sum())]
    below = np.cumsum(profile.counts[order])
    return float(profile.numbers[order[int(np.searchsorted(below, below[-1] / 2))]])


def _example_of(profile: ColumnProfile) -> str:
    return repr(profile.levels[int(np.flatnonzero(np.isnan(profile.numbers))[0])][:40])


def _rounded(value: float, step: float, towards: Callable[[float], int]) -> float:
    """Round away from the data to a figure that people can read."""
    # Of the smallest numbers there is no power of ten that is a hundredth of them.
    if step == 0 or not (math.isfinite(value) and math.isfinite(value / step)):
        return value
    # The text has no more digits than the step, which a product of floats would have.
    return float(f"{towards(value / step) * step:.12g}") + 0.0
