"""Run tests in forks of one process, which imports third-party packages once.

A line of JSON on standard input asks for a run: `arguments` of pytest, and `limits`, the seconds
that a test may take, by its id. A line of JSON answers: `code` is pytest's, null where a test took
longer, or the negative number of another signal that ended the run. With `learn`, what the run had
imported is written to `imported.json`, imported here too, and the next runs begin with it; a line
with nothing but `imports`, names of modules, does the same for what an earlier process learnt. The
project's own modules are imported by each run. Started by `runner.py`, in a copy of the engine.
"""

import importlib
import json
import os
import signal
import sys
import sysconfig
import traceback
from collections.abc import Generator, Mapping
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

USUAL_LIMIT = 600.0
"""Seconds for the collection, and for a test that was never measured."""


BROKEN = 70
"""The code where pytest did not run at all."""


class Limits:
    """Ends the process where a test takes too long.

    Args:
        seconds: How long each may take.
    """

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Wind the clock for each test."""
        signal.setitimer(signal.ITIMER_REAL, self._seconds.get(item.nodeid, USUAL_LIMIT))
        return (yield)


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    for line in sys.stdin:
        request = json.loads(line)
        if "imports" in request:
            _import(request["imports"])
            answers.write(json.dumps({"code": 0}) + "\n")
            continue
        learnt = Path("imported.json") if request.get("learn") else None
        code = run(request["arguments"], request["limits"], learnt)
        if learnt is not None and learnt.exists():
            _import(json.loads(learnt.read_text()))
        answers.write(json.dumps({"code": code}) + "\n")


def _import(names: list[str]) -> None:
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)


def run(arguments: list[str], limits: Mapping[str, float], learnt: Path | None) -> int | None:
    """Pytest's code for one run in a fork; see the module."""
    child = os.fork()
    if child == 0:
        _be_a_run(arguments, limits, learnt)
    _, status = os.waitpid(child, 0)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what a test has left running
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    return None if number == signal.SIGALRM else -number


def _be_a_run(arguments: list[str], limits: Mapping[str, float], learnt: Path | None) -> None:
    code = BROKEN
    try:
        os.setsid()
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(old, new)
        signal.setitimer(signal.ITIMER_REAL, USUAL_LIMIT)
        code = int(pytest.main(arguments, plugins=[Limits(limits)]))
        signal.setitimer(signal.ITIMER_REAL, 0)
        if learnt is not None:
            learnt.write_text(json.dumps(_third_party()))
    except BaseException:  # noqa: BLE001  nothing may reach the loop of the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _third_party() -> list[str]:
    # pytest refuses plugins that are imported before it can rewrite them.
    plugins = {"_pytest", "coverage"} | {
        file.parts[0].removesuffix(".py")
        for entry in entry_points(group="pytest11")
        for file in (entry.dist and entry.dist.files) or ()
    }
    packages = sysconfig.get_path("purelib"), sysconfig.get_path("platlib")
    files = {name: getattr(module, "__file__", None) for name, module in [*sys.modules.items()]}
    return [
        name
        for name, file in files.items()
        if file and file.startswith(packages) and name.partition(".")[0] not in plugins
    ]


if __name__ == "__main__":
    main()
