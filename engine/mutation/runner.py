"""Ask tests of a changed module, in a copy of the engine."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from mutation.outcomes import TESTS_PASSED, Outcome
from mutation.rooms import ENGINE, read
from mutation.seen import Seen

# Passed, failed, interrupted by a module that cannot be imported, and a test not found therefore.
PYTEST_CODES = (TESTS_PASSED, 1, 2, 4)
PYTEST_BROKE = 3  # reporting a failure failed, too: of a test that a mutant lets recurse too deeply
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?::.+?)(?: - |$)", re.MULTILINE)


def copy_engine(folder: Path) -> Path:
    """A copy of what the tests need, so that nothing here is ever changed."""
    for name in ("src", "tests"):
        shutil.copytree(ENGINE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ENGINE / name, folder / name)
    shutil.copytree(ENGINE / "docs", folder / "docs")
    shutil.copy(Path(__file__).with_name("warm_tests.py"), folder)
    return folder


class PytestBrokeError(Exception):
    """Pytest ended with an error of its own, so that nothing is known of the mutant."""


class Runner:
    """Runs tests in one copy of the engine, in forks of a process that stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = copy_engine(folder)
        self._changes = 0
        self._process = subprocess.Popen(
            [os.environ.get("ENGINE_PYTHON", sys.executable), "warm_tests.py"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._requests = cast(IO[str], self._process.stdin)
        self._answers = cast(IO[str], self._process.stdout)

    def run(
        self, arguments: Sequence[str], limits: Mapping[str, float], *, learn: bool = False
    ) -> Outcome:
        """What the tests say; a run that another signal than the clock's ended is tried again."""
        usual = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
        # Of its own, and emptied by each run: a fork leaves its folder behind, and a full disk
        # would fail every test, which looks like a mutant that is noticed.
        usual += [f"--basetemp={self.folder / 'scratch'}"]
        # Packages that are imported already, such as anyio, bring a plugin that is not rewritten.
        usual += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        request = {"arguments": [*usual, *arguments], "limits": dict(limits), "learn": learn}
        for _ in range(2):
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            code: int | None = json.loads(self._answers.readline())["code"]
            if code is None or code >= 0:
                break
        output = self.output()
        if code == PYTEST_BROKE:
            raise PytestBrokeError
        if code is not None and code >= 0 and code not in PYTEST_CODES:
            raise SystemExit(f"Error: pytest did not run (code {code}): {output[-3000:]}")
        return Outcome(code, tuple(FAILED.findall(output)))

    def warm(self, names: Sequence[str]) -> None:
        """Import third-party modules, so that each run begins with them."""
        self._requests.write(json.dumps({"imports": list(names)}) + "\n")
        self._requests.flush()
        self._answers.readline()

    def output(self) -> str:
        """What the last run printed."""
        return (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")

    def try_text(
        self,
        module: str,
        text: str,
        seen: Seen,
        selections: Sequence[Iterable[str]],
        likely: Sequence[str] = (),
    ) -> Outcome:
        """Run tests on a module's changed text, one selection after the other until one fails.

        Args:
            module: Which.
            text: The changed text.
            seen: What is known of the tests.
            selections: The tests, sorted here.
            likely: Those of the first selection that run first.
        """
        outcome = Outcome(TESTS_PASSED)
        self._write(module, text)
        try:
            for selection in selections:
                tests = seen.in_order(selection)
                tests = [*likely, *(test for test in tests if test not in likely)]
                likely = ()
                if tests and outcome.code == TESTS_PASSED:
                    outcome = self.run(tests, seen.limits)
        finally:
            self._write(module, read(module))
        return outcome

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _write(self, module: str, text: str) -> None:
        # Compiled files are kept and found by time and size: each text has a time of its own.
        file = self.folder / "src" / "goldpath" / module
        file.write_text(text, "utf-8")
        self._changes += 1
        os.utime(file, (self._changes, self._changes))
