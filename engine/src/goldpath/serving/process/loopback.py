"""The real service in a process of its own on 127.0.0.1, for as long as a check needs it."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldpath.errors import ProjectError
from goldpath.models.folders import VARIABLE
from goldpath.serving.process.health import own_machine_opener
from goldpath.settings import Settings

START_SECONDS = 120.0
STOP_SECONDS = 20.0
ANSWER_SECONDS = 30.0


class LoopbackError(ProjectError):
    """The service did not come up, or answered what it must not."""


@dataclass(frozen=True)
class LoopbackService:
    """A running service.

    Attributes:
        url: Where it listens.
        log: What it printed.
        api_key: What requests carry.
    """

    url: str
    log: Path
    api_key: str

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of an answer; status 0 where nothing listens."""
        return self._send(urllib.request.Request(self.url + path))  # noqa: S310  http only

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON answer to a JSON body.

        Raises:
            LoopbackError: If the answer is not 200.
        """
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["X-API-Key"] = self.api_key
        data = json.dumps(body).encode()
        status, answer = self._send(
            urllib.request.Request(  # noqa: S310  http only
                self.url + path, data=data, headers=headers
            )
        )
        if status != 200:
            raise LoopbackError(
                f"POST {path} answered {status}: {json.dumps(answer)[:300]}", f"read {self.log}"
            )
        return answer

    def _send(self, request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
        try:
            with own_machine_opener().open(request, timeout=ANSWER_SECONDS) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            content = error.read()
            try:
                return error.code, json.loads(content)
            except ValueError:
                return error.code, {"detail": content.decode(errors="replace")}
        except (OSError, ValueError):
            return 0, {}


@contextmanager
def loopback_service(
    settings: Settings, name: str, variables: Mapping[str, str]
) -> Iterator[LoopbackService]:
    """Start the service on a free port, wait until it is ready, and stop it as Ctrl-C would.

    Args:
        settings: The project.
        name: Of the log in `run/`.
        variables: Environment variables for the service beside those of this process.

    Raises:
        LoopbackError: If it ends, or is not ready in time; says what it lacks.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings.run_directory.mkdir(parents=True, exist_ok=True)
    log = settings.run_directory / f"{name}.log"
    environment = {
        **os.environ,
        "MLOPS_ROOT": str(settings.root),
        VARIABLE: settings.model,
        "MLOPS_SERVING__HOST": "127.0.0.1",
        "MLOPS_SERVING__PORT": str(port),
        **variables,
    }
    # Whatever the service asks for, a key that only this process knows opens it.
    key = settings.serving.api_key.get_secret_value() or secrets.token_urlsafe(32)
    environment["MLOPS_SERVING__API_KEY"] = key
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", settings.project.name, "serve"],
            cwd=settings.root,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = LoopbackService(f"{settings.serving.scheme}://127.0.0.1:{port}", log, key)
    try:
        _wait_until_ready(service, process)
        yield service
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(service: LoopbackService, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    missing = ""
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LoopbackError(
                f"the service ended with {process.returncode}", f"read {service.log}"
            )
        status, answer = service.get("/ready")
        if status == 200:
            return
        missing = "; ".join(answer.get("missing") or ())
        if "cannot serve" in missing:
            break
        time.sleep(0.1)
    raise LoopbackError(
        f"the service did not get ready: {missing or 'it does not answer'}", f"read {service.log}"
    )
