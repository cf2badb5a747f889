"""Gates of `config/validation.yaml`: limits of a metric, on all test rows or on parts of them.

A part is refused, by default, only where its limit is missed beyond chance: the margin to the limit
is compared with its bootstrap standard error, at 5 % over all parts and limits of the gate together
(Bonferroni). Else a project with ten regions would be refused every other time by luck.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.judging.checks import RESERVED_NAMES, RESULT_NAMES
from goldpath.judging.evidence import Evidence
from goldpath.judging.fairness import group_labels
from goldpath.judging.own_checks import own_checks, require_optional, require_validator
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.judging.validators import Check, require_thresholds
from goldpath.learning.decision.chosen import metric_named
from goldpath.learning.decision.quality import IntervalMetric, is_undefined
from goldpath.learning.metric import Metric
from goldpath.learning.metrics import LESS_IS_BETTER, measured
from goldpath.learning.predictions import Predictions
from goldpath.project import Model
from goldpath.settings import Settings, ValidationSettings
from goldpath.settings.section import place_of_value
from goldpath.settings.validation import Between, Chosen, GateLimit

SETTING = "validation.gates"
FALSE_ALARMS = 0.05
"""Over all parts and limits of one gate together."""

Measure = Callable[[np.ndarray], float]


@dataclass
class _Judgement:
    """What was found of the parts of one gate."""

    refused: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    judged: set[str] = field(default_factory=set)
    """The limits that could be judged on a part or more."""
    details: dict[str, dict[str, float | str]] = field(default_factory=dict)
    worst: float = float("inf")


def limit_checks(
    validation: ValidationSettings, root: Path | None = None, model: str = ""
) -> dict[str, Check]:
    """The gates of the settings, each as a check of its own.

    Args:
        validation: Hold the gates.
        root: The project's folder, whose file has a line for each gate.
        model: A further model, whose own file comes first; empty for the main one.
    """
    return {
        gate.title: partial(
            check_limit, gate, place=place_of_value(root, model, "validation", "gates", place)
        )
        for place, gate in enumerate(validation.gates)
    }


def require_gates(contract: Contract, settings: Settings, definitions: Model) -> list[str]:
    """Refuse gates that could not be judged, before anything is fitted.

    Args:
        contract: Names columns, categories and the problem.
        settings: Hold the gates that need no code.
        definitions: As `with_chosen_metrics` gives them.

    Returns:
        The names of all checks beside the built-in ones.

    Raises:
        ProjectDefinitionError: If a gate or a threshold names a metric or a column that there is
            not, or a value that a column cannot have, or has a name that is taken, or one of the
            project's is none; names file, line and fix.
        ValidationSetupError: If a validator has no method `validate`.
    """
    gates = settings.validation.gates
    for place, gate in enumerate(gates):
        where = place_of_value(settings.root, settings.model, "validation", "gates", place)
        _require_limit(gate, where, contract, definitions)
    require_thresholds(settings, contract, definitions)
    own = own_checks(definitions, [gate.title for gate in gates])
    for name, validator in own.items():
        require_validator(name, validator)
    found = [*(gate.title for gate in gates), *own]
    require_optional(settings, [*sorted(RESULT_NAMES), *found])
    return found


def _require_limit(gate: GateLimit, place: str, contract: Contract, definitions: Model) -> None:
    where = f"{place}: the gate {gate.title!r}"
    if gate.title in RESERVED_NAMES:
        raise ProjectDefinitionError(
            f"{where} has the name of a built-in check", "give the gate another name"
        )
    try:
        metric = metric_named(gate.metric, definitions, contract, SETTING)
    except ProjectDefinitionError as error:
        said = error.message.partition(": ")[2]
        raise ProjectDefinitionError(f"{where}: {said}", error.fix) from error
    if "above_baseline" in gate.limits and isinstance(metric, IntervalMetric):
        raise ProjectDefinitionError(
            f"{where} compares {gate.metric} with the baseline, which has no intervals",
            "give it at_least, at_most or behind_champion in place of above_baseline",
        )
    columns = {each.name: each for each in contract.features if not each.is_free_text}
    for column in (*([gate.by] if gate.by else []), *gate.where):
        if column not in columns:
            raise ProjectDefinitionError(
                f"{where} names the column {column!r}, which is no feature that has groups",
                f"there are: {', '.join(columns)}",
            )
    for column, chosen in gate.where.items():
        _require_value(where, columns[column].is_numeric, column, chosen)
        known = columns[column].categories or ()
        strange = [each for each in _listed(chosen) if known and not _spellings(each) & {*known}]
        if strange:
            raise ProjectDefinitionError(
                f"{where} chooses {column}={strange[0]!r}, which the contract does not allow",
                f"its categories are: {', '.join(known)}",
            )


def check_limit(gate: GateLimit, evidence: Evidence, place: str = SETTING) -> ValidationResult:
    """Judge one gate of the settings.

    Args:
        gate: May be another one than when the model was trained, so it is looked at again.
        evidence: What is judged.
        place: File and line of the gate.
    """
    try:
        _require_limit(gate, place, evidence.contract, evidence.definitions)
    except ProjectDefinitionError as error:
        said = f"{error.message} ({error.fix})"
        wrong = _result(gate, ValidationStatus.FAILED, said)
        return replace(wrong, fix=f"correct the gate {gate.title!r}, then run: promote")
    limits = gate.limits
    if "above_baseline" in limits and evidence.baseline_predictions is None:
        return _result(gate, ValidationStatus.NOT_ENOUGH_DATA, "the training rows are not known")
    if "behind_champion" in limits and evidence.champion_error is not None:
        said = f"the champion cannot be compared with ({evidence.champion_error})"
        return _result(gate, ValidationStatus.FAILED, said)
    metric = metric_named(gate.metric, evidence.definitions, evidence.contract, SETTING)
    if "behind_champion" in limits:
        try:
            _ = evidence.champion_predictions, evidence.champion_contract
        except (ProjectError, KeyError, TypeError, ValueError) as error:
            said = f"the champion cannot score these rows ({error})"
            return _result(gate, ValidationStatus.FAILED, said)
        if without := _without_rival(metric, evidence):
            del limits["behind_champion"]
            if not limits:
                return _result(gate, ValidationStatus.PASSED, without)
    measures = _measures(metric, evidence, limits)
    sign = -1.0 if _less_is_better(gate.metric, metric) else 1.0
    smallest = gate.minimum_rows or evidence.validation.minimum_group_rows
    parts = dict(_parts(gate, evidence))
    found = _Judgement()
    quantile = _quantile(FALSE_ALARMS / max(1, len(parts) * len(limits)))
    for name, members in parts.items():
        value = measures["value"](members) if len(members) else float("nan")
        found.details[name] = {"rows": float(len(members)), gate.metric: value}
        if len(members) < smallest:
            found.unjudged.append(f"{name} ({len(members)} rows, {smallest} needed)")
            continue
        for limit, amount in limits.items():
            margin = _margin(limit, amount, sign, measures)
            rival = limit.rpartition("_")[2]
            if rival in measures:
                found.details[name][rival] = measures[rival](members)
            _judge(gate, found, (name, limit), margin, members, quantile, evidence)
    without = _without_rival(metric, evidence) if len(limits) < len(gate.limits) else ""
    return _verdict(gate, found, limits, without)


def _without_rival(metric: Metric | None, evidence: Evidence) -> str:
    """Why there is nothing of a champion to compare with; empty where there is."""
    if evidence.champion_contract is None:
        return "there is no champion to compare with"
    if is_undefined(metric, evidence.champion_contract):
        what = "intervals" if isinstance(metric, IntervalMetric) else "band (decision.unsure)"
        return f"the champion has no {what} to compare with"
    return ""


def _measures(
    metric: Metric | None, evidence: Evidence, limits: Mapping[str, float]
) -> dict[str, Measure]:
    """The metric of the candidate, and of those that it is compared with, by row numbers."""
    contract, champion = evidence.contract, evidence.champion_contract
    whose: dict[str, tuple[Contract | None, Predictions | None]] = {
        "value": (contract, evidence.predictions)
    }
    if "above_baseline" in limits:
        whose["baseline"] = contract, evidence.baseline_predictions
    if "behind_champion" in limits:
        whose["champion"] = champion, evidence.champion_predictions
    return {
        name: measured(decides, evidence.truth, predictions, metric, evidence.rows)
        for name, (decides, predictions) in whose.items()
        if decides is not None and predictions is not None
    }


def _margin(limit: str, amount: float, sign: float, measures: Mapping[str, Measure]) -> Measure:
    """How far above the limit some rows are; negative where they miss it."""
    value = measures["value"]
    if limit == "at_least":
        return lambda rows: value(rows) - amount
    if limit == "at_most":
        return lambda rows: amount - value(rows)
    if limit == "above_baseline":
        return lambda rows: sign * (value(rows) - measures["baseline"](rows)) - amount
    return lambda rows: sign * (value(rows) - measures["champion"](rows)) + amount


def _judge(
    gate: GateLimit,
    found: _Judgement,
    what: tuple[str, str],
    margin: Measure,
    members: np.ndarray,
    quantile: float,
    evidence: Evidence,
) -> None:
    """Add one part's judgement by one limit."""
    (part, limit), distance = what, margin(members)
    if np.isnan(distance):
        found.unjudged.append(f"{part} ({_undefined(gate, limit, found.details[part])})")
        return
    found.judged.add(limit)
    found.worst = min(found.worst, distance)
    reach = 0.0  # chance does not explain an infinite distance
    if np.isfinite(distance):
        random = np.random.default_rng(evidence.training.seed)
        samples = [
            margin(members[random.integers(0, len(members), len(members))])
            for _ in range(evidence.training.bootstrap_samples)
        ]
        defined = [each for each in samples if np.isfinite(each)]
        reach = quantile * float(np.std(defined)) if defined else float("inf")
    wanted = f"{gate.metric} {limit.replace('_', ' ')} {gate.limits[limit]:g}"
    said = f"{part}: {wanted}, {_by(distance)} ± {reach:.4f}"
    refused = {
        "surely_missed": distance + reach < 0,
        "missed": distance < 0,
        "not_proven": distance - reach < 0,
    }[gate.refuse]
    (found.refused if refused else found.doubtful if distance < 0 else found.kept).append(said)


