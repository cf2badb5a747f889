"""What the fast lane writes: answers for clients, lines for the prediction log.

The fields are those of `answers/models.py` and of `LoggedPrediction`; a test compares them.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from math import isfinite
from typing import Any

import msgspec
import numpy as np
from msgspec import defstruct

from goldpath.compiled.json_rows import JsonRows
from goldpath.contract import Contract
from goldpath.features.row.tracing import Row
from goldpath.learning.decision.fields import fields_of
from goldpath.learning.decision.threshold import rule_of, scores_of
from goldpath.serving.answers.metric_series import Measure
from goldpath.serving.answers.own_fields import (
    AnswerField,
    AnswerFieldError,
    Prediction,
)
from goldpath.serving.lane.batch_rows import BatchWriter
from goldpath.serving.lane.request_structs import DecodedBatch, DecodedRow, Values
from goldpath.serving.log.prediction_ids import ids_of_a_request, prediction_ids
from goldpath.serving.metrics.service import REGRESSION_LABEL
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
    entity: str | None = None


ITEM, MODEL = ("probabilities", "prediction_id"), ("model_name", "model_version")
"""What an answer has behind the prediction, and what names the model."""


class _BatchAnswer(msgspec.Struct, gc=False):
    model_name: str
    model_version: str
    predictions: list[Any]


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
        fields: The project's own fields of an answer.
        measure: Counts each prediction in the project's own metrics.
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
        fields: Sequence[AnswerField] = (),
        measure: Measure | None = None,
    ) -> None:
        self._measure = measure
        self._batch_writer = batch_writer
        self._champion, self._shadow, self._order = champion, shadow, order
        classes = contract.target.classes
        self._name, self._version = champion.version.name, champion.version.version
        self._classes, self._rule = classes, rule_of(champion.model.contract)
        self._beside = fields_of(champion.model.contract)
        self._log = prediction_log
        self._hide = prediction_log.personal.hide if prediction_log.personal else None
        self._counters = counters
        places = [f"class_{number}" for number, _ in enumerate(classes)]
        self._probabilities: Callable[..., Any] = defstruct(
            "Probabilities",
            [(place, float) for place in places],
            rename=dict(zip(places, classes, strict=True)),
            gc=False,
        )
        self._fields = [field.value for field in fields]
        self._places = {name: place for place, name in enumerate(order)}
        self._group = self._places[self._rule.column] if self._rule.column else None
        self._answer = _struct("Answer", [*self._beside.names], [*ITEM, *MODEL], fields)
        self._item = _struct("Item", [*self._beside.names], ITEM, fields)
        encoder = msgspec.json.Encoder()
        self._encode, self._encode_lines = encoder.encode, encoder.encode_lines
        self._ids = prediction_ids()
        self._now = _Clock().now

    def singles(
        self, rows: Sequence[DecodedRow], answers: Sequence[Answer], at: str = ""
    ) -> Sequence[bytes | None]:
        """The answers to requests for a row each; all are logged with one write.

        Args:
            rows: The rows.
            answers: One a row.
            at: When they were asked, ISO 8601; now where not given.

        Returns:
            None where an answer is not finite, or could not be logged and has to be.
        """
        at = at or self._now()
        classes, decide_one, line_of = self._classes, self._rule.label, self._rule.line
        group, threshold = self._group, None
        shown, fields, measure = self._answer, self._fields, self._measure
        beside = self._beside.of_row if self._beside.names else None
        lines: list[_Line] = []
        bodies: list[bytes | None] = []
        labels: list[str] = []
        values: list[Values] = []
        said: list[tuple[Row, Prediction]] = []
        for row, answer in zip(rows, answers, strict=True):
            if not all(map(isfinite, answer)):
                bodies.append(None)
                continue
            value: str | float
            if classes:
                if group is not None:
                    threshold = line_of(row.values[group])
                place = decide_one(answer, threshold)
                value = label = classes[place]
                score = answer[1] if len(classes) == 2 else answer[place]
                probabilities = self._probabilities(*answer)
            else:
                value = score = answer[0]
                label, probabilities = REGRESSION_LABEL, None
            own: Sequence[Any] = ()
            if fields or measure:
                seen, prediction = (
                    self._row(row.values),
                    self._said(value, score, answer, threshold),
                )
                try:
                    own = [compute(seen, prediction) for compute in fields]
                except AnswerFieldError:
                    bodies.append(None)  # the app logs the prediction, and says what failed
                    continue
                said.append((seen, prediction))
            name = next(self._ids)
            labels.append(label)
            lines.append(_Line(name, at, self._version, row.struct, value, score, row.entity))
            values.append(row.values)
            more = beside(value, score, threshold) if beside else ()
            answered = shown(value, *more, probabilities, name, self._name, self._version, *own)
            bodies.append(self._encode(answered))
        if self._hide is not None:
            for line in lines:
                self._hide(line.features)
        if lines and not self._log.append(self._encode_lines(lines), len(lines)):
            return [None] * len(rows)
        for label in labels:
            self._counters[label](1)
        if measure is not None:
            for seen, prediction in said:
                measure(seen, prediction)
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
        lines: list[float] | None = None
        if classes:
            found_lines = None
            if self._group is not None:
                found_lines = self._rule.lines(rows.columns[self._group])
                lines = found_lines.tolist()
            best = self._rule.labels(answers, found_lines)
            values = list(map(classes.__getitem__, best.tolist()))
            scores = scores_of(answers, best).tolist()
            probabilities: Iterable[Any] = map(self._probabilities, *answers.T.tolist())
            found = np.bincount(best, minlength=len(classes)).tolist()
            counts = dict(zip(classes, found, strict=True))
        else:
            values = scores = answers[:, 0].tolist()
            probabilities, counts = repeat(None), {REGRESSION_LABEL: len(answers)}
        try:
            own = self._own_columns(rows.columns, values, scores, answers, lines)
        except AnswerFieldError:
            return None  # the app logs the predictions, and says what failed
        names = ids_of_a_request(next(self._ids), len(answers))
        if self._hide is not None:
            for row in rows.structs:
                self._hide(row)
        beside = self._beside.of_rows(values, scores, lines)
        items = list(map(self._item, values, *beside, probabilities, names, *own))
        logged = list(
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
        if not self._log.append(self._encode_lines(logged), len(logged)):
            return None
        for label, count in counts.items():
            if count:
                self._counters[label](count)
        if self._measure is not None:
            for row, prediction in self._each(rows.columns, values, scores, answers, lines):
                self._measure(row, prediction)
        if self._shadow.wants(self._champion):
            self._show_shadow(names, list(zip(*rows.columns, strict=True)), scores)
        return self._encode(_BatchAnswer(self._name, self._version, items))

    def json_batch(self, rows: JsonRows, answers: np.ndarray) -> bytes | None:
        """The same for rows that were read without Python objects; no shadow sees them."""
        if self._batch_writer is None or not np.isfinite(answers).all():
            return None
        writer, labels = self._batch_writer, self._classes or (REGRESSION_LABEL,)
        lines = writer.lines_of(rows)
        best = self._rule.labels(answers, lines)
        found = np.bincount(best, minlength=len(labels)).tolist()
        logged, answer = writer.write(rows, answers, best, next(self._ids), self._now(), lines)
        if not self._log.append(logged, len(answers)):
            return None
        for label, count in zip(labels, found, strict=True):
            if count:
                self._counters[label](count)
        return answer

    def _row(self, values: Values) -> Row:
        """A row as an answer field reads it."""
        places = self._places
        return Row(lambda name: values[places[name]])

    def _said(
        self, value: str | float, score: float, answer: Answer, line: float | None
    ) -> Prediction:
        """A prediction as the project's functions read it."""
        by_class = dict(zip(self._classes, answer, strict=True)) if self._classes else {}
        beside = zip(self._beside.names, self._beside.of_row(value, score, line), strict=True)
        return Prediction(value, score, by_class, model_version=self._version, **dict(beside))

    def _each(
        self,
        columns: Sequence[Values],
        values: Sequence[Any],
        scores: Sequence[float],
        answers: np.ndarray,
        lines: Sequence[float] | None,
    ) -> Iterator[tuple[Row, Prediction]]:
        """The rows and predictions of a batch; each row is read before the next is asked for."""
        named, at = dict(zip(self._order, columns, strict=True)), 0
        row = Row(lambda name: named[name][at])  # one for all rows: making each costs more
        for at, answer in enumerate(answers.tolist()):
            line = None if lines is None else lines[at]
            yield row, self._said(values[at], scores[at], answer, line)

    def _own_columns(
        self,
        columns: Sequence[Values],
        values: Sequence[Any],
        scores: Sequence[float],
        answers: np.ndarray,
        lines: Sequence[float] | None,
    ) -> Sequence[Sequence[Any]]:
        """The project's fields of a batch: a column a field."""
        if not self._fields:
            return ()
        found = [
            [compute(row, prediction) for compute in self._fields]
            for row, prediction in self._each(columns, values, scores, answers, lines)
        ]
        return list(zip(*found, strict=True))

    def _show_shadow(
        self, names: Sequence[str], values: Sequence[Values], scores: Sequence[float]
    ) -> None:
        if self._shadow.looks_up:
            return  # these rows name no entity; a champion by key leaves them to the app
        rows = [dict(zip(self._order, row, strict=True)) for row in values]
        self._shadow.offer(names, rows, scores)


def _struct(
    name: str, beside: Sequence[str], parts: Sequence[str], fields: Sequence[AnswerField]
) -> Callable[..., Any]:
    """What an answer is written from; the project's fields stand behind the engine's own.

    Args:
        name: Of the struct.
        beside: What stands beside the prediction.
        parts: What comes behind it.
        fields: The project's.
    """
    own = {f"own_{place}": field.name for place, field in enumerate(fields)}
    names = ["prediction", *beside, *parts, *own]
    return defstruct(name, [(each, Any) for each in names], rename=own, gc=False)


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
