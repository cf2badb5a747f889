"""Whether the time's position is a feature: what a model learns of it may not hold later.

A day's number, a year or a counter rises from row to row, so that no newer row has a value that was
learned. A trend may go on, and then it helps; where a level only wanders, a model that takes its
last turn for a trend is worse than one that knows no time. Which it is shows on the folds, whose
judged rows are newer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from goldpath.automl.columns import Kind, as_number, as_time, column_kind
from goldpath.automl.evaluation import Candidate, Evaluator
from goldpath.automl.families.family import SearchFamily
from goldpath.automl.families.portfolio import portfolio
from goldpath.automl.structure.findings import Finding
from goldpath.automl.task import GREATER_IS_BETTER

RISES = 0.99
"""Share of the steps from row to row that do not fall, in a column that tells the position."""
FEWEST = 20
LEAST_SECONDS = 20.0
"""Below, a budget is for the search alone."""
SHARE = 0.04
"""Of the budget, for each of the four fits over the folds."""


@dataclass(frozen=True)
class Position:
    """Columns that say how far the time has gone.

    Attributes:
        counted: Numbers that rise from row to row; without the position they are no features.
        dated: Times that do; without it, only their parts that return are.
    """

    counted: tuple[str, ...] = ()
    dated: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.counted or self.dated)


def position_of(features: pd.DataFrame, left_out: Sequence[str]) -> Position:
    """The columns that tell the position of rows that lie in the order of time.

    Args:
        features: The rows, the oldest first.
        left_out: Columns that are no features anyway.
    """
    counted, dated = [], []
    for name in features.columns:
        kind = column_kind(features[name])
        if str(name) in left_out:
            continue
        if kind in (Kind.TIME, Kind.TIME_TEXT):
            moments = as_time(features[name]) - pd.Timestamp(0, tz="UTC")
            if _rises(moments.dt.total_seconds().to_numpy(np.float64)):
                dated.append(str(name))
        elif kind in (Kind.NUMBER, Kind.NUMBER_TEXT) and _rises(as_number(features[name])):
            counted.append(str(name))
    return Position(tuple(counted), tuple(dated))


def leave_position_out(
    evaluator: Evaluator, families: Mapping[str, SearchFamily]
) -> tuple[Position, Finding | None]:
    """Try a simple model of each form with and without the position, and keep what judges better.

    Args:
        evaluator: With folds by time; it goes on without the position where that is better.
        families: What the search chooses from.

    Returns:
        What is left out, and the sentence about it; nothing and None where the position stays.
    """
    position = position_of(evaluator.features, evaluator.keys)
    few = evaluator.stopwatch.seconds < LEAST_SECONDS
    names = [*position.counted, *position.dated]
    others = len(evaluator.features.columns) - len(evaluator.keys) - len(names)
    if not position or few or others < 1:
        return Position(), None
    known = _least_loss(evaluator, families)
    evaluator.leave_out(position.counted, position.dated)
    without = _least_loss(evaluator, families)
    if not without <= known:
        evaluator.leave_out((), ())
        return Position(), None
    sign = -1.0 if evaluator.task.metric in GREATER_IS_BETTER else 1.0
    return position, Finding(
        "position",
        ", ".join(names),
        f"{', '.join(names)}: of newer rows simple models know more without how far the time has "
        f"gone ({evaluator.task.metric} {sign * without:.4g} against {sign * known:.4g})",
        "that is no feature; parts of a time that return, such as the weekday, are",
    )


def _least_loss(evaluator: Evaluator, families: Mapping[str, SearchFamily]) -> float:
    """Of the portfolio's first configuration of each form, on the folds."""
    shapes = {name: evaluator.shape(family) for name, family in families.items()}
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, parameters in portfolio(families, shapes):
        first.setdefault(families[name].form, (name, parameters))
    losses = []
    for name, parameters in first.values():
        candidate = Candidate(0, name, parameters, in_portfolio=True)
        evaluator.evaluate(candidate, 0, SHARE * evaluator.stopwatch.seconds)
        losses.append(candidate.loss)
    return min(losses)


def _rises(values: np.ndarray) -> bool:
    """Whether nearly no step falls, and the last tenth lies above the first half, as no month does.

    Gaps are passed over.
    """
    known = values[np.isfinite(values)]
    if len(known) < FEWEST or np.mean(np.diff(known) >= 0) < RISES or known[0] == known[-1]:
        return False
    newest, oldest = known[-(len(known) // 10) :], known[: len(known) // 2]
    return bool(newest.min() >= oldest.max())
