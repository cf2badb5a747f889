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


@pytest.mark.slow
def test_own_families_pass_their_tests_with_a_column_of_free_text(workbench: BakedProject) -> None:
    contract = workbench.root / "config" / "project.yaml"
    before = contract.read_text(encoding="utf-8")
    text = "features:\n  - {name: message, type: text, nullable: true}\n"
    contract.write_text(before.replace("features:\n", text, 1), encoding="utf-8")
    assert "type: text" in contract.read_text(encoding="utf-8")
    finished = workbench.run(".venv/bin/python", "-m", "pytest", "-q", "tests/test_families.py")
    assert finished.code == 0, finished.output
