"""Uvicorn's HTTP/1.1 with the bounds that it lacks.

Uvicorn reads heads, trailers and chunk extensions of any size (100 MB of header lines took 2 GB),
parses pipelined requests faster than it answers them, takes trailers for headers (so that a key
could come after the body), and drops the body of a request that offers an upgrade which it does not
know, as Java's client does with each request over plain HTTP.
"""

import json
from http import HTTPStatus

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_OVERHEAD = 65_536
"""Bytes of a request that are not its body."""

CHUNK_FRAMING = 16
"""Bytes that a chunk may take besides its content."""

_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _overhead = 0
    _is_head_read = False

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse what holds too much besides its body."""
        self._overhead += len(data)
        self._unset_keepalive_if_required()
        while data:
            data = self._parse(data)
        if self._overhead > MOST_OVERHEAD and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._is_head_read:
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        if not self._is_head_read:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes behind the body is a trailer and says nothing here."""
        if not self._is_head_read:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start to answer; the body follows."""
        if not self._is_head_read:
            self._is_head_read = True
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Only what is no body counts."""
        self._overhead = max(0, self._overhead - len(body) - CHUNK_FRAMING)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come to its end."""
        if self.parser.should_upgrade():
            return  # the parser leaves the body to the other protocol; see `_decline_upgrade`
        self._is_head_read = False
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

    def _should_upgrade(self) -> bool:
        """Never: HTTP/1.1 is all that is spoken here."""
        return False

    def _parse(self, data: bytes) -> bytes:
        """Parse; returns what is left behind a head that offers an upgrade."""
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._decline_upgrade()
                return data[offer.args[0] :]
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
        return b""

    def _decline_upgrade(self) -> None:
        """Let the parser go on with the body of a request whose offered upgrade is not taken.

        It takes what follows for another protocol and begins anew. So it gets a head that frames
        the body in the same way and offers nothing, of which nobody hears. No byte of a client is
        ever changed or removed: where requests end must be what every proxy reads, too.
        """
        lines = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] in _FRAMING]
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n")

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
