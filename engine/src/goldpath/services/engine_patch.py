"""A patched engine: unpack the vendored wheel's sources, edit them, build `VERSION+local.N`."""

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from goldpath.services.vendored_engine import (
    VendoredEngineError,
    build_wheel,
    differences,
    install_wheel,
    project_version,
    set_project_version,
    vendored_wheel,
    wheel_version,
)

SOURCES = "engine-src"
# The wheel carries what its build reads; these are the places in the source folder.
PLACES = {"goldpath/source/": "", "goldpath/docs/": "docs/", "goldpath/": "src/goldpath/"}


@dataclass(frozen=True)
class UnpackedEngine:
    """The sources of the vendored wheel.

    Attributes:
        folder: Where they are, relative to the project where it lies inside.
        version: Version of the wheel that they come from.
        files: How many files were written.
    """

    folder: str
    version: str
    files: int


@dataclass(frozen=True)
class PatchedEngine:
    """A wheel that was built from edited sources.

    Attributes:
        wheel: The wheel in `vendor/`.
        version: Its version, `VERSION+local.N`.
        changed: Files of the package that differ from the wheel that it replaces.
        next_step: The command that installs it.
    """

    wheel: str
    version: str
    changed: tuple[str, ...]
    next_step: str = "make setup"


def unpack_engine(root: Path, folder: Path) -> UnpackedEngine:
    """Write the sources that the vendored wheel was built from into a new folder.

    Args:
        root: The project's folder.
        folder: The new folder; must not exist or be empty.

    Returns:
        What was written.

    Raises:
        VendoredEngineError: If the folder holds something, or there is no wheel.
    """
    wheel = vendored_wheel(root)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VendoredEngineError(
            f"{folder} is not empty; edits in it would be lost",
            "name another folder, or delete this one",
        )
    files = 0
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if place := _place(name):
                target = folder / place
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
                files += 1
    return UnpackedEngine(_shown(folder, root), wheel_version(wheel), files)


def build_patch(root: Path, folder: Path) -> PatchedEngine:
    """Build edited sources as the next local version and put the wheel into `vendor/`.

    Args:
        root: The project's folder.
        folder: Sources that `unpack_engine` wrote.

    Returns:
        The new wheel, and what differs from the one before.

    Raises:
        VendoredEngineError: If there are no sources, they belong to another version than the
            vendored wheel's, nothing was edited, or the build fails.
    """
    if not (folder / "pyproject.toml").is_file():
        raise VendoredEngineError(
            f"{folder} holds no sources of the engine", "unpack them first: engine unpack"
        )
    wheel = vendored_wheel(root)
    base, _, local = wheel_version(wheel).partition("+")
    unpacked = project_version(folder).partition("+")[0]
    if unpacked != base:
        raise VendoredEngineError(
            f"{folder} holds sources of {unpacked}; the vendored wheel is {base}",
            "unpack the vendored wheel into a new folder and repeat the edits there",
        )
    with tempfile.TemporaryDirectory() as temporary:
        set_project_version(folder, wheel_version(wheel))
        rebuilt = build_wheel(folder, Path(temporary))
        changed = tuple(name for name in differences(wheel, rebuilt) if _place(name))
        if not changed:
            raise VendoredEngineError(
                f"{folder} builds what is in {wheel.name} already", "edit the sources first"
            )
        set_project_version(folder, f"{base}+local.{_number(local) + 1}")
        placed = install_wheel(root, build_wheel(folder, Path(temporary)))
    return PatchedEngine(_shown(placed, root), wheel_version(placed), changed)


def _place(name: str) -> str | None:
    """Where a file of the wheel lies in the sources; None for the wheel's own metadata."""
    for prefix, place in PLACES.items():
        if name.startswith(prefix):
            return place + name.removeprefix(prefix)
    return None


def _number(local: str) -> int:
    last = local.rpartition(".")[2]
    return int(last) if last.isdigit() else 0


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
