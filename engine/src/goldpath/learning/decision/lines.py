"""Thresholds of several classes that are best for a metric of decisions."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract
from goldpath.errors import NotEnoughDataError
from goldpath.learning.decision.threshold import DecisionRule
from goldpath.learning.decision.worth import worth_of_decisions
from goldpath.learning.metric import Metric

if TYPE_CHECKING:
    import pandas as pd

CANDIDATES = 40
"""How many thresholds of a class are tried: quantiles of its probabilities."""
ROUNDS = 3
"""How often each class gets its turn, while the metric rises."""


def tuned_thresholds(
    contract: Contract,
    metric: Metric,
    truth: np.ndarray,
    probabilities: np.ndarray,
    rows: "pd.DataFrame",
) -> dict[str, float]:
    """The thresholds, found class by class; none where the most probable class is best.

    The most frequent class has none: it is decided where no other is. A class keeps none where no
    threshold of its own makes the metric better.

    Args:
        contract: Names the classes.
        metric: To be as good as can be.
        truth: The target, shape (rows,).
        probabilities: By models that did not see the row, shape (rows, classes).
        rows: The rows, for a metric that looks at them.

    Raises:
        NotEnoughDataError: If the metric is not defined for these rows.
    """
    classes = contract.target.classes
    counts = [int((truth.astype(str) == name).sum()) for name in classes]
    tried = [place for place in np.argsort(counts).tolist() if place != int(np.argmax(counts))]

    worth = worth_of_decisions(contract, metric, truth, probabilities, rows)
    lines: list[float | None] = [None] * len(classes)
    best = worth(probabilities.argmax(axis=1))
    if not np.isfinite(best):
        raise NotEnoughDataError(
            f"{metric.name} is not defined on {len(truth)} rows",
            "bring more rows (make data), or set decision.thresholds",
        )
    for _ in range(ROUNDS):
        before = best
        for place in tried:
            places_at = _moving(probabilities, lines, place)
            for line in _candidates(probabilities[:, place]):
                value = worth(places_at(line))
                if np.isfinite(value) and value > best:
                    best, lines[place] = value, line
        if best == before:
            break
    return {classes[place]: line for place, line in enumerate(lines) if line}


def _moving(
    probabilities: np.ndarray, lines: Sequence[float | None], place: int
) -> Callable[[float], np.ndarray]:
    """The decisions as a function of one class's threshold, those of the others being fixed.

    Args:
        probabilities: Shape (rows, classes).
        lines: The thresholds; that of the class is not looked at.
        place: The class.

    Returns:
        As `DecisionRule.labels` decides, without its work for each threshold.
    """
    fixed = np.array([np.inf if other == place else line for other, line in enumerate(lines)])
    fixed = fixed.astype(np.float64)  # NaN where there is none; nothing is above infinity
    others = DecisionRule(None, by_class=tuple(fixed.tolist())).labels(probabilities)
    times = np.where(probabilities > fixed, probabilities / fixed, 0.0).max(axis=1)
    reached_below = probabilities[:, place] / np.maximum(times, 1.0)
    return lambda line: np.where(reached_below > line, place, others)


def _candidates(probabilities: np.ndarray) -> list[float]:
    """Thresholds between 0 and 1, evenly over the rows; the nearest to one half first."""
    cuts = np.unique(np.quantile(probabilities, np.linspace(0, 1, CANDIDATES + 2)[1:-1]))
    found = [0.5, *cuts[(cuts > 0) & (cuts < 1)].tolist()]
    return sorted(found, key=lambda each: abs(each - 0.5))
