"""The generated project is safe and its setup stable; its README runs lint, types and tests."""

import pytest
from conftest import BakedProject


@pytest.mark.slow
def test_generated_code_has_no_known_weakness(installed: BakedProject) -> None:
    """The half of `make security` that needs no network; the other asks a public database."""
    bandit = ".venv/bin/bandit"
    scan = ("--quiet", "--recursive", "src", "--configfile", "pyproject.toml")
    finished = installed.run(bandit, *scan)
    assert finished.code == 0, finished.output


@pytest.mark.slow
def test_second_bootstrap_changes_nothing(installed: BakedProject) -> None:
    for environment in ("project", "airflow"):
        finished = installed.run("python3", "bootstrap.py", environment, timeout=60)
        assert finished.code == 0, finished.output
        assert "up to date" in finished.output
