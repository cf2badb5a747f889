"""A project knows its template wherever it was baked from, and follows it to a newer version."""

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import (
    PROJECT_SOURCE,
    BakedProject,
    Finished,
    clean_environment,
    cookiecutter,
    run,
    template_files,
)

pytestmark = pytest.mark.slow

NAME = 'Été "des" clients'
FOLDER = "ete-des-clients"
PACKAGE = "ete_des_clients"


@dataclass(frozen=True)
class Shell:
    """A user's shell on a machine that has no copy of this repository."""

    folder: Path
    programs: Path
    environment: dict[str, str]

    def __call__(self, *command: str | Path, code: int | None = 0) -> Finished:
        """Run a program of the updater's environment, or git."""
        program, *arguments = command
        found = self.programs / str(program)
        finished = run(
            *(found if found.exists() else program, *arguments),
            cwd=self.folder,
            timeout=300,
            env=self.environment,
        )
        assert code is None or finished.code == code, finished.output
        return finished

    def at(self, folder: Path) -> "Shell":
        """The same shell in another folder."""
        return Shell(folder, self.programs, {**self.environment, "PWD": str(folder)})

    def git(self, *arguments: str | Path) -> str:
        """What git prints."""
        return self("git", *arguments).output.strip()


@pytest.fixture(scope="session")
def programs() -> Path:
    """Cruft and Cookiecutter from the project's own lock, as bootstrap.py installs them.

    They outlive the session in a folder keyed by the lock.
    """
    locks = [PROJECT_SOURCE / "requirements" / name for name in ("update.txt", "bootstrap.txt")]
    key = "-".join(str(hash_of(lock))[:12] for lock in locks)
    cache = Path(tempfile.gettempdir()) / f"mlops-template-tests-{os.getuid()}" / f"update-{key}"
    cache.mkdir(parents=True, exist_ok=True)
    finished = cookiecutter(cache, "--overwrite-if-exists")
    assert finished.code == 0, finished.output
    project = BakedProject(cache / "customer-churn")
    finished = project.run("python3", "bootstrap.py", "update", timeout=600)
    assert finished.code == 0, finished.output
    return project.root / ".venv-update" / "bin"


def hash_of(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def shell(programs: Path, tmp_path: Path) -> Shell:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n"
    )
    folder = tmp_path / "un été à Paris"
    folder.mkdir()
    return Shell(folder, programs, clean_environment(HOME=str(home), PWD=str(folder)))


@pytest.fixture
def template(shell: Shell, tmp_path: Path) -> Shell:
    """The template of this tree in a repository of its own, one commit."""
    folder = tmp_path / "modèle de projet" / "mlops-template"
    shutil.copytree(template_files(), folder)
    inside = shell.at(folder)
    inside.git("init", "--quiet")
    commit(inside, "First version")
    return inside


def commit(shell: Shell, message: str) -> str:
    """Commit all; returns the commit."""
    shell.git("add", "--all")
    shell.git("commit", "--quiet", "--no-verify", "--message", message)
    return shell.git("rev-parse", "HEAD")


def bare(template: Shell) -> str:
    """The address of a bare copy of the template, as a server has it."""
    folder = template.folder.with_suffix(".git")
    if not folder.exists():
        template.git("clone", "--quiet", "--bare", ".", folder)
    else:
        template.git("push", "--quiet", folder, "HEAD:main")
    return f"file://{folder}"


def bake_from_address(shell: Shell, template: Shell) -> str:
    address = bare(template)
    shell("cookiecutter", address, "--no-input", f"project_name={NAME}")
    return address


def bake_from_archive(shell: Shell, template: Shell) -> str:
    """A zip as hosts of repositories make them, which names its commit in cookiecutter.json."""
    archive = shell.folder / "mlops-template-main.zip"
    template.git("archive", "--prefix=mlops-template-main/", f"--output={archive}", "HEAD")
    shell("cookiecutter", archive.name, "--no-input", f"project_name={NAME}")
    return str(archive)


def bake_from_plain_zip(shell: Shell, template: Shell) -> str:
    """A zip that somebody made of the files: nothing in it names a commit."""
    archive = shell.folder / "plain.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.mkdir("mlops-template")
        for name in template.git("ls-files", "-z").split("\0"):
            if name:
                packed.write(template.folder / name, f"mlops-template/{name}")
    shell("cookiecutter", archive, "--no-input", f"project_name={NAME}")
    return str(archive)


def bake_from_folder(shell: Shell, template: Shell) -> str:
    typed = os.path.relpath(template.folder, shell.folder)
    shell("cookiecutter", f"{typed}/", "--no-input", f"project_name={NAME}")
    return str(template.folder)


def bake_with_cruft(shell: Shell, template: Shell) -> str:
    answers = json.dumps({"project_name": NAME})
    shell("cruft", "create", template.folder, "--no-input", "--extra-context", answers)
    return str(template.folder)


BAKES = {
    "address": bake_from_address,
    "archive": bake_from_archive,
    "plain-zip": bake_from_plain_zip,
    "folder": bake_from_folder,
    "cruft-create": bake_with_cruft,
}
Source = Callable[[Shell, Shell], str]


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
    commit(template, "Second version")
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
