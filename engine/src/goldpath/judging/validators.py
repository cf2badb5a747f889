"""The plain checks of a model, and the base of one's own.

A check is a function of the evidence that returns a result, or None where it does not apply.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.judging.evaluation import baseline_model
from goldpath.judging.validation_report import (
    ValidationResult,
    ValidationSetupError,
    ValidationSeverity,
    ValidationStatus,
)
from goldpath.learning.metrics import (
    LESS_IS_BETTER,
    Score,
    bootstrap_score,
    main_metric,
    metric_value,
    other_scores,
)
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.project import ENGINES_OWN, Model
from goldpath.settings import MonitoringSettings, TrainingSettings, ValidationSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable

TIMED_PREDICTIONS = 15


@dataclass(frozen=True)
class Evidence:
    """Everything that a check may look at.

    Attributes:
        model: The model.
        rows: The rows that it is judged on, which it has not seen: at least the features.
        truth: Their target, shape (rows,).
        predictions: What the model says about them.
        validation: The limits.
        training: Seed, bootstrap samples, the tolerance towards the champion.
        monitoring: The limits of drift.
        train: The rows that it learned from, with their target, where they are known.
        reference: Rows that the judged rows are compared with; the training rows where not given.
        champion: Today's champion, where there is one.
        size_bytes: The stored model's size, where it is known.
        definitions: The project's own metrics.
    """

    model: LoadedModel
    rows: pd.DataFrame
    truth: np.ndarray
    predictions: Predictions
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    monitoring: MonitoringSettings = field(default_factory=MonitoringSettings)
    train: pd.DataFrame | None = None
    reference: pd.DataFrame | None = None
    champion: LoadedModel | None = None
    size_bytes: int | None = None
    definitions: Model = ENGINES_OWN

    @property
    def contract(self) -> Contract:
        """The contract that the model was trained with."""
        return self.model.contract


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
    """Every prediction must be a finite number, and not all may be the same."""
    scores = np.asarray(evidence.predictions.scores, dtype="float64")
    finite, distinct = bool(np.isfinite(scores).all()), len(np.unique(scores))
    return ValidationResult(
        "predictions are usable",
        ValidationStatus.PASSED if finite and distinct > 1 else ValidationStatus.FAILED,
        f"finite: {finite}; distinct scores: {distinct}",
    )


def check_baseline(evidence: Evidence) -> ValidationResult | None:
    """The interval's lower end must beat a model that ignores the features."""
    if evidence.train is None:
        return None
    rival = baseline_model(evidence.train, evidence.contract).predict(evidence.rows)
    baseline = metric_value(
        evidence.contract, evidence.truth, rival, evidence.definitions.metric, evidence.rows
    )
    score = _main_score(evidence)
    low, high = score.interval
    return ValidationResult(
        "beats the baseline",
        ValidationStatus.PASSED if low > baseline else ValidationStatus.FAILED,
        f"{score.metric} {score.value:.4f} [{low:.4f}, {high:.4f}] against {baseline:.4f}",
        score=low,
        threshold=baseline,
    )


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


def check_latency(evidence: Evidence) -> ValidationResult:
    """The fastest of some predictions of one row, on one thread.

    The median on a busy machine says how busy it is: 40 ms became 900 ms with a load of ten, most
    of it threads of gradient boosting that wait for a core.
    """
    from threadpoolctl import threadpool_limits

    spent = []
    with threadpool_limits(1):
        for number in range(min(TIMED_PREDICTIONS, len(evidence.rows)) + 1):
            row = evidence.rows.iloc[[number % len(evidence.rows)]]
            start = time.perf_counter()
            evidence.model.predict(row)
            spent.append((time.perf_counter() - start) * 1000)
    fastest = min(spent[1:])  # the first one warms up
    limit = evidence.validation.latency_ms
    return ValidationResult(
        "latency",
        ValidationStatus.PASSED if fastest <= limit else ValidationStatus.FAILED,
        f"{fastest:.1f} ms for one row (fastest of {len(spent) - 1}), at most {limit:g} ms",
        score=fastest,
        threshold=limit,
    )


def check_size(evidence: Evidence) -> ValidationResult:
    """The stored model's size."""
    size = evidence.size_bytes
    if size is None:
        from skops.io import dumps

        size = len(dumps(evidence.model.pipeline))
    megabytes, limit = size / 1e6, evidence.validation.size_mb
    return ValidationResult(
        "size",
        ValidationStatus.PASSED if megabytes <= limit else ValidationStatus.FAILED,
        f"{megabytes:.2f} MB, at most {limit:g} MB",
        score=megabytes,
        threshold=limit,
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
