"""Thresholds by group, at which a rate is alike in all groups of a column.

Hardt, Price and Srebro (2016), *Equality of opportunity in supervised learning*, choose thresholds
of a fitted score by group. Theirs may be drawn at random between two, which equals rates exactly
(so does fairlearn's `ThresholdOptimizer`); the same row would then be decided now one way, now
another. Here each group has one threshold, and rates are alike within a tolerance.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.contract import Contract, Feature, GroupThresholds
from goldpath.errors import NotEnoughDataError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.learning.decision.threshold import TRUE
from goldpath.learning.decision.worth import Worth, threshold_candidates, worth_of_decisions
from goldpath.learning.metric import Metric
from goldpath.presentation import step
from goldpath.settings.decision import GroupSettings, without
from goldpath.settings.section import file_of

if TYPE_CHECKING:
    import pandas as pd

ROUNDS = 3
"""How often each group's threshold is moved within the tolerance, while the metric rises."""
LEVELS = 100
"""How many windows of rates are tried that all groups may have."""
ROUNDING = 1e-12
MOST_GROUPS, SHOWN = 50, 10
"""How many may have a threshold of their own, and how many of them a sentence names."""
RATES = {"equal_opportunity": "true positive rate", "demographic_parity": "selection rate"}
FALSE = "false"


@dataclass(frozen=True)
class _Group:
    """One group with enough rows.

    Attributes:
        rows: Their numbers.
        scores: Theirs.
        lines: Thresholds that are tried, the least first.
        rates: The group's rate at each of them.
        counted: The number of rows that it is a rate of.
    """

    rows: np.ndarray
    scores: np.ndarray
    lines: np.ndarray
    rates: np.ndarray
    counted: int

    @classmethod
    def of(
        cls, rows: np.ndarray, counted: np.ndarray, scores: np.ndarray, common: float
    ) -> "_Group":
        """A group whose rate is counted on some of its rows."""
        of_rate = np.sort(scores[rows & counted])
        lines = np.unique([*threshold_candidates(scores[rows], of_rate), common])
        above = len(of_rate) - np.searchsorted(of_rate, lines, side="right")
        rates = above / len(of_rate)
        return cls(np.flatnonzero(rows), scores[rows], lines, rates, len(of_rate))

    def nearest(self, rate: float) -> int:
        """The place of the threshold whose rate is nearest."""
        return int(np.argmin(np.abs(self.rates - rate)))


def can_group(contract: Contract, column: str) -> bool:
    """Whether the values of a column may be groups: a category or boolean that is sent."""
    feature = contract.by_name.get(column)
    return (
        feature is not None and not feature.is_computed and feature.type in ("category", "boolean")
    )


def require_groups(contract: Contract, groups: GroupSettings) -> None:
    """Refuse groups that no row would have.

    Raises:
        ProjectDefinitionError: If the target has not two classes, or the column is no feature that
            a request sends, or of no kind that has groups.
    """
    file, column = file_of("decision", contract.model), contract.target.column
    if not contract.is_binary:
        raise ProjectDefinitionError(
            f"{file}: decision.groups is for a target of two classes; {column} has "
            f"{len(contract.target.classes) or 'no'} classes",
            without("groups", contract.model),
        )
    if can_group(contract, groups.column):
        return
    feature = contract.by_name.get(groups.column)
    wrong = "no feature of config/project.yaml"
    if feature is not None:
        wrong = "computed, and no request sends it" if feature.is_computed else f"a {feature.type}"
    fitting = [each.name for each in contract.features if can_group(contract, each.name)]
    raise ProjectDefinitionError(
        f"{file}: decision.groups.column={groups.column!r} is {wrong}; groups are the values of a "
        "category or boolean that each request sends",
        f"name one of {', '.join(fitting)}" if fitting else without("groups", contract.model),
    )


def names_of(values: Iterable[Any], feature: Feature) -> np.ndarray:
    """The group of each row as a contract writes it; None of a row without a value."""
    if feature.type == "boolean":
        known: Mapping[Any, str] = {True: TRUE, False: FALSE}
        return np.array([known.get(value) for value in values], dtype=object)
    return np.array([each if isinstance(each, str) else None for each in values], dtype=object)


