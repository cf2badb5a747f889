"""The audit log held against MLflow: what was changed behind its back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.model_version import ModelVersion
from goldpath.registry.files.registered import REGISTERED, registrations, require_registered
from goldpath.registry.layout import SIGNATURE_TAG
from goldpath.registry.ledger import anchors, ledger_records
from goldpath.registry.mlflow_manager import CHAMPION, MLflowManager
from goldpath.settings import Settings
from goldpath.trust.audit import AuditReport, champion_on, history, names_of, verify
from goldpath.trust.audit_log import INTERRUPTED
from goldpath.trust.audit_record import AuditRecord
from goldpath.trust.signing import Signature

DELETED = "deleted"


@dataclass(frozen=True)
class ChampionAnswer:
    """Which version was champion at a moment, and how that is known.

    Attributes:
        moment: The moment that was asked about.
        model: The registered model.
        version: The champion; None where there was none.
        since: When it had become champion.
        actor: Who had made it champion.
        action: How.
        record: The audit record's number.
    """

    moment: str
    model: str
    version: str | None
    since: str | None = None
    actor: str | None = None
    action: str | None = None
    record: int | None = None


def verify_audit(settings: Settings, contract: Contract) -> AuditReport:
    """Check the log against itself, its head, its anchors in MLflow, and MLflow's state."""
    manager = MLflowManager(settings, contract)
    records = history(settings)
    model = manager.registered_model()
    left = anchors(manager.store, model, records[0].log) if model and records else []
    report = verify(settings, left)
    differences = tuple(reconcile(manager, records))
    return replace(report, differences=differences, intact=report.intact and not differences)


def reconcile(manager: MLflowManager, records: Sequence[AuditRecord]) -> list[str]:
    """What MLflow shows of the model and the log does not, or the other way round.

    Moves that another machine made through the ledger are no difference.
    """
    name = manager.model_name
    known = _of_model(records, name)
    model = manager.registered_model()
    if model is None:
        gone = known and known[-1].action != DELETED
        return [f"the model {name} is gone, and no record says who deleted it"] if gone else []
    log = records[0].log if records else ""
    foreign = [item for item in ledger_records(manager.store, model) if item.log != log]
    found = _alias_differences(model.aliases, name, known, foreign)
    there = {version.version: version for version in manager.versions()}
    registered = {item.version for item in known if item.action == REGISTERED}
    deleted = {item.version for item in known if item.action == DELETED}
    for number in sorted(registered - deleted - set(there), key=str):
        found.append(f"version {number} is gone, and no record says who deleted it")
    began = known[0].moment.timestamp() if known else float("inf")
    for number, version in there.items():
        if number not in registered and version.created > began:
            found.append(f"version {number} was registered, and no record says by whom")
    known_as = [item for item in registrations(records).get(name, ()) if item.version in there]
    return found + _swapped_files(manager, known_as, there)


def record_of(settings: Settings, version: ModelVersion, signature: Signature) -> str:
    """Which audit record agrees with a version's signature, as a sentence."""
    record = require_registered(version, signature, settings)
    if record is None:
        return "no record in this machine's audit log"
    return f"record {record.sequence}, {record.time}, {record.actor}"


def champion_at(settings: Settings, contract: Contract, moment: datetime) -> ChampionAnswer:
    """Which version was champion at a moment, by this log and MLflow's ledger."""
    from goldpath.jobs.promotion.rollback import champion_moves

    manager = MLflowManager(settings, contract)
    name = manager.model_name
    found = champion_on(champion_moves(settings, manager), None, moment, CHAMPION)
    asked = moment.isoformat(timespec="seconds")
    if found is None:
        return ChampionAnswer(asked, name, None)
    return ChampionAnswer(
        asked, name, found.after, found.time, found.actor, found.action, found.sequence
    )


def _swapped_files(
    manager: MLflowManager, recorded: Sequence[AuditRecord], there: Mapping[str, ModelVersion]
) -> list[str]:
    """Versions whose run or signature is not the one that was registered under their number."""
    found = []
    for number, version in there.items():
        records = [item for item in recorded if item.version == number]
        if not records:
            continue
        if all(item.details.get("run_id") != version.run_id for item in records):
            found.append(
                f"version {number} is of run {version.run_id}, and record "
                f"{records[-1].sequence} registered another run's files as it"
            )
            continue
        if version.tags.get(SIGNATURE_TAG) is None:
            continue
        try:
            signature = manager.signature(version)
            require_registered(version, signature, manager.settings)
        except ProjectError as error:
            found.append(error.message)
            continue
        if signature.names_version and signature.version != number:
            found.append(
                f"version {number} has the signature of version {signature.version or '(none)'}"
            )
    return found


def _alias_differences(
    current: Mapping[str, str],
    name: str,
    known: Sequence[AuditRecord],
    foreign: Sequence[AuditRecord],
) -> list[str]:
    expected: dict[str, AuditRecord] = {}
    for record in sorted([*known, *foreign], key=lambda item: item.time):
        if record.alias is not None:
            expected[record.alias] = record
    found = []
    for alias in sorted({*current, *expected}):
        last_move = expected.get(alias)
        wanted = last_move.after if last_move else None
        if current.get(alias) == wanted:
            continue
        is_now = f"points at version {current[alias]}" if alias in current else "is gone"
        if last_move is None:
            found.append(f"the alias {alias} of {name} {is_now}, and no record says since when")
        else:
            last = f"version {wanted}" if wanted else "nothing"
            found.append(
                f"the alias {alias} of {name} {is_now}; the last record "
                f"({last_move.sequence}, {last_move.time}, {last_move.actor}) has it at {last}: "
                "it was moved without this project"
            )
    return found


def _of_model(records: Sequence[AuditRecord], name: str) -> list[AuditRecord]:
    """The records of a model, under its former names too, but what was announced and not done."""
    names = names_of(records, name)
    kept = [item for item in records if item.model in names and item.action != INTERRUPTED]
    starts = [
        index
        for index, item in enumerate(kept)
        if item.action == DELETED and item.version is None and item.model == name
    ]
    # After a model was deleted as a whole, its numbers begin again.
    return kept[starts[-1] :] if starts and kept[starts[-1] :][1:] else kept
