"""Start and stop local servers in the background, and leave nothing behind.

A server is one or several commands. Each runs in a session of its own with its output in
`run/<name>-<command>.log`; `run/<name>.json` says which processes they are.
"""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from goldpath.errors import ProjectError
from goldpath.presentation import progress_console, step
from goldpath.services.process_table import SUPERVISOR, Family, Leader, PidFile, start_time
from goldpath.services.supervision import Heartbeats
from goldpath.settings import ENVIRONMENT_PREFIX

HOST = "127.0.0.1"
LOG_LINES = 20
POLL_SECONDS = 0.2
SERVERS = ("airflow", "mlflow", "prometheus")
SUPERVISION = "goldpath.services.supervision"

# A proxy of the environment must not answer for 127.0.0.1.
_direct = build_opener(ProxyHandler({}))


class ServerError(ProjectError):
    """A server did not start or did not stop."""


@dataclass(frozen=True)
class ServerSpec:
    """A server to start.

    Attributes:
        name: Names the pid file and the logs, and the `-up` and `-down` commands.
        commands: Each command's name and arguments; all of them together are the server.
        port: The port it answers on, at 127.0.0.1.
        ready_url: Answers 2xx when the server is up.
        url: What a person opens.
        port_setting: The setting to change where the port is taken: `servers.mlflow_port`.
        environment: Variables on top of this process's.
        working_directory: Where the commands run; here where it is not given.
        ready_timeout: Seconds until a start counts as failed.
        missing: Asked once ready_url answers: what the server still lacks, empty when it is ready.
        message: What to tell a person when it is up.
        supervised: Whether a command that ends later is started again.
        heartbeats: Where the server says which of its commands still work; one that lives and does
            nothing is started again, too.
        further_ports: Other ports that must be free for a start, by the setting that chose them.
    """

    name: str
    commands: Mapping[str, Sequence[str]]
    port: int
    ready_url: str
    url: str
    port_setting: str
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: Path | None = None
    ready_timeout: float = 120.0
    missing: Callable[[], str] | None = None
    message: str = ""
    supervised: bool = False
    heartbeats: Heartbeats | None = None
    further_ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ServerStatus:
    """What became of a server; `supervision` says which of its commands had to be started again."""

    name: str
    state: Literal["started", "already running", "running", "stopped", "not running"]
    url: str = ""
    log: str = ""
    message: str = ""
    supervision: str = ""


def start_server(spec: ServerSpec, run_directory: Path) -> ServerStatus:
    """Start a server and wait until it is ready.

    Args:
        spec: What to start.
        run_directory: Where pid files and logs are kept.

    Returns:
        `started`, or `already running` where it was.

    Raises:
        ServerError: If the port is taken, a command ends early or the time is up. Nothing of
            the server is left running then.
    """
    run_directory.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(run_directory / f"{spec.name}.lock"):
        path = run_directory / f"{spec.name}.json"
        if found := PidFile.read(path):
            living = {process.pid for process in Family(found.leaders).living()}
            # What a living supervisor has not got back yet, it will.
            needed = [found.supervisor] if found.supervisor else found.leaders
            if all(leader.pid in living for leader in needed):
                return replace(
                    server_status(spec.name, run_directory),
                    state="already running",
                    message=spec.message,
                )
            step(f"The last {spec.name} is only half there: stopping the rest of it")
            stop_server(spec.name, run_directory)
        for setting, port in {spec.port_setting: spec.port, **spec.further_ports}.items():
            require_free_port(port, setting)
        return _start(spec, path)


def stop_server(name: str, run_directory: Path, grace: float = 20.0) -> ServerStatus:
    """Stop a server and everything it started, and wait until it is gone.

    Args:
        name: The server's name.
        run_directory: Where its pid file is.
        grace: Seconds that a process has after each signal before the next, harder one.

    Returns:
        `stopped`, or `not running` where there was nothing to stop.

    Raises:
        ServerError: If a process survives all of that.
    """
    path = run_directory / f"{name}.json"
    found = PidFile.read(path)
    if found is None or not Family(found.leaders).living():
        path.unlink(missing_ok=True)
        return ServerStatus(name, "not running")
    with progress_console.status(f"Stopping {name} …"):
        _stop(found.leaders, grace)
    path.unlink(missing_ok=True)
    return ServerStatus(name, "stopped", log=found.log)


def server_status(name: str, run_directory: Path) -> ServerStatus:
    """Say whether a server's processes are alive; asks nothing of the server itself."""
    found = PidFile.read(run_directory / f"{name}.json")
    if found is None or not Family(found.leaders).living():
        return ServerStatus(name, "not running")
    return ServerStatus(name, "running", found.url, found.log, supervision=_supervision(found))


def shown_servers(run_directory: Path) -> dict[str, str]:
    """The background servers that run, each with its address and what its supervisor did."""
    found = (server_status(name, run_directory) for name in SERVERS)
    return {
        each.name: "; ".join(filter(None, [each.url, each.supervision]))
        for each in found
        if each.state == "running"
    }


