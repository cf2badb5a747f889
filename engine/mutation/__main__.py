"""Draw the sample, try it, and say what was noticed."""

import argparse
import ast
import difflib
import hashlib
import json
import math
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial, reduce
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import IO, Any, cast
from xml.etree import ElementTree

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

import mutation
from mutation.rules import silent_places, tuned, unseen

ENGINE = Path(__file__).resolve().parents[1]
SOURCE = ENGINE / "src" / "goldpath"
RESULT = ENGINE / "mutation.json"
MEASURED = ENGINE / ".mutation"
GOAL = 0.9
LONGEST_SECONDS, QUICK_SECONDS = 30, 1
NEARBY_LINES, LIKELY_TESTS = 15, 4
STEPS = ((False, True), (True, True), (False, False), (True, False))
"""Whether the slow tests of a room are asked, and whether those that run the mutant, or the others.
All mutants of the sample take a step before the first takes the next."""

TESTS_PASSED = 0
# Passed, failed, interrupted by a module that cannot be imported, and a test not found therefore.
PYTEST_CODES = (TESTS_PASSED, 1, 2, 4)
PYTEST_BROKE = 3  # reporting a failure failed, too: of a test that a mutant lets recurse too deeply
FATAL = 'raise RuntimeError("a control: this module cannot be imported")\n'
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?::.+?)(?: - |$)", re.MULTILINE)


@dataclass(frozen=True)
class Room:
    """Modules, and the tests that should notice a change of them, quick ones first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "access": Room(
        ("serving/access/*.py",),
        (
            *("unit/test_client_table.py", "unit/test_access_store.py"),
            *("unit/test_access_clients.py", "unit/test_tokens.py", "unit/test_limits.py"),
            *("unit/test_closed_by_default.py", "unit/test_identity_of_others.py"),
            *("api/test_lane_credentials.py", "api/test_identity_provider.py"),
            *("api/test_forwarding.py", "api/test_access.py", "api/test_access_processes.py"),
        ),
    ),
    "lane": Room(
        ("serving/lane/*.py",),
        (
            *(
                "unit/test_lane_reading.py",
                "unit/test_lane_flow.py",
                "unit/test_lane_connection.py",
                "unit/test_lane_decisions.py",
                "unit/test_batching.py",
                "unit/test_request_heads.py",
                "unit/test_lane_turn.py",
                "api/test_upgrades.py",
                "api/test_lane_credentials.py",
            ),
            *("api/test_fast_lane.py", "api/test_lane_protocol.py", "api/test_batch_rows.py"),
            *("api/test_long_bodies.py", "api/test_decoder_fuzz.py", "api/test_domains.py"),
            *("api/test_request_trail.py", "api/test_hostile_requests.py"),
            *("api/test_lane_by_key.py", "api/test_windows_by_key.py", "api/test_answer_fields.py"),
            *("api/test_row_features.py", "api/test_predictions.py", "api/test_decisions.py"),
            "api/test_late_app.py",
        ),
    ),
    "trust": Room(
        ("trust/*.py",),
        (
            *("unit/test_pickle_scan.py", "unit/test_signatures.py", "unit/test_audit_log.py"),
            *("unit/test_signing.py", "unit/test_audit.py", "integration/test_stored_types.py"),
            *("integration/test_signed_versions.py", "integration/test_foreign_models.py"),
            "integration/test_registry_cli.py",
        ),
    ),
    "gate": Room(
        (
            *("judging/validation.py", "judging/validators.py", "judging/checks.py"),
            *("judging/champion.py", "judging/own_checks.py"),
        ),
        (
            *("unit/test_champion_comparison.py", "unit/test_plain_checks.py"),
            "unit/test_validation.py",
            "unit/test_validation_statistics.py",
            *("unit/test_ways_out.py", "unit/test_gates.py", "unit/test_decided_comparison.py"),
            *("unit/test_group_thresholds.py", "integration/test_validation_tutorial.py"),
        ),
    ),
    "promotion": Room(
        ("jobs/promotion/*.py",),
        (
            *("unit/test_promotion_views.py", "unit/test_plain_checks.py"),
            "unit/test_former_champion.py",
            "unit/test_ways_out.py",
            *("integration/test_registry_life.py", "integration/test_registry_races.py"),
            *("integration/test_registry_cli.py", "integration/test_signed_versions.py"),
            *("integration/test_traffic_command.py", "integration/test_gates_in_a_promotion.py"),
            "api/test_operations.py",
        ),
    ),
}


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        room: Whose tests are asked.
        module: Below `src/goldpath`.
        operator: Cosmic Ray's name of the change.
        occurrence: Which of the operator's places in the module.
        line: Where.
    """

    room: str
    module: str
    operator: str
    occurrence: int
    line: int

    def source(self) -> str:
        """The module's text with the change.

        Raises:
            SyntaxError: If there is no change, or what it gives is not Python: no test could notice
                it, or each would.
        """
        operator = get_operator(self.operator)()
        before = _read(self.module)
        try:
            changed = mutate_code(before, operator, self.occurrence)
        except AttributeError:  # of a dotted name in a tuple of exceptions: Cosmic Ray 8.7.0
            changed = None
        if changed is None or changed == before:
            raise SyntaxError(f"Cosmic Ray makes no change of {self}")
        ast.parse(changed)
        return str(changed)

    def change(self) -> str:
        """What its line is changed to, without blanks around it; empty where that is not Python."""
        try:
            return self.source().splitlines()[self.line - 1].strip()
        except (SyntaxError, IndexError):
            return ""

    def difference(self) -> str:
        """The change, as `diff -U0` writes it."""
        before, after = _read(self.module).splitlines(), self.source().splitlines()
        lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
        return "\n".join([f"{self.module} ({self.room}, {self.operator})", *lines])


