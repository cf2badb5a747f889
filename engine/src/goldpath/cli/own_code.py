"""Whether the code that runs is that of the project in this folder.

An environment finds the project's sources by an absolute path. One that was copied along with its
project runs the original's code, and edits in the copy have no effect.
"""

import sys
from pathlib import Path

from goldpath.errors import ProjectError
from goldpath.settings import SettingsError, project_root

SOURCES = "src"


class ForeignCodeError(ProjectError):
    """The running code belongs to another folder's project."""


def require_own_code() -> None:
    """Refuse to run another folder's code on this project.

    Raises:
        ForeignCodeError: Names both folders and the command that makes the environment anew.
    """
    started = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        root = project_root()
    except SettingsError:  # the command says so where it needs a project
        return
    if started is not None:
        compare_folders(Path(started), root)


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
