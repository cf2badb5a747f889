"""The prediction log: one JSON line a prediction, on disk before the client has its answer.

Each process appends to its own file, `<date>-<pid>.jsonl`, with one `write` call a request. A
killed process therefore loses no answered prediction. A write that fails (disk full) is counted
and never fails the prediction.
"""

import fcntl
import heapq
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SUFFIX = ".jsonl"
BLOCK = 1 << 16
DAY = 86_400


@dataclass(frozen=True)
class LoggedPrediction:
    """One line of the log.

    Attributes:
        prediction_id: The id that the client got.
        at: When, ISO 8601 in UTC.
        model_version: Which version answered.
        features: The row, by feature name.
        prediction: The label, or the value of a regression.
        score: P(positive) of a binary model, P(predicted) of several classes, or the value.
        entity: Whom the row is about, where the request said so.
    """

    prediction_id: str
    at: str
    model_version: str
    features: Mapping[str, Any]
    prediction: str | float
    score: float
    entity: str | None = None


class PredictionLog:
    """Appends predictions; safe to use from several threads.

    Args:
        folder: Where the files go; made at the first write.
        on_failure: Called with the number of predictions that could not be written.
    """

    def __init__(self, folder: Path, on_failure: Callable[[int], None] = lambda _: None) -> None:
        self.folder = folder
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._day = 0
        self._descriptor: int | None = None
        self._torn = False

    def write(self, predictions: Sequence[LoggedPrediction]) -> None:
        """Append the predictions of one request; a failure is counted and logged, not raised."""
        lines = "".join(json.dumps(asdict(item)) + "\n" for item in predictions)
        self.append(lines.encode("ascii"), len(predictions))

    def append(self, lines: bytes, predictions: int) -> None:
        """Append whole lines, encoded already; a failure is counted and logged, not raised."""
        try:
            with self._lock:
                self._append(lines)
        except OSError as error:
            self._on_failure(predictions)
            log.warning("%d predictions were not logged: %s", predictions, error)

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        with self._lock:
            self._close()

    def _append(self, lines: bytes) -> None:
        """One write to today's file, locked against `log_erasure`, which may replace the file."""
        while True:
            descriptor = self._open()
            locked = _lock(descriptor)
            try:
                if os.fstat(descriptor).st_nlink > 0:
                    # A short write left half a line; the next request must not continue it.
                    content = b"\n" + lines if self._torn else lines
                    written = os.write(descriptor, content)
                    break
                self._close()
            finally:
                if locked and self._descriptor is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._torn = written < len(content)
        if self._torn:
            raise OSError(f"only {written} of {len(content)} bytes were written")

    def _open(self) -> int:
        """The descriptor of today's file."""
        day = int(time.time()) // DAY
        if self._descriptor is not None:
            if day == self._day:
                return self._descriptor
            self._close()
        self.folder.mkdir(parents=True, exist_ok=True)
        date = datetime.fromtimestamp(day * DAY, UTC)
        file = self.folder / f"{date:%Y-%m-%d}-{os.getpid()}{SUFFIX}"
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._day = day
        # An earlier process with this id may have left half a line; an empty line does no harm.
        self._torn = os.fstat(self._descriptor).st_size > 0
        return self._descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor: int) -> bool:
    """Lock the file; a file system without locks has no erasure either."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def read_log(folder: Path, limit: int, model_version: str | None = None) -> list[dict[str, Any]]:
    """The newest predictions, newest first.

    Only as much of each file is read as is needed. A line that a crash or a full disk tore is
    left out.

    Args:
        folder: The log's folder; need not exist.
        limit: How many predictions to give at most.
        model_version: Give only this version's.

    Returns:
        Dictionaries with the fields of `LoggedPrediction`.
    """
    rows: list[dict[str, Any]] = []
    files = sorted(folder.glob(f"*{SUFFIX}"), reverse=True)
    for _, same_day in groupby(files, key=lambda file: file.name[:10]):
        newest_first = heapq.merge(
            *(_rows_backwards(file) for file in same_day), key=lambda row: row["at"], reverse=True
        )
        for row in newest_first:
            if len(rows) >= limit:
                return rows
            if model_version is None or row["model_version"] == model_version:
                rows.append(row)
    return rows


def _rows_backwards(file: Path) -> Iterator[dict[str, Any]]:
    for line in _lines_backwards(file):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {"at", "model_version", "features"} <= row.keys():
            yield row


def _lines_backwards(file: Path) -> Iterator[bytes]:
    """The file's lines from its end, read block by block."""
    with file.open("rb") as content:
        position = content.seek(0, os.SEEK_END)
        rest = b""
        while position > 0:
            step = min(BLOCK, position)
            position -= step
            content.seek(position)
            head, *lines = (content.read(step) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
            rest = head
        if rest:
            yield rest
