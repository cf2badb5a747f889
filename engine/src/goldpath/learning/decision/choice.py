"""Where to put the threshold, from predictions of rows that the model did not see."""

from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract
from goldpath.errors import NotEnoughDataError
from goldpath.learning.decision.chosen import metric_named
from goldpath.learning.decision.threshold import DecisionRule
from goldpath.learning.predictions import Predictions
from goldpath.project import Model, ProjectDefinitionError
from goldpath.settings import DecisionSettings

if TYPE_CHECKING:
    import pandas as pd

CANDIDATES = 200
"""How many thresholds are tried: quantiles of the scores."""


def require_tunable(contract: Contract, decision: DecisionSettings, definitions: Model) -> None:
    """Refuse a rule that cannot be applied, before anything is fitted.

    Raises:
        ProjectDefinitionError: If the target has not two classes, or the metric to tune for is
            unknown, or does not look at decisions.
    """
    if not decision.decides:
        return
    if not contract.is_binary:
        raise ProjectDefinitionError(
            f"config/decision.yaml: decision.{decision.decides} is for a target of two classes; "
            f"{contract.target.column} has {len(contract.target.classes) or 'no'} classes",
            f"leave {decision.decides} out: the most probable class is decided",
        )
    if not decision.tune_for:
        return
    metric = metric_named(decision.tune_for, definitions, contract, "decision.tune_for")
    if metric is None or "decided" not in metric.inputs:
        raise ProjectDefinitionError(
            f"config/decision.yaml: decision.tune_for={decision.tune_for!r} looks at "
            "probabilities, so no threshold changes it",
            "name a metric of decisions, such as value, f1_macro or balanced_accuracy",
        )


def chosen_threshold(
    contract: Contract,
    decision: DecisionSettings,
    definitions: Model,
    truth: np.ndarray,
    scores: np.ndarray,
    rows: "pd.DataFrame",
) -> float | None:
    """The threshold that the settings ask for; None where they leave the decision as it is.

    Args:
        contract: Names the positive class.
        decision: A fixed threshold, tuned for a metric, or by capacity.
        definitions: The project's metrics.
        truth: The target, shape (rows,).
        scores: P(positive) by models that did not see the row, shape (rows,).
        rows: The rows, for a metric that looks at them.

    Raises:
        NotEnoughDataError: If no threshold can be told apart.
    """
    if decision.threshold is not None:
        return decision.threshold
    if decision.capacity is not None:
        return _by_capacity(scores, decision.capacity)
    if not decision.tune_for:
        return None
    metric = metric_named(decision.tune_for, definitions, contract, "decision.tune_for")
    if metric is None:  # `require_tunable` has refused it
        raise TypeError(f"{decision.tune_for} does not look at decisions")
    probabilities, classes = np.column_stack([1 - scores, scores]), contract.target.classes
    best, found = None, -np.inf
    # The nearest to one half first: of equal ones it is kept.
    for threshold in sorted(_candidates(scores), key=lambda each: abs(each - 0.5)):
        decided = DecisionRule(threshold).labels(probabilities)
        predictions = Predictions(
            [classes[place] for place in decided.tolist()], probabilities, scores.tolist()
        )
        value = metric.on_rows(contract, truth, predictions, rows)(slice(None))
        value = value if metric.greater_is_better else -value
        if np.isfinite(value) and value > found:
            best, found = threshold, value
    if best is None:
        raise NotEnoughDataError(
            f"{metric.name} is not defined for any threshold on {len(scores)} rows",
            "bring more rows (make data), or set decision.threshold",
        )
    return best


def _candidates(scores: np.ndarray) -> list[float]:
    """Thresholds between neighbouring scores, evenly over the rows."""
    distinct = np.unique(scores)
    middles = (distinct[1:] + distinct[:-1]) / 2
    if len(middles) > CANDIDATES:
        cuts = np.quantile(scores, np.linspace(0, 1, CANDIDATES + 2)[1:-1])
        middles = np.unique(middles[np.searchsorted(middles, cuts).clip(0, len(middles) - 1)])
    return [0.5, *middles.tolist()]


def _by_capacity(scores: np.ndarray, share: float) -> float:
    """The least threshold above which lies at most this share of the rows."""
    distinct, counts = np.unique(scores, return_counts=True)
    above = len(scores) - np.cumsum(counts)  # rows above each distinct score
    allowed = np.flatnonzero(above <= share * len(scores))[0]
    if above[allowed] == 0:
        raise NotEnoughDataError(
            f"decision.capacity={share:g} decides no row: {counts[-1]} of {len(scores)} rows share "
            f"the highest score, {distinct[-1]:.6g}",
            "raise decision.capacity in config/decision.yaml, or bring more rows: make data",
        )
    return float((distinct[allowed] + distinct[allowed + 1]) / 2)