def _undefined(gate: GateLimit, limit: str, figures: Mapping[str, Any]) -> str:
    """Whose value it is that a limit cannot be judged by."""
    rival = limit.rpartition("_")[2]
    on = f"on its {figures['rows']:.0f} rows"
    if np.isnan(figures[gate.metric]):
        return f"{gate.metric} is undefined {on}"
    if np.isnan(figures[rival]):
        return f"the {rival}'s {gate.metric} is undefined {on}"
    return f"{gate.metric} and the {rival}'s are both infinite {on}"


def _verdict(
    gate: GateLimit, found: _Judgement, limits: Mapping[str, float], without: str
) -> ValidationResult:
    unjudged = ", ".join(dict.fromkeys(found.unjudged))
    left = f"; not judged: {unjudged}" if unjudged else ""
    if without:
        left += f"; {without}"
    judged = len(found.refused) + len(found.doubtful) + len(found.kept)
    if not judged:
        said = unjudged or "no test row is of this part"
        return _result(gate, ValidationStatus.NOT_ENOUGH_DATA, said, found)
    if found.refused:
        return _result(gate, ValidationStatus.FAILED, "; ".join(found.refused) + left, found)
    if missing := [limit.replace("_", " ") for limit in limits if limit not in found.judged]:
        said = f"{' and '.join(missing)} could not be judged: {unjudged}"
        return _result(gate, ValidationStatus.NOT_ENOUGH_DATA, said, found)
    if found.doubtful:
        said = "; ".join(found.doubtful) + ", which may be chance" + left
        return _result(gate, ValidationStatus.WARNING, said, found)
    said = found.kept[0] if judged == 1 else f"kept {judged} times, at the least {_by(found.worst)}"
    return _result(gate, ValidationStatus.PASSED, said + left, found)


