"""The tables of users, keys and what was done to them; importing this imports SQLAlchemy."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

FIRST = "0" * 64

_METADATA = MetaData()
USERS = Table(
    "access_users",
    _METADATA,
    Column("name", String(63), primary_key=True),
    Column("roles", String(200), nullable=False),
    Column("password_hash", String(300), nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("tokens_since", Float(53), nullable=False),
)
API_KEYS = Table(
    "access_keys",
    _METADATA,
    Column("id", String(8), primary_key=True),
    Column("name", String(63), nullable=False, index=True),
    Column("roles", String(200), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53)),
    Column("revoked_at", Float(53)),
    Column("last_used", Float(53)),
)
AUDIT = Table(
    "access_audit",
    _METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("time", String(32), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)


@dataclass(frozen=True)
class AccessAction:
    """One thing that was done.

    Attributes:
        sequence: 1, 2, 3 …
        time: UTC, ISO 8601.
        actor: Who did it.
        action: `key created`, `key revoked`, `user added` …
        subject: The user or the key.
        details: Further facts, as JSON.
        previous: Hash of the action before.
        hash: SHA-256 of all of the above.
    """

    sequence: int
    time: str
    actor: str
    action: str
    subject: str
    details: str
    previous: str
    hash: str

    def expected_hash(self) -> str:
        """What the hash must be."""
        values = {name: value for name, value in asdict(self).items() if name != "hash"}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def make_tables(engine: Engine) -> None:
    """Make the tables that are missing."""
    _METADATA.create_all(engine)


def append_action(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, Any]
) -> None:
    """Write down what a transaction has done; it must hold off every other writer."""
    newest = AUDIT.select().order_by(AUDIT.c.sequence.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    last = None if row is None else AccessAction(**row)
    values: dict[str, Any] = {
        "sequence": last.sequence + 1 if last else 1,
        "time": datetime.now(UTC).isoformat(),
        "actor": actor[:200],
        "action": action,
        "subject": subject[:200],
        "details": json.dumps(dict(details), sort_keys=True),
        "previous": last.hash if last else FIRST,
    }
    digest = AccessAction(**values, hash="").expected_hash()
    connection.execute(AUDIT.insert().values(**values, hash=digest))


def faults(actions: Sequence[AccessAction]) -> list[str]:
    """What is wrong with a list of actions: changed, removed, inserted or reordered lines."""
    found, previous = [], FIRST
    for place, action in enumerate(actions, start=1):
        if action.hash != action.expected_hash():
            found.append(f"action {action.sequence} was changed")
        elif action.sequence != place or action.previous != previous:
            found.append(f"action {action.sequence} does not follow the one before it")
        previous = action.hash
    return found
