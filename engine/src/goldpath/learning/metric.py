"""A metric of one's own: a function of labels, probabilities, decisions or rows."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np

from goldpath.contract import Contract
from goldpath.handed_over import METRIC, ProjectDefinitionError, place_of, require_plain
from goldpath.learning.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd

INPUTS = ("truth", "probability", "decided", "rows")
"""What a metric may ask for, by the names of its parameters."""


@dataclass(frozen=True)
class Metric:
    """A figure for how good predictions are.

    Attributes:
        name: As it is logged and shown.
        function: Computes it from the inputs that its parameters name.
        inputs: The names of these parameters, in order.
        greater_is_better: Whether more is better.
        unit: What it is counted in, for people.

    Example:
        >>> import numpy as np
        >>> from goldpath import metric
        >>> @metric(unit="dollars a customer")
        ... def saved(truth, decided):
        ...     return np.mean(np.where(decided == "yes", 120.0 * (truth == "yes") - 20.0, 0.0))
        >>> saved.function(np.array(["yes", "no"]), np.array(["yes", "yes"]))
        np.float64(40.0)
        >>> saved.inputs, saved.greater_is_better, saved.unit
        (('truth', 'decided'), True, 'dollars a customer')
    """

    MADE_BY: ClassVar[str] = METRIC

    name: str
    function: Callable[..., float]
    inputs: tuple[str, ...]
    greater_is_better: bool = True
    unit: str = ""

    def on_rows(
        self,
        contract: Contract,
        truth: np.ndarray,
        predictions: Predictions,
        rows: "pd.DataFrame | None",
    ) -> Callable[[np.ndarray | slice], float]:
        """The metric as a function of row numbers: fast enough for hundreds of resamples.

        Args:
            contract: The contract that the model was trained with.
            truth: The target, shape (rows,).
            predictions: What the model says.
            rows: The rows themselves, for costs that depend on a row's columns.
        """
        available: dict[str, Callable[[], Any]] = {
            "truth": lambda: truth,
            "probability": lambda: probability_of(contract, predictions),
            "decided": lambda: np.asarray(predictions.values),
            "rows": lambda: rows,
        }
        inputs = [available[name]() for name in self.inputs]

        def on(chosen: np.ndarray | slice) -> float:
            parts = [
                each.iloc[chosen] if hasattr(each, "iloc") else each[chosen] for each in inputs
            ]
            return float(self.function(*parts))

        return on


@overload
def metric(function: Callable[..., float], /) -> Metric: ...
@overload
def metric(
    *, greater_is_better: bool = True, unit: str = "", name: str | None = None
) -> Callable[[Callable[..., float]], Metric]: ...
def metric(
    function: Callable[..., float] | None = None,
    /,
    *,
    greater_is_better: bool = True,
    unit: str = "",
    name: str | None = None,
) -> Metric | Callable[[Callable[..., float]], Metric]:
    """Make a metric of a function; the names of its parameters choose what it is given.

    `truth` are the true labels or values, shape (rows,). `probability` is P(positive), shape
    (rows,), or the matrix of all classes' probabilities where there are more than two.
    `decided` are the predicted labels or values, shape (rows,). `rows` is the DataFrame of the
    rows, one for each prediction.

    Args:
        function: Computes the metric.
        greater_is_better: Whether more is better. The main metric of a model must be one of which
            more is better: return costs with a minus.
        unit: What it is counted in, such as dollars a customer.
        name: As it is logged and shown; the function's name where not given.

    Returns:
        The metric; or a decorator that makes one, where options are given.

    Raises:
        ProjectDefinitionError: If a parameter has another name than the four above, or what is
            decorated is a class, a generator or an async function.

    Example:
        >>> import numpy as np
        >>> from goldpath import metric
        >>> @metric(unit="share of rows")
        ... def accuracy(truth, decided):
        ...     return np.mean(truth == decided)
        >>> accuracy.name, accuracy.inputs
        ('accuracy', ('truth', 'decided'))
    """

    def decorate(decorated: Callable[..., float]) -> Metric:
        require_plain(decorated, "a metric", name)
        inputs = tuple(inspect.signature(decorated).parameters)
        unknown = [each for each in inputs if each not in INPUTS]
        if unknown or not inputs:
            place, _, called = place_of(decorated).rpartition(": ")
            raise ProjectDefinitionError(
                f"{place}{': ' if place else ''}the metric {called} asks for "
                f"{', '.join(unknown) or 'nothing'}",
                f"name its parameters after what it needs: {', '.join(INPUTS)}",
            )
        return Metric(name or decorated.__name__, decorated, inputs, greater_is_better, unit)

    return decorate if function is None else decorate(function)


def only_on_rows(*_: object) -> float:
    """The function of a metric that the engine computes on predictions.

    Raises:
        TypeError: Always.
    """
    raise TypeError("this metric is computed on predictions: use on_rows")


def probability_of(contract: Contract, predictions: Predictions) -> np.ndarray:
    """P(positive) of a binary target, the matrix of probabilities of several classes.

    Raises:
        TypeError: If the predictions carry no probabilities: those of a regression.
    """
    if predictions.probabilities is None:
        raise TypeError("a regression's predictions carry no probabilities; ask for `decided`")
    return predictions.probabilities[:, 1] if contract.is_binary else predictions.probabilities
