"""Change one line at a time where a fault would hurt most, and see whether a test notices.

    PYTHON mutation.py [--mutants 300] [--seed N] [--room NAME] [--workers 2]

A random sample of Cosmic Ray's mutants of each room below is tried against the tests that the room
names; the seed is printed, and gives the same sample again. Mutants of annotations, of docstrings
and of what only a type checker runs are left out: nothing could notice them. The room's tests run
once without a mutant, with coverage; a mutant is tried against those that run its statement, the
quickest first, or against all of them where none does (what another process runs is not seen). A
mutant that they pass on is printed as a difference; each is a line that nobody tests, or one that
means the same. Exits with 1 where fewer than nine of ten were noticed. Run by `make mutation`; 300
take an hour or two, so CI does not run it.
"""

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeAlias
from xml.etree import ElementTree

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ENGINE = Path(__file__).resolve().parent
SOURCE = ENGINE / "src" / "goldpath"
RESULT = ENGINE / "mutation.json"
GOAL = 0.9
LONGEST_SECONDS = 900
TESTS_PASSED, TESTS_FAILED = 0, 1


@dataclass(frozen=True)
class Room:
    """Modules, and the tests that should notice a change of them, quick ones first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "access": Room(
        ("serving/access/*.py",),
        (
            *("unit/test_limits.py", "unit/test_tokens.py", "unit/test_closed_by_default.py"),
            *("api/test_lane_credentials.py", "api/test_identity_provider.py"),
            *("api/test_forwarding.py", "api/test_access.py", "api/test_access_processes.py"),
        ),
    ),
    "lane": Room(
        ("serving/lane/*.py",),
        (
            *("unit/test_batching.py", "api/test_upgrades.py", "api/test_lane_credentials.py"),
            *("api/test_fast_lane.py", "api/test_lane_protocol.py", "api/test_batch_rows.py"),
            *("api/test_long_bodies.py", "api/test_decoder_fuzz.py", "api/test_domains.py"),
            *("api/test_request_trail.py", "api/test_hostile_requests.py"),
        ),
    ),
    "trust": Room(
        ("trust/*.py",),
        (
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
            *("unit/test_validation.py", "unit/test_validation_statistics.py"),
            *("unit/test_ways_out.py", "integration/test_validation_tutorial.py"),
        ),
    ),
    "promotion": Room(
        ("jobs/promotion/*.py",),
        (
            *("integration/test_registry_life.py", "integration/test_registry_cli.py"),
            *("integration/test_signed_versions.py", "integration/test_traffic_command.py"),
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
        """The module's text with the change."""
        operator = get_operator(self.operator)()
        return str(mutate_code(_read(self.module), operator, self.occurrence))

    def difference(self) -> str:
        """The change, as `diff -U0` writes it."""
        before, after = _read(self.module).splitlines(), self.source().splitlines()
        lines = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
        return "\n".join([f"{self.module} ({self.room}, {self.operator})", *lines])


