"""Promotion: a candidate becomes champion only if every check of the gate passes.

One sequence: which version is champion now → the gate → the signature → the alias, if it is still
where it was → the audit record → the webhook → alarms about the former champion end.
"""

import json
import math
from dataclasses import asdict, dataclass, field, replace

from goldpath.adoption.column_inference import FREE_TEXT
from goldpath.contract import Contract, parse_contract
from goldpath.errors import CheckFailedError, ProjectError
from goldpath.jobs.drift.superseded import supersede_verdicts
from goldpath.jobs.upkeep.materialization import materialize_version
from goldpath.jobs.windows.model_windows import with_own_windows
from goldpath.judging.validation_report import ValidationReport
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import read_gold
from goldpath.model_version import ModelVersion
from goldpath.presentation import FOR_SCRIPTS, step
from goldpath.registry.alias_moves import AliasMovedError, Position, move_alias, position
from goldpath.registry.layout import CONTRACT_FILE, SNAPSHOT_TAG
from goldpath.registry.mlflow_manager import CHAMPION, MLflowManager, RegistryError
from goldpath.registry.webhooks.announcement import announce, event_of
from goldpath.reports import write_report
from goldpath.settings import Settings

NOBODY = "none"
ENOUGH_ROWS = "enough test rows"
PROMOTED = "promoted"
AUDITED_CHECKS = 40
_FORMS = {
    "CompiledModel": "compiled form",
    "EncodedModel": "pipeline behind a compiled encoder",
    "LoadedModel": "pipeline",
}


@dataclass(frozen=True)
class PromotionResult:
    """What the gate said, check by check.

    Attributes:
        model: The registered model.
        model_version: The candidate.
        promoted: Whether it has the alias now.
        previous_champion: What had it before; None where nothing did.
        checks: Each check's answer.
        outcomes: How each check ended: passed, failed, warning or not enough data.
        alias: The alias, usually champion.
        audit_record: The number of the audit record; None where nothing was moved.
        webhook: What came of telling others.
    """

    model: str
    model_version: str
    promoted: bool
    previous_champion: str | None
    checks: dict[str, str]
    outcomes: dict[str, str] = field(default_factory=dict, metadata=FOR_SCRIPTS)
    alias: str = CHAMPION
    audit_record: int | None = None
    webhook: str = ""


def promote(
    settings: Settings,
    contract: Contract,
    version: str | None = None,
    expected_champion: str | None = None,
    alias: str = CHAMPION,
) -> PromotionResult:
    """Judge a candidate beside the champion on its test rows; move the alias if all checks pass.

    Args:
        settings: Its sections `training` and `validation` hold the gate's limits.
        contract: Names the registered model.
        version: The candidate; the newest version where not given.
        expected_champion: The version that must have the alias now, `none` for no version; where
            not given, whichever has it when the judging begins.
        alias: What the candidate becomes: champion, or challenger.

    Raises:
        RegistryError: If there is no candidate.
        CheckFailedError: If a check says no, or the alias was moved meanwhile; it stays then.
        SignatureError: If the candidate is not what was signed.
    """
    manager = MLflowManager(settings, contract)
    candidate = manager.version(version) if version else manager.newest_version()
    if candidate is None:
        raise RegistryError(
            f"there is no version of {contract.model_name} to promote", "make train-local"
        )
    start = position(manager.store, manager.model_name, alias)
    _require_expected(start, expected_champion)
    if start.version == candidate.version:
        step(f"version {candidate.version} is the {alias} already")
        return PromotionResult(
            manager.model_name, candidate.version, True, start.version, {}, alias=alias
        )
    report = run_gate(settings, manager, candidate)
    checks = {
        result.name: f"{'pass' if result.passed else 'FAIL'}: {result.detail}"
        for result in report.results
    }
    result = PromotionResult(
        manager.model_name,
        candidate.version,
        report.passed,
        start.version,
        checks,
        {each.name[:60]: str(each.status) for each in report.results},
        alias,
    )
    gate = {"gate": "passed" if report.passed else "refused", "gate_checks": json.dumps(checks)}
    manager.tag_version(candidate.version, gate)
    if not report.passed:
        write_report(settings.reports / "promotion.json", asdict(result))
        raise CheckFailedError(
            f"the gate refused version {candidate.version} of {manager.model_name}: "
            f"{'; '.join(report.errors)}",
            f"the {alias} alias was not moved; {_way_out(report)}{_left_out_texts(contract)}",
        )
    _make_windows_known(settings, manager, candidate)
    return _carry_out(settings, manager, candidate, start, result)


