"""Files that grow line by line, a file a process: written, rotated, put on disk, given up.

A writer takes a lock on its file when it makes it, and the operating system takes the lock away
when the process ends, however it ends. So a file whose lock is free is *sealed*: nobody will ever
append to it. Writing a line asks nobody: it is one `write`.
"""

import errno
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

SUFFIX = ".jsonl"
# A writer seals its segment when this file in its folder changes.
SEAL = ".seal"
DAY = 86_400
# A full disk may have room again; after any other error the file itself may be what is wrong.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
COPY_BYTES = 1 << 20
TICK_SECONDS = 1.0


@dataclass(frozen=True)
class Rotation:
    """When a segment is sealed and another one begun, and how often it is put on disk.

    Attributes:
        bytes: Size of a segment.
        seconds: Age of a segment; a new day (UTC) begins a new one, too.
        sync_seconds: How often what was written is put on disk; 0: when the system wants to.
    """

    bytes: int = 64 << 20
    seconds: float = 3600
    sync_seconds: float = 1.0


USUAL = Rotation()


class SegmentWriter:
    """Appends lines to this process's segment; safe to use from several threads.

    Args:
        folder: Where the segments go; made at the first write.
        rotation: When a segment ends.
    """

    def __init__(self, folder: Path, rotation: Rotation = USUAL) -> None:
        self.folder = folder
        self._rotation = rotation
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._keeper: threading.Thread | None = None
        self._descriptor = -1
        self._file = folder
        self._room = -1  # bytes that still go into the segment; -1: there is none
        self._ended: list[int] = []  # sealed, not yet on disk
        self._began = 0.0
        self._day = 0
        self._kept = 0  # size when it was last seen in its folder
        self._new_file = False
        self._asked = 0
        self._synced_at = 0.0
        self._synced_room = -1
        _writers.add(self)

    def append(self, lines: bytes | memoryview) -> None:
        """Append whole lines with one `write`.

        Raises:
            OSError: If they are not all written. What was written of them ends its segment, so
                that no other line continues it.
        """
        with self._lock:
            if self._room < len(lines):
                self._begin()
            try:
                written = os.write(self._descriptor, lines)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    self._end()
                raise
            self._room -= written
            if written != len(lines):
                self._end()
                raise OSError(errno.ENOSPC, f"only {written} of {len(lines)} bytes were written")

    def sync(self) -> None:
        """Put on disk what was written until now.

        Raises:
            OSError: If the disk refuses.
        """
        with self._lock:
            ended, self._ended = self._ended, []
            current = os.dup(self._descriptor) if self._descriptor >= 0 else -1
            room, self._synced_at = self._room, time.monotonic()
            new_file, self._new_file = self._new_file, False
        descriptors = [*ended, current] if current >= 0 else ended
        try:
            for descriptor in descriptors:
                os.fdatasync(descriptor)
            if new_file:
                sync_folder(self.folder)
            self._synced_room = room
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def close(self) -> None:
        """Seal the segment and put it on disk; a later write begins another one."""
        with self._lock:
            with suppress(OSError):
                self._rescue()
            self._end()
            keeper, self._keeper = self._keeper, None
        self._wake.set()
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join(10)
        with suppress(OSError):
            self.sync()

    # ---- all of these hold the lock

    def _begin(self) -> None:
        """Begin a segment; a file that somebody else took at once is left to them."""
        self._end()
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            now = datetime.now(UTC)
            file = self.folder / f"{now:%Y-%m-%d-%H%M%S-%f}-{os.getpid()}{SUFFIX}"
            with suppress(FileExistsError):
                descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o640)
                if _hold(descriptor) and os.fstat(descriptor).st_nlink:
                    break
                os.close(descriptor)
        self._descriptor, self._file, self._room = descriptor, file, self._rotation.bytes
        self._began, self._day = time.monotonic(), int(now.timestamp()) // DAY
        self._kept, self._new_file, self._synced_room = 0, True, self._room
        self._asked = _asked(self.folder)
        if self._keeper is None:
            self._wake.clear()
            self._keeper = threading.Thread(
                target=_keep,
                args=(weakref.ref(self), self._wake, self._rotation.sync_seconds),
                daemon=True,
                name="prediction-log",
            )
            self._keeper.start()

    def _end(self) -> None:
        """Seal the segment; the keeper puts it on disk and closes it."""
        descriptor, self._descriptor, self._room = self._descriptor, -1, -1
        if descriptor < 0:
            return
        with suppress(OSError):
            if os.fstat(descriptor).st_size == 0:
                self._file.unlink()
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._ended.append(descriptor)
        self._wake.set()

    def _rescue(self) -> None:
        """Where somebody deleted the file under us, write what came in since into another one."""
        if self._descriptor < 0:
            return
        state = os.fstat(self._descriptor)
        if state.st_nlink:
            self._kept = state.st_size
            return
        lost, position = self._descriptor, self._kept
        self._descriptor = self._room = -1
        try:
            while content := os.pread(lost, COPY_BYTES, position):
                if self._descriptor < 0:
                    self._begin()
                position += os.write(self._descriptor, content)
        finally:
            os.close(lost)

    def _is_over(self) -> bool:
        """Whether the segment is old, of another day, or wanted by somebody."""
        age = time.monotonic() - self._began
        return self._descriptor >= 0 and (
            age >= self._rotation.seconds
            or int(time.time()) // DAY != self._day
            or _asked(self.folder) != self._asked
        )

    # ---- the keeper's thread

    def tend(self) -> None:
        """Seal what is old, and put on disk what is due."""
        with self._lock:
            self._rescue()
            if self._is_over():
                self._end()
            due = time.monotonic() - self._synced_at >= self._rotation.sync_seconds
            changed = self._room != self._synced_room and due and self._rotation.sync_seconds > 0
        if changed or self._ended:
            self.sync()

    def drop_descriptors(self) -> None:
        """In a forked child: the parent's files are not ours to write."""
        for descriptor in (*self._ended, self._descriptor):
            with suppress(OSError):
                os.close(descriptor)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._keeper = None
        self._ended, self._descriptor, self._room = [], -1, -1

    def __del__(self) -> None:
        """Seal the segment of a writer that nobody closed."""
        for descriptor in (*self._ended, self._descriptor):
            with suppress(OSError):
                os.close(descriptor)
        self._wake.set()


