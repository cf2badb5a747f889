"""What MLflow knows of alias moves: a ledger on a server, and the tag that names the log's end.

The ledger is the parameters of one run, which MLflow never changes once they are logged. Each entry
is the audit record itself, so the ledger is also the copy that shows a log cut short.
"""

from goldpath.registry.stores.store import LEDGER_RUN, RegisteredModel, RegistryError, RegistryStore
from goldpath.trust.audit import Anchor
from goldpath.trust.audit_record import AuditRecord, parse_line

ANCHOR_TAG = "audit_head"


def was_moved(store: RegistryStore, record: AuditRecord) -> bool:
    """Whether an alias move that was announced has taken effect."""
    model = store.model(record.model)
    if record.alias is None or model is None:
        return model is not None
    if model.aliases.get(record.alias) != record.after:
        return False
    return any(anchor.hash == record.hash for anchor in anchors(store, model, record.log))


def anchors(store: RegistryStore, model: RegisteredModel, log: str) -> list[Anchor]:
    """What MLflow knows of an audit log's records."""
    found = []
    if text := model.tags.get(f"{ANCHOR_TAG}.{log}"):
        sequence, _, digest = text.partition(" ")
        if sequence.isdigit():
            found.append(Anchor(int(sequence), digest, f"MLflow's tag on {model.name}"))
    found += [
        Anchor(record.sequence, record.hash, f"MLflow's ledger of {model.name}")
        for record in ledger_records(store, model)
        if record.log == log
    ]
    return found


def ledger_records(store: RegistryStore, model: RegisteredModel) -> list[AuditRecord]:
    """Every alias move of a model that went through the ledger, whichever machine made it."""
    ledger = model.tags.get(LEDGER_RUN)
    run = store.run(ledger) if ledger else None
    if run is None:
        return []
    records = []
    for _, text in sorted(run.parameters.items()):
        try:
            records.append(parse_line(text.encode("ascii", "replace")))
        except ValueError:
            continue
    return sorted(records, key=lambda record: record.time)


def ledger_entries(store: RegistryStore, ledger: str, alias: str) -> list[AuditRecord]:
    """The moves of one alias, in order.

    Raises:
        RegistryError: If the ledger was deleted.
    """
    run = store.run(ledger)
    if run is None or run.deleted:
        raise RegistryError(
            f"the ledger of alias moves (run {ledger}) was deleted",
            f"restore it: mlflow runs restore --run-id {ledger}",
        )
    found = []
    for number in range(1, len(run.parameters) + 1):
        text = run.parameters.get(f"{alias}.{number:06d}")
        if text is None:
            break
        found.append(parse_line(text.encode("ascii")))
    return found
