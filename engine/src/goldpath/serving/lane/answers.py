"""What the fast lane writes: answers for clients, lines for the prediction log.

The fields are those of `schemas.py` and of `LoggedPrediction`; a test compares them.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from math import isfinite
from typing import Any

import msgspec
import numpy as np
from msgspec import defstruct

from goldpath.compiled.json_rows import JsonRows
from goldpath.contract import Contract
from goldpath.learning.decision.threshold import rule_of
from goldpath.serving.lane.batch_rows import BatchWriter
from goldpath.serving.lane.request_structs import DecodedBatch, DecodedRow, Values
from goldpath.serving.log.prediction_ids import ids_of_a_request, prediction_ids
from goldpath.serving.monitoring import REGRESSION_LABEL
from goldpath.serving.prediction_log import PredictionLog
from goldpath.serving.predictor import Champion
from goldpath.serving.shadow import Shadow

Answer = Sequence[float]
"""A row's probabilities by the contract's classes, or its value."""


class _Line(msgspec.Struct, gc=False):
    """A line of the prediction log; see `LoggedPrediction`."""

    prediction_id: str
    at: str
    model_version: str
    features: Any
    prediction: str | float
    score: float
    entity: None = None


class _Item(msgspec.Struct, gc=False):
    prediction: str | float
    probabilities: Any
    prediction_id: str


class _Answer(msgspec.Struct, gc=False):
    prediction: str | float
    probabilities: Any
    prediction_id: str
    model_name: str
    model_version: str


class _BatchAnswer(msgspec.Struct, gc=False):
    model_name: str
    model_version: str
    predictions: list[_Item]


class AnswerWriter:
    """Writes the answers of one model version, logs and counts them.

    Args:
        champion: The model.
        contract: Its classes are in the order of the probabilities; none for a regression.
        order: The features in the order of a decoded row's values.
        prediction_log: Gets a line a row, before anybody has the answer.
        counters: Count rows by their predicted label.
        shadow: May score the rows again.
        batch_writer: Writes what `json_batch` gets.
    """

    def __init__(
        self,
        champion: Champion,
        contract: Contract,
        order: Sequence[str],
        prediction_log: PredictionLog,
        counters: Mapping[str, Callable[[float], None]],
        shadow: Shadow,
        batch_writer: BatchWriter | None = None,
    ) -> None:
        self._batch_writer = batch_writer
        self._champion, self._shadow, self._order = champion, shadow, order
        classes = contract.target.classes
        self._name, self._version = champion.version.name, champion.version.version
        self._classes, self._rule = classes, rule_of(champion.model.contract)
        self._log = prediction_log
        self._hide = prediction_log.personal.hide if prediction_log.personal else None
        self._counters = counters
        fields = [f"class_{number}" for number, _ in enumerate(classes)]
        self._probabilities: Callable[..., Any] = defstruct(
            "Probabilities",
            [(field, float) for field in fields],
            rename=dict(zip(fields, classes, strict=True)),
            gc=False,
        )
        encoder = msgspec.json.Encoder()
        self._encode, self._encode_lines = encoder.encode, encoder.encode_lines
        self._ids = prediction_ids()
        self._now = _Clock().now

    def singles(
        self, rows: Sequence[DecodedRow], answers: Sequence[Answer]
    ) -> Sequence[bytes | None]:
        """The answers to requests for a row each; all are logged with one write.

        Args:
            rows: The rows.
            answers: One a row.

        Returns:
            None where an answer is not finite, or could not be logged and has to be.
        """
        at, classes, decide_one = self._now(), self._classes, self._rule.label
        lines: list[_Line] = []
        bodies: list[bytes | None] = []
        labels: list[str] = []
        values: list[Values] = []
        for row, answer in zip(rows, answers, strict=True):
            if not all(map(isfinite, answer)):
                bodies.append(None)
                continue
            value: str | float
            if classes:
                value = label = classes[decide_one(answer)]
                score = answer[1] if len(classes) == 2 else max(answer)
                probabilities = self._probabilities(*answer)
            else:
                value = score = answer[0]
                label, probabilities = REGRESSION_LABEL, None
            name = next(self._ids)
            labels.append(label)
            lines.append(_Line(name, at, self._version, row.struct, value, score))
            values.append(row.values)
            answered = _Answer(value, probabilities, name, self._name, self._version)
            bodies.append(self._encode(answered))
        if self._hide is not None:
            for line in lines:
                self._hide(line.features)
        if lines and not self._log.append(self._encode_lines(lines), len(lines)):
            return [None] * len(rows)
        for label in labels:
            self._counters[label](1)
        if self._shadow.wants(self._champion):
            names = [line.prediction_id for line in lines]
            self._show_shadow(names, values, [line.score for line in lines])
        return bodies

    def batch(self, rows: DecodedBatch, answers: np.ndarray) -> bytes | None:
        """The answer to a request for several rows; None as above.

        Args:
            rows: The rows.
            answers: Shape (rows, classes or 1).
        """
        if not np.isfinite(answers).all():
            return None
        classes = self._classes
        values: list[Any]
        scores: list[float]
        if classes:
            best = self._rule.labels(answers)
            values = list(map(classes.__getitem__, best.tolist()))
            scores = (answers[:, 1] if len(classes) == 2 else answers.max(axis=1)).tolist()
            probabilities: Iterable[Any] = map(self._probabilities, *answers.T.tolist())
            found = np.bincount(best, minlength=len(classes)).tolist()
            counts = dict(zip(classes, found, strict=True))
        else:
            values = scores = answers[:, 0].tolist()
            probabilities, counts = repeat(None), {REGRESSION_LABEL: len(answers)}
        names = ids_of_a_request(next(self._ids), len(answers))
        if self._hide is not None:
            for row in rows.structs:
                self._hide(row)
        items = list(map(_Item, values, probabilities, names))
        lines = list(
            map(
                _Line,
                names,
                repeat(self._now()),
                repeat(self._version),
                rows.structs,
                values,
                scores,
            )
        )
        if not self._log.append(self._encode_lines(lines), len(lines)):
            return None
        for label, count in counts.items():
            if count:
                self._counters[label](count)
        if self._shadow.wants(self._champion):
            self._show_shadow(names, list(zip(*rows.columns, strict=True)), scores)
        return self._encode(_BatchAnswer(self._name, self._version, items))

    def json_batch(self, rows: JsonRows, answers: np.ndarray) -> bytes | None:
        """The same for rows that were read without Python objects; no shadow sees them."""
        if self._batch_writer is None or not np.isfinite(answers).all():
            return None
        best, labels = self._rule.labels(answers), self._classes or (REGRESSION_LABEL,)
        found = np.bincount(best, minlength=len(labels)).tolist()
        lines, answer = self._batch_writer.write(rows, answers, best, next(self._ids), self._now())
        if not self._log.append(lines, len(answers)):
            return None
        for label, count in zip(labels, found, strict=True):
            if count:
                self._counters[label](count)
        return answer

    def _show_shadow(
        self, names: Sequence[str], values: Sequence[Values], scores: Sequence[float]
    ) -> None:
        rows = [dict(zip(self._order, row, strict=True)) for row in values]
        self._shadow.offer(names, rows, scores)


class _Clock:
    """The time as ISO 8601 in UTC, with the part that changes once a second kept."""

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def now(self) -> str:
        second, rest = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        return f"{self._text}.{rest // 1000:06}+00:00"