def main() -> int:
    """Try the sample; 0 where enough of it was noticed."""
    options = _options()
    rooms = [options.room] if options.room else list(ROOMS)
    print(f"seed {options.seed}: --seed {options.seed} gives the same mutants", flush=True)
    found = [mutant for room in rooms for mutant in mutants_of(room)]
    dice = random.Random(options.seed)  # noqa: S311  a sample that can be had again
    chosen = dice.sample(found, min(options.mutants, len(found)))
    print(f"{len(chosen)} of {len(found)} mutants in {', '.join(rooms)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.workers):
            copies.put(copy_engine(Path(folder) / str(number)))
        with ThreadPoolExecutor(options.workers) as pool:
            seen = dict(
                zip(rooms, pool.map(lambda room: measured(copies, room), rooms), strict=True)
            )
            codes = list(pool.map(lambda each: _try(copies, each, seen[each.room]), chosen))
    survivors = [mutant for mutant, code in zip(chosen, codes, strict=True) if code == TESTS_PASSED]
    share = 1 - len(survivors) / len(chosen)
    result = {
        "seed": options.seed,
        "mutants": len(chosen),
        "noticed": round(share, 3),
        "survivors": [asdict(mutant) for mutant in survivors],
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(
        f"\n{len(chosen) - len(survivors)} of {len(chosen)} noticed ({share:.1%}), goal {GOAL:.0%}"
    )
    return 0 if share >= GOAL else 1


def mutants_of(room: str) -> list[Mutant]:
    """All mutants of a room that something could notice."""
    found = []
    for pattern in ROOMS[room].modules:
        for file in sorted(SOURCE.glob(pattern)):
            module = str(file.relative_to(SOURCE))
            silent = silent_lines(_read(module))
            nodes = list(ast_nodes(get_ast(_read(module))))
            for name in operator_names():
                if get_operator(name).arguments():
                    continue
                operator = get_operator(name)()
                places = [start for node in nodes for start, _ in operator.mutation_positions(node)]
                found += [
                    Mutant(room, module, name, occurrence, line)
                    for occurrence, (line, column) in enumerate(places)
                    if not any(first <= (line, column) < last for first, last in silent)
                ]
    return found


def silent_lines(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where a change has no effect: annotations, and `if TYPE_CHECKING`."""
    silent: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            every += [each for each in (node.args.vararg, node.args.kwarg) if each]
            silent += [each.annotation for each in every if each.annotation]
            silent += [node.returns] if node.returns else []
        elif isinstance(node, ast.AnnAssign):
            silent.append(node.annotation)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            silent.append(node)
    return [
        ((each.lineno, each.col_offset), (each.end_lineno or 0, each.end_col_offset or 0))
        for each in silent
        if isinstance(each, ast.expr | ast.stmt)
    ]


def copy_engine(folder: Path) -> Path:
    """A copy of what the tests need, so that nothing here is ever changed."""
    for name in ("src", "tests"):
        shutil.copytree(ENGINE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy(ENGINE / name, folder / name)
    shutil.copytree(ENGINE / "docs", folder / "docs")
    return folder


Seen: TypeAlias = Mapping[tuple[str, int], Sequence[str]]
"""The tests that run a line of a module, the quickest first."""


def measured(copies: "SimpleQueue[Path]", room: str) -> Seen:
    """Which of a room's tests run which line.

    Raises:
        SystemExit: If a test fails anyway: it would notice everything.
    """
    folder = copies.get()
    times, data = folder / f"{room}.xml", folder / f".coverage.{room}"
    options = ["--cov=goldpath", "--cov-context=test", "--cov-report=", f"--junitxml={times}"]
    done = _pytest(folder, [*options, *_tests(room)], {"COVERAGE_FILE": str(data)})
    copies.put(folder)
    if done.returncode != TESTS_PASSED:
        print(done.stdout.decode()[-3000:])
        raise SystemExit(f"Error: the tests of {room} fail without a mutant.")
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

    def time(test: str) -> float:
        file, _, name = test.partition("::")
        return seconds.get(f"{file.removesuffix('.py').replace('/', '.')}::{name}", 0)

    return {line: sorted(tests, key=time) for line, tests in seen.items()}


def statement_lines(source: str, line: int) -> range:
    """The lines of the statement around a line; of one with a body, those before it."""
    lines = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            if line <= last:  # the walk goes inwards, so the last one is the smallest
                lines = range(node.lineno, max(last, node.lineno) + 1)
    return lines


def run_tests(copies: "SimpleQueue[Path]", mutant: Mutant, tests: Sequence[str]) -> int:
    """Run tests on a mutant, in a copy that nobody uses; pytest's code."""
    folder = copies.get()
    try:
        (folder / "src" / "goldpath" / mutant.module).write_text(mutant.source(), "utf-8")
        return _pytest(folder, tests, {}).returncode
    except subprocess.TimeoutExpired:
        return TESTS_FAILED  # a loop without an end is noticed
    finally:
        shutil.copy(SOURCE / mutant.module, folder / "src" / "goldpath" / mutant.module)
        copies.put(folder)


def _pytest(
    folder: Path, arguments: Sequence[str], environment: dict[str, str]
) -> "subprocess.CompletedProcess[bytes]":
    command = [os.environ.get("ENGINE_PYTHON", sys.executable), "-m", "pytest", "-q", "-x"]
    command += ["-n", "0", "-p", "no:cacheprovider", *arguments]
    own = {"PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **own, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=LONGEST_SECONDS,
    )


def _tests(room: str) -> list[str]:
    return [f"tests/{name}" for name in ROOMS[room].tests]


def _try(copies: "SimpleQueue[Path]", mutant: Mutant, seen: Seen) -> int:
    lines = statement_lines(_read(mutant.module), mutant.line)
    found = [test for line in lines for test in seen.get((mutant.module, line), ())]
    tests = list(dict.fromkeys(found)) or _tests(mutant.room)
    code = run_tests(copies, mutant, tests)
    print("." if code != TESTS_PASSED else f"\n{mutant.difference()}\n", flush=True, end="")
    return code


def _read(module: str) -> str:
    return (SOURCE / module).read_text(encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--room", choices=ROOMS)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
