"""CI fails a run in which a test was skipped; on a laptop a skip is only reported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..locations import ENGINE

PLUGIN = """
from tests.skipped_in_ci import NoSkips


def pytest_configure(config):
    config.pluginmanager.register(NoSkips(), "no-skips")
"""
SKIPPED = "import pytest\n\n\ndef test_it():\n    pytest.skip('no program')\n"
PASSED = "def test_it():\n    assert 1 + 1 == 2\n"


@pytest.mark.parametrize(
    ("test", "variables", "code"),
    [(SKIPPED, {"CI": "true"}, 1), (SKIPPED, {}, 0), (PASSED, {"CI": "true"}, 0)],
    ids=["skip in CI", "skip on a laptop", "pass in CI"],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_skip_fails_the_run_in_ci(
    tmp_path: Path, test: str, variables: dict[str, str], code: int, workers: str
) -> None:
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "test_one.py").write_text(test)
    clean = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**clean, "PYTHONPATH": str(ENGINE), **variables},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code, done.stdout
    assert ("1 skipped, and CI is set" in done.stdout) == bool(code)
