"""Whether the code that runs is that of the project in this folder.

An environment finds the project's sources by an absolute path. One that was copied along with its
project runs the original's code, and edits in the copy have no effect.
"""

import os
import sys
from pathlib import Path

from goldpath.errors import ProjectError

SOURCES = "src"


class ForeignCodeError(ProjectError):
    """The running code belongs to another folder's project."""


def require_own_code() -> None:
    """Refuse to run another folder's code on this project.

    Raises:
        ForeignCodeError: Names both folders and the command that makes the environment anew.
    """
    started, root = getattr(sys.modules.get("__main__"), "__file__", None), _project_root()
    if started is not None and root is not None:
        compare_folders(Path(started), root)


def _project_root() -> Path | None:
    """As `settings.project_root`, whose import would slow `--help` down; None: no project."""
    if named := os.environ.get("MLOPS_ROOT"):
        return Path(named).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "config" / "project.yaml").is_file():
            return folder
    return None


def compare_folders(started: Path, root: Path) -> None:
    """Compare the running `src/PACKAGE/__main__.py` with the project's own.

    Raises:
        ForeignCodeError: If the project has this package, and it is not the one that runs.
    """
    package = started.resolve().parent
    own = root / SOURCES / package.name
    if package.parent.name != SOURCES or not own.is_dir() or own.samefile(package):
        return
    raise ForeignCodeError(
        f"this command runs the code of {package.parent.parent}, and this project is {root}: its "
        "environment .venv was copied or belongs to the other folder",
        "make setup makes .venv anew (without make: python3 bootstrap.py)",
    )
