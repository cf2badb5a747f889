"""What a model says about rows, whatever runs it; and metrics that follow from counts of it.

Metrics of counts are exact for any number of rows, and need no row once it is counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """What a model says about some rows.

    Attributes:
        values: Labels (classification) or numbers (regression), one a row.
        probabilities: Shape (rows, classes) in the order of the contract's classes, or None.
        scores: One number a row: P(positive) where the target is binary, P(predicted label) where
            it has more classes, the value itself in regression.
        lines: The threshold that decided each row, where a version has several by group.
    """

    values: list[str] | list[float]
    probabilities: np.ndarray | None
    scores: list[float]
    lines: list[float] | None = None


OfPairs = Callable[[np.ndarray], float]
"""A metric of counts, shape (true classes, decided classes)."""


def counted(true_places: np.ndarray, places: np.ndarray, classes: int) -> np.ndarray:
    """Rows by true and decided class.

    Args:
        true_places: Places of the true classes, shape (rows,).
        places: Places of the decided classes, shape (rows,).
        classes: How many there are.

    Returns:
        Counts, shape (classes, classes).
    """
    both = np.bincount(true_places * classes + places, minlength=classes**2)
    return both.reshape(classes, classes)


def _accuracy(counts: np.ndarray) -> float:
    return float(np.trace(counts) / counts.sum()) if counts.any() else float("nan")


def _balanced_accuracy(counts: np.ndarray) -> float:
    sizes = counts.sum(axis=1)
    return float(np.mean(np.diag(counts)[sizes > 0] / sizes[sizes > 0]))


def _f1_macro(counts: np.ndarray) -> float:
    found = counts.sum(axis=0) + counts.sum(axis=1)
    shares = np.divide(2 * np.diag(counts), found, out=np.zeros(len(counts)), where=found > 0)
    return float(np.mean(shares))


def _precision(counts: np.ndarray) -> float:
    called = counts[:, 1].sum()
    return float(counts[1, 1] / called) if called else float("nan")


def _recall(counts: np.ndarray) -> float:
    positive = counts[1].sum()
    return float(counts[1, 1] / positive) if positive else float("nan")


BY_PAIRS: Mapping[str, OfPairs] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "precision": _precision,
    "recall": _recall,
}
"""The engine's metrics of decisions; the last two are of two classes, the second the positive."""