def main() -> int:
    """Try the sample; 0 where enough of it was noticed."""
    options = _options()
    began = time.monotonic()
    rooms = [options.room] if options.room else list(ROOMS)
    print(f"seed {options.seed}: --seed {options.seed} gives the same mutants", flush=True)
    left_out: Counter[str] = Counter()
    every = [mutant for room in rooms for mutant in mutants_of(room, left_out)]
    dice = random.Random(options.seed)  # noqa: S311  a sample that can be had again
    chosen = dice.sample(every, min(options.mutants, len(every)))
    print(f"{len(chosen)} of {len(every)} mutants in {', '.join(rooms)}", flush=True)
    rules = ", ".join(f"{rule} {count}" for rule, count in left_out.most_common())
    print(f"{left_out.total()} more are not counted, by rule: {rules}", flush=True)
    kept = Kept(ENGINE / f"mutation-{options.seed}.jsonl")
    if known := sum(mutant in kept for mutant in chosen):
        print(f"{known} of them were noticed before ({kept.file.name})", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        runners: SimpleQueue[Runner] = SimpleQueue()
        for number in range(options.workers):
            runners.put(Runner(Path(folder) / str(number)))
        with ThreadPoolExecutor(options.workers) as pool:
            stages = Stages()
            end = began + 60 * options.minutes if options.minutes else math.inf
            tries = [Try(each, kept.get(each)) for each in chosen]
            for number, (is_slow, runs_it) in enumerate(STEPS):
                left = [each for each in tries if each.is_due(number)]
                step = partial(_try, runners, stages, kept, end, is_slow=is_slow, runs_it=runs_it)
                list(pool.map(step, left))
                for each in tries:
                    each.end_after(number, quick=options.quick)
            found = [each.outcome for each in tries]
            spent = time.monotonic() - began
            doubtful = {
                test
                for room in rooms
                for test in _failing_anyway(runners, room, stages.known(room), chosen, found)
            }
        for _ in range(options.workers):
            runners.get().close()
    tried = [
        (mutant, outcome)
        for mutant, outcome in zip(chosen, found, strict=True)
        if outcome is not None and outcome.by not in doubtful
    ]
    if doubtful:
        print(f"\nfail without a mutant, so what they noticed is not counted: {sorted(doubtful)}")
    if not tried:
        raise SystemExit("Error: no mutant was tried; give it more --minutes.")
    survivors = [mutant for mutant, outcome in tried if outcome.code == TESTS_PASSED]
    timeouts = [mutant for mutant, outcome in tried if outcome.code is None]
    share = 1 - len(survivors) / len(tried)
    result = {
        "seed": options.seed,
        "left_out": dict(left_out),
        "mutants": len(tried),
        "noticed": round(share, 3),
        "timeouts": [asdict(mutant) for mutant in timeouts],
        "not_counted": sorted(doubtful),
        "survivors": [asdict(mutant) for mutant in survivors],
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    noticed = len(tried) - len(survivors)
    print(f"\n{noticed} of {len(tried)} noticed ({share:.1%}), goal {GOAL:.0%}")
    each = options.workers * spent / max(len(tried) - known, 1)
    print(
        f"seed {options.seed}: {noticed - len(timeouts)} killed, {len(timeouts)} took too long, "
        f"{len(survivors)} survived; {each:.1f} s a mutant and worker"
    )
    return 0 if share >= GOAL else 1


def mutants_of(room: str, left_out: Counter[str]) -> list[Mutant]:
    """All mutants of a room that something could notice.

    Args:
        room: Whose.
        left_out: Counts the others by rule.
    """
    found = []
    for pattern in ROOMS[room].modules:
        for file in sorted(SOURCE.glob(pattern)):
            module = str(file.relative_to(SOURCE))
            source = _read(module)
            listed = {
                (entry.line, change)
                for entry in unseen()
                if entry.module == module
                for change in entry.changes
            }
            lines = source.splitlines()
            known = {line for line, _ in listed}
            constants = frozenset(each.name for each in tuned() if each.module == module)
            places = silent_places(source, constants)
            nodes = list(ast_nodes(get_ast(source)))
            for name in operator_names():
                if get_operator(name).arguments():
                    continue
                operator = get_operator(name)()
                starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
                for occurrence, start in enumerate(starts):
                    mutant = Mutant(room, module, name, occurrence, start[0])
                    rule = next((each.rule for each in places if each.holds(name, start)), None)
                    line = lines[start[0] - 1].strip()
                    if rule is None and line in known and (line, mutant.change()) in listed:
                        rule = "listed"
                    if rule is None:
                        found.append(mutant)
                    else:
                        left_out[rule] += 1
    return found


def copy_engine(folder: Path) -> Path:
    """A copy of what the tests need, so that nothing here is ever changed."""
    for name in ("src", "tests"):
        shutil.copytree(ENGINE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ENGINE / name, folder / name)
    shutil.copy(Path(__file__).with_name("warm_tests.py"), folder)
    shutil.copytree(ENGINE / "docs", folder / "docs")
    return folder


@dataclass(frozen=True)
class Outcome:
    """What a run of tests says of a mutant.

    Attributes:
        code: Pytest's, negative for a signal that ended it; None where a test took too long.
        failed: The tests that failed.
    """

    code: int | None
    failed: tuple[str, ...] = ()

    @property
    def by(self) -> str:
        """The test that noticed the mutant; empty for none, and where its module did not load."""
        return self.failed[0] if self.failed else ""


@dataclass
class Try:
    """A mutant on its way through the tests.

    Attributes:
        mutant: Which.
        outcome: What is known at its end; None until then, or where the minutes were over.
        steps: How many groups of tests it has passed.
        is_run: Whether a test runs its statement.
        is_broken: Whether it is no mutant, so that it does not count.
    """

    mutant: Mutant
    outcome: Outcome | None = None
    steps: int = 0
    is_run: bool = False
    is_broken: bool = False

    def is_due(self, step: int) -> bool:
        """Whether it has passed all steps before this one, and nothing noticed it."""
        return self.outcome is None and not self.is_broken and self.steps == step

    def end_after(self, step: int, *, quick: bool) -> None:
        """Call it a survivor where no further step is to be tried on it."""
        is_last = step + 1 == len(STEPS) or (quick and self.is_run and not STEPS[step + 1][1])
        if is_last and self.is_due(step + 1):
            self.outcome = Outcome(TESTS_PASSED)
            print(f"\n{self.mutant.difference()}", flush=True)


class PytestBrokeError(Exception):
    """Pytest ended with an error of its own, so that nothing is known of the mutant."""


class Kept:
    """What was noticed in earlier sittings with the same seed, a line of JSON for each mutant.

    Threads may share it: a line is one write.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._found: dict[str, Outcome] = {}
        self._nearby: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for line in file.read_text("utf-8").splitlines() if file.exists() else ():
            entry = json.loads(line)
            self._found[entry["mutant"]] = Outcome(entry["code"], tuple(entry["failed"]))

    def __contains__(self, mutant: Mutant) -> bool:
        return self._name(mutant) in self._found

    def get(self, mutant: Mutant) -> Outcome | None:
        """What noticed a mutant, if something did."""
        return self._found.get(self._name(mutant))

    def add(self, mutant: Mutant, outcome: Outcome) -> None:
        """Keep an outcome, unless the mutant survived."""
        if outcome.code == TESTS_PASSED:
            return
        if outcome.by:
            self._nearby[mutant.module].append((mutant.line, outcome.by))
        entry = {"mutant": self._name(mutant), **asdict(outcome)}
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(entry) + "\n")

    def likely(self, mutant: Mutant, among: Set[str]) -> list[str]:
        """The tests that noticed most of the mutants nearby in this sitting."""
        counts = Counter(
            test
            for line, test in self._nearby[mutant.module]
            if test in among and abs(line - mutant.line) <= NEARBY_LINES
        )
        return [test for test, _ in counts.most_common(LIKELY_TESTS)]

    @staticmethod
    def _name(mutant: Mutant) -> str:
        text = hashlib.sha256(_read(mutant.module).encode()).hexdigest()[:16]
        return f"{mutant.module} {text} {mutant.operator} {mutant.occurrence}"


@dataclass(frozen=True)
class Seen:
    """What the tests of a room do without a mutant.

    Attributes:
        tests: The tests that run a line of a module.
        seconds: How long each test takes.
    """

    tests: Mapping[tuple[str, int], Set[str]]
    seconds: Mapping[str, float]

    @property
    def limits(self) -> dict[str, float]:
        """The seconds that each test may take."""
        return {test: LONGEST_SECONDS + 20 * cost for test, cost in self.seconds.items()}

    def and_also(self, other: "Seen") -> "Seen":
        """Both together; they are of different tests."""
        lines = {line: {*tests} for line, tests in self.tests.items()}
        for line, tests in other.tests.items():
            lines.setdefault(line, set()).update(tests)
        return Seen(lines, {**self.seconds, **other.seconds})

    def in_order(self, tests: Iterable[str]) -> list[str]:
        """Quick tests first, and those of a file together: they share what the file prepares."""

        def cost_of(test: str) -> float:
            return self.seconds.get(test, 0)

        def file(test: str) -> str:
            return test.partition("::")[0]

        every = set(tests)
        quick = {test for test in every if cost_of(test) < QUICK_SECONDS}
        found: list[str] = []
        for part in (quick, every - quick):
            cost: dict[str, float] = defaultdict(float)
            for test in part:
                cost[file(test)] += cost_of(test)
            found += sorted(
                part, key=lambda test, cost=cost: (cost[file(test)], file(test), cost_of(test))
            )
        return found


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
    ) -> "Outcome":
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
    ) -> "Outcome":
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
            self._write(module, _read(module))
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


class Stages:
    """What is known of the tests of each room: of the quick ones, and, when asked, of the others.

    Most mutants are noticed by unit tests, so that the others are measured only for the rest.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool], Seen] = {}
        self._lock = Lock()

    def of(self, room: str, runner: "Runner", *, is_slow: bool) -> Seen:
        """A part of the room's; the runner measures what was not measured yet."""
        with self._lock:
            if (room, is_slow) not in self._found:
                files = [file for file in _tests(room) if ("/unit/" not in file) == is_slow]
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
    unchanged = runner.try_text(module, _read(module), seen, [seen.seconds])
    if unchanged.code != TESTS_PASSED:
        print(runner.output()[-3000:])
        raise SystemExit(f"Error: the tests of {room} fail in a fork without a mutant: {unchanged}")
    for broken, tests in sorted(using.items()):
        if runner.try_text(broken, FATAL, seen, [tests]).code == TESTS_PASSED:
            raise SystemExit(f"Error: the tests of {room} pass although {broken} does not load.")
    print(f"{room}: {len(seen.seconds)} tests; both controls are right", flush=True)


