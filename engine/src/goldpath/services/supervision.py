"""Keeps the commands of a server alive: one that has ended is started again, and counted.

Run in the background as `python -m goldpath.services.supervision FILE COMMANDS`: FILE is the
server's pid file, which then says which processes the server is, and how often each was started
again; COMMANDS is a JSON object of lists. A third argument, HEARTBEATS, is JSON of `Heartbeats`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from goldpath.services.process_table import Family, Leader, PidFile, start_time

POLL_SECONDS = 0.5
FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 8.0
STABLE_SECONDS = 60.0
"""A command that lived this long is started again after the first delay, not after a longer one."""
STOP_SECONDS = 20.0
LEFTOVERS_SECONDS = 2.0
ASK_SECONDS = 10.0
MOST_PATIENCE = 4.0
"""A command that was ended for its silence may be silent for twice as long, up to so many times: on
a slow machine it may only have been starting, and would else be ended for ever."""

_direct = build_opener(ProxyHandler({}))  # a proxy must not answer for 127.0.0.1


@dataclass(frozen=True)
class Heartbeats:
    """Where a server says which of its commands still work.

    A process can live and do nothing: a scheduler of Airflow whose database has no room ends
    by an error, and then waits for its idle workers for ever.

    Attributes:
        url: Answers with an object of `{"status": "healthy"}`, by component.
        components: The component of each command that is watched.
        longest_silence: A command that is not healthy for so many seconds is started again.
        asked_every: Seconds between two looks.
        read_from: The component that the others' health is read from. While it is not healthy,
            nobody knows theirs, and all are shown as unhealthy.
    """

    url: str
    components: Mapping[str, str]
    longest_silence: float = 180.0
    asked_every: float = ASK_SECONDS
    read_from: str | None = None

    def silent(self) -> set[str]:
        """The commands that are not healthy now; none where nobody answers, so nobody knows."""
        try:
            with _direct.open(self.url, timeout=5) as answer:
                health = json.load(answer)
            if self.read_from is not None and health[self.read_from]["status"] != "healthy":
                return set()
            found = {name: health[each]["status"] for name, each in self.components.items()}
        except (OSError, HTTPException, ValueError, KeyError, TypeError):
            return set()
        return {name for name, status in found.items() if status != "healthy"}


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
    last_healthy: float = 0.0
    patience: float = 1.0
    was_silent: bool = False

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
        self.started = self.last_healthy = time.monotonic()
        self.was_silent = False
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
    heartbeats: Heartbeats | None = None
    asked_to_stop: bool = False
    recorded: bool = True
    asked: float = 0.0

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
            self._end_silent()
            if not self.recorded:
                self._record()
        self._end()

    def _look_after(self, command: _Command) -> None:
        if (code := command.ended()) is not None:
            how = "was silent" if command.was_silent else f"ended with exit code {code}"
            say(
                f"{command.name} {how}; starting it again in "
                f"{command.delay:.0f} s, the {command.restarts}. time; its log: {command.log.name}"
            )
            self._record()
            # A killed server's workers would keep its port, or its memory.
            Family([command.leader] if command.leader else []).stop(LEFTOVERS_SECONDS)
        elif command.process is None and time.monotonic() >= command.due:
            try:
                command.start()
            except OSError as error:  # the disk is full, or memory is short: later it may not be
                command.due = time.monotonic() + command.delay
                say(f"{command.name} cannot be started, again in {command.delay:.0f} s: {error}")
                return
            self._record()

    def _end_silent(self) -> None:
        """End a command that lives without a heartbeat; it is started again as any that ended."""
        now = time.monotonic()
        if self.heartbeats is None or now < self.asked + self.heartbeats.asked_every:
            return
        self.asked, silent = now, self.heartbeats.silent()
        for command in self.commands:
            if command.name not in silent:
                command.last_healthy = now
            elif (
                now > command.last_healthy + command.patience * self.heartbeats.longest_silence
                and command.process is not None
                and command.leader is not None
            ):
                say(f"{command.name} lives, and has had no heartbeat for too long: ending it")
                command.was_silent = True
                command.patience = min(2 * command.patience, MOST_PATIENCE)
                Family([command.leader]).stop(LEFTOVERS_SECONDS)

    def _record(self) -> None:
        """Write who the server is now; the file is another start's where it names another one."""
        found = PidFile.read(self.file)
        if found is None or found.supervisor is None or found.supervisor.pid != os.getpid():
            say(f"{self.file} no longer names this process: stopping")
            self.asked_to_stop = True
            return
        leaders = [each.leader for each in self.commands if each.leader is not None]
        restarts = {each.name: each.restarts for each in self.commands if each.restarts}
        try:
            replace(found, leaders=(found.supervisor, *leaders), restarts=restarts).write()
        except OSError as error:  # written as soon as the disk has room again
            if self.recorded:
                say(f"{self.file} cannot be written, and is as it was: {error}")
            self.recorded = False
        else:
            self.recorded = True

    def _stop(self) -> None:
        self.asked_to_stop = True

    def _end(self) -> None:
        Family([each.leader for each in self.commands if each.leader]).stop(STOP_SECONDS)


def say(text: str) -> None:
    """A line of the supervisor's own log; a full disk is no reason to leave the commands alone."""
    with suppress(OSError):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)


def supervise(
    file: Path, commands: Mapping[str, Sequence[str]], heartbeats: Heartbeats | None = None
) -> None:
    """Start the commands, and start each again when it has ended, until SIGINT or SIGTERM.

    Args:
        file: The server's pid file, which names this process already.
        commands: Each command's name and arguments. Its output goes to `NAME-COMMAND.log`.
        heartbeats: By which a command that lives and does nothing is known.
    """
    logs = {name: file.with_name(f"{file.stem}-{name}.log") for name in commands}
    _wait_for_the_file(file)
    watched = [_Command(name, commands[name], logs[name]) for name in commands]
    _Supervisor(file, watched, heartbeats).run()


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
    told = [Heartbeats(**json.loads(each)) for each in sys.argv[3:]]
    supervise(Path(sys.argv[1]), json.loads(sys.argv[2]), *told)
