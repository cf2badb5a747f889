"""Change one line at a time where a fault would hurt most, and see whether a test notices.

    PYTHON mutation.py [--mutants 300] [--seed N] [--room NAME] [--workers 2]

A random sample of Cosmic Ray's mutants of each room below is tried against the tests that the room
names; the seed is printed, and gives the same sample again. Mutants of annotations, of docstrings
and of what only a type checker runs are left out: nothing could notice them. A mutant that the
tests pass on is printed as a difference; each is a line that nobody tests, or one that means
the same. Exits with 1 where fewer than nine of ten were noticed. Run by `make mutation`; 300 take
hours, so CI does not run it.
"""

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

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
        for room in rooms:  # tests that fail anyway would notice everything
            if run_tests(copies, room, None) != TESTS_PASSED:
                raise SystemExit(f"Error: the tests of {room} fail without a mutant.")
        with ThreadPoolExecutor(options.workers) as pool:
            codes = list(pool.map(lambda each: _try(copies, each), chosen))
    survivors = [mutant for mutant, code in zip(chosen, codes, strict=True) if code == TESTS_PASSED]
    for mutant in survivors:
        print(f"\n{mutant.difference()}")
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


def run_tests(copies: "SimpleQueue[Path]", room: str, mutant: Mutant | None) -> int:
    """Run a room's tests in a copy that nobody uses, with a mutant or without; pytest's code."""
    folder = copies.get()
    try:
        if mutant:
            (folder / "src" / "goldpath" / mutant.module).write_text(mutant.source(), "utf-8")
        command = [os.environ.get("ENGINE_PYTHON", sys.executable), "-m", "pytest", "-q", "-x"]
        command += ["-n", "0", "-p", "no:cacheprovider"]
        command += [f"tests/{name}" for name in ROOMS[room].tests]
        environment = {**os.environ, "PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return TESTS_FAILED  # a loop without an end is noticed
    else:
        if mutant is None and done.returncode:
            print(done.stdout.decode()[-3000:])
        return done.returncode
    finally:
        if mutant:
            shutil.copy(SOURCE / mutant.module, folder / "src" / "goldpath" / mutant.module)
        copies.put(folder)


def _try(copies: "SimpleQueue[Path]", mutant: Mutant) -> int:
    code = run_tests(copies, mutant.room, mutant)
    print("." if code != TESTS_PASSED else "S", end="", flush=True)
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
