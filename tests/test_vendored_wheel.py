"""The wheel in the template is the engine of this tree, and the locks are made for it."""

import json
import re
import subprocess
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest
from conftest import TEMPLATE
from goldpath.services import vendored_engine as wheels
from packaging.requirements import Requirement

import vendor_engine

PROJECT = vendor_engine.PROJECT
LOCKED = re.compile(r"^([a-z0-9._-]+)==([^\s;]+)", re.MULTILINE)
# Each image's lock, and the engine's extras that its commands need.
EXTRAS = {
    "core": ("core", "aws", "servers"),
    "serving": ("serving", "servers", "kafka", "tracing"),
    "monitoring": ("core", "serving", "monitoring", "aws", "servers", "kafka", "tracing"),
    "dev": ("core", "serving", "monitoring", "aws", "servers", "kafka", "tracing", "automl"),
}


def metadata() -> Message:
    """The vendored wheel's own description."""
    wheel = wheels.vendored_wheel(PROJECT)
    with zipfile.ZipFile(wheel) as archive:
        name = f"goldpath-{wheels.wheel_version(wheel)}.dist-info/METADATA"
        return HeaderParser().parsestr(archive.read(name).decode())


def locked(file: Path) -> dict[str, set[str]]:
    """Each package of a lock, with its version; two where it differs between Pythons."""
    found: dict[str, set[str]] = {}
    for name, version in LOCKED.findall(file.read_text(encoding="utf-8")):
        found.setdefault(name, set()).add(version)
    return found


def test_the_vendored_wheel_equals_a_rebuild_of_this_tree() -> None:
    assert vendor_engine.outdated_files() == [], "run: make wheel"


def test_the_vendored_wheel_is_locked_by_its_hash_and_pinned() -> None:
    wheel = wheels.vendored_wheel(PROJECT)
    assert (PROJECT / wheels.ENGINE_LOCK).read_text() == wheels.engine_lock(wheel)
    pins = re.findall(r'"goldpath==([^"]+)"', (PROJECT / "pyproject.toml").read_text())
    assert pins == [wheels.wheel_version(wheel)]


def test_one_build_backend_is_pinned_everywhere() -> None:
    pins = {
        file: re.findall(r"hatchling==([\w.]+)", (TEMPLATE / file).read_text())
        for file in (
            "engine/pyproject.toml",
            "engine/requirements/dev.txt",
            "requirements-dev.txt",
            f"{PROJECT.name}/pyproject.toml",
            f"{PROJECT.name}/requirements/dev.txt",
        )
    }
    assert all(pins.values())
    assert len({pin for found in pins.values() for pin in found}) == 1, pins


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_holds_what_the_engine_needs_there(lock: str) -> None:
    """`pip check` asks for the base requirements only; the extras are compared here."""
    found = locked(PROJECT / "requirements" / f"{lock}.txt")
    environments = [{"extra": extra, "python_version": "3.11"} for extra in ("", *EXTRAS[lock])]
    needed = [
        requirement
        for requirement in map(Requirement, metadata().get_all("Requires-Dist", []))
        if requirement.marker is None or any(map(requirement.marker.evaluate, environments))
    ]
    assert len(needed) > len(EXTRAS[lock])
    for requirement in needed:
        versions = found[requirement.name.lower()]
        assert all(map(requirement.specifier.contains, versions)), requirement


def test_locks_agree_on_the_versions_that_they_share() -> None:
    """What the engine is tested with is what projects install; Airflow's environment is apart."""
    engine = locked(TEMPLATE / "engine" / "requirements" / "dev.txt")
    locks = [PROJECT / "requirements" / f"{lock}.txt" for lock in EXTRAS]
    for file in (*locks, TEMPLATE / "requirements-dev.txt"):
        other = {name: found for name, found in locked(file).items() if name in engine}
        assert len(other) > 5
        assert {n: found for n, found in other.items() if not found <= engine[n]} == {}, file


def test_only_the_engines_own_lock_names_the_engine() -> None:
    """So a new wheel changes one lock, and the others change with dependencies only."""
    files = sorted((PROJECT / "requirements").glob("*.txt"))
    naming = [file.name for file in files if "goldpath" in file.read_text(encoding="utf-8")]
    assert len(files) > 5
    assert naming == ["engine.txt"]


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a vendored wheel of a small engine, committed once."""
    project = tmp_path / PROJECT.name
    package = tmp_path / "engine" / "src" / "goldpath"
    package.mkdir(parents=True)
    (project / "requirements").mkdir(parents=True)
    (project / "pyproject.toml").write_text('dependencies = ["goldpath==0.1.0.dev1"]\n')
    (package / "__init__.py").write_text("NUMBER = 1\n")
    (tmp_path / "cookiecutter.json").write_text('{"_template_version": ""}\n')
    (tmp_path / "engine" / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling==1.33.0"]\nbuild-backend = "hatchling.build"\n\n'
        '[project]\nname = "goldpath"\nversion = "0.1.0.dev1"\n'
        'requires-python = ">=3.11"\n\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["src/goldpath"]\n'
    )
    monkeypatch.setattr(vendor_engine, "ROOT", tmp_path)
    monkeypatch.setattr(vendor_engine, "ENGINE", tmp_path / "engine")
    monkeypatch.setattr(vendor_engine, "PROJECT", project)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    assert vendor_engine.vendor() == 0
    commit(tmp_path)
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True)


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Vendor")


def change(root: Path, number: int) -> None:
    (root / "engine" / "src" / "goldpath" / "__init__.py").write_text(f"NUMBER = {number}\n")


def vendored_version(root: Path) -> str:
    return wheels.wheel_version(wheels.vendored_wheel(root / PROJECT.name))


def test_an_unchanged_engine_keeps_its_version(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vendor_engine.vendor() == 0
    assert "current" in capsys.readouterr().out
    assert vendor_engine.check() == 0
    assert vendored_version(release) == "0.1.0.dev1"


def test_a_changed_engine_becomes_the_next_version_once(release: Path) -> None:
    change(release, 2)
    assert vendor_engine.check() == 1
    assert vendor_engine.vendor() == 0
    assert vendored_version(release) == "0.1.0.dev2"
    change(release, 3)  # before the wheel of dev2 is committed
    assert vendor_engine.vendor() == 0
    assert vendored_version(release) == "0.1.0.dev2"
    recorded = json.loads((release / "cookiecutter.json").read_text())
    assert recorded == {"_template_version": "0.1.0.dev2"}
    commit(release)
    change(release, 4)
    assert vendor_engine.vendor() == 0
    assert vendored_version(release) == "0.1.0.dev3"


def test_the_check_names_the_files_that_differ(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(release, 2)
    assert vendor_engine.check() == 1
    assert "differs from engine/: goldpath/__init__.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "following"),
    [("0.1.0.dev9", "0.1.0.dev10"), ("0.1.0", "0.1.1.dev1"), ("1.4.12", "1.4.13.dev1")],
)
def test_versions_follow_each_other(version: str, following: str) -> None:
    assert vendor_engine.next_version(version) == following
