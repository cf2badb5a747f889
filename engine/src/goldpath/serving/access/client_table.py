"""What each client has used, in a file that every worker maps into its memory.

A record holds a client's bucket, as the time at which it will be full again (the generic cell rate
algorithm), and how many requests each worker has under way for it. Every access holds the file's
lock for about a microsecond; a killed worker's lock goes with it.
"""

import fcntl
import hashlib
import logging
import mmap
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from goldpath.serving.worker_processes import is_alive

RECORDS = 4096
WORKERS = 32
PROBES = 16
"""A client's record is one of so many; where all are in use, it shares one."""

log = logging.getLogger(__name__)


class ClientTable:
    """The table; several processes and threads may use one file.

    Args:
        file: Where it lies; made where it is missing. None, or where it cannot be written: in this
            process's memory alone.
        clock: Nanoseconds that all processes of this machine count alike.
    """

    def __init__(self, file: Path | None, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._threads = threading.Lock()
        self._file = None if file is None else _open(file)
        self._map = mmap.mmap(-1 if self._file is None else self._file.fileno(), _SIZE)
        with self._locked():
            if self._map[: len(_MAGIC)] != _MAGIC:
                self._map[:] = bytes(_SIZE)
                self._map[_SALT] = secrets.token_bytes(16)
                self._map[: len(_MAGIC)] = _MAGIC
            self._salt = self._map[_SALT]
            self._worker = self._claim_worker()

    @property
    def is_shared(self) -> bool:
        """Whether other processes see it."""
        return self._file is not None

    def take(self, client: str, wanted: int, interval: int, burst: int) -> tuple[int, int]:
        """Take from a client's bucket.

        Args:
            client: Whose.
            wanted: How many requests at most.
            interval: Nanoseconds in which one is added.
            burst: Nanoseconds in which an empty bucket is full.

        Returns:
            How many there were, and, where there was none, nanoseconds until there is one.
        """
        with self._locked():
            now = self._clock()
            place = self._place(client, now)
            (full_at,) = _TIME.unpack_from(self._map, place + 8)
            # After a restart of the machine its clock begins again, and the file stays.
            start = now if full_at > now + burst else max(full_at, now)
            granted = min(wanted, (burst - (start - now)) // interval)
            if granted <= 0:
                return 0, start + interval - burst - now
            _TIME.pack_into(self._map, place + 8, start + granted * interval)
            return granted, 0

    def enter(self, client: str, limit: int) -> int | None:
        """Note one more request of a client as under way, unless there are `limit` of them.

        Returns:
            What `leave` takes: the record that counts it; None if there are too many. Where the
            table is full the record is another client's, and by the time the request is done the
            client may have one of its own.
        """
        with self._locked():
            place = self._place(client, self._clock())
            if sum(_COUNTS.unpack_from(self._map, place + 16)) >= limit:
                self._forget_dead_workers()
                if sum(_COUNTS.unpack_from(self._map, place + 16)) >= limit:
                    return None
            self._add(place, 1)
            return place

    def leave(self, place: int) -> None:
        """One request that a record counts is done."""
        with self._locked():
            self._add(place, -1)

    def close(self) -> None:
        """Give back this worker's column of counts."""
        with self._locked():
            self._clear_worker(self._worker)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            if self._file is None:
                yield
                return
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _place(self, client: str, now: int) -> int:
        """Where the client's record is; a new one takes the place of one that is as good as new."""
        key = hashlib.blake2b(client.encode(), digest_size=8, key=self._salt).digest()
        first = int.from_bytes(key, "little") % RECORDS
        free = -1
        for step in range(PROBES):
            place = _HEADER + (first + step) % RECORDS * _RECORD
            if self._map[place : place + 8] == key:
                return place
            if free < 0 and self._is_idle(place, now):
                free = place
        if free < 0:
            return _HEADER + first * _RECORD
        self._map[free : free + _RECORD] = key + bytes(_RECORD - 8)
        return free

    def _is_idle(self, place: int, now: int) -> bool:
        (full_at,) = _TIME.unpack_from(self._map, place + 8)
        return full_at <= now and not any(self._map[place + 16 : place + _RECORD])

    def _add(self, place: int, change: int) -> None:
        offset = place + 16 + 2 * self._worker
        (count,) = _COUNT.unpack_from(self._map, offset)
        _COUNT.pack_into(self._map, offset, min(max(count + change, 0), 0xFFFF))

    def _claim_worker(self) -> int:
        """A column of counts for this process: one that nobody living has."""
        self._forget_dead_workers()
        for worker in range(WORKERS):
            if _TIME.unpack_from(self._map, _PIDS + 8 * worker) == (0,):
                _TIME.pack_into(self._map, _PIDS + 8 * worker, os.getpid())
                return worker
        return os.getpid() % WORKERS

    def _forget_dead_workers(self) -> None:
        for worker in range(WORKERS):
            (pid,) = _TIME.unpack_from(self._map, _PIDS + 8 * worker)
            if pid and not is_alive(pid):
                self._clear_worker(worker)

    def _clear_worker(self, worker: int) -> None:
        _TIME.pack_into(self._map, _PIDS + 8 * worker, 0)
        for place in range(_HEADER, _SIZE, _RECORD):
            _COUNT.pack_into(self._map, place + 16 + 2 * worker, 0)


def _open(file: Path) -> BinaryIO | None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        opened = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
        fcntl.flock(opened, fcntl.LOCK_EX)
        if os.fstat(opened.fileno()).st_size != _SIZE:
            opened.truncate(0)
            opened.truncate(_SIZE)
        fcntl.flock(opened, fcntl.LOCK_UN)
    except OSError as error:
        log.warning("limits hold for each worker alone: %s: %s", file, error.strerror)
        return None
    return opened


_MAGIC = b"clients1"
_SALT = slice(8, 24)
_PIDS = 24
_TIME = struct.Struct("<q")
_COUNT = struct.Struct("<H")
_COUNTS = struct.Struct(f"<{WORKERS}H")
_HEADER = _PIDS + 8 * WORKERS
_RECORD = 16 + 2 * WORKERS
_SIZE = _HEADER + RECORDS * _RECORD