def counted_rows(criterion: str, positive: np.ndarray) -> np.ndarray:
    """The rows on which a criterion's rate is counted.

    Args:
        criterion: Of the settings.
        positive: Whether each row's true class is the positive one.
    """
    return positive if criterion == "equal_opportunity" else np.ones(len(positive), dtype=bool)


def group_thresholds(
    contract: Contract,
    groups: GroupSettings,
    common: float,
    metric: Metric | None,
    truth: np.ndarray,
    scores: np.ndarray,
    rows: "pd.DataFrame",
) -> GroupThresholds:
    """The thresholds that are best for the metric of those at which the rate is alike.

    Where it is alike at the common threshold, no group gets one of its own.

    Args:
        contract: Names the classes, and what the column may hold.
        groups: What is to be alike, and how much.
        common: The threshold of all rows without groups.
        metric: What it was tuned for; None: it is fixed, and the groups' rates are brought to that
            of all of them together.
        truth: The target, shape (rows,).
        scores: P(positive) by models that did not see the row, shape (rows,).
        rows: The rows, with the column.

    Raises:
        NotEnoughDataError: If no thresholds bring the rates within the tolerance.
        ProjectDefinitionError: If the column has more than 50 groups with enough rows.
    """
    names = names_of(rows[groups.column].tolist(), contract.by_name[groups.column])
    counted = counted_rows(groups.criterion, truth.astype(str) == contract.target.positive)
    known = sorted({name for name in names if name is not None})
    sizes = {name: int((counted & (names == name)).sum()) for name in known}
    large = [name for name in known if sizes[name] >= groups.minimum_rows]
    if len(large) > MOST_GROUPS:
        raise _too_many(contract, groups, len(large))
    small = sorted({*known} - {*large}, key=lambda name: (-sizes[name], name))[:MOST_GROUPS]
    members = [_Group.of(names == name, counted, scores, common) for name in large]
    found = GroupThresholds(
        groups.column,
        groups.criterion,
        groups.tolerance,
        thresholds={},
        small={name: sizes[name] for name in small},
        metric="" if metric is None else metric.name,
    )
    if len(members) > 1:
        start = [int(np.searchsorted(each.lines, common)) for each in members]
        before = after = _gap(members, start)
        if before > groups.tolerance:
            worth = None
            if metric is not None:
                probabilities = np.column_stack([1 - scores, scores])
                worth = worth_of_decisions(contract, metric, truth, probabilities, rows)
            places = _best(members, groups.tolerance, scores, common, worth)
            if places is None:
                raise _nothing_alike(contract, groups, before)
            after = _gap(members, places)
            lines = [float(each.lines[at]) for each, at in zip(members, places, strict=True)]
            found = replace(found, thresholds=dict(zip(large, lines, strict=True)))
        found = replace(found, gaps=(before, after))
    step(described(found, common, missing=sum(name is None for name in names)))
    return found


def described(groups: GroupThresholds, common: float, missing: int = 0) -> str:
    """What a version decides by group, as a sentence.

    Args:
        groups: The version's.
        common: The threshold of all other rows.
        missing: Rows of the tuning that have no value.
    """
    rate, column = RATES[groups.criterion], groups.column
    few = _listed([f"{name} ({rows})" for name, rows in groups.small.items()])
    kept = f"; too few rows for a threshold of their own: {few}" if few else ""
    kept += f"; {missing} rows without a value of it have the common one" if missing else ""
    if groups.gaps is None:
        return f"no thresholds by {column}: fewer than two groups have enough rows{kept}"
    if not groups.thresholds:
        return (
            f"no thresholds by {column}: at {common:.4g} the {rate} differs by "
            f"{groups.gaps[0]:.3f}, at most {groups.tolerance:g} is asked for{kept}"
        )
    lines = _listed([f"{name} {line:.4g}" for name, line in groups.thresholds.items()])
    return (
        f"thresholds by {column}: {lines}, others {common:.4g}; the {rate} differs by "
        f"{groups.gaps[1]:.3f} on the rows that they were found on, with one threshold by "
        f"{groups.gaps[0]:.3f}{kept}"
    )


def _listed(parts: list[str]) -> str:
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return ", ".join(parts[:SHOWN]) + more


