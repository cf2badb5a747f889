"""Decide how a table's rows are divided into folds: as the caller says, or as the rows show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from goldpath.automl.structure.findings import Finding, Folds
from goldpath.automl.structure.keys import Key, Repeating, codes_of, keys, repeating_columns
from goldpath.automl.structure.likeness import (
    Likeness,
    is_sorted_by_target,
    likeness,
    signals,
)
from goldpath.automl.structure.order import Order, orders, times_of
from goldpath.automl.task import Task
from goldpath.errors import ProjectError

Groups = Sequence[Any] | np.ndarray | str | Literal[False] | None
"""One value a row; a column's name; False for none; None: as the rows show."""
LEAST_LIKENESS = 0.1
"""Correlation of neighbours' targets, or their trend, that is worth a question without a time."""
LEAST_OF_A_COUNTER = 0.3
"""The same, from which a mere counter of the rows is taken for a time."""
RANDOM = "the folds are random"


@dataclass(frozen=True)
class Structure:
    """How the rows hang together.

    Attributes:
        folds: What the folds are made by.
        order: Row numbers, oldest first, where the folds follow the time; else None.
        groups: One value a row, where groups stay together; else None.
        group_column: The groups' column, which is no feature; empty where there is none.
        repeating: Columns of many values that repeat, which may turn out to be no features.
        findings: What was found, done and asked.
    """

    folds: Folds
    order: np.ndarray | None = None
    groups: np.ndarray | None = None
    group_column: str = ""
    repeating: tuple[Repeating, ...] = ()
    findings: tuple[Finding, ...] = ()


def find_structure(
    features: pd.DataFrame,
    task: Task,
    *,
    has_folds: bool,
    time_ordered: bool | None,
    groups: Groups,
    together: np.ndarray | None = None,
) -> Structure:
    """What the folds are made by.

    What the caller says is done. What is not said is looked for in the table: an order is used
    where the rows are in the order of a time or a counter and the target follows it, groups where
    the values of a key tell the target. What is less certain becomes a question.

    Args:
        features: The table.
        task: Its target.
        has_folds: Whether the caller has made folds, which then decide alone.
        time_ordered: Whether the rows are in the order of time; None: not said.
        groups: See `Groups`.
        together: One value a row: copies, which stay together where nothing else decides.

    Raises:
        ProjectError: If the arguments contradict each other, or the groups' column is missing.
    """
    rows = len(features)
    told_groups = groups is not None and groups is not False
    if has_folds + bool(time_ordered) + told_groups > 1:
        raise ProjectError(
            "folds, time_ordered and groups were given together",
            "give one of them; own folds can respect both time and groups",
        )
    times = times_of(features)
    parts = {part for name, _ in times for part in name.split(", ")}
    repeating = repeating_columns(features, parts)
    if has_folds:
        return Structure("own", repeating=repeating)
    if time_ordered:
        asked = _backwards(orders(features, times, ()))
        return Structure("time", np.arange(rows), repeating=repeating, findings=asked)
    if isinstance(groups, str):
        codes, missing = _told(features, groups)
        asked = _without_key(groups, missing)
        return Structure("groups", None, codes, groups, repeating, asked)
    if groups is not None and groups is not False:
        codes, is_missing = codes_of(pd.Series(groups))
        asked = _without_key("the groups", int(is_missing.sum()))
        return Structure("groups", None, codes, "", repeating, asked)
    target = signals(task)
    told = keys(features, repeating, target) if target else []
    key = told[0] if told else None
    found = Structure("random", repeating=repeating)
    if target and time_ordered is None:
        found = _with_order(found, features, task, target, times, key)
    if key is not None and groups is not False:
        found = _with_groups(found, key)
    return replace(found, groups=together) if found.folds == "random" else found


def _with_groups(found: Structure, key: Key) -> Structure:
    """Keep a key's rows together where that is certain and the time does not decide; else ask."""
    if found.order is not None or not key.is_certain:
        asked = _groups_in_time(key) if found.order is not None else _perhaps_groups(key)
        return replace(found, findings=(*found.findings, asked))
    done = Finding(
        "groups",
        key.column,
        f"{_repeats(key)}, and it is named or written like a key",
        f"all rows of one {key.column} are in the same fold{_apart(key.missing)}, and "
        f"{key.column} is no feature",
        option="groups=False where the rows to predict have values that are known here",
    )
    return replace(
        found,
        folds="groups",
        groups=key.codes,
        group_column=key.column,
        findings=(*found.findings, done),
    )


def _with_order(
    found: Structure,
    features: pd.DataFrame,
    task: Task,
    target: Sequence[np.ndarray],
    times: Sequence[tuple[str, np.ndarray]],
    key: Key | None,
) -> Structure:
    """Follow an order in time where that is certain; else ask, where there may be one."""
    # What lies between groups is no order: rows of a group are often next to each other.
    freed = target if key is None else [_within(signal, key.codes) for signal in target]
    known = orders(features, times, [(one.column, one.codes) for one in found.repeating])
    mixed: Finding | None = None
    for order in known:
        alike = _along(order, freed, key)
        if not order.how:
            mixed = mixed or _mixed(order, alike)
        elif order.is_doubtful:
            mixed = mixed or _doubtful(order, alike)
        elif order.is_counter:
            is_time = alike.is_certain and alike.strength >= LEAST_OF_A_COUNTER
            if is_time and not is_sorted_by_target(task, order.rows):
                return replace(
                    found, folds="time", order=order.rows, findings=(_used(order, alike),)
                )
        elif alike.is_certain:
            return replace(found, folds="time", order=order.rows, findings=(_used(order, alike),))
        else:
            evidence = f"{order.how}, but the target does not follow it ({_spoken(alike)})"
            return replace(found, findings=(Finding("order", order.column, evidence, RANDOM),))
    asked = mixed or _unnamed(task, likeness(freed, np.arange(len(features))))
    return found if asked is None else replace(found, findings=(asked,))


