"""From probabilities to a decision: the one place where a class is chosen.

Training, evaluation, batch inference, the service and its lane all ask here, so a version decides
alike wherever it runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.contract import Contract

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

UNSURE = "unsure"
"""The decision of a row in the band."""
TRUE = "true"
"""How a contract writes the group of a boolean that holds."""


@dataclass(frozen=True)
class DecisionRule:
    """How a version decides.

    Attributes:
        threshold: Of two classes the positive one is decided where its probability is above this;
            None: the most probable class, or by the thresholds of several.
        unsure: The probabilities of the positive class from and up to which, both included, the
            decision is left to whoever asks; None: each row is decided.
        by_class: Of several classes the threshold of each, in their order, None where it has none;
            empty: the most probable class is decided. A class is decided where its probability is
            above its threshold; of several such the one with the most times its threshold; where
            there is none, the most probable class of those without a threshold.
        column: The feature by whose value a row of two classes has its threshold; empty: all rows
            have `threshold`.
        by_group: The threshold by this value; a row with another value, or none, has `threshold`.
    """

    threshold: float | None
    unsure: tuple[float, float] | None = None
    by_class: tuple[float | None, ...] = ()
    column: str = ""
    by_group: Mapping[str | bool, float] = field(default_factory=dict)

    def line(self, value: Any) -> float | None:
        """The threshold of a row with this value in `column`.

        A boolean may be given as the number that it is to a model: 1.0 is True.
        """
        return self.by_group.get(value, self.threshold)

    def lines(self, values: Iterable[Any]) -> np.ndarray:
        """The same for many rows: shape (rows,)."""
        get, common = self.by_group.get, self.threshold
        return np.array([get(value, common) for value in values], dtype=np.float64)

    def lines_of(
        self, rows: "pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]"
    ) -> np.ndarray | None:
        """The threshold of each row; None where all rows have the same."""
        if not self.column:
            return None
        if isinstance(rows, Sequence):
            return self.lines(row[self.column] for row in rows)
        values: Any = rows[self.column]
        return self.lines(values.to_pylist() if hasattr(values, "to_pylist") else values.tolist())

    def label(self, answer: Sequence[float], line: float | None = None) -> int:
        """The class of a row's probabilities, by its place in the contract's classes.

        Args:
            answer: The probabilities.
            line: The row's own threshold, where rows have different ones.
        """
        if self.threshold is not None:
            return int(answer[1] > (self.threshold if line is None else line))
        if self.by_class:
            pairs = list(zip(answer, self.by_class, strict=True))
            times = [each / line if line and each > line else 0.0 for each, line in pairs]
            if any(times):
                return times.index(max(times))
            answer = [-1.0 if line else each for each, line in pairs]
        return answer.index(max(answer))

    def labels(self, answers: np.ndarray, lines: np.ndarray | None = None) -> np.ndarray:
        """The same for many rows.

        Args:
            answers: Shape (rows, classes), or (rows, 1) of a regression, whose places are all 0.
            lines: The rows' own thresholds, where they have different ones.

        Returns:
            Places of the classes, shape (rows,).
        """
        if self.threshold is not None:
            return (answers[:, 1] > (self.threshold if lines is None else lines)).astype(np.intp)
        places: np.ndarray = answers.argmax(axis=1)
        if self.by_class:
            lines = np.array(self.by_class, dtype=np.float64)  # NaN where there is none
            times = np.where(answers > lines, answers / lines, 0.0)
            others = np.where(np.isnan(lines), answers, -1.0).argmax(axis=1)
            places = np.where(times.any(axis=1), times.argmax(axis=1), others)
        return places

    def leaves_open(self, score: float) -> bool:
        """Whether a row with this probability of the positive class is in the band."""
        return self.unsure is not None and self.unsure[0] <= score <= self.unsure[1]

    def left_open(self, scores: np.ndarray) -> np.ndarray:
        """The same for many rows: booleans, shape (rows,)."""
        if self.unsure is None:
            return np.zeros(len(scores), dtype=bool)
        return (self.unsure[0] <= scores) & (scores <= self.unsure[1])


def rule_of(contract: Contract) -> DecisionRule:
    """The rule of a version, which its contract holds."""
    lines = contract.decision_thresholds
    by_class = () if lines is None else tuple(map(lines.get, contract.target.classes))
    rule = DecisionRule(contract.decision_threshold, contract.decision_unsure, by_class)
    groups = contract.decision_groups
    if groups is None or not groups.thresholds:
        return rule
    is_boolean = contract.by_name[groups.column].type == "boolean"
    by_group = {
        name == TRUE if is_boolean else name: line for name, line in groups.thresholds.items()
    }
    return replace(rule, column=groups.column, by_group=by_group)


def scores_of(answers: np.ndarray, places: np.ndarray) -> np.ndarray:
    """P(positive) of two classes, P(decided) of more, or the value: shape (rows,).

    Args:
        answers: Shape (rows, classes or 1).
        places: The decided classes, shape (rows,).
    """
    if answers.shape[1] == 2:
        return answers[:, 1]
    scores: np.ndarray = np.take_along_axis(answers, places[:, None], axis=1)[:, 0]
    return scores
