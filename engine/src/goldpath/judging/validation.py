"""The promotion gate: every check must pass, and a check that cannot be made has not passed.

The project's own checks run after the built-in ones; one of the same name takes a built-in's place.
"""

import asyncio
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.judging.checks import CHECKS, are_numbers, champion_fault, make_report, settle
from goldpath.judging.own_checks import require_validator, run_own
from goldpath.judging.validation_report import ValidationReport, ValidationResult, ValidationStatus
from goldpath.judging.validators import Evidence
from goldpath.learning.decision.chosen import with_chosen_metrics
from goldpath.learning.frames import target_values
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.learning.splitting import Split
from goldpath.learning.threads import sensible_threads
from goldpath.presentation import step
from goldpath.registry.files.documents import sign_report
from goldpath.registry.layout import REPORT_FILE, REPORT_PAGE
from goldpath.reports import write_text
from goldpath.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from goldpath.registry.mlflow_manager import MLflowManager

HTML_REPORT = "validation.html"
JSON_REPORT = "validation.json"


def validate_candidate(
    settings: Settings,
    candidate: LoadedModel,
    champion: LoadedModel | None,
    split: Split,
    contract: Contract,
    champion_error: Exception | None = None,
) -> ValidationReport:
    """What the gate asks of a candidate, on its test rows.

    Args:
        settings: Their sections `training` and `validation` hold the limits.
        candidate: The candidate.
        champion: Today's champion, where there is one.
        split: The rows that the candidate learned from, and its test rows.
        contract: The candidate's contract.
        champion_error: Why today's champion could not be loaded; then nothing is promoted.

    Returns:
        The report; the candidate may be promoted where `report.passed`.
    """
    with sensible_threads(len(split.train)):
        return _validate(settings, candidate, champion, split, contract, champion_error)


def _validate(
    settings: Settings,
    candidate: LoadedModel,
    champion: LoadedModel | None,
    split: Split,
    contract: Contract,
    champion_error: Exception | None,
) -> ValidationReport:
    try:
        predictions = candidate.predict(split.test)
    except (ProjectError, KeyError, TypeError, ValueError) as error:
        empty = Predictions([], None, [])
        evidence = _evidence(settings, candidate, None, split, contract, empty)
        fault = ValidationResult(
            "predictions are usable",
            ValidationStatus.FAILED,
            f"the candidate cannot score its test rows: {error}",
        )
        return make_report(evidence, [fault])
    evidence = _evidence(settings, candidate, champion, split, contract, predictions)
    results = []
    own = settings.project.definitions.validators
    for name in dict.fromkeys((*CHECKS, *own)):
        result: ValidationResult | None
        if name in own:
            require_validator(name, own[name])
            result = asyncio.run(run_own(name, own[name], evidence))
        elif name == "champion" and champion_error is not None:
            result = champion_fault("the champion", champion_error)
        else:
            result = CHECKS[name](evidence)
        if result is not None:
            results.append(settle(result, settings.validation))
        if name == "predictions" and not are_numbers(predictions):
            break
    return make_report(evidence, results)


def write_report_files(report: ValidationReport, folder: "Path") -> "tuple[Path, Path]":
    """Write the report as HTML and as JSON; returns both files."""
    page, values = folder / HTML_REPORT, folder / JSON_REPORT
    write_text(page, report.to_html())
    write_text(values, report.to_json())
    return page, values


def log_report(manager: "MLflowManager", run_id: str, report: ValidationReport) -> None:
    """Log the report to a run, as artifacts in the folder `validation`, and sign it."""
    texts = {REPORT_PAGE: report.to_html(), REPORT_FILE: report.to_json()}
    for path, text in texts.items():
        manager.log_text(run_id, text, path)
    if reason := sign_report(manager.runs, manager.settings, run_id, texts):
        step(f"the validation report is not signed: {reason}")


def _evidence(
    settings: Settings,
    candidate: LoadedModel,
    champion: LoadedModel | None,
    split: Split,
    contract: Contract,
    predictions: Predictions,
) -> Evidence:
    return Evidence(
        model=candidate,
        rows=split.test,
        truth=target_values(split.test, contract),
        predictions=predictions,
        validation=settings.validation,
        training=settings.training,
        monitoring=settings.monitoring,
        train=split.train,
        champion=champion,
        definitions=with_chosen_metrics(
            settings.project.definitions, contract, settings.training, settings.decision
        ),
    )
