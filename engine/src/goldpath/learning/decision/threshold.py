"""From probabilities to a decision: the one place where a class is chosen.

Training, evaluation, batch inference, the service and its lane all ask here, so a version decides
alike wherever it runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from goldpath.contract import Contract


@dataclass(frozen=True)
class DecisionRule:
    """How a version decides.

    Attributes:
        threshold: Of two classes the positive one is decided where its probability is above this;
            None: the most probable class.
    """

    threshold: float | None

    def label(self, answer: Sequence[float]) -> int:
        """The class of a row's probabilities, by its place in the contract's classes."""
        if self.threshold is None:
            return answer.index(max(answer))
        return int(answer[1] > self.threshold)

    def labels(self, answers: np.ndarray) -> np.ndarray:
        """The same for many rows.

        Args:
            answers: Shape (rows, classes), or (rows, 1) of a regression, whose places are all 0.

        Returns:
            Places of the classes, shape (rows,).
        """
        if self.threshold is None:
            places: np.ndarray = answers.argmax(axis=1)
            return places
        return (answers[:, 1] > self.threshold).astype(np.intp)


def rule_of(contract: Contract) -> DecisionRule:
    """The rule of a version, which its contract holds."""
    return DecisionRule(contract.decision_threshold)
