"""A proxy that fails as real ones do: drops connections, and answers 503 with Retry-After."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Self

Fault = str | bytes
"""`ok`, `drop` (before the request is passed on), `cut` (in the middle of the answer), or an
answer that the proxy gives itself."""


def refusal(status: int, *headers: str) -> bytes:
    """An answer of a proxy: a page for people, no problem details."""
    body = b"<h1>busy</h1>"
    lines = [f"HTTP/1.1 {status} Busy", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class FlakyProxy:
    """Stands before a service and takes one fault for each request, then none.

    Args:
        port: The service's.
        faults: In their order.

    Attributes:
        port: Where it listens.
        requests: How many it saw.
    """

    def __init__(self, port: int, faults: Iterable[Fault]) -> None:
        self._target = port
        self._faults = iter(faults)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        self.requests = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A blocked accept is only woken by a shutdown.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_all()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def drop_all(self) -> None:
        """Close every connection, as a proxy does with idle ones."""
        with self._lock:
            for each in self._open:
                _close(each)
            self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            while request := _message(client.recv):
                with self._lock:
                    self.requests += 1
                    fault = next(self._faults, "ok")
                if isinstance(fault, bytes):
                    client.sendall(fault)
                elif fault == "drop":
                    return
                else:
                    with socket.create_connection(("127.0.0.1", self._target)) as service:
                        service.sendall(request)
                        answer = _message(service.recv)
                    client.sendall(answer if fault == "ok" else answer[:-20])
                    if fault == "cut":
                        return
        except OSError:
            return
        finally:
            _close(client)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _message(receive: Callable[[int], bytes]) -> bytes:
    """One whole request or answer with a Content-Length; nothing where the peer has closed."""
    content = b""
    while b"\r\n\r\n" not in content:
        block = receive(65536)
        if not block:
            return b""
        content += block
    head, _, body = content.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        block = receive(65536)
        if not block:
            return b""
        body += block
    return head + b"\r\n\r\n" + body
