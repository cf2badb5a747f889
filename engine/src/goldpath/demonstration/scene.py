"""Where the demonstration plays: a project of its own, and somebody who is told of alerts."""

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from goldpath.services.processes import stop_server
from goldpath.settings import Settings, load_settings

FOLDER = "demo-drift"
COPIED = ("config", "infra")
SETTINGS_PREFIXES = ("MLOPS_", "MLFLOW_")
LEFT_OUT = (
    "environments",
    "keys",
    "access.yaml",
    "lake.yaml",
    "prediction_log.yaml",
    "registry.yaml",
    "serving.yaml",
)
"""Their defaults stay on this machine; what they name may be a team's lake, stream or webhook."""

STORE = {
    "MLOPS_FEATURES__ONLINE_STORE": "sqlite",
    "MLOPS_FEATURES__URL": "lake/online.db",
    # An alert's message to 127.0.0.1 goes through no proxy.
    "no_proxy": "127.0.0.1",
}
"""The views of features.yaml are the project's, and their store is the demonstration's."""


class MessageBoard(ThreadingHTTPServer):
    """Stands for a team's channel: keeps the messages that Alertmanager sends, and when."""

    daemon_threads = True

    def __init__(self) -> None:
        self.messages: list[tuple[float, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), _Message)

    @property
    def url(self) -> str:
        """Where messages are sent."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def first(self, status: str) -> tuple[float, dict[str, Any]] | None:
        """The first message that an alert fires, or is resolved."""
        return next((each for each in list(self.messages) if each[1]["status"] == status), None)


class _Message(BaseHTTPRequestHandler):
    server: MessageBoard
    timeout = 10

    def do_POST(self) -> None:
        """Keep a message."""
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.messages.append((time.time(), json.loads(content)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """What arrives is shown by the demonstration."""


@contextmanager
def message_board() -> Iterator[MessageBoard]:
    """A board that takes messages for as long as the block lasts."""
    with MessageBoard() as board:
        thread = threading.Thread(target=board.serve_forever, daemon=True)
        thread.start()
        try:
            yield board
        finally:
            board.shutdown()
            thread.join()


@contextmanager
def project_of_its_own(settings: Settings, variables: Mapping[str, str]) -> Iterator[Settings]:
    """A fresh project in `run/demo-drift`, with this one's contract, definitions and limits.

    Lake, stores, registry, logs and servers are its own, whatever this project's variables and
    `config/` name: nothing of the demonstration reaches a team's registry. Its servers are stopped
    at the end, and what it made stays to be looked at until the next time.

    Args:
        settings: The project that is demonstrated.
        variables: Settings of the demonstration, as environment variables.
    """
    root = settings.run_directory / FOLDER
    stop_server("prometheus", root / "run")  # of a demonstration that was killed
    shutil.rmtree(root, ignore_errors=True)
    for folder in COPIED:
        shutil.copytree(
            settings.root / folder,
            root / folder,
            ignore=shutil.ignore_patterns(*LEFT_OUT),
        )
    before = dict(os.environ)
    for name in before:
        if name.startswith(SETTINGS_PREFIXES):
            del os.environ[name]
    os.environ.update({**STORE, **variables})
    try:
        yield load_settings(root, settings.project)
    finally:
        stop_server("prometheus", root / "run")
        os.environ.clear()
        os.environ.update(before)


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
