"""The columns of a file as adoption sees them: numbers as numbers, labels as labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from goldpath.adoption.answers import Answers
from goldpath.adoption.column_profile import (
    AdoptionError,
    ColumnProfile,
    profile_column,
    require_column,
)
from goldpath.adoption.header_line import NO_HEADER_FIX, describe_first_line, looks_like_data
from goldpath.adoption.labels import read_labels, refuse_several_labels
from goldpath.adoption.number_columns import MANY_NUMBERS, read_numbers
from goldpath.adoption.sentinels import find_sentinel
from goldpath.adoption.target_role import FEW_LABELS, refuse_ranking


@dataclass(frozen=True)
class ReadColumns:
    """Every column, counted.

    Attributes:
        profiles: By name, in the file's order.
        aliases: Spellings of the target's labels, each with its label.
        notes: What was decided about the reading, and what is asked.
    """

    profiles: dict[str, ColumnProfile]
    aliases: Mapping[str, str]
    notes: tuple[str, ...]


def read_columns(raw: pa.Table, target: str, problem: str | None, answers: Answers) -> ReadColumns:
    """Count every column of a file.

    Args:
        raw: The file's rows as text.
        target: The column to predict.
        problem: What was asked for, or None.
        answers: Answers to what an earlier adoption asked.

    Raises:
        AdoptionError: If there is no such target, or the problem is none that is supported.
    """
    texts = {name: profile_column(name, raw[name]) for name in raw.column_names}
    has_no_header = looks_like_data(raw)
    if has_no_header and target not in texts:
        raise AdoptionError(f"TARGET={target}: {describe_first_line(raw)}", NO_HEADER_FIX)
    if not target:
        raise AdoptionError(
            "TARGET is empty: without a column to predict there is nothing to learn",
            f"name the column to predict: TARGET=… (it has: {', '.join(texts)[:600]}); or look for "
            "groups of similar rows: PROBLEM=clustering",
        )
    require_column(texts, target, "TARGET")
    profiles = _with_numbers(texts, answers)
    notes = [f"{describe_first_line(raw)}; if so, {NO_HEADER_FIX}"] if has_no_header else []
    notes += _sentinel_notes(profiles, target)
    refuse_ranking(profiles, target, problem)
    many_numbers = profiles[target].is_numeric and profiles[target].distinct > FEW_LABELS
    if problem not in (None, "classification") or (problem is None and many_numbers):
        return ReadColumns(profiles, {}, tuple(notes))
    labels = read_labels(target, raw[target], answers)
    if problem is None:
        refuse_several_labels(labels.profile)
    profiles[target] = labels.profile
    return ReadColumns(profiles, labels.aliases, (*notes, *labels.notes))


def read_source_columns(raw: pa.Table, named: Mapping[str, str], answers: Answers) -> ReadColumns:
    """Count every column of a further source, which has no target.

    Args:
        raw: The file's rows as text.
        named: The columns that were named, by the option that named each.
        answers: Answers to what an earlier call asked.

    Raises:
        AdoptionError: If there is no such column.
    """
    texts = {name: profile_column(name, raw[name]) for name in raw.column_names}
    has_no_header = looks_like_data(raw)
    for option, name in named.items():
        if has_no_header and name not in texts:
            raise AdoptionError(f"{option}={name}: {describe_first_line(raw)}", NO_HEADER_FIX)
        require_column(texts, name, option)
    profiles = _with_numbers(texts, answers)
    notes = [f"{describe_first_line(raw)}; if so, {NO_HEADER_FIX}"] if has_no_header else []
    features = {name: each for name, each in profiles.items() if name not in named.values()}
    return ReadColumns(profiles, {}, (*notes, *_sentinel_notes(features, "")))


def _with_numbers(texts: Mapping[str, ColumnProfile], answers: Answers) -> dict[str, ColumnProfile]:
    """The columns whose texts are numbers to people, as numbers."""
    for name in answers.columns:
        require_column(texts, name, "--as")
    return {
        name: profile
        if answers.columns.get(name) == "category"
        else read_numbers(profile, asked=answers.columns.get(name) == "number")
        for name, profile in texts.items()
    }


def _sentinel_notes(profiles: Mapping[str, ColumnProfile], target: str) -> list[str]:
    """Codes for a missing value among the features; `target_role` looks at the target."""
    return [
        f"question: does {found[0]} in {name} ({found[1]:,} rows) stand for a missing value? It is "
        f"read as a number; {'' if profile.missing else 'nullable: true and '}missing_words: "
        f"['{found[0]}'] at {name} in the contract {'makes' if profile.missing else 'make'} it "
        "missing"
        for name, profile in profiles.items()
        if name != target and profile.is_numeric and profile.distinct > MANY_NUMBERS
        if (found := find_sentinel(profile)) is not None and float(found[0]) != 0
    ]