_writers: "weakref.WeakSet[SegmentWriter]" = weakref.WeakSet()


def _drop_inherited() -> None:
    for writer in list(_writers):
        writer.drop_descriptors()


os.register_at_fork(after_in_child=_drop_inherited)


def _keep(
    reference: "weakref.ref[SegmentWriter]", wake: threading.Event, sync_seconds: float
) -> None:
    """Tend a writer until it is closed or gone."""
    while True:
        wake.wait(min(TICK_SECONDS, sync_seconds or TICK_SECONDS))
        wake.clear()
        writer = reference()
        if writer is None or writer._keeper is not threading.current_thread():
            return
        with suppress(OSError):  # whoever appends next meets the same error, and counts it
            writer.tend()
        del writer


def _hold(descriptor: int) -> bool:
    """Lock the file for as long as it is open; a file system without locks has none to offer."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def segments(folder: Path) -> list[Path]:
    """All segments, the oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


@contextmanager
def sealed(file: Path) -> Iterator[IO[bytes] | None]:
    """A segment that nobody appends to, held so that nobody else takes it.

    Gives None where a process still writes to it, where another one holds it, or where it is gone.

    Raises:
        OSError: If the file system has no locks.
    """
    try:
        content = file.open("rb")
    except FileNotFoundError:
        yield None
        return
    with content:
        try:
            fcntl.flock(content, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield content if os.fstat(content.fileno()).st_nlink else None


def ask_to_seal(folder: Path, seconds: float) -> None:
    """Have every writer seal its segment, and wait for it so long; an idle one does so, too.

    Raises:
        OSError: If the folder cannot be written.
    """
    waiting = [file for file in segments(folder) if not _is_sealed(file)]
    if not waiting:
        return
    (folder / SEAL).write_text(str(time.time_ns()), encoding="ascii")
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        time.sleep(0.05)
        waiting = [file for file in waiting if not _is_sealed(file)]


def _is_sealed(file: Path) -> bool:
    with sealed(file) as held:
        return held is not None or not file.exists()


def _asked(folder: Path) -> int:
    try:
        return (folder / SEAL).stat().st_mtime_ns
    except OSError:
        return 0


def sync_folder(folder: Path) -> None:
    """Put a folder's list of files on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
