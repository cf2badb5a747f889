"""HTTP as bytes on a socket: what a client library would refuse to send."""

import contextlib
import json
import socket
import time
from dataclasses import dataclass
from typing import Any, Self

CRLF = b"\r\n"


@dataclass(frozen=True)
class RawAnswer:
    """One answer as it came.

    Attributes:
        headers: By lower-case name; of two the last.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class SilentServerError(Exception):
    """The server neither answered nor closed the connection in time."""


class Wire:
    """One connection; nothing waits for longer than `patience`.

    Args:
        port: Of 127.0.0.1.
        patience: Seconds.
    """

    def __init__(self, port: int, patience: float = 10) -> None:
        self.patience = patience
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, content: bytes) -> bool:
        """Send; False where the server has closed the connection, as it may on a bad request."""
        try:
            self._socket.sendall(content)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def end(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def answer(self, patience: float | None = None, *, head_only: bool = False) -> RawAnswer | None:
        """The next answer; None where the server has closed the connection instead.

        Raises:
            SilentServerError: If neither happens in time.
        """
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        while b"\r\n\r\n" not in self._unread:
            if not self._more(deadline):
                return None
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        status = int(first.split(" ")[1])
        if status < 200 or head_only or status in (204, 304):
            return RawAnswer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return RawAnswer(status, headers, self._chunks(deadline))
        if "content-length" in headers:
            return RawAnswer(status, headers, self._take(int(headers["content-length"]), deadline))
        while self._more(deadline):
            pass
        body, self._unread = self._unread, b""
        return RawAnswer(status, headers, body)

    def is_closed(self) -> bool:
        """Whether the server has closed the connection, or does so at once."""
        try:
            while self._more(time.monotonic() + 0.001):
                pass
        except SilentServerError:
            return False
        return True

    def _more(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            raise SilentServerError
        self._socket.settimeout(left)
        try:
            received = self._socket.recv(1 << 20)
        except TimeoutError as error:
            raise SilentServerError from error
        except ConnectionResetError:
            return False
        self._unread += received
        return bool(received)

    def _take(self, count: int, deadline: float) -> bytes:
        while len(self._unread) < count:
            if not self._more(deadline):
                break
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken

    def _chunks(self, deadline: float) -> bytes:
        body = b""
        while True:
            while CRLF not in self._unread:
                if not self._more(deadline):
                    return body
            size, _, self._unread = self._unread.partition(CRLF)
            body += self._take(int(size, 16), deadline)
            self._take(2, deadline)
            if int(size, 16) == 0:
                return body


class Asker:
    """Asks one request after another, on one connection as long as the server keeps it."""

    def __init__(self, port: int, patience: float = 10) -> None:
        self._port, self._patience = port, patience
        self._wire: Wire | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._wire is not None:
            self._wire.__exit__()

    def ask(self, request: bytes) -> RawAnswer:
        """The answer to a well-framed request.

        Raises:
            SilentServerError: If there is none in time.
            ConnectionError: If a new connection is closed without an answer.
        """
        for _ in range(2):
            if self._wire is None:
                self._wire = Wire(self._port, self._patience)
            self._wire.send(request)
            answer = self._wire.answer()
            if answer is not None:
                return answer
            self._wire.__exit__()
            self._wire = None
        raise ConnectionError("the connection was closed without an answer")


def post(
    path: str,
    body: bytes,
    content_type: str = "application/json",
    *headers: str,
) -> bytes:
    """A well-formed request."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
