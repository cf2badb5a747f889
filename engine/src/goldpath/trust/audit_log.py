"""The audit log's file: one JSON line a record, each with the hash of the one before it.

A record is acknowledged once its line is on the disk and the head (`….head`, a small file with the
last sequence number and hash) says so. A line that a killed process left half written was never
acknowledged; the next writer removes it and notes that. Whoever cuts lines off the end is found
through the head, and through the anchors that the registry leaves in MLflow.
"""

import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldpath.errors import CheckFailedError, ProjectError
from goldpath.trust.audit_record import FIRST, FORMAT, AuditError, AuditRecord, Head, parse_line

READ_BYTES = 8192
RECOVERED = "log recovered"
INTERRUPTED = "interrupted"


class AuditWriter:
    """Appends records; only `writing` makes one, which holds the lock."""

    def __init__(
        self, file: Path, last: AuditRecord | None, was_done: Callable[[AuditRecord], bool]
    ) -> None:
        self._file = file
        self._was_done = was_done
        self._last = last
        self._log = last.log if last else uuid.uuid4().hex[:12]

    def draft(
        self,
        actor: str,
        action: str,
        model: str,
        version: str | None = None,
        details: Mapping[str, Any] | None = None,
        alias: str | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> AuditRecord:
        """The next record, not yet written."""
        return AuditRecord(
            sequence=self._last.sequence + 1 if self._last else 1,
            time=datetime.now(UTC).strftime(FORMAT),
            actor=actor,
            action=action,
            model=model,
            version=version,
            details=json.loads(json.dumps(dict(details or {}), default=str)),
            log=self._log,
            previous=self._last.hash if self._last else FIRST,
            alias=alias,
            before=before,
            after=after,
        ).sealed()

    def follows(self, record: AuditRecord) -> bool:
        """Whether a draft is still the next record."""
        return record.previous == (self._last.hash if self._last else FIRST)

    @contextmanager
    def announced(self, record: AuditRecord) -> Iterator[None]:
        """Do what a draft says inside, then append it.

        The draft lies on the disk meanwhile, so that it is settled even where this process is
        killed: the next writer asks whether it was done. A `CheckFailedError` says that it was not.
        """
        pending = _pending_file(self._file)
        with pending.open("wb") as stream:
            stream.write(record.line().encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            yield
        except CheckFailedError:
            self.append(self.interruption(record))
            pending.unlink()
            raise
        except Exception:
            with suppress(ProjectError):  # else the next writer does it
                self.settle()
            raise
        self.append(record)
        pending.unlink()

    def settle(self) -> None:
        """Record what was announced and not finished: that it was done, or that it was not."""
        pending = _pending_file(self._file)
        try:
            record = parse_line(pending.read_bytes())
        except FileNotFoundError:
            return
        except ValueError:  # killed while announcing: nothing was done
            pending.unlink()
            return
        if self.follows(record):
            done = self._was_done(record)
            self.append(record if done else self.interruption(record))
        pending.unlink()

    def interruption(self, record: AuditRecord) -> AuditRecord:
        """The draft that takes the place of one that was announced and not carried out."""
        details = {INTERRUPTED: record.hash, "action": record.action, "after": record.after}
        return self.draft(record.actor, INTERRUPTED, record.model, record.version, details)

    def append(self, record: AuditRecord) -> AuditRecord:
        """Write a draft. When this returns, the record survives a crash of process or machine.

        Raises:
            AuditError: If the disk refuses it, or another record was written since the draft.
        """
        if not self.follows(record):
            raise AuditError("the draft of an audit record is out of date", "run the command again")
        first = self._last is None
        try:
            with self._file.open("ab") as stream:
                stream.write(record.line().encode("ascii") + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            if first:
                _sync_folder(self._file.parent)
            _write_head(self._file, record)
        except OSError as error:
            raise AuditError(
                f"{self._file} cannot be written: {error.strerror}",
                "make room, or change its owner",
            ) from error
        self._last = record
        return record


@contextmanager
def writing(file: Path, was_done: Callable[[AuditRecord], bool]) -> Iterator[AuditWriter]:
    """Hold the log's lock, and append to it; a second process waits.

    Args:
        file: The log.
        was_done: Asked of what a killed process announced and did not record.

    Raises:
        AuditError: If the log's end is damaged, so that a new record would hide it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = file.with_name(f"{file.name}.lock").open("w")
    except OSError as error:
        raise AuditError(
            f"{file} cannot be locked: {error.strerror}", "change its owner"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        last, torn = _end(file)
        if torn:
            with file.open("r+b") as stream:
                stream.truncate(stream.seek(0, os.SEEK_END) - len(torn))
                os.fsync(stream.fileno())
        writer = AuditWriter(file, last, was_done)
        if torn:
            digest = hashlib.sha256(torn).hexdigest()
            details = {"torn_bytes": len(torn), "torn_sha256": digest}
            writer.append(writer.draft("(recovery)", RECOVERED, "", details=details))
        writer.settle()
        yield writer


def read_log(file: Path) -> bytes:
    """The whole file while nobody writes to it; empty where there is none."""
    if not file.exists():
        return b""
    try:
        lock = file.with_name(f"{file.name}.lock").open("a")
    except OSError:  # one may read the log and not write to it
        return file.read_bytes()
    with lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return file.read_bytes()


def read_head(file: Path) -> Head | None:
    """What the head file says; None where there is none.

    Raises:
        AuditError: If it is not what a writer leaves.
    """
    head = _head_file(file)
    try:
        return Head(**json.loads(head.read_text(encoding="ascii")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, OSError) as error:
        raise AuditError(f"{head} is damaged: {error}", "restore it from a backup") from error


def _end(file: Path) -> tuple[AuditRecord | None, bytes]:
    """The last whole record, and what a killed writer left behind it."""
    line, torn = _last_line(file)
    head = read_head(file)
    if line is None:
        if head is not None:
            raise AuditError(
                f"{file} is missing or empty, and {head.sequence} records were written",
                "restore it from a backup (registry audit verify says what is lost)",
            )
        return None, torn
    try:
        last = parse_line(line)
    except ValueError as error:
        raise AuditError(
            f"the last line of {file} is damaged: {error}", "see: registry audit verify"
        ) from error
    if head is not None and head.sequence > last.sequence:
        raise AuditError(
            f"{file} ends at record {last.sequence}, and {head.sequence} were written",
            "restore it from a backup (registry audit verify says what is lost)",
        )
    return last, torn


def _last_line(file: Path) -> tuple[bytes | None, bytes]:
    """The last complete line and the bytes after it, read from the end."""
    try:
        with file.open("rb") as stream:
            position = stream.seek(0, os.SEEK_END)
            tail = b""
            while position and tail.count(b"\n") < 2:
                start = max(0, position - READ_BYTES)
                stream.seek(start)
                tail = stream.read(position - start) + tail
                position = start
    except FileNotFoundError:
        return None, b""
    complete, newline, torn = tail.rpartition(b"\n")
    if not newline:
        return None, torn
    return complete.rpartition(b"\n")[2], torn


def _write_head(file: Path, record: AuditRecord) -> None:
    head = _head_file(file)
    part = head.with_name(f"{head.name}.part")
    part.write_text(json.dumps(asdict(Head(record.sequence, record.hash, record.log))) + "\n")
    part.replace(head)


def _head_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.head")


def _pending_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.pending")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
