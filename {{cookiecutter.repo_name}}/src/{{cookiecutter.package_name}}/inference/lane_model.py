"""One model version in the fast lane: from a body to the bytes of the answer.

Everything that its requests need is made beforehand. A compiled model is scored in the event loop,
where a row takes microseconds; a fitted pipeline in a thread, with whatever queues meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import msgspec

from ..contract import Contract
from ..model.compiled.scorer import CompiledModel
from .batching import MicroBatcher
from .monitoring import REGRESSION_LABEL
from .prediction_ids import ids_of_a_request, prediction_ids
from .prediction_log import PredictionLog
from .predictor import Champion, UnscorableError, score_rows
from .request_structs import DecodedBatch, DecodedRow, RequestDecoder, Values
from .row_arrays import RowArrays

ROWS_IN_THE_LOOP = 256
"""More rows are scored in a thread, so that they do not keep other requests waiting."""

Answer = Sequence[float]
"""A row's probabilities by the contract's classes, or its value."""

log = logging.getLogger(__name__)


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
    probabilities: dict[str, float] | None
    prediction_id: str


class _Answer(msgspec.Struct, gc=False):
    prediction: str | float
    probabilities: dict[str, float] | None
    prediction_id: str
    model_name: str
    model_version: str


class _BatchAnswer(msgspec.Struct, gc=False):
    model_name: str
    model_version: str
    predictions: list[_Item]


class LaneModel:
    """Answers requests with one model version.

    Args:
        champion: The model.
        contract: What a row is.
        maximum_rows: How many instances a batch may hold.
        prediction_log: Gets a line a row, before the answer.
        counters: Count rows by their predicted label.

    Attributes:
        champion: The model.
        is_immediate: Whether it answers within microseconds, in the event loop.
    """

    def __init__(
        self,
        champion: Champion,
        contract: Contract,
        maximum_rows: int,
        prediction_log: PredictionLog,
        counters: Mapping[str, Callable[[float], None]],
    ) -> None:
        self.champion = champion
        self._engine: _Compiled | _Pipeline
        self.is_immediate = isinstance(champion.model, CompiledModel)
        if isinstance(champion.model, CompiledModel):
            self._engine = _Compiled(champion.model)
        else:
            self._engine = _Pipeline(champion, contract)
        self._decoder = RequestDecoder(contract, self._engine.order, maximum_rows)
        self._log = prediction_log
        self._name, self._version = champion.version.name, champion.version.version
        self._classes = contract.target.classes
        self._counters = counters
        encoder = msgspec.json.Encoder()
        self._encode, self._encode_lines = encoder.encode, encoder.encode_lines
        self._ids = prediction_ids()
        self._now = _Clock().now

    def row(self, body: bytes) -> DecodedRow | None:
        """The row of a request to `/predict`; None where the app has to look at it."""
        return self._decoder.single(body)

    def rows(self, body: bytes) -> DecodedBatch | None:
        """The rows of a request to `/predict/batch`; None where the app has to look at them."""
        return self._decoder.batch(body)

    def answers(self, rows: Sequence[DecodedRow]) -> Sequence[bytes | None]:
        """The answers to requests for a row each; None where the app has to look at one.

        Only where the model answers at once; see `is_immediate`.
        """
        try:
            found = self._engine.now([row.values for row in rows])
            return self._singles(rows, found)
        except Exception:
            log.exception("the fast lane failed; the app answers")
            return [None] * len(rows)

    async def answer_later(self, row: DecodedRow) -> bytes | None:
        """The answer to a request for a row, by a model that takes its time."""
        try:
            columns = [(value,) for value in row.values]
            return self._singles([row], await self._engine.several(columns))[0]
        except UnscorableError:
            return None
        except Exception:
            log.exception("the fast lane failed; the app answers")
            return None

    async def answer_rows(self, rows: DecodedBatch) -> bytes | None:
        """The answer to a request for several rows."""
        try:
            return self._batch(rows.structs, await self._engine.several(rows.columns))
        except UnscorableError:
            return None
        except Exception:
            log.exception("the fast lane failed; the app answers")
            return None

    def _singles(
        self, rows: Sequence[DecodedRow], answers: Sequence[Answer]
    ) -> Sequence[bytes | None]:
        """All of them are logged in one write, before the first client has its answer."""
        at = self._now()
        lines: list[_Line] = []
        bodies: list[bytes | None] = []
        for row, answer in zip(rows, answers, strict=True):
            if not all(map(isfinite, answer)):
                bodies.append(None)
                continue
            value, probabilities, score = self._read(answer)
            name = next(self._ids)
            lines.append(_Line(name, at, self._version, row.struct, value, score))
            bodies.append(
                self._encode(_Answer(value, probabilities, name, self._name, self._version))
            )
            self._counters[str(value) if self._classes else REGRESSION_LABEL](1)
        if lines:
            self._log.append(self._encode_lines(lines), len(lines))
        return bodies

    def _batch(self, rows: Sequence[Any], answers: Sequence[Answer]) -> bytes | None:
        if not all(isfinite(number) for answer in answers for number in answer):
            return None
        at = self._now()
        items, lines = [], []
        counted: dict[Any, int] = {}
        names = ids_of_a_request(next(self._ids), len(rows))
        for name, features, answer in zip(names, rows, answers, strict=True):
            value, probabilities, score = self._read(answer)
            items.append(_Item(value, probabilities, name))
            lines.append(_Line(name, at, self._version, features, value, score))
            counted[value] = counted.get(value, 0) + 1
        self._log.append(self._encode_lines(lines), len(lines))
        for value, rows_of_it in counted.items():
            self._counters[str(value) if self._classes else REGRESSION_LABEL](rows_of_it)
        return self._encode(_BatchAnswer(self._name, self._version, items))

    def _read(self, answer: Answer) -> tuple[str | float, dict[str, float] | None, float]:
        """The prediction, the classes' probabilities and the score that is logged."""
        if not self._classes:
            return answer[0], None, answer[0]
        probabilities = dict(zip(self._classes, answer, strict=True))
        largest = max(answer)
        label = self._classes[answer.index(largest)]
        return label, probabilities, answer[1] if len(answer) == 2 else largest


