"""HTTP/1.1 with a way past ASGI for what the fast lane answers.

Uvicorn parses each request, makes a scope, a task and a cycle, and checks every header that goes
out: about 80 microseconds a request, twice what a prediction takes. This protocol answers a
request that arrives whole on an idle connection with one call and one write. Everything else (a
path, method, header or framing that the lane does not know, a body that it does not take) goes to
Uvicorn byte for byte as it came.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from goldpath.serving.lane.bounded_protocol import BoundedProtocol, refusal
from goldpath.serving.lane.fast_lane import DECLINED, FastLane
from goldpath.serving.lane.parted_flow import PART, PartedFlow
from goldpath.serving.lane.request_heads import Head
from goldpath.serving.lane.request_structs import DecodedRow
from goldpath.serving.lane.turn import Request

MOST_HELD = 1 << 16
"""Bytes that are kept of a client that does not wait for its answer."""

MUCH, REST_SECONDS = 1 << 16, 0.01
"""Bytes after which another connection has its turn; how long a client waits that sends as much of
a body that was refused already."""


class LaneProtocol(BoundedProtocol):
    """One connection. Uvicorn makes it, for an application that is a `FastLane`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._lane = lane = _lane_of(config.loaded_app)
        self._heads = lane.heads
        self._turn = lane.turn
        self._between_messages = True  # as Uvicorn's parser sees it
        self._peer = ""
        self._decode: Callable[[Head, bytes, str], Request | None] = lane.decode
        self._flow: PartedFlow
        self._head: Head | None = None  # of a request whose body is still arriving
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._wanted = 0
        self._allows: Callable[[bytes], bool] | None = None  # whether it may still be the lane's
        self._is_answering = False  # later, in a task
        self._is_declined = False  # the request that Uvicorn gets next
        self._is_closing = False
        self._was_active = True
        self._reading_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch for silence."""
        super().connection_made(transport)
        self.flow = self._flow = PartedFlow(transport, self.loop, self._take_part)
        self._peer = self.client[0] if self.client else ""
        self._decode = self._lane.decoder_of(self._peer)
        self._reading_since = self.loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to answer."""
        super().connection_lost(exc)
        self._flow.end()

    def on_message_begin(self) -> None:
        """Uvicorn's parser is in the middle of a message from here on."""
        self._between_messages = False
        self._reading_since = self.loop.time()
        super().on_message_begin()
        if self._is_declined:
            self._is_declined = False
            self.scope[DECLINED] = True  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        """Uvicorn's parser is between messages again."""
        self._between_messages = True
        self._reading_since = None
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Answer at once, wait for the rest of a body, or let Uvicorn see to it."""
        self._was_active = True
        if self._head is not None or self._is_answering or self._flow.is_passing:
            self._hold(data)
            return
        if not self._between_messages or (self.cycle and not self.cycle.response_complete):
            self._give_way(data)
            super().data_received(data)
            return
        head = None if self.flow.write_paused else self._heads.of(data)
        if head is None:
            self._give_way(data)
            super().data_received(data)
            return
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        missing = head.size + head.length - len(data)
        if missing == 0:
            self._answer(head, data)
        elif missing > 0 and self._lane.waits_for(head):
            self._head, self._wanted = head, head.size + head.length
            self._allows = self._lane.counter_of(head)
            self._reading_since = self.loop.time()
            self._hold(data)
        else:  # the next request is in it, too
            super().data_received(data)

    def _hold(self, data: bytes) -> None:
        """Keep a body that is still arriving, or what a client sends before it has its answer."""
        self._keep(data)
        if self._head is None and self._held_bytes > MOST_HELD:
            self.flow.pause_reading()
        head = self._head
        if head is None:
            return
        if self._allows is not None:
            self._give_way(data)
            if not self._allows(data):
                self._head = None  # the app reads the rest while it arrives
                self._hand_on(self._take_held())
                return
        if self._held_bytes >= self._wanted:
            self._head, content = None, self._take_held()
            self._answer(head, content[: self._wanted])
            self._go_on(content[self._wanted :])

    def _give_way(self, data: bytes) -> None:
        """Let others have their turns while a client sends megabytes."""
        if len(data) >= MUCH:
            is_answered = self.cycle is not None and self.cycle.response_complete
            is_refused = is_answered and not self._between_messages
            self._flow.rest(REST_SECONDS if is_refused else 0)

    def _keep(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)

    def _take_held(self) -> bytes:
        content, self._held, self._held_bytes = b"".join(self._held), [], 0
        return content

    def _go_on(self, rest: bytes) -> None:
        """Read what came behind the request that has just been taken."""
        if rest:
            self.data_received(rest)

    def _answer(self, head: Head, data: bytes) -> None:
        """Answer a whole request, or hand it on."""
        self._reading_since = None
        request = self._decode(head, data[head.size :], self._peer)
        if request is None:
            self._hand_on(data)
            return
        self._is_answering = True
        rows = request.rows
        if isinstance(rows, DecodedRow):
            self._turn.add(self, request, rows, data)
        else:
            task = self.loop.create_task(self._answer_later(request, data))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _answer_later(self, request: Request, data: bytes) -> None:
        self.answered(request, data, await self._lane.answer(request))

    def answered(self, request: Request, data: bytes, answer: bytes | None) -> None:
        """Send an answer, or hand the request on where there is none."""
        self._is_answering = False
        self._was_active = True
        self.flow.resume_reading()
        if self.transport.is_closing():
            return
        if answer is None:
            self._hand_on(data)
        else:
            self._write(request.head, answer)
        if self._is_closing:
            super().shutdown()
            return
        if self._held:
            self._go_on(self._take_held())

    def _hand_on(self, data: bytes) -> None:
        """Let Uvicorn answer a request, which need not be looked at again; in parts if long."""
        self._is_declined = True
        if len(data) <= PART:
            super().data_received(data)
        else:
            self._flow.pass_on(data)

    def _take_part(self, part: bytes) -> None:
        """Give Uvicorn a part of a long request."""
        super().data_received(part)
        if self.cycle is None or self.cycle.response_complete:
            self._flow.resume_reading()  # nobody else asks for what the answer did not wait for
        if not self._flow.is_passing:
            self._go_on(self._take_held())

    def _write(self, head: Head, answer: bytes) -> None:
        self.transport.write(
            self._lane.response_head(head, self.server_state.default_headers, len(answer)) + answer
        )
        self.server_state.total_requests += 1
        if self.access_log:
            caller = "{}:{}".format(*self.client) if self.client else ""
            self.access_logger.info(
                '%s - "%s %s HTTP/%s" %d', caller, "POST", head.path, "1.1", 200
            )

    def shutdown(self) -> None:
        """End the connection when the request that is being read or answered is done."""
        if self._head is not None:
            self._head = None
            super().data_received(self._take_held())
        if self._is_answering:
            self._is_closing = True
        else:
            super().shutdown()

    def _watch(self) -> None:
        """Look in now and then, which costs a request nothing: is it silent, or too slow?"""
        if self.transport.is_closing():
            return
        since = self._reading_since
        is_reading = since is not None
        if since is not None and self.loop.time() - since > self._lane.read_seconds:
            self._refuse_slow_request()
            return
        is_busy = self._is_answering or (self.cycle and not self.cycle.response_complete)
        if not (is_reading or is_busy or self._was_active):
            self.transport.close()
            return
        self._was_active = False
        self.loop.call_later(self.timeout_keep_alive, self._watch)

    def _refuse_slow_request(self) -> None:
        """A request that does not come to its end holds a connection; it may not do so for ever."""
        if self.cycle is None or not self.cycle.response_started:
            self.transport.write(_TOO_SLOW)
        self.transport.close()


def _lane_of(app: Any) -> FastLane:
    """The lane, which Uvicorn may have wrapped."""
    while not isinstance(app, FastLane):
        app = app.app
    return app


_TOO_SLOW = refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "the request did not arrive in time",
    "send it in one go, or raise MLOPS_SERVING__READ_SECONDS",
)
