"""Keeps several workers running until it is told to stop.

On Linux the workers are forked from this process when it has imported all they need: they share
that memory, and a worker that died is replaced within milliseconds. What is forked must have one
thread and no open connection, so the supervisor imports and does nothing else. Elsewhere the
system's own libraries do not survive a fork, and each worker imports for itself.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctypes import c_double
    from multiprocessing.context import ForkContext, SpawnContext

STARTUP_FAILURE = 3
"""The exit code of a worker that cannot start, and would not the next time either; Uvicorn's."""
LOOK_SECONDS = 0.5
BEAT_SECONDS = 1.0
HANGS_AFTER_SECONDS = 10.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
CAN_FORK = sys.platform == "linux"

log = logging.getLogger(__name__)


class Worker:
    """A process that works.

    Args:
        work: What it does until SIGTERM; pickled where it is not forked.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        from multiprocessing import get_context  # a service of one process does without

        context: ForkContext | SpawnContext = (
            get_context("fork") if CAN_FORK else get_context("spawn")
        )
        self._beat = context.RawValue("d", time.monotonic())
        self.process = context.Process(target=_begin, args=(work, os.getpid(), self._beat))
        self.process.start()

    def hangs(self) -> bool:
        """Whether it shows no sign of life."""
        return time.monotonic() - float(self._beat.value) > HANGS_AFTER_SECONDS


class Supervisor:
    """Starts workers, replaces those that die or hang, and ends them with itself.

    Args:
        work: What a worker does until SIGTERM.
        count: How many there are.
        stop_seconds: A worker that needs longer to stop is killed.
    """

    def __init__(self, work: Callable[[], None], count: int, stop_seconds: float) -> None:
        self._work = work
        self._count = count
        self._stop_seconds = stop_seconds
        self._workers: list[Worker] = []

    def run(self) -> None:
        """Supervise until the handlers of SIGINT or SIGTERM raise.

        Raises:
            SystemExit: With `STARTUP_FAILURE` where a worker cannot start.
        """
        gc.collect()
        gc.freeze()  # a collection writes to all it looks at, and what is written is not shared
        gc.enable()
        # Signals come only while it sleeps: a worker is never started and then forgotten, and none
        # takes a signal with the supervisor's handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            for _ in range(self._count):
                self._workers.append(Worker(self._work))
            while True:
                _sleep(LOOK_SECONDS)
                self._replace_dead()
        finally:
            self._stop()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _replace_dead(self) -> None:
        for place, worker in enumerate(self._workers):
            process = worker.process
            if process.is_alive() and not worker.hangs():
                continue
            process.kill()
            process.join()
            if process.exitcode == STARTUP_FAILURE:
                log.error("worker %d cannot start; the service ends", process.pid)
                raise SystemExit(STARTUP_FAILURE)
            log.warning("worker %d ended (%s); another starts", process.pid, process.exitcode)
            try:
                self._workers[place] = Worker(self._work)
            except OSError as error:  # no process or memory is left; it is tried again
                log.error("no worker can be started: %s", error)  # noqa: TRY400

    def _stop(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        until = time.monotonic() + self._stop_seconds
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.process.kill()
            worker.process.join()


def exit_cleanly(_: int, __: FrameType | None) -> None:
    """Handle SIGTERM: alone it would not mean exit code 0."""
    raise SystemExit(0)


def handle_stop_signals() -> None:
    """Let SIGINT and SIGTERM raise, also where they were ignored, as in a background command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, exit_cleanly)


def _begin(work: Callable[[], None], supervisor: int, beat: "c_double") -> None:
    """A worker's life."""
    handle_stop_signals()
    threading.Thread(
        target=_give_signs_of_life, args=(supervisor, beat), daemon=True, name="supervised"
    ).start()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        work()
    except KeyboardInterrupt:  # Ctrl-C reaches the workers, too
        pass


def _give_signs_of_life(supervisor: int, beat: "c_double") -> None:
    """And stop this worker when its supervisor was killed and cannot stop it."""
    while os.getppid() == supervisor:
        beat.value = time.monotonic()
        time.sleep(BEAT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _sleep(seconds: float) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    try:
        time.sleep(seconds)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
