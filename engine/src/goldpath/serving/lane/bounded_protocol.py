"""Uvicorn's HTTP/1.1 with the bounds that it lacks.

Uvicorn reads heads, trailers and chunk extensions of any size (100 MB of header lines took 2 GB),
parses pipelined requests faster than it answers them, and drops the body of a request that offers
an upgrade which it does not know, as Java's client does with each request over plain HTTP.
"""

import json
import re
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_OVERHEAD = 65_536
"""Bytes of a request that are not its body."""

CHUNK_FRAMING = 16
"""Bytes that a chunk may take besides its content."""

_OFFERED = re.compile(rb"\r\nupgrade:[ \t]*(?:h2c|websocket)[ \t]*(?=\r\n)", re.IGNORECASE)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _overhead = 0
    _is_in_message = False

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse what holds too much besides its body."""
        if not self._is_in_message and (b"h2c" in data or b"websocket" in data):
            head, end, body = data.partition(b"\r\n\r\n")
            data = _OFFERED.sub(b"", head + b"\r\n") + end[2:] + body
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > MOST_OVERHEAD and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_in_message = True
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Only what is no body counts."""
        self._overhead = max(0, self._overhead - len(body) - CHUNK_FRAMING)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come to its end."""
        self._is_in_message = False
        self._overhead = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Read on only where nothing is left to answer."""
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; what is still being answered has nobody to go to."""
        self._give_up_answers()
        super().send_400_response(msg)

    def _refuse(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not (is_answering and (self.pipeline or self.cycle.response_started)):
            self.transport.write(_TOO_LARGE)
        self._give_up_answers()
        self.transport.close()

    def _give_up_answers(self) -> None:
        for cycle in (self.cycle, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()


def refusal(status: HTTPStatus, detail: str, fix: str) -> bytes:
    """An answer that ends the connection, as HTTP/1.1 writes it."""
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "detail": detail,
        "fix": fix,
    }
    body = json.dumps(problem)
    return (
        f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}"
    ).encode()


_TOO_LARGE = refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"more than {MOST_OVERHEAD} bytes of the request are not its body",
    "send fewer or shorter headers",
)