def require_free_port(port: int, setting: str) -> None:
    """Refuse a port that another program holds.

    Args:
        port: The port on 127.0.0.1.
        setting: The setting that chose it, `section.name`; named in the error.

    Raises:
        ServerError: If the port cannot be used.
    """
    variable = ENVIRONMENT_PREFIX + setting.upper().replace(".", "__")
    another = port + 1 if port < 65535 else port - 1
    fix = f"stop that program, or take another port ({setting}): {variable}={another}"
    with socket.socket() as probe:
        probe.settimeout(1)
        # macOS lets a second program bind 127.0.0.1 beside one that listens on every address.
        if probe.connect_ex((HOST, port)) == 0:
            raise ServerError(f"port {port} is in use by another program", fix)
    with socket.socket() as probe:
        # Sockets of a server that just ended linger; they are no obstacle to a new one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ServerError(f"port {port} is in use by another program", fix) from error
            raise ServerError(
                f"port {port} cannot be used: {error.strerror}",
                f"take another port ({setting}): {variable}={max(another, 1024)}",
            ) from error


def answers(url: str, timeout: float = 5.0) -> bool:
    """Whether a GET of the URL gets a 2xx."""
    try:
        with _direct.open(url, timeout=timeout) as response:
            return bool(200 <= response.status < 300)
    except HTTPError as error:
        error.close()
        return False
    except (OSError, ValueError):
        return False


def tail(log: Path) -> str:
    """The last lines of a log, for an error message."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join([f"The last lines of {log.name}:", *(lines or ["(it is empty)"])])


def _supervision(found: PidFile) -> str:
    if found.supervisor is None:
        return ""
    if start_time(found.supervisor.pid) != found.supervisor.started:
        return f"its supervisor has ended: make {found.path.stem}-up starts all of it again"
    return ", ".join(
        f"{command} ended and was started again {count} times"
        if count > 1
        else f"{command} ended once and was started again"
        for command, count in found.restarts.items()
    )


def _start(spec: ServerSpec, path: Path) -> ServerStatus:
    logs = {command: path.parent / f"{spec.name}-{command}.log" for command in spec.commands}
    first_log = str(next(iter(logs.values())))
    running: dict[str, subprocess.Popen[bytes]] = {}
    leaders: list[Leader] = []
    commands = spec.commands
    if spec.supervised:
        logs[SUPERVISOR] = path.parent / f"{spec.name}-{SUPERVISOR}.log"
        described = json.dumps({name: list(words) for name, words in commands.items()})
        told = [json.dumps(asdict(spec.heartbeats))] if spec.heartbeats else []
        commands = {SUPERVISOR: [sys.executable, "-m", SUPERVISION, str(path), described, *told]}
    step(f"Starting {spec.name} on port {spec.port}")
    try:
        for command, arguments in commands.items():
            process = _spawn(spec, arguments, logs[command])
            running[command] = process
            leaders.append(Leader(command, process.pid, start_time(process.pid) or ""))
            PidFile(path, spec.url, first_log, tuple(leaders)).write()
        _wait_until_ready(spec, running, logs, path)
    except BaseException:  # Ctrl-C too: an unfinished start leaves nothing
        found = PidFile.read(path)
        _stop(found.leaders if found else leaders, grace=5)
        path.unlink(missing_ok=True)
        raise
    return ServerStatus(spec.name, "started", spec.url, first_log, spec.message)


def _spawn(spec: ServerSpec, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **spec.environment}
    # Importing without compiled files costs servers like these 2.5 times the processor time.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        with log.open("wb") as output:
            return subprocess.Popen(
                list(arguments),
                cwd=spec.working_directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise ServerError(
            f"{spec.name}: cannot run {arguments[0]}: {error.strerror}", "make setup"
        ) from error


def _wait_until_ready(
    spec: ServerSpec,
    running: Mapping[str, subprocess.Popen[bytes]],
    logs: Mapping[str, Path],
    path: Path,
) -> None:
    began = time.monotonic()
    lacks = f"an answer from {spec.ready_url}"
    with progress_console.status("") as spinner:
        while (waited := time.monotonic() - began) < spec.ready_timeout:
            spinner.update(f"{spec.name}: waiting for {lacks} ({waited:.0f} s)")
            for command, process in running.items():
                if (code := process.poll()) is not None:
                    raise ServerError(
                        f"{spec.name}: {command} ended with exit code {code}.\n"
                        f"{tail(logs[command])}",
                        f"read {logs[command]}",
                    )
            if spec.supervised and (command := _ended(path)):
                # Later it would be started again; now it is a start that failed.
                raise ServerError(
                    f"{spec.name}: {command} ended while {spec.name} was starting.\n"
                    f"{tail(logs[command])}",
                    f"read {logs[command]}",
                )
            if answers(spec.ready_url):
                lacks = spec.missing() if spec.missing else ""
                if not lacks:
                    return
            time.sleep(POLL_SECONDS)
    tails = "\n".join(tail(log) for log in logs.values())
    raise ServerError(
        f"{spec.name}: still waiting for {lacks} after {spec.ready_timeout:.0f} s.\n{tails}",
        f"read {', '.join(map(str, logs.values()))}",
    )


def _ended(path: Path) -> str:
    """A supervised command that has ended, or was started again; empty where there is none."""
    found = PidFile.read(path)
    if found is None:
        return ""
    living = {process.pid for process in Family(found.leaders).living()}
    gone = [leader.command for leader in found.leaders if leader.pid not in living]
    return next(iter([*found.restarts, *gone]), "")


def _stop(leaders: Sequence[Leader], grace: float) -> None:
    if survivors := Family(leaders).stop(grace):
        pids = ", ".join(str(process.pid) for process in survivors)
        raise ServerError(
            f"processes {pids} survived SIGKILL", "they wait for a disk or the kernel: try again"
        )


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Let a second start wait for the first; the lock goes with the process that holds it."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
