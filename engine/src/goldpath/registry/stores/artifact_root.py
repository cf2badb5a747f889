"""Where a registry says that its artifacts are: in this project, or in another folder.

MLflow writes absolute locations. A copy of a project names the files of the original, into which it
would write, and from which garbage collection would delete.
"""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from goldpath.registry.stores.answering import WAIT_SECONDS, file_error
from goldpath.registry.stores.store import SQLITE, RegistryError

ARTIFACTS = Path("mlflow", "artifacts")
RELOCATE = (
    "make relocate shows what would change, make relocate ARGS=--yes does it: this project then "
    "has files of its own, and the other folder stays as it is"
)


def require_own_artifacts(uri: str, root: Path) -> None:
    """Refuse to write where the registry names another folder's files.

    Raises:
        RegistryError: Names both folders and the command that relocates; or if the database is
            locked, so that nobody knows.
    """
    former = foreign_artifacts(uri, root)
    if former is not None:
        raise RegistryError(
            f"the registry of this project ({root}) keeps its files in {former}, "
            + (
                "which belongs to another folder: this one is a copy"
                if former.exists()
                else "which is gone: the project was moved"
            ),
            RELOCATE,
        )


def foreign_artifacts(uri: str, root: Path) -> Path | None:
    """The `mlflow/artifacts` of another project that this project's database names, or None.

    Only a database inside the project is judged: a server's files are its own business.

    Raises:
        RegistryError: If the database is locked.
    """
    if not uri.startswith(SQLITE):
        return None
    file = Path(uri.removeprefix(SQLITE))
    if not file.is_file() or not file.resolve().is_relative_to(root):
        return None
    try:
        with closing(sqlite3.connect(file, timeout=WAIT_SECONDS)) as connection:
            rows = connection.execute("SELECT artifact_location FROM experiments").fetchall()
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise file_error(file, error) from error
        return None  # whoever reads or writes it says what is wrong
    own = root / ARTIFACTS
    for (location,) in rows:
        found = _artifacts_folder(location or "")
        if found is None or found == own:
            continue
        if found.exists() and own.exists() and found.samefile(own):
            continue
        return found
    return None


def _artifacts_folder(location: str) -> Path | None:
    """The part up to `mlflow/artifacts` of a local location."""
    parts = urlsplit(location)
    path = unquote(parts.path) if parts.scheme == "file" else location
    found = re.match(rf"(/.*?/{ARTIFACTS.as_posix()})(?:/|$)", path)
    return Path(found.group(1)) if found else None
