"""The generated project passes its own checks, Airflow's included."""

import os
import re

import pytest
from conftest import BakedProject, Record


@pytest.mark.slow
@pytest.mark.parametrize("target", ["lint", "typecheck"])
def test_generated_project_is_clean(installed: BakedProject, target: str) -> None:
    installed.make(target)


@pytest.mark.slow
def test_generated_code_has_no_known_weakness(installed: BakedProject) -> None:
    """The half of `make security` that needs no network; the other asks a public database."""
    bandit = ".venv/bin/bandit"
    scan = ("--quiet", "--recursive", "src", "--configfile", "pyproject.toml")
    finished = installed.run(bandit, *scan)
    assert finished.code == 0, finished.output


@pytest.mark.slow
def test_generated_projects_own_tests_pass(
    installed: BakedProject, record_property: Record
) -> None:
    output = installed.make("test", timeout=3600).output
    summary = [line.strip("= ") for line in output.splitlines() if re.search(r"\d passed", line)]
    record_property("figure", f"the project's own tests: {summary[-1]}")
    assert int(re.findall(r"(\d+) passed", summary[-1])[0]) > 500
    if os.environ.get("CI"):  # where .ci/run has installed the programs that some of them need
        assert "skipped" not in summary[-1], output


@pytest.mark.slow
def test_second_bootstrap_changes_nothing(installed: BakedProject) -> None:
    for environment in ("project", "airflow"):
        finished = installed.run("python3", "bootstrap.py", environment, timeout=60)
        assert finished.code == 0, finished.output
        assert "up to date" in finished.output
