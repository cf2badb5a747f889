"""Projects that many tests begin with: filled once, and put back as they were before each test.

Iceberg's metadata and MLflow's registry name their files by absolute paths. So every prepared
project has one folder of its own for the whole session, and what is copied is what lies in it: a
copy anywhere else would read the files of the first.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from goldpath.settings import Settings, load_settings

T = TypeVar("T")


@dataclass(frozen=True)
class Prepared:
    """A project that was filled, the copy of it that nothing writes to, and what filling said."""

    root: Path
    untouched: Path
    result: object


class PreparedProjects:
    """Keeps one project for each function that fills one."""

    def __init__(self, folder: Path, make_project: Callable[[Path], Settings]) -> None:
        self._folder = folder
        self._make_project = make_project
        self._held: dict[Callable[[Settings], object], Prepared] = {}

    def restore(self, fill: Callable[[Settings], T]) -> tuple[Settings, T]:
        """A project as `fill` left it, and what `fill` returned.

        The same function always gets the same folder, so a test has one such project at a time.
        """
        if fill not in self._held:
            place = self._folder / f"{len(self._held)}-{fill.__name__}"
            shutil.rmtree(place, ignore_errors=True)  # of a `fill` that failed
            settings = self._make_project(place / "project")
            result = fill(settings)
            shutil.copytree(settings.root, place / "untouched", symlinks=True)
            self._held[fill] = Prepared(settings.root, place / "untouched", result)
            return settings, result
        held = self._held[fill]
        shutil.rmtree(held.root)
        shutil.copytree(held.untouched, held.root, symlinks=True)
        return load_settings(held.root), held.result  # type: ignore[return-value]
