"""Rooms are floors, imports go down, and a module is small enough to be read at once."""

import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

import goldpath

from ..locations import ENGINE

SOURCES = Path(goldpath.__file__).parent
LONGEST_MODULE = 400
FULLEST_ROOM = 20
REASON = "in one module because"
"""A longer module says so in its docstring, and goes on with the reason."""


def test_the_import_contracts_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run(
        [lint_imports, "--no-cache"], cwd=ENGINE, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 3 kept, 0 broken." in done.stdout


def test_no_circle_of_imports_goes_through_a_module() -> None:
    """The contracts compare siblings; this also finds a package that imports what imports it."""
    graph = grimp.build_graph("goldpath", exclude_type_checking_imports=True, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}

    TopologicalSorter(imports).prepare()  # a CycleError names the circle

    assert "goldpath.cli.app" in imports


def test_a_module_is_short_or_says_why_it_is_not() -> None:
    long = {
        str(file.relative_to(SOURCES)): lines
        for file in SOURCES.rglob("*.py")
        if (lines := len((text := file.read_text(encoding="utf-8")).splitlines())) > LONGEST_MODULE
        and REASON not in text.split('"""')[1]
    }

    assert long == {}


def test_no_room_is_too_full_to_know_by_heart() -> None:
    rooms = Counter(
        file.parent.relative_to(SOURCES).as_posix()
        for file in SOURCES.rglob("*.py")
        if file.name != "__init__.py"
    )

    assert {room: modules for room, modules in rooms.items() if modules > FULLEST_ROOM} == {}
