"""Reading the audit log: who did what to the registry, and whether the log is what was written."""

import getpass
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from goldpath.settings import Settings
from goldpath.trust.audit_log import INTERRUPTED, read_head, read_log
from goldpath.trust.audit_record import FIRST, AuditError, AuditRecord, Head, parse_line

__all__ = [
    "Anchor",
    "AuditError",
    "AuditRecord",
    "AuditReport",
    "actor",
    "audit_file",
    "champion_on",
    "check_log",
    "history",
    "names_of",
    "read_records",
    "verify",
]

RENAMED = "renamed"


@dataclass(frozen=True)
class Anchor:
    """A record's sequence and hash as they were left somewhere else."""

    sequence: int
    hash: str
    where: str


@dataclass(frozen=True)
class AuditReport:
    """What a verification found.

    Attributes:
        intact: Whether nothing is wrong.
        records: How many records the file holds that are what was written.
        problems: What is wrong with the file, line by line.
        differences: What MLflow shows and the log does not, or the other way round.
        torn: Whether the file ends in half a line, which a killed writer left: no problem.
    """

    intact: bool
    records: int
    problems: tuple[str, ...]
    differences: tuple[str, ...] = ()
    torn: bool = False


def audit_file(settings: Settings) -> Path:
    """Where the log is kept."""
    return settings.root / settings.registry.audit_log


def actor(settings: Settings) -> str:
    """Who acts: the setting, else the user and the machine."""
    if settings.registry.actor:
        return settings.registry.actor
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def history(settings: Settings, model: str | None = None) -> list[AuditRecord]:
    """Every record that is what was written, in order; those of one model where it is named."""
    records, _, _ = _parse(read_log(audit_file(settings)))
    if model is None:
        return list(records)
    names = names_of(records, model)
    return [record for record in records if record.model in names]


def read_records(settings: Settings) -> tuple[list[AuditRecord], list[str]]:
    """Every record that is what was written, and what is wrong with the other lines."""
    records, problems, _ = _parse(read_log(audit_file(settings)))
    return records, problems


def names_of(records: Sequence[AuditRecord], model: str) -> set[str]:
    """A model's name and those that it had before."""
    names = {model}
    for record in reversed(records):
        if record.action == RENAMED and record.model in names:
            names.add(str(record.details.get("before")))
    return names


def champion_on(
    records: Iterable[AuditRecord], model: str | None, moment: datetime, alias: str = "champion"
) -> AuditRecord | None:
    """The record that made the version champion which was champion at a moment.

    Its `after` is the version. None where none was: before the first promotion, or after the alias
    was removed. Where no model is named, all records are of one model.
    """
    found = None
    for record in records:
        if record.moment > moment:
            break
        if model in (None, record.model) and record.alias == alias:
            found = record
    return found if found is not None and found.after is not None else None


def verify(settings: Settings, anchors: Sequence[Anchor] = ()) -> AuditReport:
    """Check the file against itself, its head, and what was left elsewhere."""
    file = audit_file(settings)
    try:
        head = read_head(file)
    except AuditError as error:
        report = check_log(read_log(file), None, anchors)
        return AuditReport(False, report.records, (*report.problems, error.message))
    return check_log(read_log(file), head, anchors)


def check_log(content: bytes, head: Head | None, anchors: Sequence[Anchor] = ()) -> AuditReport:
    """Check a log's content.

    Args:
        content: The file.
        head: What the head file says.
        anchors: What was left in MLflow, of this log.
    """
    records, problems, torn = _parse(content)
    known = {record.sequence: record for record in records}
    last = max(known, default=0)
    if head is not None:
        problems += _compare(known, last, head.sequence, head.hash, "the head file")
        if records and records[0].log != head.log:
            problems.append("the head file is another log's")
    elif records:
        problems.append("the head file is missing")
    for anchor in anchors:
        problems += _compare(known, last, anchor.sequence, anchor.hash, anchor.where)
    unique = tuple(dict.fromkeys(problems))
    return AuditReport(not unique, len(records), unique, torn=torn)


def _parse(content: bytes) -> tuple[list[AuditRecord], list[str], bool]:
    """The records in order, what is wrong with the lines, and whether the last one is torn."""
    lines = content.split(b"\n")
    torn = bool(lines.pop())
    records: list[AuditRecord] = []
    problems: list[str] = []
    expected, previous = 1, FIRST
    for number, line in enumerate(lines, start=1):
        try:
            record = parse_line(line)
        except ValueError as error:
            problems.append(f"line {number} was changed: {error}")
            expected, previous = expected + 1, ""
            continue
        if record.sequence != expected:
            problems.append(
                f"line {number} holds record {record.sequence} where {expected} was expected: "
                "lines were removed, inserted or reordered"
            )
        elif previous and record.previous != previous:
            problems.append(f"line {number} does not follow the line before it")
        if records and record.log != records[0].log:
            problems.append(f"line {number} belongs to another log")
        records.append(record)
        expected, previous = record.sequence + 1, record.hash
    return records, problems, torn


def _compare(
    known: Mapping[int, AuditRecord], last: int, sequence: int, digest: str, where: str
) -> list[str]:
    if sequence in known:
        # A move that was announced in MLflow and then did not happen is noted under its number.
        if digest in (known[sequence].hash, known[sequence].details.get(INTERRUPTED)):
            return []
        return [f"record {sequence} is not the one that {where} names"]
    if sequence > last:
        return [f"the log ends at record {last}; {where} names record {sequence}"]
    return [f"record {sequence}, which {where} names, is missing"]
