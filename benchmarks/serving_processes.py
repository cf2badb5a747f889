"""A server of the serving benchmark with all its processes: start, CPU time, memory, stop."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 15.0
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A process in a session of its own, and what it starts.

    Args:
        command: What to run.
        variables: Environment variables beside this process's.
        log: Takes what it prints.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        """Start it."""
        # Without these a scikit-learn server starts a thread a core for one row.
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "MLFLOW_"))}
        inherited.pop("PYTHONPATH", None)
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # it would compile all it imports, each time
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                list(command),
                env={**inherited, **one_thread, **variables},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def cpu_seconds(self) -> float:
        """Processor time of all its processes until now."""
        return sum((int(fields[11]) + int(fields[12])) / TICKS for _, fields in self._members())

    def memory_mib(self) -> float:
        """Proportional set size of all its processes: what is shared counts once."""
        total = 0
        for pid, _ in self._members():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            except OSError:
                continue
            total += next(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:")
        return total / 1024

    def stop(self) -> None:
        """End it as Ctrl-C would; what is still there after a while is killed, each by its id."""
        members = {pid for pid, _ in self._members()}
        if not self.ended:
            self._process.send_signal(signal.SIGINT)
        until = time.monotonic() + STOP_SECONDS
        while (members := members | {pid for pid, _ in self._members()}) and any(
            _is_alive(pid) for pid in members
        ):
            self._process.poll()
            if time.monotonic() > until:
                for pid in members:
                    _kill(pid)
                break
            time.sleep(0.05)
        self._process.wait()

    def tail(self) -> str:
        """The last line of what it printed that says something."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no output")

    def _members(self) -> list[tuple[int, list[str]]]:
        """Its processes, each with the fields of /proc/PID/stat behind the name."""
        found: dict[int, list[str]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                except OSError:
                    continue
                found[int(entry.name)] = text.rpartition(")")[2].split()
        top = self._process.pid
        members = {pid for pid, fields in found.items() if pid == top or int(fields[3]) == top}
        # A process that has opened a session of its own is found by its parents.
        while True:
            more = {p for p, fields in found.items() if int(fields[1]) in members} - members
            if not more:
                break
            members |= more
        return [(pid, found[pid]) for pid in members if pid in found]


def busy_seconds() -> float:
    """Processor time that this machine has spent on anything."""
    text = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    user, nice, system, _, _, *interrupts = (int(field) for field in text.split()[1:8])
    return (user + nice + system + sum(interrupts)) / TICKS


def free_port() -> int:
    """The first of three ports of 127.0.0.1 that are free now."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        try:
            for other in (port + 1, port + 2):
                socket.create_server(("127.0.0.1", other)).close()
        except OSError:
            continue
        return port


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
