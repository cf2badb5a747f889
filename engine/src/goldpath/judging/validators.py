"""The plain checks of a model, and the base of one's own.

A check is a function of the evidence that returns a result, or None where it does not apply.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.judging.baseline import baseline_rule
from goldpath.judging.evidence import Evidence
from goldpath.judging.validation_report import (
    ValidationResult,
    ValidationSetupError,
    ValidationSeverity,
    ValidationStatus,
)
from goldpath.learning.decision.chosen import metric_named
from goldpath.learning.metrics import (
    LESS_IS_BETTER,
    Score,
    bootstrap_score,
    main_metric,
    metric_value,
    other_scores,
)
from goldpath.learning.scoring import LoadedModel
from goldpath.project import Model
from goldpath.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable


Check = Callable[[Evidence], ValidationResult | None]


class Validator(Protocol):
    """One's own check, as `ModelValidator.add_validator` takes it; `validate` may be async."""

    def validate(
        self, model: LoadedModel, data: pd.DataFrame, target: Any = None, **kwargs: Any
    ) -> "ValidationResult | Awaitable[ValidationResult]":
        """Judge a model; `kwargs` hold `reference_data`, `contract` and `evidence`."""
        ...


class BaseValidator:
    """A start for a check of one's own: derive from it and write `validate`.

    `validate(model, data, target=None, **kwargs)` judges a `LoadedModel` on `data`, a DataFrame of
    shape (rows, columns) that the model has not seen, with its labels or values in `target`, shape
    (rows,). `kwargs` hold `reference_data`, `contract` and `evidence`. It may be async. If it
    raises, the check has failed.

    Args:
        name: As reports show it.
        threshold: What the score is held against, in the score's unit.
        severity: How much a failure weighs: a low one warns, any other keeps the model back.

    Example:
        >>> import pandas as pd
        >>> from goldpath import BaseValidator, ValidationStatus
        >>> class ManyRows(BaseValidator):
        ...     def validate(self, model, data, target=None, **kwargs):
        ...         enough = len(data) >= self.threshold
        ...         status = ValidationStatus.PASSED if enough else ValidationStatus.FAILED
        ...         return self.create_result(status, len(data), f"{len(data)} rows")
        >>> rows = pd.DataFrame({"age": [31, 45]})
        >>> ManyRows("many rows", threshold=3).validate(None, rows).passed
        False
    """

    def __init__(
        self,
        name: str,
        threshold: float = 0.0,
        severity: ValidationSeverity = ValidationSeverity.MEDIUM,
    ) -> None:
        self.name = name
        self.threshold = threshold
        self.severity = severity

    def create_result(
        self,
        status: ValidationStatus,
        score: float | None,
        message: str,
        details: Mapping[str, Mapping[str, float | str]] | None = None,
    ) -> ValidationResult:
        """A result with this check's name, threshold and severity."""
        return ValidationResult(
            self.name,
            status,
            message,
            score=score,
            threshold=self.threshold,
            severity=self.severity,
            details=details or {},
        )


def check_rows(evidence: Evidence) -> ValidationResult:
    """A score on a handful of rows is no evidence."""
    rows, needed = len(evidence.rows), evidence.training.minimum_test_rows
    status = ValidationStatus.PASSED if rows >= needed else ValidationStatus.NOT_ENOUGH_DATA
    return ValidationResult(
        "enough test rows", status, f"{rows} test rows, {needed} needed", rows, needed
    )


def check_predictions(evidence: Evidence) -> ValidationResult:
    """Every prediction must be a finite number, and not all may be the same.

    Rows of segments that are far apart all have a membership of 1, so there segments are counted.
    """
    scores = np.asarray(evidence.predictions.scores, dtype="float64")
    finite, distinct = bool(np.isfinite(scores).all()), len(np.unique(scores))
    what = "scores"
    if not evidence.contract.has_target:
        distinct, what = len(set(evidence.predictions.values)), "segments"
    return ValidationResult(
        "predictions are usable",
        ValidationStatus.PASSED if finite and distinct > 1 else ValidationStatus.FAILED,
        f"{'all finite' if finite else 'not all finite'}; {distinct:,} different {what}",
    )