def _result(
    gate: GateLimit, status: ValidationStatus, message: str, found: _Judgement | None = None
) -> ValidationResult:
    has_figure = found is not None and np.isfinite(found.worst)
    return ValidationResult(
        gate.title,
        status,
        message,
        score=found.worst if found and has_figure else None,
        threshold=0.0 if has_figure else None,
        details=found.details if found else {},
    )


def _by(distance: float) -> str:
    return f"missed by {-distance:.4f}" if distance < 0 else f"kept by {distance:.4f}"


def _parts(gate: GateLimit, evidence: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """The parts that are judged, each as row numbers."""
    rows, contract = evidence.rows, evidence.contract
    chosen = np.ones(len(rows), dtype=bool)
    for column, value in gate.where.items():
        chosen &= _matches(rows[column], contract.by_name[column].is_numeric, value)
    name = " and ".join(f"{column} {_spoken(value)}" for column, value in gate.where.items())
    if not gate.by:
        yield name or "all rows", np.flatnonzero(chosen)
        return
    labels = group_labels(rows[gate.by], contract.by_name[gate.by]).to_numpy()
    for label in sorted(set(labels[chosen])):
        members = np.flatnonzero(chosen & (labels == label))
        yield f"{gate.by} = {label}" + (f", {name}" if name else ""), members


def _matches(values: pd.Series, is_numeric: bool, chosen: Chosen) -> np.ndarray:
    if isinstance(chosen, Between):
        low = -np.inf if chosen.at_least is None else chosen.at_least
        high = np.inf if chosen.below is None else chosen.below
        numbers = _as_numbers(values)
        return np.asarray((numbers >= low) & (numbers < high))  # false of a missing value
    wanted = _listed(chosen)
    if is_numeric:
        return np.isin(_as_numbers(values), [float(each) for each in wanted])
    texts = values.astype(object).where(values.notna(), None)
    names = {spelling for each in wanted for spelling in _spellings(each)}
    return np.array([each is not None and str(each) in names for each in texts], dtype=bool)


def _as_numbers(values: pd.Series) -> np.ndarray:
    return np.asarray(values.astype(object).where(values.notna(), np.nan), dtype="float64")


def _listed(chosen: Chosen) -> list[str | bool | int | float]:
    if isinstance(chosen, Between):
        return []
    return list(chosen) if isinstance(chosen, list) else [chosen]


def _spellings(chosen: str | bool | int | float) -> set[str]:
    """How a category may spell it: YAML reads `true` as a truth value, of any capitals."""
    return {str(chosen), str(chosen).lower()} if isinstance(chosen, bool) else {str(chosen)}


def _spoken(chosen: Chosen) -> str:
    if isinstance(chosen, Between):
        ends = {"from": chosen.at_least, "below": chosen.below}
        return " ".join(f"{word} {end:g}" for word, end in ends.items() if end is not None)
    return "= " + " or ".join(map(str, _listed(chosen)))


def _require_value(where: str, is_numeric: bool, column: str, chosen: Chosen) -> None:
    if isinstance(chosen, Between) and not is_numeric:
        raise ProjectDefinitionError(
            f"{where} chooses a range of {column}, which is no number", "name its values"
        )
    if is_numeric and any(isinstance(each, str) for each in _listed(chosen)):
        raise ProjectDefinitionError(
            f"{where} chooses {column}={_listed(chosen)[0]!r}, which is no number",
            "write a number, or a range: {at_least: 18, below: 25}",
        )


def _less_is_better(name: str, metric: Metric | None) -> bool:
    return name in LESS_IS_BETTER or (metric is not None and not metric.greater_is_better)


def _quantile(alarms: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(1 - alarms))
