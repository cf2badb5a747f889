"""Which test runs which line, and how long it takes; kept until the tests or the package change."""

import hashlib
import json
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from functools import reduce
from pathlib import Path
from threading import Lock
from typing import Any
from xml.etree import ElementTree

from mutation.outcomes import TESTS_PASSED
from mutation.rooms import ENGINE, ROOMS, read, tests_in
from mutation.runner import Runner
from mutation.seen import Seen

MEASURED = ENGINE / ".mutation"
FATAL = 'raise RuntimeError("a control: this module cannot be imported")\n'


class Stages:
    """What is known of the tests of each room: of the quick ones, and, when asked, of the others.

    Most mutants are noticed by unit tests, so that the others are measured only for the rest.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool], Seen] = {}
        self._lock = Lock()

    def of(self, room: str, runner: Runner, *, is_slow: bool) -> Seen:
        """A part of the room's; the runner measures what was not measured yet."""
        with self._lock:
            if (room, is_slow) not in self._found:
                files = [file for file in tests_in(room) if ("/unit/" not in file) == is_slow]
                self._found[room, is_slow] = measured(runner, room, files)
            return self._found[room, is_slow]

    def known(self, room: str) -> Seen:
        """All that was measured of a room."""
        parts = [seen for (name, _), seen in self._found.items() if name == room]
        return reduce(Seen.and_also, parts, Seen({}, {}))


def measured(runner: Runner, room: str, files: Sequence[str]) -> Seen:
    """Which of a room's tests run which line, and how long they take.

    Raises:
        SystemExit: If a test fails anyway: it would notice everything.
    """
    seconds: dict[str, float] = {}
    seen: dict[tuple[str, int], set[str]] = {}
    is_new = False
    for file in files:
        kept = MEASURED / f"{_digest(file)}.json"
        if not kept.exists():
            is_new = True
            MEASURED.mkdir(exist_ok=True)
            began = time.monotonic()
            part = kept.with_suffix(f".{os.getpid()}.part")
            part.write_text(json.dumps(_measured_file(runner, file)), "utf-8")
            part.replace(kept)
            print(f"{file}: measured in {time.monotonic() - began:.0f} s", flush=True)
        found = json.loads(kept.read_text("utf-8"))
        runner.warm(found["imported"])
        seconds |= found["seconds"]
        for module, line, tests in found["lines"]:
            seen.setdefault((module, line), set()).update(tests)
    result = Seen(seen, seconds)
    sound = MEASURED / f"{_digest(*files)}.sound"
    if files and (is_new or not sound.exists()):
        require_sound(runner, room, result)
        sound.touch()
    return result


def _measured_file(runner: Runner, file: str) -> dict[str, Any]:
    """The seconds of each test of a file, the lines that it runs, and what it imports."""
    times, data = runner.folder / "times.xml", runner.folder / ".coverage.tests"
    rules = runner.folder / "tests.coveragerc"
    rules.write_text(f"[run]\nbranch = true\ndata_file = {data}\n", "utf-8")
    data.unlink(missing_ok=True)
    options = ["--cov=goldpath", "--cov-context=test", "--cov-report=", f"--cov-config={rules}"]
    code = runner.run([*options, f"--junitxml={times}", file], {}, learn=True).code
    if code != TESTS_PASSED:
        print(f"{runner.output()[-3000:]}\npytest's code: {code}")
        raise SystemExit(f"Error: {file} fails without a mutant.")
    seconds = {
        f"{case.get('classname')}::{case.get('name')}": float(case.get("time") or 0)
        for case in ElementTree.parse(times).iter("testcase")  # noqa: S314  pytest wrote it
    }
    seen: dict[tuple[str, int], set[str]] = {}
    # https://coverage.readthedocs.io/en/latest/dbschema.html
    with closing(sqlite3.connect(data)) as database:
        steps = database.execute(
            "SELECT DISTINCT path, context, fromno FROM arc JOIN file ON file.id = file_id "
            "JOIN context ON context.id = context_id WHERE fromno > 0 AND context LIKE '%|%'"
        )
        for path, context, line in steps:
            module = path.rpartition("/src/goldpath/")[2]
            seen.setdefault((module, line), set()).add(context.rpartition("|")[0])

    def time_of(test: str) -> float:
        name = test.partition("::")[2]
        return seconds.get(f"{file.removesuffix('.py').replace('/', '.')}::{name}", 0)

    tests = {test: time_of(test) for each in seen.values() for test in each}
    # An id that pytest does not find would end each run, and look like a mutant that is noticed.
    if tests and runner.run(["--collect-only", *tests], {}).code != TESTS_PASSED:
        print(runner.output()[-3000:])
        raise SystemExit(f"Error: pytest does not find the tests of {file} by their ids.")
    return {
        "seconds": tests,
        "lines": [[module, line, sorted(each)] for (module, line), each in seen.items()],
        "imported": json.loads((runner.folder / "imported.json").read_text("utf-8")),
    }


def _digest(*tests: str) -> str:
    """Of the package, of what tests share and of these files of tests."""
    shared = [*(ENGINE / "src").rglob("*.py"), *(ENGINE / "tests").rglob("*.py")]
    files = {file for file in shared if not file.name.startswith("test_")}
    digest = hashlib.sha256()
    for file in sorted({*files, *(ENGINE / each for each in tests)}):
        digest.update(f"{file.relative_to(ENGINE)} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:24]


def require_sound(runner: Runner, room: str, seen: Seen) -> None:
    """Controls before the first mutant: what is unchanged passes, and what is broken is noticed.

    Raises:
        SystemExit: If one of them says something else.
    """
    using: dict[str, set[str]] = defaultdict(set)
    for (module, _), tests in seen.tests.items():
        if any(Path(module).match(pattern) for pattern in ROOMS[room].modules):
            using[module] |= tests
    if not using:  # other processes run them: each mutant is tried on all of these tests
        print(f"{room}: no test runs a line of its modules in its own process", flush=True)
        return
    module = max(sorted(using), key=lambda each: len(using[each]))
    unchanged = runner.try_text(module, read(module), seen, [seen.seconds])
    if unchanged.code != TESTS_PASSED:
        print(runner.output()[-3000:])
        raise SystemExit(f"Error: the tests of {room} fail in a fork without a mutant: {unchanged}")
    for broken, tests in sorted(using.items()):
        if runner.try_text(broken, FATAL, seen, [tests]).code == TESTS_PASSED:
            raise SystemExit(f"Error: the tests of {room} pass although {broken} does not load.")
    print(f"{room}: {len(seen.seconds)} tests; both controls are right", flush=True)
