"""How good decisions are by a metric, asked hundreds of times while a threshold is tuned."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract
from goldpath.learning.decision.chosen import BuiltIn
from goldpath.learning.decision.threshold import scores_of
from goldpath.learning.decision.value import ValueMetric
from goldpath.learning.metric import Metric
from goldpath.learning.predictions import BY_PAIRS, OfPairs, Predictions, counted
from goldpath.presentation import step

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 50_000
"""Of more rows a metric of one's own sees a draw: it is called for each threshold that is tried."""
SEED = 0
CANDIDATES = 200
"""How many thresholds are tried: quantiles of the scores."""

Worth = Callable[[np.ndarray], float]
"""Of the decided classes' places, shape (rows,): the metric, turned so that more is better."""


def threshold_candidates(scores: np.ndarray, evenly_over: np.ndarray) -> list[float]:
    """Thresholds between neighbouring scores; of many some, evenly over other scores."""
    distinct = np.unique(scores)
    middles = (distinct[1:] + distinct[:-1]) / 2
    if len(middles) > CANDIDATES:
        cuts = np.quantile(evenly_over, np.linspace(0, 1, CANDIDATES + 2)[1:-1])
        middles = np.unique(middles[np.searchsorted(middles, cuts).clip(0, len(middles) - 1)])
    found: list[float] = middles.tolist()
    return found


def worth_of_decisions(
    contract: Contract,
    metric: Metric,
    truth: np.ndarray,
    probabilities: np.ndarray,
    rows: "pd.DataFrame",
) -> Worth:
    """A metric as a function of decisions.

    The engine's own are computed from counts of all rows. A project's own one may look at rows, so
    it is computed on a draw of at most `MOST_ROWS`, which is said.

    Args:
        contract: Names the classes.
        metric: Of decisions.
        truth: The target, shape (rows,).
        probabilities: Shape (rows, classes).
        rows: The rows, for a metric that looks at them.
    """
    sign = 1.0 if metric.greater_is_better else -1.0
    classes = contract.target.classes
    of_pairs = _of_pairs(metric)
    if of_pairs is not None:
        true_places = _places(truth, classes)
        return lambda places: sign * of_pairs(counted(true_places, places, len(classes)))
    drawn = _drawn(metric.name, len(truth))
    truth, probabilities, rows = truth[drawn], probabilities[drawn], rows.iloc[drawn]

    def on_rows(places: np.ndarray) -> float:
        places = places[drawn]
        predictions = Predictions(
            np.take(classes, places).tolist(),
            probabilities,
            scores_of(probabilities, places).tolist(),
        )
        return sign * float(metric.on_rows(contract, truth, predictions, rows)(slice(None)))

    return on_rows


def _drawn(metric: str, rows: int) -> np.ndarray | slice:
    """Numbers of the rows that a metric of the project's own is computed on, in their order."""
    if rows <= MOST_ROWS:
        return slice(None)
    step(
        f"{metric} is computed on {MOST_ROWS:,} of {rows:,} rows, drawn at random, for each "
        "threshold that is tried"
    )
    return np.sort(np.random.default_rng(SEED).choice(rows, MOST_ROWS, replace=False))


def _of_pairs(metric: Metric) -> OfPairs | None:
    """A metric that follows from counts as a function of them; None for any other."""
    if isinstance(metric, BuiltIn):
        return BY_PAIRS.get(metric.name)
    if isinstance(metric, ValueMetric):
        worth = np.array(metric.worth)[:, :2]  # each row is decided while the threshold is tuned
        return lambda counts: float((counts * worth).sum() / counts.sum())
    return None


def _places(truth: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """Each row's true class by its place among the classes."""
    labels = truth.astype(str)[:, None] == np.asarray(classes)[None, :]
    places: np.ndarray = labels.argmax(axis=1)
    return places
