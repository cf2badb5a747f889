"""What a family of the search is: how it is built, what is searched over, what is tried first."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldpath.automl.learners.learner import Learner
from goldpath.automl.preparation import Form
from goldpath.automl.task import Task

if TYPE_CHECKING:
    from optuna import Trial

MANY_ROWS, FEW_ROWS = 20_000, 2_500


@dataclass(frozen=True)
class Shape:
    """What a configuration may depend on: the training part of a fold, encoded, and the target."""

    rows: int
    columns: int
    outputs: int
    categorical: bool
    counts: bool


@dataclass(frozen=True)
class SearchFamily:
    """One kind of model.

    Attributes:
        name: As it is reported.
        form: How its rows are encoded.
        build: Makes an unfitted learner.
        suggest: Draws parameters for an Optuna trial.
        first: Its configurations in the portfolio, each with its place in the order.
        units: How much work a fit is that cannot be stopped; None where it watches the deadline.
        most_rows: Of a table that suits it.
        library: What must be importable.
        exact: Whether another seed gives the same model.
    """

    name: str
    form: Form
    build: Callable[[dict[str, Any], Task], Learner]
    suggest: "Callable[[Trial, Shape], dict[str, Any]]"
    first: Callable[[Shape], Sequence[tuple[float, dict[str, Any]]]]
    units: Callable[[dict[str, Any], Shape], float] | None = None
    most_rows: float = math.inf
    library: str = "sklearn"
    exact: bool = False
