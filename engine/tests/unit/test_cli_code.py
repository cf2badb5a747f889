"""The command line runs the code of the project that it is called in, or says that it does not.

What is wrong in `project.py` is an error like others: exit code 1 would be a check's answer.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from goldpath.cli.own_code import ForeignCodeError, compare_folders

PROGRAM = """from goldpath import Project, run

run(Project(name="shop"))
"""

LAZY_PROGRAM = """from goldpath import Project, run


def definitions() -> Project:
    from .project import project

    return project


run(definitions)
"""


def make_project(root: Path) -> Path:
    """A project with a package; returns the module that `python -m shop` starts."""
    package = root / "src" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PROGRAM)
    (root / "config").mkdir()
    (root / "config" / "project.yaml").write_text("dataset: shop\n")
    return package / "__main__.py"


def test_copied_environment_that_runs_the_originals_code_is_refused(tmp_path: Path) -> None:
    make_project(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    # What the path file of a copied .venv does: it names the original's sources.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "one" / "src")}
    environment.pop("MLOPS_ROOT", None)

    done = subprocess.run(
        [sys.executable, "-m", "shop", "check", "--json"],
        cwd=tmp_path / "two",
        env={**environment, "PYTHONPATH": os.pathsep.join([environment["PYTHONPATH"], *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2, done.stderr
    said = json.loads(done.stdout)
    assert f"the code of {tmp_path / 'one'}" in said["error"]
    assert str(tmp_path / "two") in said["error"]
    assert "make setup" in said["fix"]


def test_own_code_may_run_under_another_name_of_its_folder(tmp_path: Path) -> None:
    started = make_project(tmp_path / "one")
    (tmp_path / "link").symlink_to(tmp_path / "one")

    compare_folders(started, tmp_path / "one")
    compare_folders(started, tmp_path / "link")
    make_project(tmp_path / "two")
    with pytest.raises(ForeignCodeError):
        compare_folders(started, tmp_path / "two")


def test_installed_package_may_work_on_any_project(tmp_path: Path) -> None:
    make_project(tmp_path / "one")
    installed = tmp_path / "site-packages" / "shop" / "__main__.py"
    installed.parent.mkdir(parents=True)

    compare_folders(installed, tmp_path / "one")


@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ("from goldpath import Project\nproject = Project(name=)\n", 2, "SyntaxError"),
        ("import a_library_that_is_not_there\n", 1, "ModuleNotFoundError"),
        ("from goldpath import Project\n\nproject = Project(nam='shop')\n", 3, "TypeError"),
        ("from goldpath import Project\n", 5, "ImportError: cannot import name 'project'"),
    ],
    ids=["syntax", "import", "argument", "no project"],
)
def test_what_is_wrong_in_project_py_is_an_error_with_its_line_and_no_verdict(
    tmp_path: Path, text: str, line: int, error: str
) -> None:
    main = make_project(tmp_path)
    main.write_text(LAZY_PROGRAM)
    definitions = main.with_name("project.py")
    definitions.write_text(text)

    done = subprocess.run(
        [sys.executable, "-m", "shop", "drift-check", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(main.parents[1]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2, done.stderr
    said = json.loads(done.stdout)
    file = main if error.startswith("ImportError") else definitions
    assert said["error"].startswith(f"{file}:{line}: Project(…) of project.py cannot be made: ")
    assert error in said["error"]
    assert "correct that line" in said["fix"]
    assert "Traceback" not in done.stderr
