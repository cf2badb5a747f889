"""A connection of the lane without a socket and without a model, for tests."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from goldpath.serving.lane.fast_lane import DECLINED, FastLane
from goldpath.serving.lane.protocol import LaneProtocol
from goldpath.serving.lane.request_heads import RequestHeads
from goldpath.serving.lane.request_structs import DecodedRow


class Transport(asyncio.Transport):
    """Keeps what is written, and whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False
        self.is_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("10.0.0.1", 5), "sockname": ("10.0.0.2", 6)}.get(name, default)

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Turn:
    """Keeps the requests that wait for the turn's end."""

    def __init__(self) -> None:
        self.added: list[tuple[Any, Any, Any, bytes]] = []

    def add(self, connection: Any, request: Any, row: Any, data: bytes) -> None:
        self.added.append((connection, request, row, data))

    def answer(self, content: bytes | None) -> None:
        connection, request, _, data = self.added.pop(0)
        connection.answered(request, data, content)


class Lane(FastLane):
    """A lane without a model: `decode` says what is its own; the app answers what it is given."""

    def __init__(self) -> None:
        self.heads = RequestHeads({"/predict", "/predict/batch"})
        self.turn: Any = Turn()
        self.read_seconds = 30.0
        self.decoded: list[bytes] = []
        self.peers: list[str] = []
        self.own: Callable[[bytes], Any] = lambda _: DecodedRow(None, ())
        self.longest = 10**9
        self.counter: Callable[[bytes], bool] | None = None
        self.to_app: list[tuple[bytes, bool]] = []
        self.until = asyncio.Event()
        self.until.set()
        self._default_headers = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.to_app.append((body, DECLINED in scope))
        await self.until.wait()
        headers = [(b"content-length", b"3")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"app"})

    def decoder_of(self, peer: str) -> Any:
        self.peers.append(peer)
        return self.decode

    def decode(self, head: Any, body: bytes, peer: str = "") -> Any:
        self.decoded.append(body)
        rows = self.own(body)
        return None if rows is None else SimpleNamespace(head=head, rows=rows)

    async def answer(self, request: Any) -> bytes | None:
        answer: bytes | None = request.rows
        return answer

    def waits_for(self, head: Any) -> bool:
        return bool(head.length <= self.longest)

    def counter_of(self, head: Any) -> Any:
        return self.counter


class Connection:
    """A connection, and what the test asks of it."""

    def __init__(self, keep_alive: int = 5, **config: Any) -> None:
        self.lane = Lane()
        made = uvicorn.Config(
            self.lane, log_config=None, timeout_keep_alive=keep_alive, lifespan="off", **config
        )
        made.load()
        made.loaded_app = SimpleNamespace(app=SimpleNamespace(app=self.lane))
        self.state = ServerState()
        self.protocol = LaneProtocol(made, self.state, {}, asyncio.get_running_loop())
        self.protocol.app = self.lane
        self.transport = Transport()
        self.protocol.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        self.protocol.data_received(data)

    @property
    def written(self) -> bytes:
        found, self.transport.written = self.transport.written, b""
        return found


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def request(body: bytes, *lines: str) -> bytes:
    head = ["POST /predict HTTP/1.1", "Host: h", "Content-Type: application/json", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body