def _backwards(known: Sequence[Order]) -> tuple[Finding, ...]:
    """Of rows that are said to be in the order of time, and seem to begin with the newest."""
    for order in known:
        if order.falls and not order.is_counter:
            return (
                Finding(
                    "order",
                    order.column,
                    order.how,
                    "the first rows count as the oldest, as was said",
                    "Do the rows begin with the newest?",
                    f"time_ordered=True with the rows sorted by {order.column}",
                ),
            )
    return ()


def _used(order: Order, alike: Likeness) -> Finding:
    return Finding(
        "order",
        order.column,
        f"{order.how}, and the target follows it ({_spoken(alike)})",
        "each fold is judged on rows that are newer than those it learns from",
        option="time_ordered=False where the rows to predict are from the same time",
    )


def _unnamed(task: Task, alike: Likeness) -> Finding | None:
    """Of rows that are like their neighbours without a column that tells a time."""
    if not alike.is_certain or alike.strength < LEAST_LIKENESS:
        return None
    if is_sorted_by_target(task, np.arange(len(task.target))):
        return Finding("order", "", "the rows are sorted by the target", RANDOM)
    return Finding(
        "order",
        "",
        f"rows next to each other have like targets ({_spoken(alike)}), and no column says for "
        "certain that this is an order in time",
        f"{RANDOM}, and the estimate is too good if it is one",
        "Are the rows in the order of time?",
        "time_ordered=True",
    )


def _along(order: Order, target: Sequence[np.ndarray], key: Key | None) -> Likeness:
    """The likeness along an order; of a key's own rows, too, where they are in it."""
    alike = likeness(target, order.rows)
    if alike.is_certain or key is None:
        return alike
    return likeness(target, np.lexsort((order.times, key.codes)))


def _mixed(order: Order, alike: Likeness) -> Finding | None:
    """A time that the rows are not in the order of, and that the target follows."""
    if not alike.is_certain or alike.strength < LEAST_LIKENESS or order.is_counter:
        return None
    return Finding(
        "order",
        order.column,
        f"the target follows {order.column} ({_spoken(alike)}), but the rows are not in its order",
        f"{RANDOM}, and the estimate is too good for rows that are newer than these",
        f"Are the rows to predict newer, by {order.column}?",
        f"time_ordered=True with the rows sorted by {order.column}",
    )


def _doubtful(order: Order, alike: Likeness) -> Finding | None:
    """A lone year of something that the target follows, which may not be the rows' own time."""
    if not alike.is_certain or alike.strength < LEAST_LIKENESS:
        return None
    return Finding(
        "order",
        order.column,
        f"{order.how}, and the target follows it ({_spoken(alike)}), but it may not say when "
        "the row was",
        f"{RANDOM}, and the estimate is too good if it does",
        f"Are the rows to predict newer, by {order.column}?",
        f"time_ordered=True with the rows sorted by {order.column}",
    )


def _groups_in_time(key: Key) -> Finding:
    return Finding(
        "groups",
        key.column,
        _repeats(key),
        "the time decides the folds, so rows of one value may be learned from and judged",
        f"Has each new row a {key.column} that is not known here?",
        f'groups="{key.column}"',
    )


def _without_key(name: str, missing: int) -> tuple[Finding, ...]:
    """Of groups that were told: rows that have none."""
    if not missing:
        return ()
    evidence = f"{name} has no value in {missing:,} rows"
    return (Finding("groups", name, evidence, "each of these rows is a group of its own"),)


def _apart(missing: int) -> str:
    """What is done with rows without a key."""
    if not missing:
        return ""
    return f", each of the {missing:,} rows without one being a group of its own"


def _perhaps_groups(key: Key) -> Finding:
    return Finding(
        "groups",
        key.column,
        _repeats(key),
        f"{RANDOM}, and the estimate is too good for values that are not known here",
        f"Has each new row a {key.column} that is not known here?",
        f'groups="{key.column}"',
    )


def _repeats(key: Key) -> str:
    return (
        f"{key.column} has {key.count:,} values in {len(key.codes) - key.missing:,} rows"
        + (f" and none in {key.missing:,}" if key.missing else "")
        + f", and {key.share:.0%} of the target's variance is between them"
    )


def _spoken(alike: Likeness) -> str:
    return f"correlation of neighbours {alike.correlation:.2f}, trend {alike.trend:.2f}"


def _within(signal: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """A signal less its groups' means."""
    means = np.bincount(codes, weights=signal) / np.bincount(codes)
    freed: np.ndarray = signal - means[codes]
    return freed


def _told(features: pd.DataFrame, name: str) -> tuple[np.ndarray, int]:
    """Numbers of the groups that a column names, and how many rows have none."""
    named = [column for column in features.columns if str(column) == name]
    if not named:
        raise ProjectError(
            f"groups names the column {name!r}, and the features have none of this name",
            f"they have {', '.join(map(str, features.columns[:30]))}",
        )
    codes, is_missing = codes_of(features[named[0]])
    return codes, int(is_missing.sum())