def meaning(groups: GroupThresholds) -> str:
    """What it is to decide by group, in plain words."""
    return (
        f"Different people are held to different thresholds by {groups.column}: two with the same "
        "score may be decided differently because of it, and it must be known of whoever is "
        "decided about. Whether law and ethics allow that here is not for a model to say: ask "
        "before it is used."
    )


def _best(
    groups: list[_Group],
    tolerance: float,
    scores: np.ndarray,
    common: float,
    worth: Worth | None,
) -> list[int] | None:
    """The places of the best thresholds; None where none are within the tolerance.

    All rates lie in a window as wide as the tolerance. Windows are tried, those near the rate of
    all groups together at the common threshold first: of equally good ones the first is kept. In
    each, one group after the other gets its best threshold. At the end each is moved once more.

    Args:
        groups: With enough rows.
        tolerance: How far their rates may lie apart.
        scores: Of all rows.
        common: The threshold of the rows of no such group.
        worth: What is maximised; None: the groups are brought as near to the rate of all together
            as the tolerance allows.
    """
    at_common = [each.rates[np.searchsorted(each.lines, common)] for each in groups]
    level = float(np.average(at_common, weights=[each.counted for each in groups]))
    if worth is None:
        places = [each.nearest(level) for each in groups]
        if _gap(groups, places) <= tolerance + ROUNDING:
            return places

    def value(places: list[int]) -> float:
        if _gap(groups, places) > tolerance + ROUNDING:
            return -np.inf
        if worth is None:
            return -_distance(groups, places, level)
        decided = scores > common
        for each, place in zip(groups, places, strict=True):
            decided[each.rows] = each.scores > each.lines[place]
        found = worth(decided.astype(np.intp))
        return found if np.isfinite(found) else -np.inf

    def moved(places: list[int], at: int, to: Iterable[int]) -> list[int]:
        """The best of these places for one group, those of the others being fixed."""
        return max(([*places[:at], int(each), *places[at + 1 :]] for each in to), key=value)

    lows = np.unique(np.concatenate([each.rates for each in groups]))
    lows = lows[np.linspace(0, len(lows) - 1, min(LEVELS, len(lows))).astype(int)]
    best: list[int] = []
    found = -np.inf
    for low in sorted(lows, key=lambda each: abs(each + tolerance / 2 - level)):
        inside = [
            np.flatnonzero((low <= each.rates) & (each.rates <= low + tolerance + ROUNDING))
            for each in groups
        ]
        if min(map(len, inside)) == 0:
            continue
        places = [int(each[len(each) // 2]) for each in inside]
        for at, each in enumerate(inside):
            places = moved(places, at, each)
        if (here := value(places)) > found:
            best, found = places, here
    if not best:
        return None
    for at, group in [*enumerate(groups)] * ROUNDS:
        best = moved(best, at, [best[at], *range(len(group.lines))])
    return best


def _gap(groups: list[_Group], places: list[int]) -> float:
    """The largest difference of the rate between two groups."""
    rates = [float(each.rates[place]) for each, place in zip(groups, places, strict=True)]
    return max(rates) - min(rates)


def _too_many(contract: Contract, groups: GroupSettings, found: int) -> ProjectDefinitionError:
    return ProjectDefinitionError(
        f"{file_of('decision', contract.model)}: decision.groups.column={groups.column!r} has "
        f"{found} groups of {groups.minimum_rows} rows or more; {MOST_GROUPS} at most get a "
        "threshold of their own",
        "name a column of fewer groups, or raise groups.minimum_rows",
    )


def _distance(groups: list[_Group], places: list[int], level: float) -> float:
    """How far the groups' rates lie from one rate, each counted by its rows."""
    rates = np.array([each.rates[place] for each, place in zip(groups, places, strict=True)])
    return float(np.average(np.abs(rates - level), weights=[each.counted for each in groups]))


def _nothing_alike(contract: Contract, groups: GroupSettings, before: float) -> NotEnoughDataError:
    return NotEnoughDataError(
        f"decision.groups: no thresholds by {groups.column} bring the {RATES[groups.criterion]} of "
        f"its groups within {groups.tolerance:g} (one threshold: {before:.3f})",
        f"raise groups.tolerance or groups.minimum_rows in {file_of('decision', contract.model)}, "
        "or bring more rows: make data",
    )
