"""What the texts of a classification's target mean.

Some are words for a missing label, some are spellings of the same one, some hold several.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.adoption.answers import Answers
from goldpath.adoption.column_profile import AdoptionError, ColumnProfile, profile_column
from goldpath.adoption.number_columns import GAP_WORDS
from goldpath.domain import NULL_WORDS, NUMBER, PADDING

CLASS_WORDS = frozenset(("none", "n/d", "n.d.", *(word for word in GAP_WORDS if word[0].isalpha())))
"""Words for a missing value that are a class where the target is made of words."""
SIGNS = GAP_WORDS - CLASS_WORDS
"""Signs for a missing label, such as `#N/A`, where two others are words or numbers."""
FEWEST_ROWS = 5
SEPARATORS = ";|,/+&"
LISTED = re.compile(r"\[(.*)\]|\{(.*)\}", re.DOTALL)
"""A list that was written as text: `['a', 'b']`, `{a, b}`; not an interval such as `(0, 10]`."""


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
    known, gaps, notes = _known_words(name, column, answers)
    profile = profile_column(name, _without(column, gaps), known)
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
        parts = {level: _parts(level, separator) for level in profile.levels}
        several = {level: found for level, found in parts.items() if len(found) > 1}
        atoms = {part for found in several.values() for part in found}
        alone = atoms & {found[0] for found in parts.values() if len(found) == 1}
        # Three labels make up to seven texts; a name with a comma is not made of other names.
        are_made_of_others = len(alone) >= 2 and 2 * len(alone) >= len(atoms)
        are_lists = all(LISTED.fullmatch(level) and level[1] in "'\"" for level in several)
        if len(several) >= 2 and (are_made_of_others or are_lists):
            example = max(several, key=len)
            raise AdoptionError(
                f"the target {profile.name} holds several labels in one text, such as "
                f"{example[:60]!r}: several labels a row (multi-label) are not supported; "
                "supported are a classification with one label a row, and a regression",
                f"write a column of yes and no for each of {', '.join(sorted(atoms)[:8])} and "
                "adopt with one of them as TARGET, or say PROBLEM=classification to take each "
                "combination for a class of its own",
            )


def _parts(level: str, separator: str) -> list[str]:
    """The labels of a text, or of a list that was written as text."""
    listed = LISTED.fullmatch(level)
    inner = (listed[1] or listed[2] or "") if listed else level
    parts = (part.strip(PADDING + ("'\"" if listed else "")) for part in inner.split(separator))
    return [part for part in parts if part]


def _without(column: pa.ChunkedArray, words: Collection[str]) -> pa.ChunkedArray:
    """The column with nothing where it holds one of the words."""
    if not words:
        return column
    found = pc.is_in(pc.ascii_trim_whitespace(column), value_set=pa.array(list(words), pa.string()))
    return pc.if_else(found, pa.scalar(None, pa.string()), column)


def _known_words(
    name: str, column: pa.ChunkedArray, answers: Answers
) -> tuple[list[str], list[str], list[str]]:
    """Words that may mean a missing label.

    Returns:
        Those that are labels, those that are missing although no reader takes them for it, and
        what to say of them.
    """
    counted = pc.value_counts(pc.ascii_trim_whitespace(column).drop_null())
    rows = dict(
        zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    )
    doubtful = {*NULL_WORDS, *CLASS_WORDS, *SIGNS}
    words = {text: count for text, count in rows.items() if text and text.lower() in doubtful}
    others = [text for text in rows if text.lower() not in doubtful]
    are_words = any(re.search(r"[^\W\d]", label) for label in others)
    # Beside + a - is a label, and so is each of *, ** and ***.
    are_signs = sum(re.search(r"\w", label) is not None for label in others) < 2
    said = {word.strip(PADDING) for word in answers.labels}
    refused = {word.strip(PADDING) for word in answers.missing}
    if strange := sorted((said - set(words)) | (refused - set(rows))):
        raise AdoptionError(
            f"--label and --missing: the target {name} does not hold {', '.join(strange)}",
            f"its words that can mean a missing label are: {', '.join(words) or 'none'}",
        )
    known, gaps, notes = [], sorted(refused), []
    for word, count in sorted(words.items()):
        folded = word.lower()
        if folded in SIGNS and are_signs and word not in refused:
            continue
        is_needed = len(others) < 2 and folded not in NULL_WORDS
        is_class = folded in CLASS_WORDS and (are_words or is_needed) and count >= FEWEST_ROWS
        is_label = word not in refused and (word in said or is_class)
        if is_label:
            known.append(word)
        elif folded not in NULL_WORDS:
            gaps.append(word)
        if word not in said and word not in refused and (is_class or count >= FEWEST_ROWS):
            notes.append(
                f"question: does {word!r} ({count:,} rows) of {name} mean a label or a missing "
                + (
                    f"one? It is taken as a label; --missing {word!r} leaves its rows out"
                    if is_class
                    else f"one? Its rows are left out; --label {word!r} makes it a class"
                )
            )
    return known, gaps, notes


def _spellings(profile: ColumnProfile) -> dict[str, tuple[str, ...]]:
    """Labels that differ by case, blanks, or a mark at the end: the commonest, and the others."""
    rows = dict(zip(profile.levels, map(int, profile.counts), strict=True))
    groups: dict[str, list[str]] = {}
    for level in rows:
        if NUMBER.fullmatch(level):
            continue
        # Marks between letters and digits, and at the end: of B- and -1 they are the meaning.
        folded = re.sub(r"(?<=\w)(?:\s+|[_-]|\s+[_-]\s+)(?=\w)", " ", level.casefold().strip())
        folded = folded.rstrip(".,;:!").rstrip()
        groups.setdefault(folded, []).append(level)
    return {
        common: tuple(level for level in sorted(group) if level != common)
        for group in groups.values()
        if len(group) > 1 and (common := max(sorted(group), key=lambda level: rows[level]))
    }
