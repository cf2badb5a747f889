"""How good a version's intervals and its open decisions are, on rows whose truth is known."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldpath.contract import Contract
from goldpath.learning.decision.interval import ends
from goldpath.learning.decision.threshold import rule_of
from goldpath.learning.metric import Metric, only_on_rows
from goldpath.learning.predictions import Predictions
from goldpath.settings import DecisionSettings

if TYPE_CHECKING:
    import pandas as pd

Rows = np.ndarray | slice
IntervalFigure = Literal["coverage", "interval_width"]
OpenFigure = Literal["unsure_share", "decided_accuracy", "decided_precision", "decided_recall"]


@dataclass(frozen=True)
class IntervalMetric(Metric):
    """The share of true values in the intervals, or the mean width; NaN without intervals.

    Attributes:
        of: Which.
    """

    of: IntervalFigure = field(kw_only=True)

    def on_rows(
        self,
        contract: Contract,
        truth: np.ndarray,
        predictions: Predictions,
        rows: "pd.DataFrame | None",  # noqa: ARG002
    ) -> Callable[[Rows], float]:
        """The metric as a function of row numbers."""
        if contract.prediction_interval is None:
            return _undefined
        values = np.asarray(predictions.values, dtype=np.float64)
        lower, upper = ends(contract.prediction_interval, values)
        each = (lower <= truth) & (truth <= upper) if self.of == "coverage" else upper - lower
        return lambda chosen: float(each[chosen].mean())


@dataclass(frozen=True)
class OpenMetric(Metric):
    """The share of rows whose decision is left open, or a metric of the others; NaN without a band.

    Attributes:
        of: Which.
    """

    of: OpenFigure = field(kw_only=True)

    def on_rows(
        self,
        contract: Contract,
        truth: np.ndarray,
        predictions: Predictions,
        rows: "pd.DataFrame | None",  # noqa: ARG002
    ) -> Callable[[Rows], float]:
        """The metric as a function of row numbers."""
        if contract.decision_unsure is None:
            return _undefined
        is_open = rule_of(contract).left_open(np.asarray(predictions.scores))
        if self.of == "unsure_share":
            return lambda chosen: float(is_open[chosen].mean())
        positive = truth.astype(str) == contract.target.positive
        called = np.asarray(predictions.values, dtype=str) == contract.target.positive
        counted = (
            ~is_open
            & {
                "decided_accuracy": np.ones(len(truth), dtype=bool),
                "decided_precision": called,
                "decided_recall": positive,
            }[self.of]
        )
        right = positive == called
        return lambda chosen: _mean(right[chosen][counted[chosen]])


def is_undefined(metric: Metric | None, contract: Contract) -> bool:
    """Whether a version has not what the metric looks at: no intervals, or no band."""
    if isinstance(metric, IntervalMetric):
        return contract.prediction_interval is None
    return isinstance(metric, OpenMetric) and contract.decision_unsure is None


def decision_metrics(decision: DecisionSettings) -> list[Metric]:
    """The further metrics that the settings of the decision bring."""
    found: list[Metric] = []
    if decision.interval is not None:
        inputs = ("truth", "decided")
        found += [
            IntervalMetric("coverage", only_on_rows, inputs, of="coverage"),
            IntervalMetric(
                "interval_width", only_on_rows, inputs, greater_is_better=False, of="interval_width"
            ),
        ]
    if decision.unsure is not None:
        # They look at probabilities, so that no threshold is tuned for them.
        inputs = ("truth", "probability")
        figures: tuple[OpenFigure, ...] = (
            "decided_accuracy",
            "decided_precision",
            "decided_recall",
        )
        found += [
            OpenMetric(
                "unsure_share", only_on_rows, inputs, greater_is_better=False, of="unsure_share"
            ),
            *(OpenMetric(name, only_on_rows, inputs, of=name) for name in figures),
        ]
    return found


def _undefined(_: Rows) -> float:
    return float("nan")


def _mean(rows: np.ndarray) -> float:
    return float(rows.mean()) if len(rows) else float("nan")
