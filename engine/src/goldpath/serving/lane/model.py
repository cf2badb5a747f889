"""One model version in the fast lane: from a body to the bytes of the answer.

Everything that its requests need is made beforehand. A compiled model is scored in the event loop,
where a row takes microseconds; a fitted pipeline in a thread, with whatever queues meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from goldpath.compiled.encoded import EncodedModel
from goldpath.compiled.form import CompiledForm
from goldpath.compiled.json_rows import JsonRows, RowReader
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.serving.answers.metric_series import Measure
from goldpath.serving.answers.own_fields import AnswerField
from goldpath.serving.lane.answers import Answer, AnswerWriter
from goldpath.serving.lane.batch_rows import BatchWriter, batch_reader, tells_groups
from goldpath.serving.lane.batching import MicroBatcher
from goldpath.serving.lane.computed import ComputedColumns
from goldpath.serving.lane.entity_rows import EntityRows
from goldpath.serving.lane.request_structs import DecodedBatch, DecodedRow, RequestDecoder, Values
from goldpath.serving.lane.row_arrays import RowArrays
from goldpath.serving.prediction_log import PredictionLog
from goldpath.serving.predictor import Champion, ServedModel, UnscorableError, score_rows
from goldpath.serving.shadow import Shadow

ROWS_IN_THE_LOOP, SLOW_ROWS_IN_THE_LOOP = 256, 64
"""More rows are scored in a thread: other requests do not wait, and the next batch is read
meanwhile. The second is for NumPy, and for blends of many forms."""

log = logging.getLogger(__name__)


class LaneModel:
    """Answers requests with one model version.

    Args:
        champion: The model.
        contract: What a row is.
        maximum_rows: How many instances a batch may hold.
        prediction_log: Gets a line a row, before the answer.
        counters: Count rows by their predicted label.
        shadow: May score the rows again.
        entities: Completes the rows of a model with window features, of which it takes single ones
            by key.
        fields: The project's own fields of an answer.
        measure: Counts each prediction in the project's own metrics.

    Attributes:
        champion: The model.
        is_by_key: Whether it has window features.
        is_immediate: Whether it answers within microseconds, in the event loop.
    """

    def __init__(
        self,
        champion: Champion,
        contract: Contract,
        maximum_rows: int,
        prediction_log: PredictionLog,
        counters: Mapping[str, Callable[[float], None]],
        shadow: Shadow,
        entities: Callable[[Sequence[str]], EntityRows] | None = None,
        fields: Sequence[AnswerField] = (),
        measure: Measure | None = None,
    ) -> None:
        self.champion = champion
        self._engine: _Compiled | _Batched
        model = champion.model
        has_own = bool(model.contract.row_features)
        self.is_immediate = isinstance(model, CompiledModel)
        self._reader: RowReader | None = None
        writer: BatchWriter | None = None
        if isinstance(model, CompiledModel):
            computed = ComputedColumns(model.contract, model.form) if has_own else None
            self._engine = _Computing(model, computed) if computed else _Compiled(model)
            # A project's function reads Python values, which the reader in C does not make.
            reads = bool(fields) or measure is not None
            if not reads and (computed is None or computed.reads_codes):
                form = computed.request_form if computed else model.form
                self._reader, writer = _for_batches(
                    model, form, champion, contract, maximum_rows, prediction_log
                )
        elif isinstance(model, EncodedModel) and not has_own:
            self._engine = encoded_engine(model)
        else:
            self._engine = _pipeline_engine(model, contract.feature_names)
        order: Sequence[str] = self._engine.order
        self._entities = entities(order) if entities else None
        self.is_by_key = self._entities is not None
        key = None
        if self._entities is not None:
            order, key = self._entities.sent, contract.entity
        self._decoder = RequestDecoder(contract, order, maximum_rows, key)
        self._writer = AnswerWriter(
            *(champion, contract, self._engine.order, prediction_log, counters, shadow, writer),
            fields,
            measure,
        )
        self._shadow = shadow

    def row(self, body: bytes) -> DecodedRow | None:
        """The row of a request to `/predict`; None where the app has to look at it."""
        if self.is_by_key and self._shadow.wants(self.champion):
            return None  # the app completes the row for the shadow, too
        return self._decoder.single(body)

    def rows(self, body: bytes) -> JsonRows | DecodedBatch | None:
        """The rows of a request to `/predict/batch`; None where the app has to look at them."""
        if self._reader is not None and not self._shadow.wants(self.champion):
            rows = self._reader.read(body)
            if rows is not None:
                return rows
        return self._decoder.batch(body)

    def answers(self, rows: Sequence[DecodedRow]) -> Sequence[bytes | None]:
        """The answers to requests for a row each; None where the app has to look at one.

        Only where the model answers at once; see `is_immediate`.
        """
        try:
            if self._entities is not None:
                return self._answers_by_key(self._entities, rows)
            found = self._engine.now([row.values for row in rows])
            return self._writer.singles(rows, found)
        except Exception:
            log.exception("the fast lane failed; the app answers")
            return [None] * len(rows)

    def _answers_by_key(
        self, entities: EntityRows, rows: Sequence[DecodedRow]
    ) -> Sequence[bytes | None]:
        now = datetime.now(UTC)
        complete = entities.complete(rows, now)
        if complete is None:
            return [None] * len(rows)
        found = self._engine.now([row.values for row in complete])
        return self._writer.singles(complete, found, now.isoformat())

    def ask(self, row: DecodedRow) -> "asyncio.Future[Sequence[Answer]]":
        """What will hold the answer to a row, by a model that takes its time; see `written`."""
        return self._engine.ask(row.values)

    def written(
        self, rows: Sequence[DecodedRow], found: Sequence[Answer]
    ) -> Sequence[bytes | None]:
        """The answers to requests for a row each, of what `ask` has found."""
        try:
            return self._writer.singles(rows, found)
        except Exception:
            log.exception("the fast lane failed; the app answers")
            return [None] * len(rows)

    async def answer_later(self, row: DecodedRow) -> bytes | None:
        """The answer to a request for a row, by a model that takes its time."""
        try:
            found = await self.ask(row)
        except UnscorableError:
            return None
        except Exception:
            log.exception("the fast lane failed; the app answers")
            return None
        return self.written([row], found)[0]

    async def answer_rows(self, rows: JsonRows | DecodedBatch) -> bytes | None:
        """The answer to a request for several rows."""
        engine = self._engine
        try:
            if isinstance(rows, DecodedBatch):
                return self._writer.batch(rows, await engine.several(rows.columns))
            if isinstance(engine, _Compiled):
                found = await engine.scored(rows.numbers, rows.codes)
                return self._writer.json_batch(rows, found)
        except (UnscorableError, TypeError):  # the latter: a key that is not there, see the decoder
            pass
        except Exception:
            log.exception("the fast lane failed; the app answers")
        return None


class _Compiled:
    """Scores in the event loop, in its one thread, so that one set of buffers is enough."""

    def __init__(self, model: CompiledModel) -> None:
        self._model = model
        self._arrays = RowArrays(model.form)
        self.order = self._arrays.order
        self._most_in_loop = ROWS_IN_THE_LOOP if model.native else SLOW_ROWS_IN_THE_LOOP
        self._row = model.row_scorer()
        self._numbers, self._codes = self._row.numbers.data, self._row.codes.data

    def now(self, rows: Sequence[Values]) -> Sequence[Answer]:
        """The answers to a few rows, at once."""
        if len(rows) == 1:
            self._arrays.fill(rows[0], self._numbers, self._codes)
            return [self._row.score()]
        found: list[list[float]] = self._model.ordered_answers(*self._arrays.of_rows(rows)).tolist()
        return found

    def ask(self, row: Values) -> "asyncio.Future[Sequence[Answer]]":
        """What holds the answer to a row."""
        found: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        found.set_result(self.now([row]))
        return found

    async def several(self, columns: Sequence[Values]) -> np.ndarray:
        """The answers to rows, given as columns: shape (rows, classes or 1)."""
        return await self.scored(*self._arrays.arrays(columns))

    async def scored(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The answers to rows, given as arrays: shape (rows, classes or 1)."""
        if len(numbers) <= self._most_in_loop:
            return self._model.ordered_answers(numbers, codes)
        return await asyncio.to_thread(self._model.ordered_answers, numbers, codes)


