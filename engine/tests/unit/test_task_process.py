"""A command that Airflow has started ends when Airflow's process is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goldpath.cli.app import AIRFLOWS_RUN
from goldpath.services.process_table import start_time

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux ends it; others cannot")

# Says that it is there, then works for a minute: the project is made behind the command's door.
COMMAND = """
import sys, time
from pathlib import Path
from goldpath import run

def project():
    Path(sys.argv[1]).touch()
    time.sleep(60)

run(project, ["check"])
"""
# Airflow's task process: starts the command in a session of its own, and waits for it.
TASK = """
import subprocess, sys
command = subprocess.Popen(sys.argv[1:], start_new_session=True)
print(command.pid, flush=True)
command.wait()
"""


@pytest.mark.parametrize("run_id", ["manual__1", ""], ids=["task", "by hand"])
def test_a_killed_task_leaves_no_command_behind(tmp_path: Path, run_id: str) -> None:
    begun = tmp_path / "begun"
    environment = {name: value for name, value in os.environ.items() if name != AIRFLOWS_RUN}
    if run_id:
        environment[AIRFLOWS_RUN] = run_id
    words = [sys.executable, "-c", TASK, sys.executable, "-c", COMMAND, str(begun)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as task:
        assert task.stdout is not None
        command = int(task.stdout.readline())
        try:
            assert within(60, begun.exists)
            task.kill()
            ended = within(3, lambda: start_time(command) is None)
            assert ended == bool(run_id)
        finally:
            if start_time(command) is not None:
                os.kill(command, signal.SIGKILL)


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold in that time."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()
