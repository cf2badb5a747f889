"""Rollback: a former champion becomes champion again, at once.

It asks no gate, since what it goes back to has passed it, and imports neither MLflow nor anything
numerical where registry and service can do without. The service verifies the files before it loads
them, as it always does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.jobs.drift.superseded import supersede_verdicts
from goldpath.registry.alias_moves import move_alias, position
from goldpath.registry.ledger import ledger_records
from goldpath.registry.mlflow_manager import CHAMPION, MLflowManager, RegistryError
from goldpath.registry.webhooks.announcement import announce, event_of
from goldpath.settings import Settings
from goldpath.trust.audit import history
from goldpath.trust.audit_log import INTERRUPTED
from goldpath.trust.audit_record import AuditRecord

ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class RollbackResult:
    """What a rollback did.

    Attributes:
        model: The registered model.
        model_version: The champion now.
        rolled_back: The champion before.
        audit_record: The number of the audit record.
        webhook: What came of telling others.
    """

    model: str
    model_version: str
    rolled_back: str
    audit_record: int
    webhook: str


def rollback(settings: Settings, contract: Contract, to: str | None = None) -> RollbackResult:
    """Make a former champion the champion again.

    Args:
        settings: Where registry and audit log are.
        contract: Names the registered model.
        to: The version; the one before today's champion where not given.

    Raises:
        RegistryError: If no former champion is known, or the version never was champion.
        NothingToDoError: If the version is the champion.
        AliasMovedError: If somebody else moved the alias meanwhile.
    """
    manager = MLflowManager(settings, contract)
    start = position(manager.store, manager.model_name, CHAMPION)
    if start.version is None:
        raise RegistryError(
            f"{manager.model_name} has no champion to roll back from", "make promote"
        )
    moves = champion_moves(settings, manager)
    there = {item.version for item in manager.versions()}
    if to is not None:
        if to == start.version:
            raise NothingToDoError(f"version {to} is the champion already")
        if to not in there or all(to not in (move.before, move.after) for move in moves):
            raise RegistryError(
                f"version {to} of {manager.model_name} never was champion, or is deleted",
                f"ask the gate instead: promote --version {to}",
            )
    target = to or former_champion(moves, start.version, there)
    if target is None:
        raise RegistryError(
            f"the audit log knows no champion of {manager.model_name} before version "
            f"{start.version}",
            "see: registry history",
        )
    record = move_alias(settings, manager.store, start, target, ROLLED_BACK)
    manager.note_succession(target, start.version)
    said = announce(settings, event_of(record))
    supersede_verdicts(settings.reports, manager.model_name, target, settings.model)
    return RollbackResult(manager.model_name, target, start.version, record.sequence, said)


def former_champion(moves: Sequence[AuditRecord], champion: str, there: set[str]) -> str | None:
    """The champion before the one of today, whose own promotion tells; deleted ones are skipped."""
    wanted, seen = champion, {champion}
    for move in reversed(moves):
        if move.after != wanted or move.action == ROLLED_BACK or move.before in (None, *seen):
            continue
        wanted = str(move.before)
        seen.add(wanted)
        if wanted in there:
            return wanted
    return None


def champion_moves(settings: Settings, manager: MLflowManager) -> list[AuditRecord]:
    """Every move of the champion alias, from this machine's log and from MLflow's ledger."""
    records = {record.hash: record for record in history(settings, manager.model_name)}
    interrupted = {record.details.get(INTERRUPTED) for record in records.values()}
    if (model := manager.registered_model()) is not None:
        for record in ledger_records(manager.store, model):
            records.setdefault(record.hash, record)
    return sorted(
        (
            record
            for record in records.values()
            if record.alias == CHAMPION and record.hash not in interrupted
        ),
        key=lambda record: record.time,
    )
