"""The main metric and the further ones, as the settings choose them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.learning.decision.quality import decision_metrics
from goldpath.learning.decision.value import VALUE, value_metric
from goldpath.learning.metric import Metric, only_on_rows
from goldpath.learning.metrics import (
    LESS_IS_BETTER,
    OF_PROBABILITY,
    built_in_metrics,
    further_names,
    main_metric,
)
from goldpath.learning.predictions import Predictions
from goldpath.project import Model
from goldpath.settings import DecisionSettings, TrainingSettings
from goldpath.settings.section import file_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BuiltIn(Metric):
    """One of the engine's further metrics, as the main one."""

    def on_rows(
        self,
        contract: Contract,
        truth: np.ndarray,
        predictions: Predictions,
        rows: "pd.DataFrame | None",  # noqa: ARG002
    ) -> Callable[[np.ndarray | slice], float]:
        """The metric as a function of row numbers."""
        return built_in_metrics(contract, truth, predictions)[self.name]


@dataclass(frozen=True)
class Negated(Metric):
    """A metric of which less is better, turned round: the search maximises, the gate compares.

    Attributes:
        of: The metric.
    """

    of: Metric = field(kw_only=True)

    def on_rows(
        self,
        contract: Contract,
        truth: np.ndarray,
        predictions: Predictions,
        rows: "pd.DataFrame | None",
    ) -> Callable[[np.ndarray | slice], float]:
        """The metric as a function of row numbers."""
        found = self.of.on_rows(contract, truth, predictions, rows)
        return lambda chosen: -found(chosen)


def negated(metric: Metric) -> Negated:
    """A metric of which more is better, named as scikit-learn names such ones: `neg_log_loss`."""
    return Negated(
        name=f"neg_{metric.name}",
        function=only_on_rows,
        inputs=metric.inputs,
        unit=metric.unit,
        of=metric,
    )


def with_chosen_metrics(
    definitions: Model,
    contract: Contract,
    training: TrainingSettings,
    decision: DecisionSettings,
) -> Model:
    """The project's definitions with the main metric that `training.metric` names.

    The metric of `decision.values` is one of the further ones, or the main one. A metric of the
    project's own that another one takes the place of is a further one then.

    Args:
        definitions: The project's own.
        contract: Its problem decides which metrics there are.
        training: Names the main metric, or does not.
        decision: What decisions are worth.

    Raises:
        ProjectDefinitionError: If there is no such metric, or two have one name.
    """
    own = [each for each in (definitions.metric, *definitions.metrics) if each is not None]
    file = file_of("decision", contract.model)
    if decision.values:
        if any(each.name == VALUE for each in own):
            raise ProjectDefinitionError(
                f"project.py hands over a metric {VALUE!r}, and {file} sets "
                "decision.values, which makes one",
                "rename the project's: @metric(name=…)",
            )
        own.append(value_metric(contract, decision.values, decision.unit))
    brought = decision_metrics(decision)
    if taken := {each.name for each in own} & {each.name for each in brought}:
        raise ProjectDefinitionError(
            f"project.py hands over a metric {min(taken)!r}, which {file} brings",
            "rename the project's: @metric(name=…)",
        )
    name = training.metric
    if not name:
        further = [each for each in own if each is not definitions.metric]
        return replace(definitions, metrics=[*further, *brought])
    main = _named(name, own, contract, "training.metric")
    if main is not None and not main.greater_is_better:
        return replace(definitions, metric=negated(main), metrics=[*own, *brought])
    further = [each for each in own if main is None or each.name != main.name]
    return replace(definitions, metric=main, metrics=[*further, *brought])


def metric_named(name: str, definitions: Model, contract: Contract, setting: str) -> Metric | None:
    """A metric that a setting names; None is the problem's usual one.

    Args:
        name: Of the engine's metrics, or of the definitions'.
        definitions: As `with_chosen_metrics` gives them.
        contract: Its problem decides which metrics there are.
        setting: Which setting names it.

    Raises:
        ProjectDefinitionError: If there is no such metric.
    """
    own = [each for each in (definitions.metric, *definitions.metrics) if each is not None]
    return _named(name, own, contract, setting)


def _named(name: str, own: Sequence[Metric], contract: Contract, setting: str) -> Metric | None:
    known = {each.name: each for each in own}
    if name in known:
        return known[name]
    usual, further = main_metric(contract), further_names(contract)
    if name == usual:
        return None
    if name in further:
        looked_at = "probability" if name in OF_PROBABILITY else "decided"
        more = name not in LESS_IS_BETTER
        return BuiltIn(name, only_on_rows, ("truth", looked_at), greater_is_better=more)
    file = file_of(setting.partition(".")[0], contract.model)
    fix = (
        f"set decision.values in {file_of('decision', contract.model)}"
        if name == VALUE
        else f"correct it in {file}, or hand the metric over in project.py: Model(metrics=[…])"
    )
    raise ProjectDefinitionError(
        f"{file}: {setting}={name!r} is no metric of this problem; there are "
        f"{', '.join((usual, *further, *known))}",
        fix,
    )
