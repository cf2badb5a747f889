"""What the texts of a classification's target mean.

Some are words for a missing label, some are spellings of the same one, some hold several.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.adoption.answers import Answers
from goldpath.adoption.column_profile import AdoptionError, ColumnProfile, profile_column
from goldpath.domain import NULL_WORDS, PADDING

CLASS_WORDS = ("none",)
"""Words for a missing value that are a class where the target is made of words."""
FEWEST_ROWS = 5
SEPARATORS = ";|,"


@dataclass(frozen=True)
class Labels:
    """The target as labels.

    Attributes:
        profile: The target's column with these labels.
        aliases: Spellings in the file, each with its label, for `Target.aliases`.
        notes: What was decided, and what is asked.
    """

    profile: ColumnProfile
    aliases: Mapping[str, str]
    notes: tuple[str, ...]


def read_labels(name: str, column: pa.ChunkedArray, answers: Answers) -> Labels:
    """Decide which words of a classification's target are labels, and which are the same one.

    Args:
        name: The target.
        column: Its raw text.
        answers: What the user said about the words.
    """
    known, notes = _known_words(name, column, answers)
    profile = profile_column(name, column, known)
    same = _spellings(profile)
    if not same:
        return Labels(profile, {}, tuple(notes))
    shown = "; ".join(
        f"{label!r}: {', '.join(map(repr, spellings))}" for label, spellings in same.items()
    )
    if not answers.join_labels:
        notes.append(
            f"question: are these spellings of one label? {shown}. They stay different classes; "
            "give --join-labels to make one class of each line's"
        )
        return Labels(profile, {}, tuple(notes))
    aliases = {spelling: label for label, spellings in same.items() for spelling in spellings}
    joined = pa.chunked_array(
        [pa.array([aliases.get(text, text) for text in profile.values.to_pylist()], pa.string())]
    )
    notes.append(f"{name}: spellings are joined, as asked: {shown}")
    return Labels(profile_column(name, joined, known), aliases, tuple(notes))


def refuse_several_labels(profile: ColumnProfile) -> None:
    """Stop where the target's texts are sets of labels.

    Raises:
        AdoptionError: If a text such as `music;news` is made of what other texts hold alone.
    """
    for separator in SEPARATORS:
        parts = {
            level: [part.strip() for part in level.split(separator)]
            for level in profile.levels
            if separator in level
        }
        atoms = {part for several in parts.values() for part in several if part}
        alone = atoms & set(profile.levels)
        # Three labels make up to seven texts; a name with a comma is not made of other names.
        if len(parts) >= 2 and len(alone) >= 2 and 2 * len(alone) >= len(atoms):
            example = max(parts, key=len)
            raise AdoptionError(
                f"the target {profile.name} holds several labels in one text, such as "
                f"{example[:60]!r}: several labels a row (multi-label) are not supported; "
                "supported are a classification with one label a row, and a regression",
                f"write a column of yes and no for each of {', '.join(sorted(atoms)[:8])} and "
                "adopt with one of them as TARGET, or say PROBLEM=classification to take each "
                "combination for a class of its own",
            )


def _known_words(
    name: str, column: pa.ChunkedArray, answers: Answers
) -> tuple[list[str], list[str]]:
    """Words that are labels although they usually mean a missing value, and what to say of them."""
    counted = pc.value_counts(pc.ascii_trim_whitespace(column).drop_null())
    rows = dict(
        zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    )
    words = {text: count for text, count in rows.items() if text and text.lower() in NULL_WORDS}
    labels = {text for text in rows if text.lower() not in NULL_WORDS}
    are_words = any(re.search(r"[^\W\d]", label) for label in labels)
    said = {word.strip(PADDING) for word in answers.labels}
    refused = {word.strip(PADDING) for word in answers.missing}
    if strange := sorted({*said, *refused} - set(words)):
        raise AdoptionError(
            f"--label and --missing: the target {name} does not hold {', '.join(strange)}",
            f"its words that can mean a missing label are: {', '.join(words) or 'none'}",
        )
    known, notes = [], []
    for word, count in sorted(words.items()):
        is_class = word.lower() in CLASS_WORDS and are_words and count >= FEWEST_ROWS
        if word in said or (is_class and word not in refused):
            known.append(word)
        if word not in said and word not in refused and (is_class or count >= FEWEST_ROWS):
            notes.append(
                f"question: does {word!r} ({count:,} rows) of {name} mean a label or a missing "
                + (
                    f"one? It is taken as a label; --missing {word!r} leaves its rows out"
                    if is_class
                    else f"one? Its rows are left out; --label {word!r} makes it a class"
                )
            )
    return known, notes


def _spellings(profile: ColumnProfile) -> dict[str, tuple[str, ...]]:
    """Labels that differ by case, blanks, or a mark at the end: the commonest, and the others."""
    rows = dict(zip(profile.levels, map(int, profile.counts), strict=True))
    groups: dict[str, list[str]] = {}
    for level in rows:
        folded = re.sub(r"[\s_-]+", " ", level.casefold()).strip().rstrip(".,;:!").rstrip()
        groups.setdefault(folded, []).append(level)
    return {
        common: tuple(level for level in sorted(group) if level != common)
        for group in groups.values()
        if len(group) > 1 and (common := max(sorted(group), key=lambda level: rows[level]))
    }
