"""Writing to the audit log: every change of the registry is one record.

A move of an alias that a killed process announced and did not record is settled by the next
writer, which asks the registry whether it took effect.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from goldpath.registry.ledger import ANCHOR_TAG, was_moved
from goldpath.registry.stores.open_store import open_store
from goldpath.registry.stores.store import RegistryStore
from goldpath.settings import Settings
from goldpath.trust.audit import actor, audit_file
from goldpath.trust.audit_log import AuditWriter, writing
from goldpath.trust.audit_record import AuditRecord


@contextmanager
def audit_writer(settings: Settings) -> Iterator[AuditWriter]:
    """Hold the log's lock while something is done and written down."""

    def was_done(record: AuditRecord) -> bool:
        return was_moved(open_store(settings), record)

    with writing(audit_file(settings), was_done) as writer:
        yield writer


def append_record(
    settings: Settings,
    action: str,
    model: str,
    version: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> AuditRecord:
    """Append a record.

    Args:
        settings: Say where the log is, and who acts.
        action: What was done.
        model: The registered model.
        version: The version.
        details: Further facts, as JSON has them.

    Returns:
        The record, which is on the disk.

    Raises:
        AuditError: If the log cannot be written, or its end is damaged.
    """
    with audit_writer(settings) as writer:
        return writer.append(writer.draft(actor(settings), action, model, version, details))


def record_change(
    settings: Settings,
    store: RegistryStore,
    model: str,
    action: str,
    version: str | None,
    details: Mapping[str, Any],
) -> None:
    """Append a record, and leave the log's new end in MLflow, as a tag on the model."""
    record = append_record(settings, action, model, version, details)
    if action != "deleted" or version is not None:
        store.set_model_tag(model, f"{ANCHOR_TAG}.{record.log}", f"{record.sequence} {record.hash}")
