"""What alerts are sent to in tests: a web server that keeps what it is sent, and a mail server."""

import email
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hooks(ThreadingHTTPServer):
    """Keeps every JSON body with its path and when it came; answers `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.bodies: list[tuple[float, str, Any]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Hook)

    def of(self, path: str) -> list[Any]:
        """What was sent to a path, the oldest first."""
        return [body for _, each, body in list(self.bodies) if each == path]


class _Hook(BaseHTTPRequestHandler):
    server: Hooks

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 200:
            self.server.bodies.append((time.monotonic(), self.path, body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it
        pass


class MailServer(socketserver.ThreadingTCPServer):
    """Takes e-mails as a mail server would, and keeps them."""

    daemon_threads = True

    def __init__(self) -> None:
        self.mails: list[Message] = []
        super().__init__(("127.0.0.1", 0), _Mail)


class _Mail(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.say("220 ready")
        while line := self.rfile.readline().strip().upper():
            if line.startswith(b"DATA"):
                self.say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                content = b"".join(each.removeprefix(b".") for each in lines)
                self.server.mails.append(email.message_from_bytes(content))
            elif line.startswith(b"QUIT"):
                return self.say("221 bye")
            self.say("250 ok")
        return None

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def running(server: socketserver.TCPServer) -> Iterator[None]:
    """Let a server answer for as long as the block lasts."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_until(holds: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until something holds; how many seconds it took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - began
