"""The fast lane: `POST /predict` and `/predict/batch` answered before FastAPI is asked.

It takes what is surely right (a known path, JSON, a valid key, a body that the contract allows),
decodes it in one pass, scores it and answers. Everything else, and so every error message, is the
app's: the request is passed on with its body, as if nothing had read it.

Two ways lead into it: `LaneProtocol`, straight from the connection, and ASGI, under any server.
"""

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from goldpath.serving.access.roles import Client
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.lane.batch_marks import BatchMarks
from goldpath.serving.lane.entity_rows import EntityRows, lane_reader, left_to_app
from goldpath.serving.lane.model import LaneModel
from goldpath.serving.lane.request_heads import Head, RequestHeads, read_headers
from goldpath.serving.lane.request_structs import DecodedRow
from goldpath.serving.lane.turn import LaneTurn, Request
from goldpath.serving.log.personal import HiddenColumns
from goldpath.serving.metrics.service import PREDICTION_ROUTES
from goldpath.serving.predictor import Champion, NoModelError
from goldpath.serving.security import JSON_HEADERS
from goldpath.serving.traffic import PIN_ROLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from goldpath.serving.serving_core import ServingCore

DECLINED = "goldpath.declined"
"""In a scope: the lane has seen the request already, and left it to the app."""

PREDICT, ROLE = "/predict", "predict"
LONGEST_ROW = 262_144
"""Bytes of a body that the lane waits for where it asks for one row; a longer one is the app's."""

LONG_BATCH = 524_288
"""Bytes of a batch that is counted while it arrives; 1 000 rows of 20 features have 400 000."""

log = logging.getLogger(__name__)


