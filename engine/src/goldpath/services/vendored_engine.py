"""The engine's wheel in a project: find it, build another one, and put that in its place.

A project carries its engine as `vendor/goldpath-VERSION-py3-none-any.whl`. Two lines name it and
change together: the pin in `pyproject.toml`, and `requirements/engine.txt` with the wheel's hash.

Standard library only: the template's own release script uses this module without an environment.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from goldpath.errors import ProjectError

VENDOR = "vendor"
ENGINE_LOCK = "requirements/engine.txt"
BUILD_BACKEND = "hatchling"
# Zip files cannot date from before 1980; hatchling's own default makes two builds byte-identical.
SOURCE_DATE_EPOCH = "1580601600"
PIN = re.compile(r"(goldpath(?:\[[\w,-]+\])?==)[0-9][\w.+!-]*")


class VendoredEngineError(ProjectError):
    """The vendored wheel is missing, ambiguous, or cannot be built."""


def vendored_wheel(root: Path) -> Path:
    """The project's one engine wheel.

    Args:
        root: The project's folder.

    Returns:
        Path of `vendor/goldpath-*.whl`.

    Raises:
        VendoredEngineError: If there is no such wheel, or more than one.
    """
    wheels = sorted((root / VENDOR).glob("goldpath-*.whl"))
    if len(wheels) == 1:
        return wheels[0]
    if not wheels:
        raise VendoredEngineError(
            f"{root / VENDOR} holds no goldpath-*.whl", "restore it: git checkout -- vendor"
        )
    names = ", ".join(wheel.name for wheel in wheels)
    raise VendoredEngineError(
        f"{root / VENDOR} holds {len(wheels)} wheels of the engine: {names}",
        f"keep the one that {ENGINE_LOCK} names and delete the others",
    )


def wheel_version(wheel: Path) -> str:
    """The version in a wheel's file name: `0.2.0` of `goldpath-0.2.0-py3-none-any.whl`."""
    return wheel.name.split("-")[1]


def local_patch(root: Path) -> str | None:
    """The version of a patched engine, such as `0.2.0+local.1`; None if it is a released one.

    An update of the template must ask before it replaces a patched wheel.
    """
    found = wheel_version(vendored_wheel(root))
    return found if "+" in found else None


def project_version(source: Path) -> str:
    """The version that an engine source folder's pyproject.toml states."""
    return str(_pyproject(source)["project"]["version"])


def set_project_version(source: Path, new: str) -> None:
    """Write another version into an engine source folder's pyproject.toml."""
    file = source / "pyproject.toml"
    text = file.read_text(encoding="utf-8")
    line = re.compile(r'^version = "[^"]+"', re.MULTILINE)
    file.write_text(line.sub(f'version = "{new}"', text, count=1), encoding="utf-8")


def build_wheel(source: Path, folder: Path) -> Path:
    """Build an engine source folder with the installed build backend; needs no network.

    Args:
        source: Holds the engine's pyproject.toml and `src/goldpath`.
        folder: Where to put the wheel.

    Returns:
        The wheel. Two builds of one source are equal byte for byte.

    Raises:
        VendoredEngineError: If the backend is missing, has another version than the source pins,
            or fails.
    """
    _check_backend(source)
    command = [sys.executable, "-m", BUILD_BACKEND, "build", "--target", "wheel"]
    finished = subprocess.run(
        [*command, "--directory", str(folder.resolve())],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH},
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if finished.returncode:
        raise VendoredEngineError(
            f"the engine in {source} cannot be built:\n{finished.stderr.strip()[-2000:]}",
            "mend what the build backend names",
        )
    return folder / f"goldpath-{project_version(source)}-py3-none-any.whl"


def install_wheel(root: Path, wheel: Path) -> Path:
    """Put a wheel into a project in place of the one that is there, and pin it.

    The environment does not change: `make setup` installs what is pinned.

    Args:
        root: The project's folder, or the template's folder of a project.
        wheel: A wheel of the engine outside `vendor/`.

    Returns:
        The wheel's new place.

    Raises:
        VendoredEngineError: If pyproject.toml has no pin to rewrite.
    """
    pyproject = root / "pyproject.toml"
    text, pins = PIN.subn(rf"\g<1>{wheel_version(wheel)}", pyproject.read_text(encoding="utf-8"))
    if not pins:
        raise VendoredEngineError(
            f"{pyproject} pins no version of goldpath",
            'write "goldpath==VERSION" into its dependencies',
        )
    vendor = root / VENDOR
    vendor.mkdir(exist_ok=True)
    for old in vendor.glob("goldpath-*.whl"):
        old.unlink()
    placed = Path(shutil.copyfile(wheel, vendor / wheel.name))
    (root / ENGINE_LOCK).write_text(engine_lock(placed), encoding="utf-8")
    pyproject.write_text(text, encoding="utf-8")
    return placed


def engine_lock(wheel: Path) -> str:
    """The text of `requirements/engine.txt` for a wheel in `vendor/`."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return (
        "# The engine: this wheel and no other, installed on top of another lock.\n"
        f"--no-index --find-links ../{VENDOR}\n"
        f"goldpath=={wheel_version(wheel)} --hash=sha256:{digest}\n"
    )


def differences(before: Path, after: Path) -> list[str]:
    """The files in which two wheels differ, sorted; those in only one of them included."""
    first, second = _digests(before), _digests(after)
    return sorted(name for name in first | second if first.get(name) != second.get(name))


def _digests(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def _check_backend(source: Path) -> None:
    """Insist on the build backend that the source pins: another one may write other files."""
    (wanted,) = _pyproject(source)["build-system"]["requires"]
    try:
        found = f"{BUILD_BACKEND}=={version(BUILD_BACKEND)}"
    except PackageNotFoundError:
        found = "none"
    if found != wanted:
        raise VendoredEngineError(
            f"the engine is built with {wanted}; installed: {found}",
            f'write "{wanted}" into the dev group of pyproject.toml, then: make lock setup',
        )


def _pyproject(source: Path) -> dict[str, Any]:
    return tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