class _Compiled:
    """Scores in the event loop, in its one thread, so that one set of buffers is enough."""

    def __init__(self, model: CompiledModel) -> None:
        self._model = model
        self._arrays = RowArrays(model.form)
        self.order = self._arrays.order
        self._row = model.row_scorer()
        self._numbers, self._codes = self._row.numbers.data, self._row.codes.data

    def now(self, rows: Sequence[Values]) -> Sequence[Answer]:
        """The answers to a few rows, at once."""
        if len(rows) == 1:
            self._arrays.fill(rows[0], self._numbers, self._codes)
            return [self._row.score()]
        found: list[list[float]] = self._model.ordered_answers(*self._arrays.of_rows(rows)).tolist()
        return found

    async def several(self, columns: Sequence[Values]) -> Sequence[Answer]:
        """The answers to rows, given as columns."""
        if len(columns[0]) <= ROWS_IN_THE_LOOP:
            return self._answers(columns)
        return await asyncio.to_thread(self._answers, columns)

    def _answers(self, columns: Sequence[Values]) -> Sequence[Answer]:
        answers: list[list[float]] = self._model.ordered_answers(
            *self._arrays.arrays(columns)
        ).tolist()
        return answers


class _Pipeline:
    """Scores in a thread, together with the rows of other requests."""

    def __init__(self, champion: Champion, contract: Contract) -> None:
        self.order = contract.feature_names
        self._classes = contract.target.classes
        self._model = champion.model
        self._batcher = MicroBatcher[Values, Answer](self._score)

    def now(self, rows: Sequence[Values]) -> Sequence[Answer]:
        """The answers to a few rows, which take milliseconds."""
        return self._score(rows)

    async def several(self, columns: Sequence[Values]) -> Sequence[Answer]:
        """The answers to rows, given as columns."""
        return await self._batcher.submit(list(zip(*columns, strict=True)))

    def _score(self, rows: Sequence[Values]) -> Sequence[Answer]:
        found = score_rows(self._model, [dict(zip(self.order, row, strict=True)) for row in rows])
        return [
            (float(row.value),) if row.probabilities is None else tuple(row.probabilities.values())
            for row in found
        ]


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
