"""What every learner is given and gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

from goldpath.automl.budget import Deadline


@dataclass(frozen=True)
class Parts:
    """One fold, encoded.

    Attributes:
        train: Rows to learn from, float32.
        target: Their class numbers or values.
        validation: Rows that the fit is judged on; None where all rows are learnt.
        validation_target: Their class numbers or values.
        categorical: Numbers of the columns that hold category codes.
        proxy_loss: Log loss or RMSE of predictions for the validation rows.
        cache: What libraries derive from the rows, kept for the next configuration.
    """

    train: np.ndarray
    target: np.ndarray
    validation: np.ndarray | None
    validation_target: np.ndarray | None
    categorical: tuple[int, ...]
    proxy_loss: Callable[[np.ndarray], float]
    cache: dict[Any, Any] = field(default_factory=dict)

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows that the fit is judged on and their targets.

        Raises:
            LookupError: If all rows are learnt.
        """
        if self.validation is None or self.validation_target is None:
            raise LookupError("all rows are learnt; none are held out")
        return self.validation, self.validation_target


class Learner(Protocol):
    """A model that is fitted until a deadline."""

    rounds: int
    curve: list[float]

    def fit(self, parts: Parts, deadline: Deadline, rounds: int | None = None) -> Self:
        """Learn; `rounds` overrides how many steps are made."""

    def use_rounds(self, rounds: int) -> None:
        """Predict as after so many steps."""

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities of shape (rows, classes), or values of shape (rows,)."""


def complete_probabilities(raw: np.ndarray, present: np.ndarray, outputs: int) -> np.ndarray:
    """One column a class, also for classes that no row of this fold had."""
    if raw.shape[1] == outputs:
        return raw
    complete = np.zeros((len(raw), outputs))
    complete[:, np.asarray(present, dtype=np.int64)] = raw
    return complete
