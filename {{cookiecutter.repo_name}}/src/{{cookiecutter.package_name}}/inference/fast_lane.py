"""The fast lane: `POST /predict` and `/predict/batch` answered before FastAPI is asked.

It takes what is surely right (a known path, JSON, a valid key, a body that the contract allows),
decodes it in one pass, scores it and answers. Everything else, and so every error message, is the
app's: the request is passed on with its body, as if nothing had read it.

Two ways lead into it: `LaneProtocol`, straight from the connection, and ASGI, under any server.
"""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..contract import Contract
from ..settings import Settings
from .lane_model import LaneModel
from .lane_turn import LaneTurn, Request
from .monitoring import PREDICTION_ROUTES, Metrics
from .prediction_log import PredictionLog
from .predictor import Predictor
from .request_heads import Head, RequestHeads, read_headers
from .request_structs import DecodedBatch
from .security import JSON_HEADERS, same_secret

PREDICT = "/predict"

log = logging.getLogger(__name__)


class FastLane:
    """Wraps the app (pure ASGI).

    Args:
        app: The FastAPI app, which answers whatever this layer does not.
        settings: Limits and the API key.
        contract: What a row is.
        predictor: Holds the model that serves.
        prediction_log: Gets a line a row, before the answer.
        metrics: Counts requests and rows.

    Attributes:
        heads: Reads the heads of requests that the lane may answer.
        turn: Takes the requests that one turn of the event loop finds.
        read_seconds: A request must have arrived within this time.
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
        self.heads = RequestHeads(PREDICTION_ROUTES)
        self.turn = LaneTurn(self.count)
        self.read_seconds = settings.serving.read_seconds
        self._contract = contract
        self._predictor = predictor
        self._log = prediction_log
        self._metrics = metrics
        self._limit = settings.serving.maximum_body_bytes
        self._rows = settings.serving.maximum_batch_rows
        self._key = settings.serving.api_key.get_secret_value().encode()
        self._model: LaneModel | None = None
        self._count = {path: metrics.request_timer(path) for path in PREDICTION_ROUTES}
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._response_head = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        head = None
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._count:
            head = read_headers(scope["path"], scope["headers"])
        if head is None or not self.waits_for(head):
            await self.app(scope, receive, send)
            return
        read, body = await self._read(receive)
        request = None if body is None else self.decode(head, body)
        answer = None if request is None else await self.answer(request)
        if answer is None:
            await self.app(scope, _replay(read, receive), send)
            return
        named = [(b"x-request-id", head.request_id)] if head.request_id else []
        headers = [(b"content-length", b"%d" % len(answer)), *JSON_HEADERS, *named]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def waits_for(self, head: Head) -> bool:
        """Whether the lane reads a body of the declared length."""
        return head.length <= self._limit

    def decode(self, head: Head, body: bytes) -> Request | None:
        """A request that the lane answers; None where the app has to look at it."""
        started = time.perf_counter()
        try:
            model = self._current()
            if model is None or not self._is_allowed(head):
                return None
            rows = model.row(body) if head.path == PREDICT else model.rows(body)
        except Exception:
            log.exception("the fast lane failed; the app answers")
            return None
        return None if rows is None else Request(head, model, rows, started)

    async def answer(self, request: Request) -> bytes | None:
        """The answer's body; None where the app has to look at the request."""
        rows = request.rows
        if isinstance(rows, DecodedBatch):
            answer = await request.model.answer_rows(rows)
        elif request.model.is_immediate:
            answer = request.model.answers([rows])[0]
        else:
            answer = await request.model.answer_later(rows)
        if answer is not None:
            self.count(request)
        return answer

    def count(self, request: Request) -> None:
        """Count a request that was answered."""
        self._count[request.head.path](time.perf_counter() - request.started)

    def response_head(
        self, head: Head, default_headers: list[tuple[bytes, bytes]], length: int
    ) -> bytes:
        """Status line and headers of an answer, as HTTP/1.1 writes them.

        Args:
            head: What is answered.
            default_headers: The server's own; another list when they have changed.
            length: Bytes of the answer's body.
        """
        if default_headers is not self._default_headers:
            lines = [b"%b: %b\r\n" % pair for pair in (*default_headers, *JSON_HEADERS)]
            self._response_head = b"HTTP/1.1 200 OK\r\n" + b"".join(lines) + b"content-length: "
            self._default_headers = default_headers
        if head.request_id:
            named = b"%d\r\nx-request-id: %b\r\n\r\n" % (length, head.request_id)
            return self._response_head + named
        return b"%b%d\r\n\r\n" % (self._response_head, length)

    async def _read(self, receive: Receive) -> tuple[list[Message], bytes | None]:
        """The messages that were read, and the body; None where it is too long or torn."""
        message = await receive()
        read, chunks = [message], [message.get("body", b"")]
        size = len(chunks[0])
        while message.get("more_body") and size <= self._limit:
            message = await receive()
            read.append(message)
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        is_whole = message["type"] == "http.request" and size <= self._limit
        return read, b"".join(chunks) if is_whole else None

    def _is_allowed(self, head: Head) -> bool:
        return not self._key or (
            head.credential is not None and same_secret(head.credential[1], self._key)
        )

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