def tests_of(mutant: Mutant, seen: Seen) -> set[str]:
    """The tests that run the statement; of one that runs at import, those that use its names.

    None where no test of this process runs it.
    """
    source = _read(mutant.module)
    statement = Statement.around(source, mutant.line)
    found = {test for line in statement.lines for test in seen.tests.get((mutant.module, line), ())}
    if found or not statement.names:
        return found
    for line in statement.body:
        found |= seen.tests.get((mutant.module, line), set())
    uses = re.compile(rf"\b({'|'.join(map(re.escape, statement.names))})\b")
    for module in {module for module, _ in seen.tests}:
        for number, text in enumerate(_read(module).splitlines(), start=1):
            if uses.search(text):
                found |= seen.tests.get((module, number), set())
    return found


@dataclass(frozen=True)
class Statement:
    """The smallest statement around a line.

    Attributes:
        lines: Its lines; of one with a body, those before it.
        body: The lines of its body.
        names: What it defines for others, where it runs at import.
    """

    lines: range
    body: range
    names: tuple[str, ...]

    @classmethod
    def around(cls, source: str, line: int) -> "Statement":
        """Find it."""
        statement = cls(range(line, line + 1), range(0), ())
        for node in ast.walk(ast.parse(source)):  # inwards, so the last one is the smallest
            if not isinstance(node, ast.stmt):
                continue
            first = min(
                [node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]
            )
            end = node.end_lineno or node.lineno
            if not first <= line <= end:
                continue
            body = getattr(node, "body", None)
            last = max(body[0].lineno - 1, node.lineno) if body else end
            names = _defined(node)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and line > last:
                names = ()  # what is inside a function runs when it is called
            elif not names:
                names = statement.names
            if line <= last:
                statement = cls(range(first, last + 1), range(last + 1, end + 1), names)
            else:
                statement = cls(statement.lines, statement.body, names)
        return statement


