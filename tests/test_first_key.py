"""`make setup` makes the key that production asks for: once, and for its user only."""

import importlib.util
import shutil
import stat
from pathlib import Path
from types import ModuleType

import pytest
from conftest import BakedProject

BOOTSTRAP = Path(__file__).parents[1] / "{{cookiecutter.repo_name}}" / "bootstrap.py"


def bootstrap_in(folder: Path) -> ModuleType:
    """The project's bootstrap.py, as if the project lay in a folder."""
    shutil.copyfile(BOOTSTRAP, folder / "bootstrap.py")
    spec = importlib.util.spec_from_file_location("first_key_bootstrap", folder / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_key_is_made_once_and_is_private(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bootstrap = bootstrap_in(tmp_path)
    bootstrap.make_first_key()
    file = tmp_path / ".secrets" / "api.key"
    key = file.read_text()
    bootstrap.make_first_key()

    assert file.read_text() == key
    assert len(key.strip()) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    said = capsys.readouterr().out
    assert said.count(".secrets/api.key") == 1
    assert key.strip() not in said


def test_the_readme_sends_the_key_and_git_does_not_see_it(default_project: BakedProject) -> None:
    readme = default_project.read("README.md")
    for path in ("/predict", "/retention-offer"):
        (line,) = (each for each in readme.splitlines() if f"8000{path} " in each)
        assert '-H "X-API-Key: $(cat .secrets/api.key)"' in line
    assert ".secrets" in default_project.read(".gitignore")
