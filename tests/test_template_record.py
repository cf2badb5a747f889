"""A project knows its template wherever it was baked from, and so does cruft."""

import json

import pytest
from conftest import PROJECT_SOURCE, Shell
from template_sources import BAKES, FOLDER, NAME, PACKAGE, bake_with_cruft, bare

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("source", BAKES)
def test_project_records_template_commit_version_and_answers(
    shell: Shell, template: Shell, source: str
) -> None:
    address = BAKES[source](shell, template)
    project = shell.at(shell.folder / FOLDER)
    record = json.loads((project.folder / ".cruft.json").read_text(encoding="utf-8"))
    known = None if source == "plain-zip" else template.git("rev-parse", "HEAD")
    assert record["template"] == address
    assert record["commit"] == known
    answers = record["context"]["cookiecutter"]
    assert answers["project_name"] == NAME
    assert answers["package_name"] == PACKAGE
    version = json.loads((template.folder / "cookiecutter.json").read_text())["_template_version"]
    assert answers["_template_version"] == version
    assert (answers["_template"], answers["_commit"]) == (address, known)
    assert not {"_output_dir", "_repo_dir"} & set(answers)
    assert project.git("log", "--format=%s") == "Generate the project"
    assert project.git("status", "--porcelain") == ""


@pytest.mark.parametrize("source", ["address", "cruft-create"])
def test_plain_cruft_checks_compares_and_updates(
    shell: Shell, template: Shell, source: str
) -> None:
    """Whoever calls cruft himself gets what cruft gives; no hook stands in its way."""
    BAKES[source](shell, template)
    project = shell.at(shell.folder / FOLDER)
    assert project("cruft", "check").code == 0
    assert project("cruft", "diff", "--exit-code").output == ""
    readme = template.folder / PROJECT_SOURCE.name / "README.md"
    readme.write_text(readme.read_text() + "\nA new last line.\n")
    template.commit("Second version")
    bare(template)
    assert project("cruft", "check", code=None).code == 1
    project("cruft", "update", "--skip-apply-ask")
    assert project.git("status", "--porcelain").splitlines() == ["M .cruft.json", "M  README.md"]
    assert (project.folder / "README.md").read_text().endswith("\nA new last line.\n")
    assert project.git("log", "--format=%s") == "Generate the project"


def test_cruft_as_a_library_makes_no_repository_in_its_renders(
    shell: Shell, template: Shell
) -> None:
    """Nothing in its process's command line says what it does; the folder does."""
    bake_with_cruft(shell, template)
    project = shell.at(shell.folder / FOLDER)
    code = "import cruft; assert cruft.diff(exit_code=True); print('no difference')"
    assert project("python", "-c", code).output.endswith("no difference\n")
    made = shell.folder / "made"
    made.mkdir()
    code = f"import cruft; cruft.create({str(template.folder)!r}, no_input=True)"
    shell.at(made)("python", "-c", code)
    assert shell.at(made / "customer-churn").git("log", "--format=%s") == "Generate the project"


def test_passwords_in_an_address_are_not_recorded(shell: Shell, template: Shell) -> None:
    server = bare(template)
    shell.git(
        "config", "--global", f"url.{server}.insteadOf", "https://me:secret@example.com/t.git"
    )
    shell("cookiecutter", "https://me:secret@example.com/t.git", "--no-input")
    text = (shell.folder / "customer-churn" / ".cruft.json").read_text()
    assert json.loads(text)["template"] == "https://example.com/t.git"
    assert "secret" not in text
