"""An offered upgrade is not taken, and no byte of a request is changed, however it is cut."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from goldpath.serving.lane.bounded_protocol import BoundedProtocol

BODY = b'{"features": {"h2c": "websocket"}}'
OFFERS = {
    "h2c": [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"],
    "websocket": [b"Connection: keep-alive, Upgrade", b"Upgrade: websocket"],
    "two": [b"Upgrade: h2c, websocket", b"Connection: upgrade"],
    "other": [b"connection:upgrade", b"UPGRADE:  TLS/1.2 , HTTP/2.0\t"],
    "value": [b"X-A: websocket ", b"X-Request-Id: injected-id"],
    "words": [b"X-A: h2c", b"X-B: upgrade: websocket", b"X-C:websocket", b"Upgrade: h2c"],
}

Heard = tuple[str, str, dict[bytes, bytes], bytes]


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.is_closed = b"", False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 50000)}.get(
            name, default
        )

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


FOUND: list[Heard] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Notes what it hears."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    headers = {name: value.strip() for name, value in scope["headers"]}
    FOUND.append((scope["method"], scope["path"], headers, body))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


CONFIG = uvicorn.Config(app, http=BoundedProtocol, log_config=None, lifespan="off")


async def heard(*parts: bytes) -> tuple[list[Heard], bytes]:
    """What the app hears of bytes that come in these parts, and what the client gets."""
    if not CONFIG.loaded:
        CONFIG.load()
    FOUND.clear()
    transport = _Transport()
    protocol = BoundedProtocol(CONFIG, ServerState(), {})
    protocol.connection_made(transport)
    for part in parts:
        protocol.data_received(part)
        for _ in range(3):
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    protocol._unset_keepalive_if_required()
    protocol.connection_lost(None)
    return list(FOUND), transport.written


def request(lines: list[bytes], body: bytes, *, chunked: bool = False) -> bytes:
    head = [b"POST /predict HTTP/1.1", b"Host: h2c.example", *lines]
    if chunked:
        head.append(b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"", b""]) + body


def expected(lines: list[bytes]) -> dict[bytes, bytes]:
    pairs = [line.partition(b":") for line in lines]
    return {name.lower(): value.strip() for name, _, value in pairs}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("words", OFFERS)
def test_a_request_cut_anywhere_is_heard_as_it_was_sent(words: str, chunked: bool) -> None:
    asyncio.run(cut_everywhere(OFFERS[words], chunked=chunked))


async def cut_everywhere(lines: list[bytes], *, chunked: bool) -> None:
    content = request(lines, BODY, chunked=chunked)
    wanted = expected(lines)
    for cut in range(1, len(content)):
        found, answer = await heard(content[:cut], content[cut:])
        assert len(found) == 1, (cut, found)
        method, path, headers, body = found[0]
        assert (method, path, body) == ("POST", "/predict", BODY), cut
        assert {name: headers.get(name) for name in wanted} == wanted, cut
        assert headers.keys() - wanted.keys() <= {b"host", b"content-length", b"transfer-encoding"}
        assert answer.startswith(b"HTTP/1.1 200"), cut


def test_requests_behind_an_offer_are_heard_each_on_its_own() -> None:
    """An injected line break would move where the second one begins."""
    asyncio.run(cut_pipelined())


async def cut_pipelined() -> None:
    lines = OFFERS["h2c"]
    plain = b"GET /model HTTP/1.1\r\nHost: here\r\nX-A: websocket \r\n\r\n"
    bare = b"GET /health HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    content = request(lines, BODY) + plain + bare + request(lines, BODY, chunked=True) + plain
    for cut in range(1, len(content), 7):
        found, answer = await heard(content[:cut], content[cut:])
        assert [each[1] for each in found] == [
            *("/predict", "/model", "/health", "/predict", "/model")
        ], cut
        assert [each[3] for each in found] == [BODY, b"", b"", BODY, b""], cut
        assert answer.count(b"HTTP/1.1 200") == 5, cut


def test_a_packet_boundary_inserts_no_line_break() -> None:
    """The first packet ends inside a header whose value is an upgrade's name."""
    first = b"GET /model HTTP/1.1\r\nHost: here\r\nX-A: websocket "
    found, _ = asyncio.run(heard(first, b"X-Request-Id: injected-id\r\n\r\n"))
    assert found[0][2] == {b"host": b"here", b"x-a": b"websocket X-Request-Id: injected-id"}


def test_a_key_behind_the_body_is_no_key() -> None:
    """Trailers come after the decision who asks, and proxies do not look at them."""
    body = b"2\r\n{}\r\n0\r\nX-API-Key: secret\r\nAuthorization: Bearer secret\r\n\r\n"
    head = b"POST /predict HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    found, _ = asyncio.run(heard(head + body))
    assert found == [
        ("POST", "/predict", {b"host": b"here", b"transfer-encoding": b"chunked"}, b"{}")
    ]
