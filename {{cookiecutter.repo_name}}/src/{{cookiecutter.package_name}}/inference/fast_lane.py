"""The fast lane: `POST /predict` and `/predict/batch` answered before FastAPI is asked.

A thin ASGI layer around the app. It takes what is surely right (a known path, JSON, a valid key, a
body that the contract allows), decodes it in one pass, scores it and answers. Everything else, and
so every error message, is the app's: the request is passed on with its body, as if nothing had read
it.
"""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..contract import Contract
from ..settings import Settings
from .lane_model import LaneModel
from .monitoring import Metrics
from .prediction_log import PredictionLog
from .predictor import Predictor
from .security import API_KEY_HEADER, SECURITY_HEADERS, same_secret


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
        self._model: LaneModel | None = None
        self._count = {path: metrics.request_timer(path) for path in ("/predict", "/predict/batch")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        count = self._count.get(scope["path"])
        model = self._current() if count is not None else None
        if count is None or model is None or not self._is_plain(scope["headers"]):
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
            answer = await model.answer(scope["path"], body)
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

    def _current(self) -> LaneModel | None:
        try:
            champion = self._predictor.current()
        except Exception:  # noqa: BLE001  whatever it is, the app says it
            return None
        model = self._model
        if model is None or model.champion is not champion:
            counters = self._metrics.prediction_counters(champion.version.version)
            model = self._model = LaneModel(
                champion, self._contract, self._rows, self._log, counters
            )
        return model


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
