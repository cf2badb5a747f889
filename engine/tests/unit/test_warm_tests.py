"""What `make mutation` counts as noticed is a test that failed, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

WARM = Path(__file__).parents[2] / "mutation" / "warm_tests.py"
TESTS = """
import os, signal, time

def test_passes(tmp_path):
    assert tmp_path.exists()

def test_fails():
    assert "a" == "b"

def test_takes_long():
    time.sleep(60)

def test_is_killed():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_each_end_of_a_run_has_a_code_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    usual = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'scratch'}"]
    asked = {
        "test_it.py::test_passes": 0,
        "test_it.py::test_fails": 1,
        "test_it.py::test_takes_long": None,
        "test_it.py::test_is_killed": -9,
        "test_it.py::test_that_is_not_there": 4,
        "--an-option-that-is-not-there": 4,
    }
    requests = [
        {"arguments": [*usual, test], "limits": {"test_it.py::test_takes_long": 0.2}}
        for test in asked
    ]
    requests.insert(0, {"imports": ["colorsys", "a_module_that_is_not_there"]})
    answered = subprocess.run(
        [sys.executable, str(WARM)],
        input="".join(json.dumps(request) + "\n" for request in requests),
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    codes = [json.loads(line)["code"] for line in answered.stdout.splitlines()]
    assert codes == [0, *asked.values()]
