"""A record of the audit log: its fields, its one spelling and its hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from goldpath.errors import ProjectError

FIRST = "0" * 64
FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class AuditError(ProjectError):
    """The audit log cannot be written or is not what was written."""


@dataclass(frozen=True)
class AuditRecord:
    """One thing that somebody did to the registry.

    Attributes:
        sequence: 1, 2, 3 …
        time: UTC, to the microsecond.
        actor: Who did it.
        action: `registered`, `promoted`, `rolled back`, `deleted` …
        model: The registered model.
        version: The version; None where it is about the model.
        alias: The alias that moved, where one did.
        before: What it pointed at.
        after: What it points at since.
        details: Further facts.
        log: Identifies the file, so that files of several machines are told apart.
        previous: Hash of the record before.
        hash: SHA-256 of all of the above.
    """

    sequence: int
    time: str
    actor: str
    action: str
    model: str
    version: str | None = None
    alias: str | None = None
    before: str | None = None
    after: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""
    previous: str = FIRST
    hash: str = ""

    def sealed(self) -> "AuditRecord":
        """The same record with its hash."""
        return replace(self, hash=self.expected_hash())

    def expected_hash(self) -> str:
        """What the hash must be."""
        values = asdict(self)
        del values["hash"]
        return hashlib.sha256(_canonical(values).encode("ascii")).hexdigest()

    def line(self) -> str:
        """The record as its one spelling, without a line break."""
        return _canonical(asdict(self))

    @property
    def moment(self) -> datetime:
        """The time as a time."""
        return datetime.strptime(self.time, FORMAT).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Head:
    """Where the log ends."""

    sequence: int
    hash: str
    log: str


def parse_line(line: bytes) -> AuditRecord:
    """A line as a record.

    Raises:
        ValueError: If it is not exactly what was written; says why.
    """
    try:
        values = json.loads(line.decode("ascii"))
        record = AuditRecord(**values)
        unchanged = record.line().encode("ascii") == line
        _ = record.moment
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is not a record") from error
    if not unchanged:
        raise ValueError("it is spelled otherwise than it was written")
    if record.hash != record.expected_hash():
        raise ValueError("its content does not belong to its hash")
    return record


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