def _defined(node: ast.stmt) -> tuple[str, ...]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return (node.name,)
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    every = [each for target in targets if target is not None for each in ast.walk(target)]
    return tuple(each.id for each in every if isinstance(each, ast.Name))


def _tests(room: str) -> list[str]:
    return [f"tests/{name}" for name in ROOMS[room].tests]


def _try(
    runners: "SimpleQueue[Runner]",
    stages: Stages,
    kept: Kept,
    end: float,
    tried: Try,
    *,
    is_slow: bool,
    runs_it: bool,
) -> None:
    """Try a mutant on the room's quick or slow tests, those that run it or the others."""
    mutant = tried.mutant
    if time.monotonic() > end:
        return
    runner = runners.get()
    try:
        seen = stages.of(mutant.room, runner, is_slow=is_slow)
        tests = tests_of(mutant, seen)
        tried.is_run = tried.is_run or bool(tests)
        likely = kept.likely(mutant, tests) if runs_it else []
        selection = tests if runs_it else seen.seconds.keys() - tests
        outcome = runner.try_text(mutant.module, mutant.source(), seen, [selection], likely)
    except (SyntaxError, PytestBrokeError) as error:  # not counted
        print(f"\n{mutant}: {error!r}", flush=True)
        tried.is_broken = True
        return
    finally:
        runners.put(runner)
    tried.steps += 1
    if outcome.code != TESTS_PASSED:
        tried.outcome = outcome
        kept.add(mutant, outcome)
    print({TESTS_PASSED: "s", None: "t"}.get(outcome.code, "."), flush=True, end="")


def _failing_anyway(
    runners: "SimpleQueue[Runner]",
    room: str,
    seen: Seen,
    chosen: Iterable[Mutant],
    found: Iterable[Outcome | None],
) -> set[str]:
    """Of the tests that noticed a mutant of the room those that fail without one, too."""
    by = {
        outcome.by
        for mutant, outcome in zip(chosen, found, strict=True)
        if mutant.room == room and outcome is not None and outcome.by in seen.seconds
    }
    if not by:
        return set()
    runner = runners.get()
    try:
        return {*runner.run(["--maxfail=0", *seen.in_order(by)], seen.limits).failed}
    finally:
        runners.put(runner)


def _read(module: str) -> str:
    return (SOURCE / module).read_text(encoding="utf-8")


def _options() -> argparse.Namespace:
    description = (mutation.__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser("mutation", description=description)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--room", choices=ROOMS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="ask no test that does not run it")
    parser.add_argument("--minutes", type=float, help="begin no further mutant after these")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
