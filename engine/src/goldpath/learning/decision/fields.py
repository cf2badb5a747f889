"""What a version's answer has beside its prediction: a decision and its threshold, or an interval.

The service, its lane and batch inference all ask here, so a version answers alike wherever it runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from goldpath.contract import Contract, PredictionInterval
from goldpath.learning.decision.interval import ends, ends_of
from goldpath.learning.decision.threshold import UNSURE, DecisionRule, rule_of


class DecisionFields(Protocol):
    """The fields of an answer beside its prediction.

    Attributes:
        names: Theirs, in order; none where a version has neither threshold nor interval.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102

    def of_row(self, value: Any, score: float, line: float | None = None) -> tuple[Any, ...]:
        """The fields of one row, in order.

        Args:
            value: The class that is decided, or the value of a regression.
            score: P(positive), or the value.
            line: The threshold that decided it, where rows have different ones.
        """
        ...

    def of_rows(
        self, values: Sequence[Any], scores: Sequence[float], lines: Sequence[float] | None = None
    ) -> tuple[Sequence[Any], ...]:
        """The same of many rows: a column a field."""
        ...


@dataclass(frozen=True)
class NoFields:
    """A version decides for the most probable class, or answers with a number alone."""

    names: tuple[str, ...] = ()

    def of_row(self, value: Any, score: float, line: float | None = None) -> tuple[Any, ...]:  # noqa: ARG002
        """None."""
        return ()

    def of_rows(
        self,
        values: Sequence[Any],  # noqa: ARG002
        scores: Sequence[float],  # noqa: ARG002
        lines: Sequence[float] | None = None,  # noqa: ARG002
    ) -> tuple[Sequence[Any], ...]:
        """None."""
        return ()


@dataclass(frozen=True)
class ThresholdFields:
    """The decision, which may be `unsure`, and the threshold of the row."""

    rule: DecisionRule
    names: tuple[str, ...] = ("decision", "threshold")

    def of_row(self, value: Any, score: float, line: float | None = None) -> tuple[Any, ...]:
        """The fields of one row, in order."""
        threshold = self.rule.threshold if line is None else line
        return UNSURE if self.rule.leaves_open(score) else value, threshold

    def of_rows(
        self, values: Sequence[Any], scores: Sequence[float], lines: Sequence[float] | None = None
    ) -> tuple[Sequence[Any], ...]:
        """The same of many rows: a column a field."""
        decisions = values
        if self.rule.unsure is not None:
            is_open = self.rule.left_open(np.asarray(scores)).tolist()
            decisions = [
                UNSURE if each else value for each, value in zip(is_open, values, strict=True)
            ]
        return decisions, [self.rule.threshold] * len(values) if lines is None else lines


@dataclass(frozen=True)
class ClassFields:
    """The decision, and the threshold of the class that is decided; None where it has none."""

    thresholds: Mapping[str, float]
    names: tuple[str, ...] = ("decision", "threshold")

    def of_row(self, value: Any, score: float, line: float | None = None) -> tuple[Any, ...]:  # noqa: ARG002
        """The fields of one row, in order."""
        return value, self.thresholds.get(value)

    def of_rows(
        self,
        values: Sequence[Any],
        scores: Sequence[float],  # noqa: ARG002
        lines: Sequence[float] | None = None,  # noqa: ARG002
    ) -> tuple[Sequence[Any], ...]:
        """The same of many rows: a column a field."""
        return values, list(map(self.thresholds.get, values))


@dataclass(frozen=True)
class IntervalFields:
    """The ends of the interval, and its level."""

    interval: PredictionInterval
    names: tuple[str, ...] = ("lower", "upper", "interval")

    def of_row(self, value: Any, score: float, line: float | None = None) -> tuple[Any, ...]:  # noqa: ARG002
        """The fields of one row, in order."""
        return (*ends_of(self.interval, value), self.interval.level)

    def of_rows(
        self,
        values: Sequence[Any],
        scores: Sequence[float],  # noqa: ARG002
        lines: Sequence[float] | None = None,  # noqa: ARG002
    ) -> tuple[Sequence[Any], ...]:
        """The same of many rows: a column a field."""
        lower, upper = ends(self.interval, np.asarray(values, dtype=np.float64))
        return lower.tolist(), upper.tolist(), [self.interval.level] * len(values)


def fields_of(contract: Contract) -> DecisionFields:
    """The fields of a version, which its contract holds."""
    if contract.prediction_interval is not None:
        return IntervalFields(contract.prediction_interval)
    if contract.decision_thresholds is not None:
        return ClassFields(contract.decision_thresholds)
    if contract.decision_threshold is not None:
        return ThresholdFields(rule_of(contract))
    return NoFields()
