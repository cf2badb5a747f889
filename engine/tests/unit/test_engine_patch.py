"""The vendored wheel can be unpacked, edited, built again and installed."""

import hashlib
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from goldpath.cli.app import app
from goldpath.services.engine_patch import build_patch, unpack_engine
from goldpath.services.vendored_engine import (
    VendoredEngineError,
    build_wheel,
    differences,
    install_wheel,
    local_patch,
    project_version,
    vendored_wheel,
    wheel_version,
)

from ..locations import ENGINE

VERSION = project_version(ENGINE)
EDITED = "src/goldpath/errors.py"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return build_wheel(ENGINE, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def root(wheel: Path, tmp_path: Path) -> Path:
    """A project that vendors the wheel, with a .gitignore that names the engine's folders."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "project.yaml").write_text("# found by its name\n")
    (tmp_path / ".gitignore").write_text("lake/\nlogs/\ndata/*\nmlflow/\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = [\n  "goldpath==0.0.1",\n  "goldpath[core,aws]==0.0.1",\n'
        '  "numpy==2.3",\n]\n'
    )
    install_wheel(tmp_path, wheel)
    return tmp_path


def edit(folder: Path) -> None:
    file = folder / EDITED
    file.write_text(file.read_text() + '\nPATCHED = "yes"\n')


def test_two_builds_are_equal_byte_for_byte(wheel: Path, tmp_path: Path) -> None:
    assert build_wheel(ENGINE, tmp_path).read_bytes() == wheel.read_bytes()


def test_the_wheel_holds_every_source_and_nothing_else_of_the_package(wheel: Path) -> None:
    package = ENGINE / "src" / "goldpath"
    sources = {
        f"goldpath/{file.relative_to(package).as_posix()}"
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    carried = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if name.startswith("goldpath/")
        and not name.startswith(("goldpath/docs/", "goldpath/source/"))
    }

    assert carried == sources


def test_installing_a_wheel_replaces_the_old_one_and_pins_it_by_hash(
    root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "goldpath-9.9.9-py3-none-any.whl"
    other.write_bytes(b"another wheel")

    install_wheel(root, other)

    lock = (root / "requirements" / "engine.txt").read_text()
    pins = (root / "pyproject.toml").read_text()
    digest = hashlib.sha256(b"another wheel").hexdigest()
    assert [file.name for file in (root / "vendor").iterdir()] == [other.name]
    assert lock.splitlines()[1:] == [
        "--no-index --find-links ../vendor",
        f"goldpath==9.9.9 --hash=sha256:{digest}",
    ]
    assert '"goldpath==9.9.9"' in pins
    assert '"goldpath[core,aws]==9.9.9"' in pins
    assert '"numpy==2.3"' in pins


def test_a_project_without_a_pin_is_refused_and_left_alone(root: Path, wheel: Path) -> None:
    (root / "pyproject.toml").write_text("[project]\ndependencies = []\n")

    with pytest.raises(VendoredEngineError, match="pins no version of goldpath"):
        install_wheel(root, wheel)

    assert vendored_wheel(root).name == wheel.name


def test_two_wheels_are_refused(root: Path) -> None:
    (root / "vendor" / "goldpath-9.9.9-py3-none-any.whl").write_bytes(b"")

    with pytest.raises(VendoredEngineError, match="holds 2 wheels") as refused:
        vendored_wheel(root)

    assert "requirements/engine.txt" in refused.value.fix


def test_a_missing_wheel_is_named_with_what_brings_it_back(root: Path) -> None:
    vendored_wheel(root).unlink()

    with pytest.raises(VendoredEngineError, match="no goldpath") as refused:
        vendored_wheel(root)

    assert refused.value.fix == "restore it: git checkout -- vendor"


def test_unpacked_sources_build_the_same_wheel(root: Path, wheel: Path, tmp_path: Path) -> None:
    unpacked = unpack_engine(root, root / "engine-src")

    assert unpacked.folder == "engine-src"
    assert unpacked.version == VERSION
    assert differences(wheel, build_wheel(root / "engine-src", tmp_path)) == []


def test_unpacking_over_edits_is_refused(root: Path) -> None:
    unpack_engine(root, root / "engine-src")
    edit(root / "engine-src")

    with pytest.raises(VendoredEngineError, match="edits in it would be lost"):
        unpack_engine(root, root / "engine-src")

    assert "PATCHED" in (root / "engine-src" / EDITED).read_text()


def test_building_without_sources_or_edits_is_refused(root: Path) -> None:
    with pytest.raises(VendoredEngineError, match="no sources"):
        build_patch(root, root / "engine-src")
    unpack_engine(root, root / "engine-src")
    with pytest.raises(VendoredEngineError, match="already"):
        build_patch(root, root / "engine-src")
    assert local_patch(root) is None


def test_sources_of_another_version_are_refused(root: Path, tmp_path: Path) -> None:
    unpack_engine(root, root / "engine-src")
    edit(root / "engine-src")
    newer = tmp_path / "goldpath-9.9.9-py3-none-any.whl"
    newer.write_bytes(vendored_wheel(root).read_bytes())
    install_wheel(root, newer)

    with pytest.raises(VendoredEngineError, match=r"the vendored wheel is 9\.9\.9"):
        build_patch(root, root / "engine-src")


def test_another_build_backend_is_refused(root: Path) -> None:
    unpack_engine(root, root / "engine-src")
    edit(root / "engine-src")
    pyproject = root / "engine-src" / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("hatchling==", "hatchling==0."))

    with pytest.raises(VendoredEngineError, match=r"built with hatchling==0\.") as refused:
        build_patch(root, root / "engine-src")

    assert "make lock setup" in refused.value.fix


def test_each_build_is_the_next_local_version(root: Path) -> None:
    unpack_engine(root, root / "engine-src")
    edit(root / "engine-src")
    first = build_patch(root, root / "engine-src")
    edit(root / "engine-src")
    second = build_patch(root, root / "engine-src")

    assert (first.version, second.version) == (f"{VERSION}+local.1", f"{VERSION}+local.2")
    assert first.changed == second.changed == ("goldpath/errors.py",)
    assert first.next_step == "make setup"
    assert local_patch(root) == second.version
    assert wheel_version(vendored_wheel(root)) == second.version
    assert f'"goldpath=={second.version}"' in (root / "pyproject.toml").read_text()


def test_a_patched_engine_unpacks_to_its_patched_sources(root: Path) -> None:
    unpack_engine(root, root / "engine-src")
    edit(root / "engine-src")
    build_patch(root, root / "engine-src")

    unpack_engine(root, root / "again")

    assert "PATCHED" in (root / "again" / EDITED).read_text()
    assert project_version(root / "again") == f"{VERSION}+local.1"


def test_an_edit_has_its_effect_where_the_patched_engine_is_installed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands as a person types them, and the lock as `make setup` installs it."""
    monkeypatch.chdir(root)
    command = CliRunner()
    assert command.invoke(app, ["engine", "unpack"]).exit_code == 0
    edit(root / "engine-src")
    built = command.invoke(app, ["engine", "build"])
    assert built.exit_code == 0, built.output
    assert "+local.1" in built.output
    venv.create(root / "installed", with_pip=False)
    python = next((root / "installed").glob("*/python"))
    uv = str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--require-hashes"]
    subprocess.run(
        [*install, "--python", str(python), "--requirement", "requirements/engine.txt"],
        cwd=root,
        check=True,
    )

    said = subprocess.run(
        [python, "-c", "from goldpath.errors import PATCHED; print(PATCHED)"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == "yes\n"
