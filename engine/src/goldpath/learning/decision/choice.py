"""Where to put the threshold and how wide intervals are, by rows that the model did not see."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from goldpath.contract import Contract, GroupThresholds, PredictionInterval
from goldpath.errors import NotEnoughDataError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.learning.decision.chosen import metric_named
from goldpath.learning.decision.groups import group_thresholds, require_groups
from goldpath.learning.decision.interval import chosen_interval
from goldpath.learning.decision.lines import tuned_thresholds
from goldpath.learning.decision.threshold import UNSURE, DecisionRule
from goldpath.learning.decision.worth import threshold_candidates, worth_of_decisions
from goldpath.project import Model
from goldpath.settings import DecisionSettings
from goldpath.settings.decision import without
from goldpath.settings.section import file_of

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 12


@dataclass(frozen=True)
class Decided:
    """What a training adds to its version's contract.

    Attributes:
        threshold: Where it decides for the positive class; None: the most probable class.
        unsure: Around the threshold: where it leaves the decision open.
        interval: Around the answers of a regression.
        thresholds: Of several classes those that have one; none: the most probable class is
            decided, and answers say so; None: no threshold was asked for.
        segments: Of a clustering the names of its segments by their numbers.
        groups: The groups whose threshold is another one.
    """

    threshold: float | None = None
    unsure: tuple[float, float] | None = None
    interval: PredictionInterval | None = None
    thresholds: dict[str, float] | None = None
    segments: dict[int, str] | None = None
    groups: GroupThresholds | None = None

    def of(self, contract: Contract) -> Contract:
        """The version's contract."""
        return contract.with_parts(
            decision_threshold=self.threshold,
            decision_unsure=self.unsure,
            decision_groups=self.groups,
            prediction_interval=self.interval,
            decision_thresholds=self.thresholds,
            segments=self.segments,
        )


def decided_by(contract: Contract) -> Decided:
    """What a version's contract has beside the project's."""
    return Decided(
        contract.decision_threshold,
        contract.decision_unsure,
        contract.prediction_interval,
        contract.decision_thresholds,
        contract.segments,
        contract.decision_groups,
    )


def deciding_as(contract: Contract, version: Contract) -> Contract:
    """A contract with the threshold, band and interval of a version, which has one of its own.

    Not with its thresholds by group: what it is used for looks at decisions that were made, and the
    contract may lack the groups' column.
    """
    return replace(decided_by(version), groups=None).of(contract)


def as_trained(
    contract: Contract, decision: DecisionSettings, segments: Mapping[int, str] | None = None
) -> Contract:
    """The contract of a version of these settings; what a training chooses is one half, or 0.

    Args:
        contract: The project's.
        decision: Its settings.
        segments: Of a clustering the segments that answers may name, by their numbers.
    """
    if not contract.has_target:
        return contract.with_parts(segments=None if segments is None else dict(segments))
    if decision.interval is not None:
        return contract.with_interval(PredictionInterval(decision.interval, 0.0))
    if not decision.decides:
        return contract
    if not contract.is_binary:
        even = dict.fromkeys(contract.target.classes[1:], 0.5)
        return contract.with_parts(decision_thresholds=decision.thresholds or even)
    band = (0.5, 0.5) if isinstance(decision.unsure, dict) else decision.unsure
    return contract.with_threshold(decision.threshold or 0.5, band)


def needs_predictions(decision: DecisionSettings) -> bool:
    """Whether what is chosen depends on predictions, which cost a fit a fold."""
    tuned = decision.decides in ("tune_for", "capacity")
    by_rows = decision.interval is not None or decision.groups is not None
    return tuned or isinstance(decision.unsure, dict) or by_rows


def require_tunable(contract: Contract, decision: DecisionSettings, definitions: Model) -> None:
    """Refuse a rule that cannot be applied, before anything is fitted.

    Raises:
        ProjectDefinitionError: If the target has not two classes, or is no number where an interval
            is asked for, or the metric to tune for is unknown, or does not look at decisions, or
            no row has the groups that are to be alike.
    """
    classes, file = contract.target.classes, file_of("decision", contract.model)
    if decision.interval is not None and contract.problem != "regression":
        raise ProjectDefinitionError(
            f"{file}: decision.interval={decision.interval:g} is for a target that "
            f"is a number; {contract.target.column} has {len(classes)} classes",
            f"{without('interval', contract.model)}: the probabilities say how sure the model is",
        )
    if decision.groups is not None:
        require_groups(contract, decision.groups)
    if not decision.decides:
        return
    of_several = decision.decides in ("thresholds", "tune_for") and decision.unsure is None
    if not contract.is_binary and not (of_several and classes):
        wrong = "unsure" if decision.decides == "tune_for" and classes else decision.decides
        fitting = "three classes or more" if wrong == "thresholds" else "two classes"
        raise ProjectDefinitionError(
            f"{file}: decision.{wrong} is for a target of {fitting}; "
            f"{contract.target.column} has {len(classes) or 'no'} classes",
            without(wrong, contract.model)
            + (
                ": the most probable class is decided, or those of decision.thresholds"
                if classes
                else ""
            ),
        )
    if decision.thresholds:
        _require_lines(contract, decision.thresholds, file)
    if decision.unsure is not None and UNSURE in classes:
        raise ProjectDefinitionError(
            f"{file}: decision.unsure makes the decision {UNSURE!r}, and "
            f"{contract.target.column} has a class of that name",
            "rename the class: target.aliases in config/project.yaml maps its raw text",
        )
    if not decision.tune_for:
        return
    metric = metric_named(decision.tune_for, definitions, contract, "decision.tune_for")
    if metric is None or "decided" not in metric.inputs:
        raise ProjectDefinitionError(
            f"{file}: decision.tune_for={decision.tune_for!r} looks at "
            "probabilities, so no threshold changes it",
            "name a metric of decisions, such as value, f1_macro or balanced_accuracy",
        )


