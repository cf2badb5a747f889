"""The built-in checks in order, and how their results become a report."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from goldpath.errors import ProjectError
from goldpath.judging.budgets import check_latency, check_served_latency, check_size
from goldpath.judging.champion import CHAMPION_CHECK, check_champion
from goldpath.judging.coverage import check_coverage
from goldpath.judging.data_checks import DRIFT_CHECK, check_data_quality, check_drift
from goldpath.judging.evidence import Evidence
from goldpath.judging.fairness import (
    FAIRNESS_CHECK,
    GROUPS_CHECK,
    check_fairness,
    check_group_thresholds,
)
from goldpath.judging.segments.checks import (
    AGREEMENT_CHECK,
    check_champion_agreement,
    check_segment_sizes,
    check_segment_stability,
    check_segment_structure,
)
from goldpath.judging.stability import STABILITY_CHECK, check_stability
from goldpath.judging.validation_report import ValidationReport, ValidationResult, ValidationStatus
from goldpath.judging.validators import (
    Check,
    check_baseline,
    check_performance,
    check_predictions,
    check_rows,
)
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.settings import ValidationSettings


def check_against_champion(evidence: Evidence) -> ValidationResult | None:
    """Both on the same rows; a champion that cannot score them keeps the candidate back."""
    champion = evidence.champion
    if evidence.champion_error is not None:
        return champion_fault("the champion", evidence.champion_error)
    if champion is None:
        return None
    if not evidence.contract.has_target:
        return check_champion_agreement(evidence)
    try:
        theirs, decides = evidence.champion_predictions, evidence.champion_contract
    except (ProjectError, KeyError, TypeError, ValueError) as error:
        return champion_fault(_name_of(champion), error)
    if theirs is None:
        return None
    return check_champion(
        evidence.contract,
        evidence.truth,
        evidence.predictions,
        theirs,
        evidence.training,
        evidence.validation,
        evidence.definitions.metric,
        evidence.rows,
        decides,
    )


def champion_fault(champion: str, error: Exception) -> ValidationResult:
    """The comparison with a champion that cannot be loaded or cannot score the rows."""
    return ValidationResult(
        CHAMPION_CHECK,
        ValidationStatus.FAILED,
        f"{champion} cannot score these rows ({error}); "
        "data of another kind needs another `dataset` name in config/project.yaml",
    )


def _by_labels(check: Check) -> Check:
    """A check that a clustering, whose rows have no labels, does not have."""
    return lambda evidence: check(evidence) if evidence.contract.has_target else None


CHECKS: Mapping[str, Check] = {
    "rows": check_rows,
    "predictions": check_predictions,
    "baseline": _by_labels(check_baseline),
    "champion": check_against_champion,
    "performance": _by_labels(check_performance),
    "segment_stability": check_segment_stability,
    "segment_sizes": check_segment_sizes,
    "segment_structure": check_segment_structure,
    "coverage": check_coverage,
    "data_quality": check_data_quality,
    "data_drift": check_drift,
    "stability": _by_labels(check_stability),
    "bias": _by_labels(check_fairness),
    "group_thresholds": _by_labels(check_group_thresholds),
    "latency": check_latency,
    "served latency": check_served_latency,
    "size": check_size,
}
"""The checks, in order. A name can be taken out, or given to a validator of one's own."""

RESULT_NAMES = frozenset(
    {
        *("enough test rows", "predictions are usable", "beats the baseline", CHAMPION_CHECK),
        *("performance", "coverage", "data quality", DRIFT_CHECK, STABILITY_CHECK, FAIRNESS_CHECK),
        *("segments are stable", "segments are large enough", "segments are more than noise"),
        *(AGREEMENT_CHECK, GROUPS_CHECK, "latency", "served latency", "size"),
    }
)
"""What the results of the checks are called, in reports and in `validation.optional`."""

RESERVED_NAMES = frozenset({*CHECKS, *(name.replace("_", " ") for name in CHECKS), *RESULT_NAMES})
"""What the checks and their results are called: no gate may have such a name."""


def are_numbers(predictions: Predictions) -> bool:
    """Whether there is any sense in going on: metrics of what is no number say nothing."""
    return bool(np.isfinite(np.asarray(predictions.scores, dtype="float64")).all())


def settle(result: ValidationResult, validation: ValidationSettings) -> ValidationResult:
    """Mark what the settings call optional."""
    return replace(result, optional=True) if result.name in validation.optional else result


def make_report(evidence: Evidence, results: list[ValidationResult]) -> ValidationReport:
    """The report of checks that were made."""
    version = evidence.model.version
    return ValidationReport(
        model=evidence.contract.model_name,
        version=version.version if version else "",
        rows=len(evidence.rows),
        created=datetime.now(UTC),
        results=tuple(results),
    )


def _name_of(model: LoadedModel) -> str:
    return f"version {model.version.version}" if model.version else "the champion"
