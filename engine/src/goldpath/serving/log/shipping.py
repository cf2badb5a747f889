"""Sends the prediction log's lines to a stream in the background, each at least once.

The segments stay the source of truth: a request never waits for the stream, and nothing is lost
while it is away. How far each segment was delivered stands in a file beside them. One process of
those that try ships a folder; when it is killed, another one takes over.
"""

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from goldpath.serving.log.segments import sealed, segments
from goldpath.serving.log.streams import LogStream, Record, StreamError

OFFSETS = ".shipped.json"
LOCK = ".shipping.lock"
RECORDS_AT_ONCE = 500
BYTES_AT_ONCE = 4 << 20
PAUSE_SECONDS = 0.5
LONGEST_PAUSE = 30.0
LAST_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shipped:
    """What one pass delivered.

    Attributes:
        records: Predictions that the stream acknowledged.
        waiting: Bytes that it does not have yet.
    """

    records: int
    waiting: int


def ship(folder: Path, stream: LogStream) -> Shipped:
    """Deliver what the stream does not have yet; only one process at a time may.

    Raises:
        StreamError: If the stream does not take the records; what it took is not sent again.
        OSError: If the segments cannot be read, or the offsets not written.
    """
    offsets = read_offsets(folder)
    files = segments(folder)
    offsets = {file.name: offsets.get(file.name, 0) for file in files}
    records = 0
    for file in files:
        if offsets[file.name] >= _size(file):
            continue
        for found, end in _pieces(file, offsets[file.name]):
            if found:
                stream.deliver(found)
            offsets[file.name] = end
            _write_offsets(folder, offsets)
            records += len(found)
    return Shipped(records, waiting_bytes(folder))


@contextmanager
def shipping(folder: Path, stream: LogStream | None) -> Iterator[None]:
    """Ship in a thread within the block; nothing where there is no stream."""
    if stream is None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(
        target=ship_until, args=(stop, folder, stream), daemon=True, name="log-shipping"
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(LAST_SECONDS)


def ship_until(stop: threading.Event, folder: Path, stream: LogStream) -> None:
    """Ship until told to stop, as soon as no other process does."""
    pause = PAUSE_SECONDS
    while not stop.wait(pause):
        try:
            with shipping_lock(folder) as is_ours:
                while is_ours and not stop.is_set():
                    ship(folder, stream)
                    pause = PAUSE_SECONDS
                    stop.wait(pause)
        except (StreamError, OSError) as error:
            pause = min(2 * pause, LONGEST_PAUSE)
            log.warning("predictions wait for the stream, next try in %.0f s: %s", pause, error)
    stream.close()


@contextmanager
def shipping_lock(folder: Path) -> Iterator[bool]:
    """Whether this process is the one that ships; the system frees the lock of a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as holder:
        try:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def read_offsets(folder: Path) -> dict[str, int]:
    """How many bytes of each segment were delivered."""
    with suppress(FileNotFoundError, ValueError):
        values = json.loads((folder / OFFSETS).read_text(encoding="utf-8"))
        if isinstance(values, dict):
            return {str(name): int(offset) for name, offset in values.items()}
    return {}


def unshipped(folder: Path) -> frozenset[str]:
    """The segments that the stream does not have to their end."""
    offsets = read_offsets(folder)
    return frozenset(
        file.name for file in segments(folder) if offsets.get(file.name, 0) < _size(file)
    )


def waiting_bytes(folder: Path) -> int:
    """How much the stream does not have yet."""
    offsets = read_offsets(folder)
    return sum(max(0, _size(file) - offsets.get(file.name, 0)) for file in segments(folder))


def _pieces(file: Path, start: int) -> Iterator[tuple[list[Record], int]]:
    """Whole lines from an offset on, in pieces; each with the offset behind it."""
    # Whether it is sealed must be known before its end is read: only then is the end the last one.
    with sealed(file) as held:
        is_sealed = held is not None
    records: list[Record] = []
    size, end = 0, start
    try:
        content = file.open("rb")
    except FileNotFoundError:
        return
    with content:
        content.seek(start)
        for line in content:
            if not line.endswith(b"\n") and not is_sealed:
                break
            end += len(line)
            size += len(line)
            record = _record(line)
            if record is not None:
                records.append(record)
            if len(records) >= RECORDS_AT_ONCE or size >= BYTES_AT_ONCE:
                yield records, end
                records, size = [], 0
    if end > start and size:
        yield records, end


def _record(line: bytes) -> Record | None:
    """A line with its key; None where a crash tore it, or where it was erased."""
    try:
        values = json.loads(line)
        return Record(str(values["prediction_id"]), line.rstrip(b"\n"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _write_offsets(folder: Path, offsets: dict[str, int]) -> None:
    draft = folder / f"{OFFSETS}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as content:
        json.dump(offsets, content)
        content.flush()
        os.fsync(content.fileno())
    draft.replace(folder / OFFSETS)
