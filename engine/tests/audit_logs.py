"""An audit log that a test writes and reads."""

from pathlib import Path

from goldpath.trust.audit_log import writing
from goldpath.trust.audit_record import AuditRecord, parse_line


def never(_: AuditRecord) -> bool:
    raise AssertionError("nothing is pending")


def add(file: Path, *versions: str, action: str = "tagged", model: str = "churn") -> None:
    with writing(file, never) as writer:
        for version in versions:
            writer.append(writer.draft("me", action, model, version))


def records_of(file: Path) -> list[AuditRecord]:
    return [parse_line(line) for line in file.read_bytes().splitlines()]


def pending(file: Path) -> Path:
    return file.with_name(f"{file.name}.pending")


def head(file: Path) -> Path:
    return file.with_name(f"{file.name}.head")