def check_baseline(evidence: Evidence) -> ValidationResult | None:
    """The interval's lower end must beat a model that ignores the features.

    Of a forecast it must beat the seasonal-naive one.
    """
    rival = evidence.baseline_predictions
    if rival is None:
        return None
    baseline = metric_value(
        evidence.contract, evidence.truth, rival, evidence.definitions.metric, evidence.rows
    )
    score = _main_score(evidence)
    low, high = score.interval
    said = f", which {baseline_rule(evidence.contract)}" if evidence.contract.forecast else ""
    return ValidationResult(
        "beats the baseline",
        ValidationStatus.PASSED if low > baseline else ValidationStatus.FAILED,
        f"{score.metric} {score.value:.4f} [{low:.4f}, {high:.4f}] against {baseline:.4f}{said}",
        score=low,
        threshold=baseline,
    )


def require_thresholds(settings: Settings, contract: Contract, definitions: Model) -> None:
    """Refuse thresholds that `check_performance` could not judge, before anything is fitted.

    Raises:
        ProjectDefinitionError: If one names a metric that the problem does not have.
    """
    for name in settings.validation.thresholds:
        try:
            metric_named(name, definitions, contract, "validation.thresholds")
        except ProjectDefinitionError as error:
            undo = "; `thresholds: {}` there undoes the main model's" * bool(settings.model)
            raise ProjectDefinitionError(error.message, error.fix + undo) from error


def check_performance(evidence: Evidence) -> ValidationResult:
    """Every metric that has a threshold must reach it; one that could miss it by chance warns.

    Raises:
        ValidationSetupError: If a threshold names a metric that the problem does not have.
    """
    thresholds, rows = evidence.validation.thresholds, len(evidence.rows)
    main_name = main_metric(evidence.contract, evidence.definitions.metric)
    scores = {main_name: _main_score(evidence)}
    if set(thresholds) - set(scores):
        training = evidence.training
        scores |= other_scores(
            evidence.contract,
            evidence.truth,
            evidence.predictions,
            training.bootstrap_samples,
            training.seed,
            evidence.definitions.metrics,
            evidence.rows,
            evidence.definitions.metric,
        )
    if unknown := sorted(set(thresholds) - set(scores)):
        raise ValidationSetupError(
            f"validation.thresholds names {', '.join(unknown)}, which this problem does not have",
            f"it has: {', '.join(sorted(scores))}",
        )
    own = {each.name for each in evidence.definitions.metrics if not each.greater_is_better}
    errors = LESS_IS_BETTER | own
    details: dict[str, dict[str, float | str]] = {}
    missed, doubtful = [], []
    for name, score in scores.items():
        low, high = score.interval
        details[name] = {"value": score.value, "from": low, "to": high}
        if name not in thresholds:
            continue
        limit = details[name]["threshold"] = thresholds[name]
        sign = -1 if name in errors else 1
        if not sign * score.value >= sign * limit:
            missed.append(
                f"{name} {score.value:.4f}, {'at most' if sign < 0 else 'at least'} {limit:g}"
            )
        elif min(sign * low, sign * high) < sign * limit:
            doubtful.append(f"{name} {score.value:.4f} [{low:.4f}, {high:.4f}] may miss {limit:g}")
    said = [f"{name} {score.value:.4f}" for name, score in scores.items()]
    status = (
        ValidationStatus.FAILED
        if missed
        else ValidationStatus.WARNING
        if doubtful
        else ValidationStatus.PASSED
    )
    main = scores[main_name]
    return ValidationResult(
        "performance",
        status,
        "; ".join(missed or doubtful or said) + f" on {rows} rows",
        score=main.value,
        threshold=thresholds.get(main.metric),
        details=details,
    )


def _main_score(evidence: Evidence) -> Score:
    training = evidence.training
    return bootstrap_score(
        evidence.contract,
        evidence.truth,
        evidence.predictions,
        training.bootstrap_samples,
        training.seed,
        evidence.definitions.metric,
        evidence.rows,
    )
