"""Moving an alias: compared with what it was, recorded, and safe against a second mover.

MLflow moves an alias without comparing it with anything, so two promotions that were judged against
the same champion would both go through. Here one of them wins:

* Processes of one machine wait for each other at the audit log's lock.
* On MLflow's SQLite file the comparison and the move are one transaction.
* On a server, machines compete for the next entry of a ledger: parameters of one run. MLflow never
  changes a parameter that was logged, so of two that log `champion.000012` one is refused. No lock
  is held while a candidate is judged, and none is left behind by a process that dies.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from goldpath.errors import CheckFailedError
from goldpath.registry.ledger import ANCHOR_TAG, ledger_entries
from goldpath.registry.recording import audit_writer
from goldpath.registry.stores.sqlite import SqliteStore
from goldpath.registry.stores.store import LEDGER_RUN, RegistryError, RegistryStore
from goldpath.settings import Settings
from goldpath.trust.audit import actor
from goldpath.trust.audit_record import AuditRecord

IN_FLIGHT = timedelta(seconds=30)
MOST_DETAILS = 3000
PATIENCE_SECONDS = 10.0


class AliasMovedError(CheckFailedError):
    """The alias is no longer where it was when the decision was taken."""


@dataclass(frozen=True)
class Position:
    """Where an alias is.

    Attributes:
        model: The registered model.
        alias: The alias.
        version: What it points at, or None.
        entries: How often it was moved by the ledger.
        ledger: The run that is the ledger; None on SQLite and before the first move.
    """

    model: str
    alias: str
    version: str | None
    entries: int = 0
    ledger: str | None = None


def position(store: RegistryStore, name: str, alias: str) -> Position:
    """Where an alias is now.

    Raises:
        RegistryError: If there is no such model, or somebody is moving the alias right now.
    """
    model = store.model(name)
    if model is None:
        raise RegistryError(f"there is no model {name}", "make train-local")
    version = model.aliases.get(alias)
    if isinstance(store, SqliteStore):
        return Position(name, alias, version)
    ledger = model.tags.get(LEDGER_RUN)
    if ledger is None:
        return Position(name, alias, version)
    entries = ledger_entries(store, ledger, alias)
    last = entries[-1] if entries else None
    if last is not None and last.after != version and _age(last) < IN_FLIGHT:
        raise RegistryError(
            f"{last.actor} is moving the alias {alias} of {name} to version {last.after}",
            f"try again in {IN_FLIGHT.seconds} seconds",
        )
    return Position(name, alias, version, len(entries), ledger)


def move_alias(
    settings: Settings,
    store: RegistryStore,
    start: Position,
    version: str | None,
    action: str,
    details: Mapping[str, Any] | None = None,
) -> AuditRecord:
    """Point an alias at a version, if it is still where it was, and record it.

    Args:
        settings: Say where the audit log is, and who acts.
        store: The registry.
        start: Where the alias was when the decision was taken.
        version: Where it shall point; None to remove it.
        action: What the audit log calls it.
        details: Further facts for the audit log.

    Returns:
        The audit record.

    Raises:
        AliasMovedError: If somebody else moved it meanwhile.
    """
    with audit_writer(settings) as writer:
        record = writer.draft(
            actor(settings),
            action,
            start.model,
            version if version is not None else start.version,
            _shortened(details or {}),
            alias=start.alias,
            before=start.version,
            after=version,
        )
        with writer.announced(record):
            if isinstance(store, SqliteStore):
                tag = (f"{ANCHOR_TAG}.{record.log}", f"{record.sequence} {record.hash}")
                if not store.swap_alias(start.model, start.alias, start.version, version, tag):
                    raise _moved(store, start, version)
            else:
                _move_on_server(store, start, record)
    return record


def _move_on_server(store: RegistryStore, start: Position, record: AuditRecord) -> None:
    ledger = start.ledger or _open_ledger(store, start.model)
    key = f"{start.alias}.{start.entries + 1:06d}"
    if not store.log_parameter(ledger, key, record.line()):
        raise _moved(store, start, record.after)
    # Whoever moves aliases in MLflow's own pages does not ask the ledger.
    found = store.version_by_alias(start.model, start.alias)
    if (found.version if found else None) != start.version:
        raise _moved(store, start, record.after)
    if record.after is None:
        store.delete_alias(start.model, start.alias)
    else:
        store.set_alias(start.model, start.alias, record.after)


def _open_ledger(store: RegistryStore, name: str) -> str:
    """The ledger of a model that was never moved; the server lets one process make it."""
    experiment = f"registry-ledger {name}"
    ledger = store.create_ledger(experiment)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while ledger is None and time.monotonic() < deadline:
        ledger = store.ledger_run(experiment)
        if ledger is None:
            time.sleep(0.2)
    if ledger is None:
        raise RegistryError(
            f"the experiment {experiment!r} exists and names no run: its maker died",
            "delete and purge that experiment in MLflow, then try again",
        )
    store.set_model_tag(name, LEDGER_RUN, ledger)
    return ledger


def _moved(store: RegistryStore, start: Position, version: str | None) -> AliasMovedError:
    found = store.version_by_alias(start.model, start.alias)
    now = f"version {found.version}" if found else "no version"
    was = f"version {start.version}" if start.version else "no version"
    changed = (
        f"changed from {was} to {now}"
        if now != was
        else f"is {was} and is being moved by somebody else"
    )
    wanted = f"version {version} was judged" if version else "it was to be removed"
    return AliasMovedError(
        f"the {start.alias} of {start.model} {changed} while {wanted}",
        "look at it (registry show), then try again: the decision was about the former one",
    )


def _age(record: AuditRecord) -> timedelta:
    return datetime.now(UTC) - record.moment


def _shortened(details: Mapping[str, Any]) -> dict[str, Any]:
    """MLflow's parameters hold 6000 characters, and a record is one."""
    share = MOST_DETAILS // max(len(details), 1)
    return {
        key: value if not isinstance(value, str) or len(value) <= share else value[:share] + "…"
        for key, value in details.items()
    }