class _Computing(_Compiled):
    """Computes row features, then scores like any compiled model."""

    def __init__(self, model: CompiledModel, computed: ComputedColumns) -> None:
        super().__init__(model)
        self.order = computed.order
        self._computed = computed

    def now(self, rows: Sequence[Values]) -> Sequence[Answer]:
        """The answers to a few rows, at once."""
        return super().now(self._computed.rows(rows))

    async def several(self, columns: Sequence[Values]) -> np.ndarray:
        """The answers to rows, given as columns: shape (rows, classes or 1)."""

        def score() -> np.ndarray:
            return self._model.ordered_answers(*self._computed.of_columns(columns))

        return score() if len(columns[0]) <= self._most_in_loop else await asyncio.to_thread(score)

    async def scored(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The answers to rows, given as a request's arrays: shape (rows, classes or 1)."""

        def score() -> np.ndarray:
            return self._model.ordered_answers(*self._computed.of_arrays(numbers, codes))

        return score() if len(numbers) <= self._most_in_loop else await asyncio.to_thread(score)


def _for_batches(
    model: CompiledModel,
    form: CompiledForm,
    champion: Champion,
    contract: Contract,
    maximum_rows: int,
    prediction_log: PredictionLog,
) -> tuple[RowReader | None, BatchWriter | None]:
    """What reads and writes batches without Python objects; None where it cannot."""
    personal = prediction_log.personal
    if model.library is None or (personal is not None and personal.hashed):
        return None, None
    if not tells_groups(model.contract, form):
        return None, None
    hidden = personal.columns if personal is not None else ()
    reader = batch_reader(contract, form, model.library, maximum_rows, hidden)
    version = champion.version
    writer = BatchWriter(model.contract, form, version.name, version.version, model.library)
    return reader, writer


class _Batched:
    """Scores in a thread, together with the rows of other requests: for what takes milliseconds.

    Args:
        order: The features, as a row's values are given.
        score: From rows to answers.
    """

    def __init__(
        self, order: Sequence[str], score: Callable[[Sequence[Values]], Sequence[Answer]]
    ) -> None:
        self.order = order
        self.now = score
        self._batcher = MicroBatcher[Values, Answer](score)

    def ask(self, row: Values) -> "asyncio.Future[Sequence[Answer]]":
        """What will hold the answer to a row."""
        return self._batcher.ask([row])

    async def several(self, columns: Sequence[Values]) -> np.ndarray:
        """The answers to rows, given as columns: shape (rows, classes or 1)."""
        return np.array(await self._batcher.submit(list(zip(*columns, strict=True))))


def encoded_engine(model: EncodedModel) -> _Batched:
    """Scores without pandas."""
    arrays = RowArrays(model.form)

    def score(rows: Sequence[Values]) -> Sequence[Answer]:
        with np.errstate(all="ignore"):  # what overflows is not finite, and the app says so
            found: list[list[float]] = model.ordered_answers(*arrays.of_rows(rows)).tolist()
        return found

    return _Batched(arrays.order, score)


def _pipeline_engine(model: ServedModel, order: Sequence[str]) -> _Batched:
    """Scores with whatever the model is."""

    def score(rows: Sequence[Values]) -> Sequence[Answer]:
        found = score_rows(model, [dict(zip(order, row, strict=True)) for row in rows])
        return [
            (float(row.value),) if row.probabilities is None else tuple(row.probabilities.values())
            for row in found
        ]

    return _Batched(order, score)
