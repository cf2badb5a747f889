"""Delete what the project made: caches and reports, or its data, models and logs as well."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldpath.errors import ProjectError
from goldpath.services.processes import SERVERS, server_status
from goldpath.settings import Settings, deleted_settings, further_settings

CACHES = (
    ".coverage",
    ".hypothesis",
    ".import_linter_cache",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "build",
    "dist",
    "htmlcov",
)
BYTECODE = "__pycache__"
SOURCES = ("airflow", "src", "tests")
REPORTS = ("reports",)
STATE = (".airflow", "audit", "automl", "data/sample", "lake", "logs", "mlflow", "run")


class CleaningError(ProjectError):
    """Servers still use the files that would be deleted."""


@dataclass(frozen=True)
class CleanResult:
    """What was deleted, and what was left alone with the reason."""

    deleted: tuple[str, ...]
    freed_megabytes: float
    kept: tuple[str, ...]


def clean_project(settings: Settings, everything: bool) -> CleanResult:
    """Delete caches and reports; with `everything` also data, models and logs.

    Environments (`.venv*`), `.env`, `config/` and your own files in `data/` are never touched. A
    symbolic link is deleted itself; what it points at stays.

    Args:
        settings: Names the project's folder and its servers' pid files.
        everything: Also the lake, the registry, the logs, the sample and Airflow's home.

    Returns:
        The paths that went, relative to the project, and those that stayed.

    Raises:
        CleaningError: If one of the project's servers runs.
    """
    refuse_while_running(settings)
    deleted: list[str] = []
    kept: list[str] = []
    freed = 0
    for path in _candidates(settings, everything):
        if not os.path.lexists(path):
            continue
        name = os.path.relpath(path, settings.root)
        if not _is_inside(path, settings.root):
            kept.append(f"{name}: outside the project")
            continue
        freed += _size(path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        deleted.append(name)
    return CleanResult(tuple(deleted), round(freed / 1e6, 1), tuple(kept))


def refuse_while_running(settings: Settings) -> None:
    """Insist that none of the project's background servers runs.

    Raises:
        CleaningError: With the servers' names and the commands that stop them.
    """
    running = [
        name
        for name in SERVERS
        if server_status(name, settings.run_directory).state != "not running"
    ]
    if running:
        raise CleaningError(
            f"still running: {', '.join(running)}; their files cannot be deleted under them",
            "stop them first: " + ", ".join(f"make {_down_target(name)}" for name in running),
        )


def _down_target(server: str) -> str:
    return "monitoring-down" if server == "prometheus" else f"{server}-down"


def _candidates(settings: Settings, everything: bool) -> Iterator[Path]:
    """What may go, whether it is there or not; a folder comes before what is inside it."""
    root = settings.root
    yield from (root / name for name in (*CACHES, *REPORTS))
    for source in SOURCES:
        for folder, subfolders, _ in os.walk(root / source):
            if BYTECODE in subfolders:
                subfolders.remove(BYTECODE)
                yield Path(folder) / BYTECODE
    if everything:
        yield from (root / name for name in STATE)
        # Where config or the environment moved them out of the folders above.
        yield root / settings.lake.catalog
        yield root / settings.lake.warehouse
        for each in (settings, *further_settings(settings), *deleted_settings(settings)):
            yield root / each.serving.prediction_log
            yield root / each.prediction_log.feedback


def _is_inside(path: Path, root: Path) -> bool:
    """Whether the path itself lies below the root, whatever its last part points at."""
    real = path.parent.resolve() / path.name
    return path.name not in ("", "..") and real != root and real.is_relative_to(root)


def _size(path: Path) -> int:
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(
        (Path(folder) / file).lstat().st_size
        for folder, _, files in os.walk(path)
        for file in files
    )
