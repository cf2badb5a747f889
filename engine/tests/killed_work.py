"""Work that is started again and again, and killed after a while, without seconds of imports."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A server that forks from a process in which everything is imported already, so that a kill hits
# the work and not the imports before it.
SERVER = """
import os, signal, sys, time
from pathlib import Path
from goldpath.contract import load_contract
from goldpath.settings import load_settings
{imports}
for line in sys.stdin:
    seconds, _, root = line.strip().partition(" ")
    root = Path(root)
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr
        settings, contract = load_settings(root), load_contract(root)
        {work}
        os._exit(0)
    if seconds != "never":
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)  # one that has ended is a zombie until it is waited for
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
KILLED = -signal.SIGKILL


class KilledWork:
    """Starts the work in a project, and kills it after a while."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def run(self, root: Path, kill_after: float | None = None) -> int:
        """The work's exit code; `KILLED` where the kill came before its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{'never' if kill_after is None else kill_after} {root}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def killed_work(imports: str, work: str, variables: dict[str, str]) -> Iterator[KilledWork]:
    """A server for one kind of work.

    Args:
        imports: Statements that import everything the work needs.
        work: A statement about `settings` and `contract`.
        variables: Environment variables beside those of this process.
    """
    program = SERVER.replace("{imports}", imports.strip()).replace("{work}", work)
    without_root = {name: value for name, value in os.environ.items() if name != "MLOPS_ROOT"}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**without_root, **variables},
    ) as process:
        yield KilledWork(process)
        assert process.stdin is not None
        process.stdin.close()
