"""What is predicted: the problem, the classes, and which class is the positive one."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError
from yaml import YAMLError

from goldpath.adoption.answers import Answers
from goldpath.adoption.column_inference import describe_levels, local_number
from goldpath.adoption.column_profile import AdoptionError, ColumnProfile
from goldpath.adoption.number_columns import says_about_numbers
from goldpath.adoption.sentinels import find_sentinel
from goldpath.contract import Problem, Target
from goldpath.domain import FALSE_WORDS, TRUE_WORDS
from goldpath.durations import FORMS
from goldpath.forecast import CLUSTERING, SEGMENT
from goldpath.written_yaml import parse_yaml

NOT_SUPPORTED = {
    "ranking": "ranking rows within a query is not supported",
    "multi-label": "several labels a row (multi-label) are not supported",
    "multilabel": "several labels a row (multi-label) are not supported",
    "multi_label": "several labels a row (multi-label) are not supported",
    "forecasting": "a forecast is a regression that is asked ahead",
    "anomaly": "anomalies without labels are not supported",
}
GRADE_NAME = re.compile(r"relevan|rank|grade|gain", re.IGNORECASE)
QUERY_NAME = re.compile(r"query|^qid|(search|srch|session|request|list)_?id$", re.IGNORECASE)
FEW_LABELS = 20
MAXIMUM_CLASSES = 50
MINIMUM_CLASS_ROWS = 5
FOREIGN_YES = ("ja", "oui", "si", "sí", "sì", "sim", "tak", "ano", "da")
"""Yes, as labels of other languages say it: German, French, Spanish, Portuguese, Polish, …"""
FOREIGN_NO = ("nein", "nee", "nej", "nei", "non", "não", "nao", "nie", "ne", "nu")


@dataclass(frozen=True)
class TargetRole:
    """The target, and what was decided about it."""

    problem: Problem
    target: Target
    domain: str
    reason: str
    notes: tuple[str, ...] = ()


EVENT = "event:"
"""Before the name of a source: the target is made from its rows."""


def parse_event(
    target: str,
    within: str | None,
    where: Iterable[str] = (),
    *,
    exclude: bool = False,
    as_text: Collection[str] = (),
) -> Target | None:
    """The target of events that `TARGET=event:SOURCE` asks for; None where it is a column.

    Args:
        target: `TARGET`.
        within: How long after a row's time an event counts: `30d`.
        where: `COLUMN=VALUE`: which rows of the source are the event; values of one column are
            alternatives.
        exclude: Whether rows at or after an event of their entity are left out.
        as_text: Columns whose values are text, whatever they look like.

    Raises:
        AdoptionError: If the options do not fit together, or one cannot be read.

    Example:
        >>> from goldpath.adoption.target_role import parse_event
        >>> parse_event("event:cancellations", "30d", ["type=left"]).where
        {'type': 'left'}
    """
    if not target.startswith(EVENT):
        if within or exclude or [*where]:
            raise AdoptionError(
                f"WITHIN, --where and --exclude-after-event are for events, and TARGET={target} is "
                "a column",
                "say TARGET=event:SOURCE, or leave them out",
            )
        return None
    if within is None:
        raise AdoptionError(
            f"TARGET={target} does not say how soon after a row's time",
            f"add WITHIN=30d ({FORMS})",
        )
    conditions: dict[str, list[object]] = {}
    for text in where:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise AdoptionError(f"--where {text}: expected COLUMN=VALUE", "--where type=cancelled")
        column, said = name.strip(), value.strip()
        conditions.setdefault(column, []).append(said if column in as_text else _plain(said))
    event = target.removeprefix(EVENT).strip()
    given = {
        "event": event,
        "within": within,
        "where": {
            name: values[0] if len(values) == 1 else values for name, values in conditions.items()
        },
        "exclude_after_event": exclude,
    }
    try:
        return Target.model_validate(given)
    except ValidationError as error:
        found = "; ".join(detail["msg"].removeprefix("Value error, ") for detail in error.errors())
        raise AdoptionError(
            f"TARGET={target} WITHIN={within}: {found}",
            "TARGET=event:SOURCE WITHIN=30d, with the source's name in config/sources",
        ) from error


def _plain(text: str) -> object:
    """A truth value, a number or the text itself."""
    try:
        found = parse_yaml(text)
    except YAMLError:
        return text
    return found if isinstance(found, bool | int | float | str) else text


def event_role(target: Target, asked: str | None) -> TargetRole:
    """The role of a target that no column of the file is.

    Args:
        target: Made from events.
        asked: `PROBLEM`.

    Raises:
        AdoptionError: If another problem is asked for.
    """
    if asked not in (None, "classification"):
        raise AdoptionError(
            f"PROBLEM={asked}: whether an event happens is a classification",
            "leave PROBLEM out, or name a column with a number as TARGET",
        )
    note = (
        f"the target {target.column} is made from the rows of {target.event}: {target.positive} "
        f"where a row's subject has one within {target.within} after the row's time. Test rows "
        f"and training rows are {target.within} apart, and rows whose {target.within} are not "
        "over have no label"
    )
    return TargetRole(
        "classification", target, ", ".join(target.classes), "made from events", (note,)
    )


def segments_role(target: str, answers: Answers) -> TargetRole:
    """The role of a target that there is none of: rows are grouped by how similar they are.

    Args:
        target: `TARGET`.
        answers: What the user said of labels.

    Raises:
        AdoptionError: If a target is named, or something is said of its labels.
    """
    if target:
        raise AdoptionError(
            f"TARGET={target} and PROBLEM=clustering: groups of similar rows have no target",
            "leave TARGET out; to leave the column out of the features, too: "
            f"ARGS='--as {target}=ignored'; to predict it, leave PROBLEM out",
        )
    said = {
        "--label": answers.labels,
        "--missing": answers.missing,
        "--join-labels": answers.join_labels,
    }
    if given := [option for option, value in said.items() if value]:
        raise AdoptionError(
            f"{', '.join(given)} and PROBLEM=clustering: the option is for the labels of a target, "
            "and there is none",
            "leave it out",
        )
    note = (
        "no target: the training finds segments of similar rows and how many there are "
        "(training.clusters), make train-local describes them, and nobody can say later which "
        "segment was the true one"
    )
    return TargetRole(CLUSTERING, Target(column=SEGMENT), "", "no target", (note,))


def refuse_ranking(profiles: Mapping[str, ColumnProfile], target: str, asked: str | None) -> None:
    """Stop where the target is a grade of rows within one query.

    Raises:
        AdoptionError: If a column is called like a query, each of whose rows has a grade. With a
            problem asked for, it is solved as such.
    """
    grades = profiles[target]
    if (
        asked is not None
        or not GRADE_NAME.search(target)
        or not grades.is_whole
        or grades.distinct < 3
    ):
        return
    for name, profile in profiles.items():
        if QUERY_NAME.search(name) and 1 < profile.distinct <= profile.present / 2:
            raise AdoptionError(
                f"{target} seems to rank rows within one {name}: ranking is not supported; "
                "supported are a classification with one label a row, and a regression",
                f"say PROBLEM=regression to predict {target} row by row, or "
                "PROBLEM=classification to tell its grades apart",
            )


def decide_target(profile: ColumnProfile, asked: str | None) -> TargetRole:
    """Decide the problem and the classes.

    Args:
        profile: The target's column.
        asked: `classification`, `regression`, or None to infer it.

    Raises:
        AdoptionError: If the values cannot be a target, or not of the problem asked for.
    """
    name = profile.name
    if asked not in (None, "classification", "regression"):
        raise AdoptionError(
            f"PROBLEM={asked} is not known"
            + (f": {NOT_SUPPORTED[asked]}" if asked in NOT_SUPPORTED else ""),
            "leave PROBLEM out, and say how long ahead a row is asked for: HORIZON=24h"
            if asked == "forecasting"
            else "say PROBLEM=classification (one label a row), PROBLEM=regression (a number a "
            "row) or PROBLEM=clustering (no target), or leave it out",
        )
    if profile.distinct == 0:
        raise AdoptionError(
            f"the target {name} has no value in any row", "name another column as TARGET"
        )
    if profile.distinct == 1:
        others = f" or missing ({profile.missing_text} rows)" if profile.missing else ""
        raise AdoptionError(
            f"the target {name} is always {profile.levels[0][:40]!r}{others}; "
            "a model needs two values or more to tell apart",
            "give a file with all outcomes, or name another column as TARGET",
        )
    missing = (
        f"{profile.missing_text} rows have no {name}: silver will quarantine them"
        if profile.missing
        else ""
    )
    notes = (missing,) if missing else ()
    many_numbers = profile.is_numeric and profile.distinct > FEW_LABELS
    if asked == "regression" or (asked is None and many_numbers):
        return _regression(profile, asked, notes)
    return _classification(profile, asked, notes)


def _regression(profile: ColumnProfile, asked: str | None, notes: tuple[str, ...]) -> TargetRole:
    if not profile.is_numeric:
        example = local_number(profile) or next(
            (
                level
                for level, n in zip(profile.levels, profile.numbers, strict=True)
                if np.isnan(n)
            ),
            profile.levels[0],
        )
        raise AdoptionError(
            f"PROBLEM=regression, but {profile.name} holds {example[:40]!r}, which is no number",
            "correct the values (1234.5), or say PROBLEM=classification",
        )
    low, high = float(np.nanmin(profile.numbers)), float(np.nanmax(profile.numbers))
    if (sentinel := find_sentinel(profile)) is not None:
        value, rows = sentinel
        share = 100 * rows / profile.present
        notes += (
            f"{profile.name} is {value} in {rows:,} rows ({share:.2g} %), far from all other "
            "values: if it stands for a missing one, the model would learn it; take these rows "
            f"out, or write missing_words: ['{value}'] under target in config/project.yaml",
        )
    why = "as asked" if asked else f"{profile.distinct:,} different numbers"
    return TargetRole(
        "regression",
        Target(column=profile.name, unit=profile.unit, missing_words=profile.missing_words),
        f"seen {low:.6g} to {high:.6g}",
        "; ".join(filter(None, [f"regression: {why}", says_about_numbers(profile)])),
        notes,
    )


def _classification(
    profile: ColumnProfile, asked: str | None, notes: tuple[str, ...]
) -> TargetRole:
    name = profile.name
    if profile.distinct > MAXIMUM_CLASSES:
        if example := local_number(profile):
            raise AdoptionError(
                f"the target {name} holds numbers with separators, such as {example!r}",
                "write them as 1234.5",
            )
        raise AdoptionError(
            f"the target {name} has {profile.distinct:,} different labels, such as "
            f"{describe_levels(profile.levels[:3])}; a classification may have {MAXIMUM_CLASSES}",
            "say PROBLEM=regression"
            if profile.is_numeric
            else "group the labels, or name another column as TARGET",
        )
    rows = dict(zip(profile.levels, map(int, profile.counts), strict=True))
    rare = sorted(label for label, count in rows.items() if count < MINIMUM_CLASS_ROWS)
    if rare and len(rows) - len(rare) >= 2:
        count = sum(rows.pop(label) for label in rare)
        notes += (
            f"{name}: {describe_levels(tuple(rare))}: fewer than {MINIMUM_CLASS_ROWS} rows each, "
            f"too few to learn and to test; silver will quarantine these {count} rows",
        )
    if profile.is_numeric and profile.not_numbers == 0:
        classes = sorted(rows, key=lambda label: (float(label), label))
    else:
        classes = sorted(rows)
    why = (
        "as asked"
        if asked
        else f"{profile.distinct} different {'numbers' if profile.is_numeric else 'labels'}"
    )
    reason = f"classification: {why}"
    if not asked and profile.is_numeric and len(classes) > 2:
        reason += " (PROBLEM=regression to predict them as numbers)"
    if len(classes) == 2:
        positive, because = _positive(rows)
        classes = [*(label for label in classes if label != positive), positive]
        reason += f"; probabilities are of {positive!r}, {because}"
    labels = tuple(classes)
    return TargetRole(
        "classification",
        Target(column=name, classes=labels),
        describe_levels(labels),
        reason,
        notes,
    )


def _positive(rows: Mapping[str, int]) -> tuple[str, str]:
    """Of two labels, the one whose probability is given, and why."""
    said_true = [label for label in rows if label.lower() in (*TRUE_WORDS, *FOREIGN_YES)]
    said_false = [label for label in rows if label.lower() in (*FALSE_WORDS, *FOREIGN_NO)]
    if len(said_true) == len(said_false) == 1:
        return said_true[0], "which says yes"
    rarer, commoner = sorted(rows, key=lambda label: (rows[label], label))
    if rows[rarer] == rows[commoner]:
        return commoner, "the last in the alphabet of two that are equally frequent"
    return rarer, f"the rarer one ({rows[rarer]:,} of {sum(rows.values()):,} rows)"
