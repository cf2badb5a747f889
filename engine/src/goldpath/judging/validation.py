"""The promotion gate: every check must pass, and a check that cannot be made has not passed.

The project's own checks run after the built-in ones; a validator of the same name takes a
built-in's place.
"""

import asyncio
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.judging.checks import CHECKS, are_numbers, champion_fault, make_report, settle
from goldpath.judging.evidence import Evidence, StoredForm
from goldpath.judging.limits import limit_checks
from goldpath.judging.own_checks import own_checks, require_validator, run_own
from goldpath.judging.validation_report import ValidationReport, ValidationResult, ValidationStatus
from goldpath.judging.validators import Check
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
    from goldpath.registry.stores.store import RunRecord

HTML_REPORT = "validation.html"
JSON_REPORT = "validation.json"


def validate_candidate(
    settings: Settings,
    candidate: LoadedModel,
    champion: LoadedModel | None,
    split: Split,
    contract: Contract,
    champion_error: Exception | None = None,
    run: "RunRecord | None" = None,
    stored: StoredForm | None = None,
) -> ValidationReport:
    """What the gate asks of a candidate, on its test rows.

    Args:
        settings: Their sections `training` and `validation` hold the limits.
        candidate: The candidate.
        champion: Today's champion, where there is one.
        split: The rows that the candidate learned from, and its test rows.
        contract: The candidate's contract.
        champion_error: Why today's champion could not be loaded; then nothing is promoted.
        run: What the candidate's training logged.
        stored: The candidate as it serves, once it is registered.

    Returns:
        The report; the candidate may be promoted where `report.passed`.
    """
    with sensible_threads(len(split.train)):
        fault, predictions = "", Predictions([], None, [])
        try:
            predictions = candidate.predict(split.test)
        except (ProjectError, KeyError, TypeError, ValueError) as error:
            fault = str(error)
        evidence = Evidence(
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
            run=run,
            stored=stored,
            champion_error=champion_error,
        )
        return _validate(settings, evidence, fault)


def _validate(settings: Settings, evidence: Evidence, unscorable: str) -> ValidationReport:
    if unscorable:
        fault = ValidationResult(
            "predictions are usable",
            ValidationStatus.FAILED,
            f"the candidate cannot score its test rows: {unscorable}",
        )
        return make_report(evidence, [fault])
    results = []
    limits = limit_checks(settings.validation, settings.root, settings.model)
    checks: dict[str, Check] = {**CHECKS, **limits}
    own = own_checks(settings.project.definitions, limits)
    for name in dict.fromkeys((*checks, *own)):
        result: ValidationResult | None
        if name in own:
            require_validator(name, own[name])
            result = asyncio.run(run_own(name, own[name], evidence))
            if name == "champion" and evidence.champion_error is not None:
                results.append(champion_fault("the champion", evidence.champion_error))
        else:
            result = checks[name](evidence)
        if result is not None:
            results.append(settle(result, settings.validation))
        if name == "predictions" and not are_numbers(evidence.predictions):
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
