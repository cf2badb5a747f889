"""The loop's end: verdict, rules, data, training, gate, and a champion with a new reference.

Limits are asked before anything is done, and the labelled rows once the data is up to date.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from goldpath.contract import Contract
from goldpath.errors import CheckFailedError, ProjectError
from goldpath.features.learned import learned_contract
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.data.report import write_figures
from goldpath.jobs.retraining.admission import (
    Reason,
    Verdict,
    require_about,
    require_labelled_rows,
    require_pause,
    standing_verdict,
)
from goldpath.jobs.retraining.ledger import INTERRUPTED, Ledger, Retraining
from goldpath.jobs.training.deployment import deploy
from goldpath.jobs.training.stages import train
from goldpath.presentation import step
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.reports import write_report
from goldpath.settings import Settings

REPORT = "retraining.json"


@dataclass(frozen=True)
class RetrainingResult:
    """What was decided, and what came of it.

    Attributes:
        outcome: promoted, handed over, refused, failed or interrupted.
        message: It as a sentence.
        id: The retraining; empty where it was refused before it began.
        source: Whose verdict asked for it.
        reason: That verdict.
        new_rows: Labelled rows that the champion was not trained on.
        former_champion: The champion before.
        model_version: The new champion; empty where there is none.
    """

    outcome: str
    message: str
    id: str
    source: str
    reason: str
    new_rows: int
    former_champion: str
    model_version: str = ""


def retrain(
    settings: Settings,
    contract: Contract,
    reason: Reason = "newest",
    *,
    force: bool = False,
    now: datetime | None = None,
) -> RetrainingResult:
    """Train again because of drift or lost quality, and ask the gate.

    Args:
        settings: `monitoring.retrain` holds the limits.
        contract: What a row is.
        reason: Whose verdict asks.
        force: Whether to leave cooldown and budget out. The verdict, the labelled rows and the
            gate are asked in any case.
        now: When it is asked.

    Raises:
        NothingToDoError: If there is no verdict that asks for it.
        CheckFailedError: If it is too early, another one is running, or the gate says no.
        NotEnoughDataError: If there are too few new rows with a label.
    """
    ledger = Ledger(settings.root, settings.model)
    with ledger.only_one():
        admitted, new_rows = _admit(settings, contract, reason, force=force, now=now)
        try:
            candidate = train(settings, contract, admitted.id)
            deploy(settings, contract, candidate.model_version)
        except CheckFailedError as refusal:
            ledger.end(admitted, "refused", refusal.message)
            _write(settings, _result(admitted, new_rows, "refused", refusal.message))
            raise
        except Exception as error:
            ledger.end(admitted, "failed", f"{type(error).__name__}: {error}")
            _write(settings, _result(admitted, new_rows, "failed", str(error)))
            raise
        except BaseException as stop:  # Ctrl-C, monitoring-down: it counts for no limit
            ledger.end(admitted, INTERRUPTED, type(stop).__name__)
            _write(settings, _result(admitted, new_rows, INTERRUPTED, "it was stopped"))
            raise
        version = candidate.model_version
        ledger.end(admitted, "promoted", version)
        message = (
            f"version {version} is champion; from now on rows are compared with what it was "
            "trained on"
        )
        result = _result(admitted, new_rows, "promoted", message, version)
        _write(settings, result)
        return result


def admit(
    settings: Settings,
    contract: Contract,
    reason: Reason = "newest",
    *,
    force: bool = False,
    now: datetime | None = None,
) -> RetrainingResult:
    """Ask the rules only, and count the retraining, which somebody else then does.

    Args:
        settings: `monitoring.retrain` holds the limits.
        contract: What a row is.
        reason: Whose verdict asks.
        force: Whether to leave cooldown and budget out.
        now: When it is asked.

    Raises:
        ProjectError: As `retrain`, but for the gate.
    """
    return hand_over(settings, contract, reason, lambda: "the caller", force=force, now=now)


def hand_over(
    settings: Settings,
    contract: Contract,
    reason: Reason,
    start: Callable[[], str],
    *,
    force: bool = False,
    now: datetime | None = None,
) -> RetrainingResult:
    """Ask the rules, count the retraining, and let a scheduler begin it.

    Args:
        settings: `monitoring.retrain` holds the limits.
        contract: What a row is.
        reason: Whose verdict asks.
        start: Begins it, and returns who does it.
        force: Whether to leave cooldown and budget out.
        now: When it is asked.

    Raises:
        ProjectError: As `retrain`, but for the gate; or if it cannot be begun.
    """
    ledger = Ledger(settings.root, settings.model)
    with ledger.only_one():
        admitted, new_rows = _admit(settings, contract, reason, force=force, now=now)
        try:
            by = start()
        except Exception as error:
            ledger.end(admitted, "failed", str(error))
            raise ProjectError(
                f"the retraining was let through, and could not be begun: {error}",
                "retrain --here --force trains in this process",
            ) from error
        ledger.end(admitted, "handed over", by)
    result = _result(admitted, new_rows, "handed over", f"the training is done by {by}")
    _write(settings, result)
    return result


def _admit(
    settings: Settings, contract: Contract, reason: Reason, *, force: bool, now: datetime | None
) -> tuple[Retraining, int]:
    """Ask every rule; what is let through is in the ledger before it begins."""
    now = now or datetime.now(UTC)
    ledger = Ledger(settings.root, settings.model)
    verdict = Verdict(reason, "", "")
    try:
        verdict = standing_verdict(settings.reports, reason)
        champion = require_about(verdict, MLflowManager(settings, contract).champion_version())
        if not force:
            require_pause(settings.monitoring.retrain, ledger.read_ended(), now)
        step(f"retrain: {verdict.message}")
        data = refresh(settings, contract)
        write_figures(settings, contract, data)
        learned = learned_contract(settings, contract)
        new_rows = require_labelled_rows(settings, learned, champion, data)
    except ProjectError as refusal:
        nothing = Retraining("", "", verdict.source, verdict.message, verdict.model_version)
        _write(settings, _result(nothing, 0, "refused", str(refusal)))
        raise
    admitted = Retraining(
        id=f"retrain-{now:%Y%m%dT%H%M%S%f}",
        started=now.isoformat(timespec="seconds"),
        source=verdict.source,
        reason=verdict.message,
        champion=champion.version,
    )
    ledger.begin(admitted)
    return admitted, new_rows


def _result(
    admitted: Retraining, new_rows: int, outcome: str, message: str, version: str = ""
) -> RetrainingResult:
    return RetrainingResult(
        outcome=outcome,
        message=message,
        id=admitted.id,
        source=admitted.source,
        reason=admitted.reason,
        new_rows=new_rows,
        former_champion=admitted.champion,
        model_version=version,
    )


def _write(settings: Settings, result: RetrainingResult) -> None:
    """The last decision, whatever it was, for people who were not there."""
    asked = datetime.now(UTC).isoformat(timespec="seconds")
    write_report(settings.reports / REPORT, {"decided_at": asked, **asdict(result)})
