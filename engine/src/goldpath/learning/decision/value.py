"""Money as a metric: what a model's decisions are worth by a matrix of values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract
from goldpath.learning.metric import Metric, only_on_rows
from goldpath.learning.predictions import Predictions
from goldpath.project import ProjectDefinitionError
from goldpath.settings.decision import Outcome

if TYPE_CHECKING:
    import pandas as pd

VALUE = "value"
"""The name of the metric."""


@dataclass(frozen=True)
class ValueMetric(Metric):
    """The mean of what each row's decision is worth.

    A mean and not a sum, so that sets of rows of different sizes compare.

    Attributes:
        worth: What a decision is worth: rows are the truth (negative, positive), columns the
            decision.
    """

    worth: tuple[tuple[float, float], tuple[float, float]] = field(kw_only=True)

    def on_rows(
        self,
        contract: Contract,
        truth: np.ndarray,
        predictions: Predictions,
        rows: "pd.DataFrame | None",  # noqa: ARG002
    ) -> Callable[[np.ndarray | slice], float]:
        """The metric as a function of row numbers."""
        worth = np.array(self.worth)[
            _is_positive(contract, truth), _is_positive(contract, np.asarray(predictions.values))
        ]
        return lambda chosen: float(worth[chosen].mean())


def value_metric(contract: Contract, values: Mapping[Outcome, float], unit: str) -> ValueMetric:
    """The metric `value` of `decision.values`.

    Args:
        contract: Names the positive class.
        values: What `tp`, `fp`, `fn` and `tn` are worth; 0 where not named.
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
            f"config/decision.yaml: decision.values names {', '.join(values)}, and the target "
            f"{contract.target.column} {found}",
            "leave values out, and write a @metric of `truth`, `decided` and `rows`",
        )
    negative = (values.get("tn", 0.0), values.get("fp", 0.0))
    positive = (values.get("fn", 0.0), values.get("tp", 0.0))
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
