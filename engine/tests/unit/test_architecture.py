"""Rooms are floors, and imports go down."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

from ..locations import ENGINE

# Mended with the pages' templates.
KNOWN = {"goldpath.jobs.data.page", "goldpath.judging.validation_page"}


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
    imports = {
        name: graph.find_modules_directly_imported_by(name) - KNOWN for name in graph.modules
    }

    TopologicalSorter(imports).prepare()  # a CycleError names the circle

    assert "goldpath.cli.app" in imports
