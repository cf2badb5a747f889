"""What erasing a person leaves in `lake/privacy/`: the key of the hashes, the audit record, a lock.

Nothing here names a person. A hash under the key stands for one (SHA-256 of the key and the id):
pseudonymous data, since whoever has both the key and an id can tell whether it was erased.
"""

import fcntl
import getpass
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from goldpath.errors import ProjectError
from goldpath.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

KEY_BYTES = 32


class PrivacyError(ProjectError):
    """A person's rows cannot be found, exported or erased as asked."""


def privacy_folder(settings: Settings) -> Path:
    """Beside the lake's catalog; readable by its owner only."""
    return (settings.root / settings.lake.catalog).parent / "privacy"


def audit_file(settings: Settings) -> Path:
    """The audit record: one JSON line for each event."""
    return privacy_folder(settings) / "audit.jsonl"


def hash_key(settings: Settings, *, create: bool) -> bytes:
    """The key of the hashes: `lake.privacy_key`, else a random file that the first erasure makes.

    Raises:
        PrivacyError: If there is none, and it is not to be made.
    """
    if given := settings.lake.privacy_key.get_secret_value():
        return hashlib.sha256(given.encode()).digest()
    file = privacy_folder(settings) / "key"
    if create and not file.exists():
        _create(file, secrets.token_bytes(KEY_BYTES))
    if not file.is_file():
        raise PrivacyError(
            f"persons were erased from this lake, but the key of their hashes, "
            f"{settings.shown(file)}, is not here; without it they would come back",
            "bring the file, or set MLOPS_LAKE__PRIVACY_KEY as on the machine that erased them",
        )
    return file.read_bytes()


def hash_of(key: bytes, entity: str) -> str:
    """What stands for a person where the id must not."""
    return hashlib.sha256(key + entity.encode()).hexdigest()


def write_audit(settings: Settings, event: str, person: str, **facts: Any) -> None:
    """Append one line to the audit record, on disk before this returns.

    Args:
        settings: Where the lake is.
        event: What happened.
        person: The hash that stands for the person.
        facts: Tables, counts and snapshots; never a value of a row.
    """
    file = audit_file(settings)
    _make_folder(file.parent)
    entry = {
        "at": datetime.now(UTC).isoformat(),
        "event": event,
        "person": person,
        "by": getpass.getuser(),
        **facts,
    }
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, (json.dumps(entry, default=str) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def uses_rows(
    run: Callable[Concatenate[Settings, P], R],
) -> Callable[Concatenate[Settings, P], R]:
    """Mark a run that reads rows and writes them elsewhere, so that no erasure comes in between.

    Any number of such runs go on side by side, on one machine; while somebody is being erased they
    wait. The operating system frees the lock of a killed process.
    """

    @wraps(run)
    def guarded(settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with rows_in_use(settings):
            return run(settings, *args, **kwargs)

    return guarded


@contextmanager
def rows_in_use(settings: Settings) -> Iterator[None]:
    """The same for a block."""
    with _lock(settings, fcntl.LOCK_SH):
        yield


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold off every run that `uses_rows`.

    Raises:
        PrivacyError: If one is under way.
    """
    try:
        with _lock(settings, fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield
    except BlockingIOError as error:
        raise PrivacyError(
            "a run that reads or writes rows is under way (data, training, batch prediction, "
            "materialize, or another erasure)",
            "run the command again when it has ended",
        ) from error


@contextmanager
def _lock(settings: Settings, kind: int) -> Iterator[None]:
    file = privacy_folder(settings) / "lock"
    _make_folder(file.parent)
    try:
        stream = file.open("w")
    except OSError as error:
        raise PrivacyError(
            f"{file} cannot be written: {error.strerror}", "make the lake's folder writable"
        ) from error
    with stream:
        fcntl.flock(stream, kind)
        yield


def _create(file: Path, content: bytes) -> None:
    """Make a file that only its owner reads; of several that try at once, one wins."""
    _make_folder(file.parent)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise PrivacyError(
            f"{folder} cannot be made: {error.strerror}", "make the lake's folder writable"
        ) from error
