"""Free ports, foreground servers, and what a command left running."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.ports import free_port

# The variable of each port, and the port that the documents show.
PORTS = {
    "MLOPS_SERVING__PORT": 8000,
    "MLOPS_SERVERS__MLFLOW_PORT": 5000,
    "MLOPS_SERVERS__AIRFLOW_PORT": 8080,
    "MLOPS_SERVERS__AIRFLOW_METRICS_PORT": 9102,
    "MLOPS_MONITORING__PROMETHEUS_PORT": 9090,
    "MLOPS_MONITORING__ALERTMANAGER_PORT": 9093,
    "MLOPS_MONITORING__RECEIVER_PORT": 9095,
    "MLOPS_MONITORING__PAGE_PORT": 9096,
}
STOP_SECONDS = 30


def free_ports() -> dict[str, str]:
    """A free port for each variable: other tests, and outgoing connections, take none of them."""
    return {variable: str(free_port()) for variable in PORTS}


def with_ports(text: str, ports: dict[str, str]) -> str:
    """The text with the documented ports replaced by free ones; nothing else changes."""
    for variable, documented in PORTS.items():
        text = text.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{ports[variable]}")
    return text


def is_free(port: str) -> bool:
    """Whether nothing listens on the port."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", int(port))) != 0


def wait_for(url: str, server: subprocess.Popen[str], log: Path, seconds: float = 120) -> None:
    """Wait until the URL answers 200, or fail with the server's own words."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if urllib.request.urlopen(url, timeout=5).status == 200:
                return
        time.sleep(0.3)
    raise AssertionError(f"{url} did not answer (code {server.poll()}):\n{log.read_text()}")


@contextlib.contextmanager
def foreground(
    command: list[str], cwd: Path, env: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[str]]:
    """Run a server as a terminal would, and end it with Ctrl-C: SIGINT to its whole group."""
    with log.open("w") as stream:
        server = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            text=True,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            raise AssertionError(f"{command} did not stop on Ctrl-C:\n{log.read_text()}") from None


def left_running(folder: Path) -> dict[int, str]:
    """Processes that work in the folder or name it in their command, by process id."""
    found = {}
    inside = str(folder.resolve())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = str((entry / "cwd").readlink())
            if inside in command or cwd == inside or cwd.startswith(f"{inside}/"):
                found[int(entry.name)] = command
    return found


@contextlib.contextmanager
def nothing_left_behind(folder: Path, ports: dict[str, str]) -> Iterator[None]:
    """Fail where a process of the folder, or a listener on one of the ports, outlives the block."""
    try:
        yield
    finally:
        deadline = time.monotonic() + 10
        while (left := left_running(folder)) and time.monotonic() < deadline:
            time.sleep(0.5)
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        busy = [variable for variable, port in ports.items() if not is_free(port)]
    assert left == {}
    assert busy == []
