"""Keeps the commands of a server alive: one that has ended is started again, and counted.

Run in the background as `python -m goldpath.services.supervision FILE COMMANDS`: FILE is the
server's pid file, which then says which processes the server is, and how often each was started
again; COMMANDS is a JSON object of lists.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from goldpath.services.process_table import Family, Leader, PidFile, start_time

POLL_SECONDS = 0.5
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 8.0
STABLE_SECONDS = 60.0
"""A command that lived this long is started again after the first delay, not after a longer one."""
STOP_SECONDS = 20.0
LEFTOVERS_SECONDS = 2.0


@dataclass
class _Command:
    """A command that is to be alive: its process, or when to start it again."""

    name: str
    arguments: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    leader: Leader | None = None
    started: float = 0.0
    delay: float = FIRST_DELAY_SECONDS
    due: float = 0.0
    restarts: int = 0

    def start(self) -> None:
        """Start it in a session of its own; what a former process wrote stays in its log."""
        with self.log.open("ab" if self.restarts else "wb") as output:
            self.process = subprocess.Popen(
                list(self.arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started = time.monotonic()
        self.leader = Leader(self.name, self.process.pid, start_time(self.process.pid) or "")

    def ended(self) -> int | None:
        """The exit code, once after it ended; then the command waits for its next start."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        lived = time.monotonic() - self.started
        self.delay = (
            FIRST_DELAY_SECONDS
            if lived > STABLE_SECONDS
            else min(self.delay * 2, LONGEST_DELAY_SECONDS)
        )
        self.due = time.monotonic() + self.delay
        self.process = None
        self.restarts += 1
        return code


@dataclass
class _Supervisor:
    """The commands of one server, and the file that says which processes they are."""

    file: Path
    commands: Sequence[_Command]
    asked_to_stop: bool = False

    def run(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop())
        for command in self.commands:
            command.start()
            self._record()
        while not self.asked_to_stop:
            time.sleep(POLL_SECONDS)
            for command in self.commands:
                self._look_after(command)
        self._end()

    def _look_after(self, command: _Command) -> None:
        if (code := command.ended()) is not None:
            say(
                f"{command.name} ended with exit code {code}; starting it again in "
                f"{command.delay:.0f} s, the {command.restarts}. time; its log: {command.log.name}"
            )
            self._record()
            # A killed server's workers would keep its port, or its memory.
            Family([command.leader] if command.leader else []).stop(LEFTOVERS_SECONDS)
        elif command.process is None and time.monotonic() >= command.due:
            command.start()
            self._record()

    def _record(self) -> None:
        """Write who the server is now; the file is another start's where it names another one."""
        found = PidFile.read(self.file)
        if found is None or found.supervisor is None or found.supervisor.pid != os.getpid():
            say(f"{self.file} no longer names this process: stopping")
            self.asked_to_stop = True
            return
        leaders = [each.leader for each in self.commands if each.leader is not None]
        restarts = {each.name: each.restarts for each in self.commands if each.restarts}
        replace(found, leaders=(found.supervisor, *leaders), restarts=restarts).write()

    def _stop(self) -> None:
        self.asked_to_stop = True

    def _end(self) -> None:
        Family([each.leader for each in self.commands if each.leader]).stop(STOP_SECONDS)


def say(text: str) -> None:
    """A line of the supervisor's own log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


def supervise(file: Path, commands: Mapping[str, Sequence[str]]) -> None:
    """Start the commands, and start each again when it has ended, until SIGINT or SIGTERM.

    Args:
        file: The server's pid file, which names this process already.
        commands: Each command's name and arguments. Its output goes to `NAME-COMMAND.log`.
    """
    logs = {name: file.with_name(f"{file.stem}-{name}.log") for name in commands}
    _wait_for_the_file(file)
    _Supervisor(file, [_Command(name, commands[name], logs[name]) for name in commands]).run()


def _wait_for_the_file(file: Path) -> None:
    """Whoever started this process writes its number to the file a moment later."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        found = PidFile.read(file)
        if found and found.supervisor and found.supervisor.pid == os.getpid():
            return
        time.sleep(0.05)
    raise SystemExit(f"{file} does not name this process, {os.getpid()}, as the supervisor")


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), json.loads(sys.argv[2]))
