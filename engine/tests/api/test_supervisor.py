"""The supervisor of several workers: none is lost, and none stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import until

pytestmark = pytest.mark.slow

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from goldpath.serving.process import supervisor

folder = Path(sys.argv[1])

def note(name):
    (folder / f"{name}-{os.getpid()}").touch()

def patient():
    note("worker")
    time.sleep(60)

def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    patient()

def broken():
    if not list(folder.glob("worker-*")):
        patient()
    sys.exit(supervisor.STARTUP_FAILURE)

if __name__ == "__main__":
    supervisor.LOOK_SECONDS, supervisor.BEAT_SECONDS, supervisor.HANGS_AFTER_SECONDS = 0.1, 0.1, 1.0
    supervisor.CAN_FORK = supervisor.CAN_FORK and sys.argv[3] == "fork"
    supervisor.handle_stop_signals()
    try:
        supervisor.Supervisor(globals()[sys.argv[2]], 2, 1.0).run()
    except KeyboardInterrupt:
        pass
    note("end")
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []
    script = tmp_path / "supervised.py"
    script.write_text(SCRIPT, encoding="utf-8")

    def run(work: str, how: str = "fork") -> subprocess.Popen[bytes]:
        command = [sys.executable, str(script), str(tmp_path), work, how]
        running.append(subprocess.Popen(command, start_new_session=True))
        return running[-1]

    yield run
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def workers(folder: Path) -> set[int]:
    """All that ever began."""
    return {int(file.name.removeprefix("worker-")) for file in folder.glob("worker-*")}


def is_gone(process: subprocess.Popen[bytes]) -> bool:
    """Whether nothing of the supervisor's process group is left."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("how", ["fork", "spawn"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes(
    tmp_path: Path, start: Start, end: signal.Signals, how: str
) -> None:
    process = start("patient", how)
    until(lambda: len(workers(tmp_path)) == 2)

    process.send_signal(end)

    assert process.wait(timeout=10) == 0
    until(lambda: is_gone(process), seconds=5)


def test_a_signal_that_comes_at_once_is_not_lost(tmp_path: Path, start: Start) -> None:
    for _ in range(3):
        before = workers(tmp_path)
        process = start("patient")
        until(lambda: workers(tmp_path) > before)  # noqa: B023  called at once

        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0
        assert is_gone(process)


def test_a_killed_worker_is_replaced(tmp_path: Path, start: Start) -> None:
    process = start("patient")
    until(lambda: len(workers(tmp_path)) == 2)

    os.kill(min(workers(tmp_path)), signal.SIGKILL)

    until(lambda: len(workers(tmp_path)) == 3)
    assert process.poll() is None


def test_a_worker_that_hangs_is_replaced(tmp_path: Path, start: Start) -> None:
    start("patient")
    until(lambda: len(workers(tmp_path)) == 2)
    hanging = min(workers(tmp_path))

    os.kill(hanging, signal.SIGSTOP)

    until(lambda: len(workers(tmp_path)) == 3)
    with pytest.raises(ProcessLookupError):
        os.kill(hanging, 0)


def test_a_worker_that_does_not_stop_is_killed(tmp_path: Path, start: Start) -> None:
    process = start("stubborn")
    until(lambda: len(workers(tmp_path)) == 2)

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=10) == 0
    assert is_gone(process)


def test_a_worker_that_cannot_start_ends_the_service(tmp_path: Path, start: Start) -> None:
    process = start("broken")

    assert process.wait(timeout=10) == 3
    assert is_gone(process)


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path, start: Start) -> None:
    process = start("patient")
    until(lambda: len(workers(tmp_path)) == 2)
    began = time.monotonic()

    process.kill()

    until(lambda: is_gone(process), seconds=5)
    assert time.monotonic() - began < 3
