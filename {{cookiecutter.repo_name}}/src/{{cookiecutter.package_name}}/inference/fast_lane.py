"""The fast lane: `POST /predict` and `/predict/batch` answered before FastAPI is asked.

A thin ASGI layer around the app. It takes what is surely right — a known path, JSON, a valid key, a
body that the contract allows, a compiled model — decodes it in one pass, scores it in the event
loop and answers. Everything else, and so every error message, is the app's: the request is passed
on with its body, as if nothing had read it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import msgspec
import numpy as np
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..contract import Contract
from ..model.compiled.scorer import CompiledModel
from ..settings import Settings
from .monitoring import REGRESSION_LABEL, Metrics
from .prediction_ids import prediction_ids
from .prediction_log import PredictionLog
from .predictor import Champion, Predictor
from .request_structs import RequestDecoder
from .security import API_KEY_HEADER, SECURITY_HEADERS, same_secret

log = logging.getLogger(__name__)

ROWS_IN_THE_LOOP = 256
"""More rows are scored in a thread, so that they do not keep other requests waiting."""


class FastLane:
    """Wraps the app (pure ASGI).

    Args:
        app: The FastAPI app, which answers whatever this layer does not.
        settings: Limits and the API key.
        contract: What a row is.
        predictor: Holds the model that serves.
        prediction_log: Gets a line a row, before the answer.
        metrics: Counts requests and rows.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        contract: Contract,
        predictor: Predictor,
        prediction_log: PredictionLog,
        metrics: Metrics,
    ) -> None:
        self.app = app
        self._contract = contract
        self._predictor = predictor
        self._log = prediction_log
        self._metrics = metrics
        self._limit = settings.serving.maximum_body_bytes
        self._rows = settings.serving.maximum_batch_rows
        self._key = settings.serving.api_key.get_secret_value().encode()
        self._served: _Served | None = None
        self._count = {path: metrics.request_timer(path) for path in ("/predict", "/predict/batch")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        count = self._count.get(scope["path"])
        served = self._current() if count is not None else None
        if count is None or served is None or not self._is_plain(scope["headers"]):
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        message = await receive()
        body = message.get("body", b"")
        read = [message]
        while message.get("more_body") and len(body) <= self._limit:
            message = await receive()
            read.append(message)
            body += message.get("body", b"")
        answer = None
        if message["type"] == "http.request" and len(body) <= self._limit:
            answer = await served.answer(scope["path"], body)
        if answer is None:
            await self.app(scope, _replay(read, receive), send)
            return
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(answer)), *_HEADERS],
            }
        )
        await send({"type": "http.response.body", "body": answer})
        count(time.perf_counter() - started)

    def _is_plain(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the headers say JSON, no more than that, and carry the key."""
        is_json, is_allowed = False, not self._key
        for name, value in headers:
            if name == b"content-type":
                is_json = value == b"application/json"
            elif name == _KEY_HEADER:
                is_allowed = is_allowed or same_secret(value, self._key)
            elif name == b"content-encoding":
                return False
        return is_json and is_allowed

    def _current(self) -> "_Served | None":
        try:
            champion = self._predictor.current()
        except Exception:  # noqa: BLE001  whatever it is, the app says it
            return None
        served = self._served
        if served is None or served.champion is not champion:
            if not isinstance(champion.model, CompiledModel):
                return None
            served = _Served(
                champion,
                champion.model,
                RequestDecoder(self._contract, champion.model.form, self._rows),
                self._log,
                self._metrics.prediction_counters(champion.version.version),
            )
            self._served = served
        return served


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


class _Served:
    """One model version, with everything that its requests need made beforehand."""

    def __init__(
        self,
        champion: Champion,
        model: CompiledModel,
        decoder: RequestDecoder,
        prediction_log: PredictionLog,
        counters: Mapping[str, Callable[[float], None]],
    ) -> None:
        self.champion = champion
        self._model = model
        self._decoder = decoder
        self._log = prediction_log
        self._name, self._version = champion.version.name, champion.version.version
        self._classes = model.contract.target.classes
        self._counters = counters
        # Only the event loop's thread scores single rows, so one set of buffers is enough.
        self._row = model.row_scorer()
        encoder = msgspec.json.Encoder()
        self._encode, self._encode_lines = encoder.encode, encoder.encode_lines
        self._ids = prediction_ids()

    async def answer(self, path: str, body: bytes) -> bytes | None:
        """The answer; None where the app has to look at the request."""
        try:
            return self.single(body) if path == "/predict" else await self.batch(body)
        except Exception:
            log.exception("the fast lane failed; the app answers")
            return None

    def single(self, body: bytes) -> bytes | None:
        """The answer to `/predict`; None where the app has to look at it."""
        row = self._row
        features = self._decoder.single(body, row.numbers, row.codes)
        if features is None:
            return None
        answer = row.score()
        if not all(map(isfinite, answer)):
            return None
        value, probabilities, score = self._read(answer)
        name = next(self._ids)
        line = _Line(name, _now(), self._version, features, value, score)
        self._log.append(self._encode(line) + b"\n", 1)
        self._counters[str(value) if self._classes else REGRESSION_LABEL](1)
        return self._encode(_Answer(value, probabilities, name, self._name, self._version))

    async def batch(self, body: bytes) -> bytes | None:
        """The answer to `/predict/batch`; None where the app has to look at it."""
        rows = self._decoder.batch(body)
        if rows is None:
            return None
        if len(rows.structs) <= ROWS_IN_THE_LOOP:
            answers = self._model.ordered_answers(rows.numbers, rows.codes)
        else:
            answers = await asyncio.to_thread(self._model.ordered_answers, rows.numbers, rows.codes)
        if not np.isfinite(answers).all():
            return None
        at = _now()
        items, lines = [], []
        counted: dict[Any, int] = {}
        for features, answer in zip(rows.structs, answers.tolist(), strict=True):
            value, probabilities, score = self._read(answer)
            name = next(self._ids)
            items.append(_Item(value, probabilities, name))
            lines.append(_Line(name, at, self._version, features, value, score))
            counted[value] = counted.get(value, 0) + 1
        self._log.append(self._encode_lines(lines), len(lines))
        for value, rows_of_it in counted.items():
            self._counters[str(value) if self._classes else REGRESSION_LABEL](rows_of_it)
        return self._encode(_BatchAnswer(self._name, self._version, items))

    def _read(self, answer: list[float]) -> tuple[str | float, dict[str, float] | None, float]:
        """The prediction, the classes' probabilities and the score that is logged."""
        if not self._classes:
            return answer[0], None, answer[0]
        probabilities = dict(zip(self._classes, answer, strict=True))
        largest = max(answer)
        label = self._classes[answer.index(largest)]
        return label, probabilities, answer[1] if len(answer) == 2 else largest


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _replay(read: list[Message], receive: Receive) -> Receive:
    """What was read already, and then what is still to come."""
    waiting = iter(read)

    async def again() -> Message:
        for message in waiting:
            return message
        return await receive()

    return again


_KEY_HEADER = API_KEY_HEADER.lower().encode()
_HEADERS = [
    (b"content-type", b"application/json"),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
]
