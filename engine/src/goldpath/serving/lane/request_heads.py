"""The heads of requests that the fast lane may answer: read once, then known by their bytes.

A client that keeps its connection sends the same head with each request, byte for byte. What
httptools (the parser that Uvicorn uses) read from it once holds for every other time.
"""

import re
from collections.abc import Container
from dataclasses import dataclass

import httptools

from goldpath.serving.security import API_KEY_HEADER

END_OF_HEAD = b"\r\n\r\n"
LONGEST_HEAD = 4096
REMEMBERED_HEADS = 2048
JSON = b"application/json"
KEY_HEADERS = (API_KEY_HEADER.lower().encode(), b"authorization")
REQUEST_ID, FORWARDED = b"x-request-id", b"x-forwarded-for"
# Whatever they ask for is left to Uvicorn and the app.
OTHERS = frozenset((b"content-encoding", b"origin"))
FRAMING = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"connection"))


@dataclass(frozen=True, slots=True)
class Head:
    """What the lane has to know about a request before it sees the body.

    Attributes:
        path: The route.
        size: Bytes of the head, with the empty line behind it.
        length: Bytes of the body.
        credential: The header that says who asks (its name in lower case, its value).
        request_id: What the client calls the request.
        trace: Its trace context.
        pin: The model version that it asks for.
        forwarded: Whom a proxy says that it comes from.
    """

    path: str
    size: int = 0
    length: int = 0
    credential: tuple[bytes, bytes] | None = None
    request_id: bytes = b""
    trace: bytes = b""
    pin: bytes = b""
    forwarded: bytes = b""


def read_headers(path: str, headers: list[tuple[bytes, bytes]], size: int = 0) -> Head | None:
    """The head that these headers make; None where they ask for more than a plain prediction.

    Args:
        path: The route.
        headers: Names in lower case, and values.
        size: Bytes of the head; 0 where a server has read it and knows how long the body is.
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        is_usual = name == b"connection" and value.lower() == b"keep-alive"
        if name in OTHERS or (size and name in FRAMING and not is_usual):
            return None
        if name in found and name in _READ:
            return None
        found[name] = value
    length = found.get(b"content-length", b"" if size else b"0")
    media_type = found.get(b"content-type", b"").partition(b";")[0].strip().lower()
    credentials = [(name, found[name]) for name in KEY_HEADERS if name in found]
    request_id = found.get(REQUEST_ID, b"")
    if media_type != JSON or not length.isdigit() or len(length) > 12 or len(credentials) > 1:
        return None
    if request_id and _REQUEST_ID.fullmatch(request_id) is None:
        return None
    return Head(
        path=path,
        size=size,
        length=int(length),
        credential=credentials[0] if credentials else None,
        request_id=request_id,
        trace=found.get(b"traceparent", b""),
        pin=found.get(b"x-model-version", b""),
        forwarded=found.get(FORWARDED, b""),
    )


class RequestHeads:
    """Reads the heads of requests to some paths.

    Args:
        paths: The paths that the lane answers.
    """

    def __init__(self, paths: Container[str]) -> None:
        self._paths = paths
        self._known: dict[bytes, Head] = {}

    def of(self, data: bytes) -> Head | None:
        """The head that the data begins with; None where the lane has nothing to do with it."""
        end = data.find(END_OF_HEAD, 0, LONGEST_HEAD)
        text = data[:end]
        known = self._known.get(text)
        if known is not None or not text.startswith(b"POST /predict") or end < 0:
            return known
        head = _parse(text, self._paths)
        # Each request has another id or trace, so that such a head is not worth remembering.
        if head is not None and not (head.request_id or head.trace):
            if len(self._known) >= REMEMBERED_HEADS:
                self._known.clear()
            self._known[text] = head
        return head


class _Reader:
    """Takes what the parser finds."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_complete = False
        self.has_more = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_complete = True

    def on_body(self, _: bytes) -> None:
        self.has_more = True

    def on_message_complete(self) -> None:
        self.has_more = True


def _parse(text: bytes, paths: Container[str]) -> Head | None:
    reader = _Reader()
    parser = httptools.HttpRequestParser(reader)
    try:
        parser.feed_data(text + END_OF_HEAD)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    path = reader.url.decode("latin-1")
    is_whole = reader.is_complete and not reader.has_more
    is_usual = parser.get_method() == b"POST" and parser.get_http_version() == "1.1"
    if not is_whole or not is_usual or not parser.should_keep_alive() or path not in paths:
        return None
    return read_headers(path, reader.headers, len(text) + len(END_OF_HEAD))


_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_READ = frozenset(
    (b"content-length", b"content-type", b"x-model-version", REQUEST_ID, b"traceparent", FORWARDED)
) | set(KEY_HEADERS)
