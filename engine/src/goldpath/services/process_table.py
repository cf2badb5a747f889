"""Which processes belong to a server: its process groups, and everything they started.

`PidFile` says so on disk, `Family` finds and stops them.

A process is known by its number and its start time together, because the system gives the number
of a dead process to a new one.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

PROC = Path("/proc")
SUPERVISOR = "supervisor"
"""The command that starts a server's other commands, and starts each again that has ended."""
# Ctrl-C's signal is the one every server here shuts down cleanly on; the others are fallbacks.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1  # as linux/prctl.h has it


@dataclass(frozen=True)
class Process:
    """One living process."""

    pid: int
    parent: int
    group: int
    started: str


@dataclass(frozen=True)
class Leader:
    """The first process of a server's command; its number is also its process group's."""

    command: str
    pid: int
    started: str


@dataclass(frozen=True)
class PidFile:
    """What `run/<name>.json` holds: the processes that a server is.

    Attributes:
        path: The file.
        url: What a person opens.
        log: The first command's log.
        leaders: The first process of each command; the supervisor first, where there is one.
        restarts: How often the supervisor started a command again, by the command's name.
    """

    path: Path
    url: str
    log: str
    leaders: tuple[Leader, ...]
    restarts: Mapping[str, int] = field(default_factory=dict)

    @property
    def supervisor(self) -> Leader | None:
        """The process that starts the others again; None where a server has none."""
        return next((each for each in self.leaders if each.command == SUPERVISOR), None)

    def write(self) -> None:
        """Replace the file at once, so that a reader finds the old content or the new."""
        content = {
            "url": self.url,
            "log": self.log,
            "leaders": [asdict(x) for x in self.leaders],
            "restarts": dict(self.restarts),
            "folder": str(self.path.parent.resolve()),
        }
        draft = self.path.with_suffix(f".{os.getpid()}.draft")
        draft.write_text(json.dumps(content, indent=2) + "\n")
        draft.replace(self.path)

    @classmethod
    def read(cls, path: Path) -> "PidFile | None":
        """The file's content; None where it is absent or is not one of ours."""
        try:
            content = json.loads(path.read_text())
            folder = Path(content.get("folder", path.parent))
            if folder.exists() and not folder.samefile(path.parent):
                return None  # a copy of another project's: its servers are not this one's
            leaders = tuple(Leader(**leader) for leader in content["leaders"])
            restarts = {str(k): int(v) for k, v in content.get("restarts", {}).items()}
            return cls(path, content["url"], content["log"], leaders, restarts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


class Family:
    """The leaders' groups and all their descendants, also those that opened a group of their own.

    Airflow runs each task in a new session: a signal to the leaders' groups would not reach it. A
    descendant that was seen once stays in the family after its parent is gone.

    Args:
        leaders: The first process of each command.
    """

    def __init__(self, leaders: Iterable[Leader]) -> None:
        self._leaders = tuple(leaders)
        self._seen: dict[int, Process] = {}

    def living(self) -> list[Process]:
        """The members that are alive now; a zombie is not."""
        table = process_table()
        # A group outlives its leader. Where the leader's number has a new owner, the group is gone.
        groups = {
            leader.pid
            for leader in self._leaders
            if leader.pid not in table or table[leader.pid].started == leader.started
        }
        members = {
            process.pid: process
            for process in table.values()
            if process.group in groups or self._was_seen(process)
        }
        children: dict[int, list[Process]] = {}
        for process in table.values():
            children.setdefault(process.parent, []).append(process)
        queue = list(members)
        while queue:
            for child in children.get(queue.pop(), []):
                if child.pid not in members:
                    members[child.pid] = child
                    queue.append(child.pid)
        self._seen = members
        return list(members.values())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every group that holds a living member."""
        for group in {process.group for process in self.living()} - {os.getpgrp()}:
            with suppress(ProcessLookupError):
                os.killpg(group, number)

    def stop(self, grace: float) -> list[Process]:
        """End every member: by SIGINT, else SIGTERM, else SIGKILL.

        Args:
            grace: Seconds that they have after each signal before the next, harder one.

        Returns:
            Those that are still alive.
        """
        for number in STOP_SIGNALS:
            self.signal(number)
            deadline = time.monotonic() + grace
            while time.monotonic() < deadline:
                self.reap()
                if not self.living():
                    return []
                if number is signal.SIGKILL:  # whatever was started while the last one was sent
                    self.signal(number)
                time.sleep(POLL_SECONDS)
        return self.living()

    def reap(self) -> None:
        """Collect the exit codes of leaders that this very process started."""
        for leader in self._leaders:
            with suppress(ChildProcessError):
                os.waitpid(leader.pid, os.WNOHANG)

    def _was_seen(self, process: Process) -> bool:
        seen = self._seen.get(process.pid)
        return seen is not None and seen.started == process.started


def end_with_parent() -> None:
    """Let Linux end this process with its parent, if it leads a session, as a task of Airflow does.

    Where Airflow's process of a task is killed, nobody else ends the task's command: Airflow tries
    the task again beside it, and the second one waits for the first one's lock on a table, or gives
    up at its lock on a training. Elsewhere than on Linux nothing happens.
    """
    if sys.platform == "linux" and os.getsid(0) == os.getpid():
        # The signal with which Airflow ends a task that it still knows of.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


def start_time(pid: int) -> str | None:
    """The start time of a living process, comparable and nothing more; None where there is none."""
    process = process_table().get(pid)
    return process.started if process else None


def process_table() -> dict[int, Process]:
    """Every living process by its number."""
    if (PROC / "self" / "stat").is_file():
        processes = (_read_stat(entry) for entry in PROC.iterdir() if entry.name.isdigit())
    else:
        listing = subprocess.run(
            ["ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart="],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        processes = (_read_ps(line) for line in listing.stdout.splitlines())
    return {process.pid: process for process in processes if process}


def _read_stat(entry: Path) -> Process | None:
    try:
        text = (entry / "stat").read_text(errors="replace")
    except OSError:  # it ended while the table was read
        return None
    # The name in parentheses may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    state, parent, group, started = fields[0], fields[1], fields[2], fields[19]
    return None if state in "ZX" else Process(int(entry.name), int(parent), int(group), started)


def _read_ps(line: str) -> Process | None:
    pid, parent, group, state, started = line.split(maxsplit=4)
    return None if state.startswith("Z") else Process(int(pid), int(parent), int(group), started)