class FastLane:
    """Wraps the app (pure ASGI).

    Args:
        app: The FastAPI app, which answers whatever this layer does not.
        core: What both lanes share.

    Attributes:
        heads: Reads the heads of requests that the lane may answer.
        turn: Takes the requests that one turn of the event loop finds.
        read_seconds: A request must have arrived within this time.
    """

    def __init__(self, app: "ASGIApp", core: "ServingCore") -> None:
        self._settings = settings = core.settings
        self._reader = lane_reader(settings, core.metrics)
        self._hidden = HiddenColumns(settings, core.contract)
        self.app = app
        self.heads = RequestHeads(PREDICTION_ROUTES)
        self.turn = LaneTurn(self.done)
        self.read_seconds = settings.serving.read_seconds
        self._contract = core.contract
        self._answer_fields = core.answer_fields
        self._access = core.access
        self._limits = core.limits
        self._proxies = core.proxies
        self._traffic = core.traffic
        self._shadow = core.shadow
        self._log = core.prediction_log
        self._metrics = core.metrics
        self._trail = core.lane_trail
        self._limit = settings.serving.maximum_body_bytes
        self._longest = dict.fromkeys(PREDICTION_ROUTES, self._limit)
        self._longest[PREDICT] = min(self._limit, LONGEST_ROW)
        self._marks = BatchMarks(core.contract, settings.serving.maximum_batch_rows)
        self._rows = settings.serving.maximum_batch_rows
        self._models: dict[str, LaneModel] = {}
        self._prepared: dict[str, LaneModel] = {}
        core.before_serving.append(self.prepare)
        self._count = {path: self._metrics.request_timer(path) for path in PREDICTION_ROUTES}
        self._default_headers: list[tuple[bytes, bytes]] | None = None
        self._response_head = b""

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer, or pass the request on."""
        head = None
        if scope["type"] == "http" and scope["path"] in self._count and DECLINED not in scope:
            is_post = scope["method"] == "POST"
            head = read_headers(scope["path"], scope["headers"]) if is_post else None
        if head is None or not self.waits_for(head):
            await self.app(scope, receive, send)
            return
        read, body = await self._read(receive)
        peer = scope["client"][0] if scope.get("client") else ""
        request = None if body is None else self.decoder_of(peer)(head, body, peer)
        answer = None if request is None else await self.answer(request)
        if answer is None:
            await self.app(scope, _replay(read, receive), send)
            return
        named = [(b"x-request-id", head.request_id)] if head.request_id else []
        headers = [(b"content-length", b"%d" % len(answer)), *JSON_HEADERS, *named]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def prepare(self, champion: Champion) -> None:
        """Make what requests to a model need, before it takes over; 0.1 s where texts are many.

        Called from other threads than the event loop's; where it fails, the first request shows it.
        """
        loaded = self._traffic.loaded_versions()
        prepared = {key: model for key, model in self._prepared.items() if key in loaded}
        if left_to_app(champion.model, self._contract, self._settings):
            return
        try:
            prepared[champion.version.version] = self._lane_model(champion)
        except Exception:
            log.exception("the fast lane cannot prepare version %s", champion.version.version)
        self._prepared = prepared

    def waits_for(self, head: Head) -> bool:
        """Whether the lane reads a body of the declared length."""
        return head.length <= self._longest[head.path]

    def counter_of(self, head: Head) -> "Callable[[bytes], bool] | None":
        """What counts a long body while it arrives; see `BatchMarks`."""
        return self._marks.counter() if head.length > LONG_BATCH else None

    def decode(self, head: Head, body: bytes, peer: str = "") -> Request | None:
        """A request that the lane answers; None where the app has to look at it.

        It is counted against the client's limit then.

        Args:
            head: Its head.
            body: Its body.
            peer: The address that it came from.
        """
        started = time.perf_counter()
        client = self._client(head)
        if client is None:
            return None
        try:
            model = self._model(head, body, client)
            rows = model.row(body) if head.path == PREDICT else model.rows(body)
        except (NoModelError, ProblemError):
            return None
        except Exception:
            log.exception("the fast lane failed; the app answers")
            return None
        if rows is None or not self._limits.admit(client, peer):
            return None
        return Request(head, model, rows, started, client, peer)

    def decoder_of(self, peer: str) -> "Callable[[Head, bytes, str], Request | None]":
        """What decodes the requests of a connection; chosen once, so that requests ask nothing."""
        return self._decode_forwarded if self._proxies.trusts(peer) else self.decode

    def _decode_forwarded(self, head: Head, body: bytes, peer: str) -> Request | None:
        """Decode what a trusted proxy passed on; it counts as its client's."""
        return self.decode(head, body, self._proxies.client_behind(peer, head.forwarded))

    async def answer(self, request: Request) -> bytes | None:
        """The answer's body; None where the app has to look at the request."""
        rows = request.rows
        if not isinstance(rows, DecodedRow):
            answer = await request.model.answer_rows(rows)
        elif request.model.is_immediate:
            answer = request.model.answers([rows])[0]
        else:
            answer = await request.model.answer_later(rows)
        self.done(request, is_answered=answer is not None)
        return answer

    def done(self, request: Request, *, is_answered: bool) -> None:
        """Count a request that was answered; one that the app answers is counted there."""
        if not is_answered:
            self._limits.give_back(request.client, request.peer)
            return
        now = time.perf_counter()
        self._count[request.head.path](now - request.started)
        if self._trail is not None:
            self._trail(request.head, request.started, now)

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

    async def _read(self, receive: "Receive") -> "tuple[list[Message], bytes | None]":
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

    def _client(self, head: Head) -> Client | None:
        """Who asks, where that is known for certain, and may ask for predictions."""
        if head.credential is None:
            client = self._access.anonymous
        else:
            client = self._access.known(*head.credential)
        return client if client is not None and ROLE in client.roles else None

    def _model(self, head: Head, body: bytes, client: Client) -> LaneModel:
        """The model for a request, with everything that it needs.

        Raises:
            NoModelError: If there is none.
            ProblemError: If the request asks for another, and may not or cannot have it.
        """
        if head.pin:
            if PIN_ROLE not in client.roles:
                raise ProblemError(403, "not for this client")
            chosen = self._traffic.pinned(head.pin.decode("latin-1"))
        else:
            chosen = self._traffic.choose(body)
        version = chosen.version.version
        model = self._models.get(version)
        if model is None or model.champion is not chosen:
            if left_to_app(chosen.model, self._contract, self._settings):
                raise ProblemError(501, "the app looks up what is known of the entity")
            loaded = self._traffic.loaded_versions()
            self._models = {key: kept for key, kept in self._models.items() if key in loaded}
            prepared = self._prepared
            self._prepared = {
                key: kept for key, kept in prepared.items() if key in loaded and key != version
            }
            model = prepared.get(version)
            if model is None or model.champion is not chosen:
                model = self._lane_model(chosen)
            self._models[version] = model
        if model.is_by_key and head.path != PREDICT:
            raise ProblemError(501, "the app looks up what is known of many entities")
        return model

    def _lane_model(self, champion: Champion) -> LaneModel:
        contract, entities = champion.model.contract, None
        asked = self._contract
        if not asked.has_target:
            asked = asked.with_parts(segments=contract.segments)
        if contract.window_features:
            entities = partial(EntityRows, self._reader, self._hidden.of(contract), contract)
        return LaneModel(
            champion,
            asked,
            self._rows,
            self._log,
            self._metrics.prediction_counters(
                champion.version.version, champion.model.contract.target.classes
            ),
            self._shadow,
            entities,
            self._answer_fields,
            self._metrics.own.of_version(champion.version.version),
        )


def _replay(read: "list[Message]", receive: "Receive") -> "Receive":
    """What was read already, and then what is still to come."""
    waiting = iter(read)

    async def again() -> "Message":
        for message in waiting:
            return message
        return await receive()

    return again
