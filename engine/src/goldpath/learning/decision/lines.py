"""Thresholds of several classes that are best for a metric of decisions."""

from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract
from goldpath.errors import NotEnoughDataError
from goldpath.learning.decision.threshold import DecisionRule, scores_of
from goldpath.learning.metric import Metric
from goldpath.learning.predictions import Predictions

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
) -> dict[str, float] | None:
    """The thresholds, found class by class; None where the most probable class is best.

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

    def worth(lines: list[float | None]) -> float:
        rule = DecisionRule(None, by_class=tuple(lines) if any(lines) else ())
        places = rule.labels(probabilities)
        predictions = Predictions(
            [classes[place] for place in places.tolist()],
            probabilities,
            scores_of(probabilities, places).tolist(),
        )
        value = float(metric.on_rows(contract, truth, predictions, rows)(slice(None)))
        return value if metric.greater_is_better else -value

    lines: list[float | None] = [None] * len(classes)
    best = worth(lines)
    if not np.isfinite(best):
        raise NotEnoughDataError(
            f"{metric.name} is not defined on {len(truth)} rows",
            "bring more rows (make data), or set decision.thresholds",
        )
    for _ in range(ROUNDS):
        before = best
        for place in tried:
            for line in _candidates(probabilities[:, place]):
                value = worth([*lines[:place], line, *lines[place + 1 :]])
                if np.isfinite(value) and value > best:
                    best, lines[place] = value, line
        if best == before:
            break
    return {classes[place]: line for place, line in enumerate(lines) if line} or None


def _candidates(probabilities: np.ndarray) -> list[float]:
    """Thresholds between 0 and 1, evenly over the rows; the nearest to one half first."""
    cuts = np.unique(np.quantile(probabilities, np.linspace(0, 1, CANDIDATES + 2)[1:-1]))
    found = [0.5, *cuts[(cuts > 0) & (cuts < 1)].tolist()]
    return sorted(found, key=lambda each: abs(each - 0.5))