def _require_lines(contract: Contract, thresholds: Mapping[str, float], file: str) -> None:
    """Refuse thresholds of classes that there are not, or of each class."""
    classes, column = contract.target.classes, contract.target.column
    said = f"{file}: decision.thresholds"
    if contract.is_binary:
        raise ProjectDefinitionError(
            f"{said} is for a target of three classes or more; {column} has 2 classes",
            f"{without('thresholds', contract.model)}; `threshold:` is the probability of "
            f"{contract.target.positive}",
        )
    if strange := [name for name in thresholds if name not in classes]:
        raise ProjectDefinitionError(
            f"{said} names {', '.join(strange)}; {column} has the classes {', '.join(classes)}",
            "correct the name",
        )
    if set(thresholds) == set(classes):
        raise ProjectDefinitionError(
            f"{said} names every class of {column}, and a row may reach no threshold",
            "leave a class out: it is decided where no other is",
        )


def chosen_decision(
    contract: Contract,
    decision: DecisionSettings,
    definitions: Model,
    truth: np.ndarray,
    scores: np.ndarray,
    rows: "pd.DataFrame",
    targets: np.ndarray | None = None,
) -> Decided:
    """What the settings ask for; the first arguments are those of `chosen_threshold`.

    `scores` are the probabilities of all classes where there are more than two. `targets` are
    those of all rows to learn from: `truth` where each of them has a score.

    Raises:
        NotEnoughDataError: If no threshold can be told apart, ties are too many for a band, an
            interval needs more rows, or no thresholds make groups alike.
    """
    if decision.interval is not None:
        known = truth if targets is None else targets
        return Decided(interval=chosen_interval(decision.interval, truth, scores, known))
    if not contract.is_binary:
        metric = metric_named(decision.tune_for, definitions, contract, "decision.tune_for")
        if metric is None:  # `require_tunable` has refused it
            raise TypeError(f"{decision.tune_for} does not look at decisions")
        return Decided(thresholds=tuned_thresholds(contract, metric, truth, scores, rows))
    threshold = chosen_threshold(contract, decision, definitions, truth, scores, rows)
    if threshold is not None and decision.groups is not None:
        metric = None
        if decision.tune_for:
            metric = metric_named(decision.tune_for, definitions, contract, "decision.tune_for")
        found = group_thresholds(contract, decision.groups, threshold, metric, truth, scores, rows)
        return Decided(threshold, groups=found)
    band = decision.unsure
    if threshold is None or band is None:
        return Decided(threshold)
    if isinstance(band, dict):
        file = file_of("decision", contract.model)
        band = _band_of_share(scores, threshold, band["share"], file)
    return Decided(threshold, band)


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
        file = file_of("decision", contract.model)
        return _by_capacity(scores, decision.capacity, file)
    if not decision.tune_for:
        return None
    metric = metric_named(decision.tune_for, definitions, contract, "decision.tune_for")
    if metric is None:  # `require_tunable` has refused it
        raise TypeError(f"{decision.tune_for} does not look at decisions")
    probabilities = np.column_stack([1 - scores, scores])
    worth = worth_of_decisions(contract, metric, truth, probabilities, rows)
    best, found = None, -np.inf
    # The nearest to one half first: of equal ones it is kept.
    for threshold in sorted(
        [0.5, *threshold_candidates(scores, scores)], key=lambda each: abs(each - 0.5)
    ):
        value = worth(DecisionRule(threshold).labels(probabilities))
        if np.isfinite(value) and value > found:
            best, found = threshold, value
    if best is None:
        raise NotEnoughDataError(
            f"{metric.name} is not defined for any threshold on {len(scores)} rows",
            "bring more rows (make data), or set decision.threshold",
        )
    return best


def _by_capacity(scores: np.ndarray, share: float, file: str) -> float:
    """The least threshold above which lies at most this share of the rows."""
    distinct, counts = np.unique(scores, return_counts=True)
    above = len(scores) - np.cumsum(counts)  # rows above each distinct score
    allowed = np.flatnonzero(above <= share * len(scores))[0]
    if above[allowed] == 0:
        raise NotEnoughDataError(
            f"decision.capacity={share:g} decides no row: {counts[-1]} of {len(scores)} rows share "
            f"the highest score, {distinct[-1]:.6g}",
            f"raise decision.capacity in {file}, or bring more rows: make data",
        )
    return float((distinct[allowed] + distinct[allowed + 1]) / 2)


def _band_of_share(
    scores: np.ndarray, threshold: float, share: float, file: str
) -> tuple[float, float]:
    """The widest band around the threshold that holds at most this share of the rows."""
    # Rounded: 0.41 and 0.39 are equally near to 0.4.
    near = np.round(np.abs(scores - threshold), DIGITS)
    distances, counts = np.unique(near, return_counts=True)
    within = np.cumsum(counts)
    held = int(np.searchsorted(within, share * len(scores), side="right"))
    if held == 0:
        raise NotEnoughDataError(
            f"decision.unsure={{share: {share:g}}} leaves no row open: {counts[0]} of "
            f"{len(scores)} rows are equally near to the threshold {threshold:.6g}",
            f"raise the share in {file}, or write two probabilities: [0.4, 0.6]",
        )
    width = float(distances[held - 1] + distances[held]) / 2
    return max(0.0, threshold - width), min(1.0, threshold + width)
