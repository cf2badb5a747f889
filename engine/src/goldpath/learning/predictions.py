"""What a model says about rows, whatever runs it."""

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
    """

    values: list[str] | list[float]
    probabilities: np.ndarray | None
    scores: list[float]
