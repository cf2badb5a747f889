"""Money as a metric: what a model's decisions are worth by a matrix of values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.learning.decision.threshold import rule_of
from goldpath.learning.metric import Metric, only_on_rows
from goldpath.learning.predictions import Predictions
from goldpath.settings.decision import Outcome, without
from goldpath.settings.section import file_of

if TYPE_CHECKING:
    import pandas as pd

VALUE = "value"
"""The name of the metric."""
OPEN = 2
"""The column of a row whose decision is left open."""


@dataclass(frozen=True)
class ValueMetric(Metric):
    """The mean of what each row's decision is worth.

    A mean and not a sum, so that sets of rows of different sizes compare.

    Attributes:
        worth: What a decision is worth: rows are the truth (negative, positive), columns the
            decision (negative, positive, unsure).
    """

    worth: tuple[tuple[float, float, float], tuple[float, float, float]] = field(kw_only=True)

    def on_rows(
        self,
        contract: Contract,
        truth: np.ndarray,
        predictions: Predictions,
        rows: "pd.DataFrame | None",  # noqa: ARG002
    ) -> Callable[[np.ndarray | slice], float]:
        """The metric as a function of row numbers."""
        decided = _is_positive(contract, np.asarray(predictions.values))
        is_open = rule_of(contract).left_open(np.asarray(predictions.scores))
        worth = np.array(self.worth)[
            _is_positive(contract, truth), np.where(is_open, OPEN, decided)
        ]
        return lambda chosen: float(worth[chosen].mean())


def value_metric(contract: Contract, values: Mapping[Outcome, float], unit: str) -> ValueMetric:
    """The metric `value` of `decision.values`.

    Args:
        contract: Names the positive class.
        values: What `tp`, `fp`, `fn`, `tn` and `unsure` are worth; 0 where not named.
        unit: Of the values.

    Raises:
        ProjectDefinitionError: If the target has not exactly two classes.
    """
    if not contract.is_binary:
        found = (
            "is a number"
            if contract.problem == "regression"
            else f"has {len(contract.target.classes)} classes"
        )
        raise ProjectDefinitionError(
            f"{file_of('decision', contract.model)}: decision.values names "
            f"{', '.join(values)}, and the target {contract.target.column} {found}",
            f"{without('values', contract.model, '{}')}, and write a @metric of `truth`, "
            "`decided` and `rows`",
        )
    look = values.get("unsure", 0.0)
    negative = (values.get("tn", 0.0), values.get("fp", 0.0), look)
    positive = (values.get("fn", 0.0), values.get("tp", 0.0), look)
    return ValueMetric(
        name=VALUE,
        function=only_on_rows,
        inputs=("truth", "decided"),
        unit=f"{unit or 'value'} a row",
        worth=(negative, positive),
    )


def _is_positive(contract: Contract, labels: np.ndarray) -> np.ndarray:
    """1 for the positive class, 0 for the other."""
    positive: np.ndarray = (labels.astype(str) == str(contract.target.positive)).astype(np.int8)
    return positive