def _make_windows_known(
    settings: Settings, manager: MLflowManager, candidate: ModelVersion
) -> None:
    """Fill the online store for a version before the service may choose it."""
    try:
        theirs = parse_contract(manager.read_text(candidate.run_id, CONTRACT_FILE))
    except (RegistryError, OSError):
        return  # a model that was trained elsewhere has no features of ours
    materialize_version(settings, open_lakehouse(settings), theirs)


def _left_out_texts(contract: Contract) -> str:
    """A reminder of columns that a person could learn from and the model does not."""
    texts = [name for name, why in contract.ignored.items() if why.startswith(FREE_TEXT)]
    if not texts:
        return ""
    return (
        f"; the free text of {', '.join(texts)} is left out: if it tells the outcome, adopt the "
        f"file again, or take it from `ignored` to the features of {contract.file}: "
        f"{{name: {texts[0]}, type: text}}"
    )


def run_gate(
    settings: Settings, manager: MLflowManager, candidate: ModelVersion
) -> ValidationReport:
    """Every check, on the test rows of the snapshot that the candidate was trained on."""
    from goldpath.judging.evidence import StoredForm
    from goldpath.judging.validation import log_report, validate_candidate, write_report_files
    from goldpath.learning.splitting import split_rows
    from goldpath.serving.predictor import score_rows

    champion = manager.champion_version()
    rival = f"version {champion.version}" if champion else "the baseline"
    step(f"gate: version {candidate.version} against {rival} on the same test rows")
    if SNAPSHOT_TAG not in candidate.tags:
        raise RegistryError(
            f"version {candidate.version} does not say which data it was trained on "
            f"(tag {SNAPSHOT_TAG}), so the gate has no test rows for it",
            "promote a version that make train-local registered",
        )
    examined = manager.files.examine(candidate)
    model, served = examined.model, examined.served
    stored = StoredForm(
        form=_FORMS[type(served).__name__],
        size_bytes=examined.size_bytes,
        answer=lambda row: score_rows(served, [dict(row)]),
    )
    lakehouse = open_lakehouse(settings)
    rows = read_gold(lakehouse, model.contract, int(candidate.tags[SNAPSHOT_TAG]))
    split = split_rows(rows, model.contract, settings.training)
    rival_model, fault = None, None
    if champion is not None and champion.version != candidate.version:
        try:
            rival_model = with_own_windows(manager.load(champion), model.contract, lakehouse)
        except ProjectError as error:  # a champion that cannot be compared with blocks the gate
            fault = error
    report = validate_candidate(
        settings,
        model,
        rival_model,
        split,
        model.contract,
        fault,
        run=manager.run_record(candidate),
        stored=stored,
    )
    write_report_files(report, settings.reports)
    log_report(manager, candidate.run_id, report)
    return report


def _way_out(report: ValidationReport) -> str:
    """What to do about a refusal; where rows are missing, what a lower limit would cost."""
    if fixes := [result.fix for result in report.results if result.fix and not result.passed]:
        return "; ".join(fixes)
    few = next(
        (item for item in report.results if item.name == ENOUGH_ROWS and not item.passed), None
    )
    if few is None or not few.score:
        return "bring more data or trials (`docs training`)"
    margin = 1.96 * math.sqrt(0.8 * 0.2 / few.score)
    return (
        "bring more data; or lower training.minimum_test_rows in config/training.yaml, which costs "
        f"certainty: of {few.score:.0f} test rows a share of 80 % is known to within "
        f"{100 * margin:.0f} points only (`docs training`)"
    )


def _require_expected(start: Position, expected: str | None) -> None:
    if expected is not None and (start.version or NOBODY) != expected:
        found = f"version {start.version}" if start.version else "no version"
        raise AliasMovedError(
            f"the {start.alias} of {start.model} is {found}, and {expected} was expected",
            "look at it (registry show), then decide again",
        )


def _carry_out(
    settings: Settings,
    manager: MLflowManager,
    candidate: ModelVersion,
    start: Position,
    result: PromotionResult,
) -> PromotionResult:
    """Signature, alias, audit record, webhook, the end of alarms."""
    signature = manager.files.verify_model(candidate)
    details = {
        "gate": "passed",
        "checks": len(result.checks),
        "results": dict(list(result.outcomes.items())[:AUDITED_CHECKS]),
        "run_id": candidate.run_id,
        "key_id": signature.key_id,
        "digest": signature.digest,
    }
    record = move_alias(settings, manager.store, start, candidate.version, PROMOTED, details)
    if start.alias == CHAMPION:
        manager.note_succession(candidate.version, start.version)
    done = replace(
        result, audit_record=record.sequence, webhook=announce(settings, event_of(record))
    )
    if start.alias == CHAMPION:
        supersede_verdicts(settings.reports, candidate.name, candidate.version, settings.model)
    write_report(settings.reports / "promotion.json", asdict(done))
    return done
