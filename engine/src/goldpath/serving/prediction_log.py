"""The prediction log: one JSON line a prediction, written before the client has its answer.

Each process appends to a segment of its own (`segments.py`), with one `write` call a request. A
killed process therefore loses no answered prediction. A write that fails (disk full) is counted; it
fails the prediction only where the settings say so.
"""

import heapq
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from goldpath.serving.log.personal import PersonalValues
from goldpath.serving.log.segments import USUAL, Rotation, SegmentWriter, segments
from goldpath.settings import Settings

log = logging.getLogger(__name__)

BLOCK = 1 << 16
WARNING_SECONDS = 10


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
        target_time: Of a forecast, the time that is predicted, ISO 8601 in UTC. The line of a
            prediction without one does not have the key.
    """

    prediction_id: str
    at: str
    model_version: str
    features: Mapping[str, Any]
    prediction: str | float
    score: float
    entity: str | None = None
    target_time: str | None = None


def rotation_of(settings: Settings) -> Rotation:
    """When a segment of the service's logs ends."""
    chosen = settings.prediction_log
    return Rotation(
        max(1, int(chosen.segment_mb * (1 << 20))), chosen.segment_seconds, chosen.sync_seconds
    )


class PredictionLog:
    """Appends predictions; safe to use from several threads.

    Args:
        folder: Where the segments go; made at the first write.
        on_failure: Called with the number of predictions that could not be written.
        rotation: When a segment ends.
        required: Whether a prediction that cannot be logged must not be answered.
        personal: Takes out what may not be logged.

    Attributes:
        personal: The same; None where everything may be. `append` gets lines that heed it.
    """

    def __init__(
        self,
        folder: Path,
        on_failure: Callable[[int], None] = lambda _: None,
        rotation: Rotation = USUAL,
        *,
        required: bool = False,
        personal: PersonalValues | None = None,
    ) -> None:
        self.folder = folder
        self.personal = personal if personal and personal.columns else None
        self._segments = SegmentWriter(folder, rotation)
        self._on_failure = on_failure
        self._required = required
        self._warned = float("-inf")
        self._unsaid = 0

    def append(self, lines: bytes | memoryview, predictions: int) -> bool:
        """Append whole lines, encoded already; what could not be written is logged, not raised.

        Returns:
            Whether the predictions may be answered. Where they may not, the fast lane hands the
            request to the app, whose `write` tries once more and counts the failure.
        """
        try:
            self._segments.append(lines)
        except OSError as error:
            if self._required:
                return False
            self._failed(predictions, error)
        return True

    def write(self, predictions: Sequence[LoggedPrediction]) -> bool:
        """Append the predictions of one request.

        Returns:
            Whether they may be answered.
        """
        lines = "".join(json.dumps(self._line(item)) + "\n" for item in predictions)
        try:
            self._segments.append(lines.encode("ascii"))
        except OSError as error:
            self._failed(len(predictions), error)
            return not self._required
        return True

    def close(self) -> None:
        """Seal the segment and put it on disk; a later write begins another one."""
        self._segments.close()

    def _line(self, prediction: LoggedPrediction) -> dict[str, Any]:
        line = asdict(prediction)
        if prediction.target_time is None:
            del line["target_time"]
        if self.personal is not None:
            line["features"] = self.personal.loggable(prediction.features)
        return line

    def _failed(self, predictions: int, error: OSError) -> None:
        """Count each, and say it now and then: thousands a second may fail."""
        self._on_failure(predictions)
        self._unsaid += predictions
        now = time.monotonic()
        if now - self._warned >= WARNING_SECONDS:
            log.warning("%d predictions were not logged: %s", self._unsaid, error)
            self._warned, self._unsaid = now, 0


def read_log(folder: Path, limit: int, model_version: str | None = None) -> list[dict[str, Any]]:
    """The newest predictions, newest first.

    Only as much of each segment is read as is needed. A line that a crash or a full disk tore is
    left out. What was moved into the lake (`jobs/upkeep`) is not here any more;
    `jobs/drift/served_predictions.py` gives both.

    Args:
        folder: The log's folder; need not exist.
        limit: How many predictions to give at most.
        model_version: Give only this version's.

    Returns:
        Dictionaries with the fields of `LoggedPrediction`.
    """
    rows: list[dict[str, Any]] = []
    files = segments(folder)[::-1]
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
    """The file's lines from its end, read block by block; none where it was moved into the lake."""
    try:
        content = file.open("rb")
    except FileNotFoundError:
        return
    with content:
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
