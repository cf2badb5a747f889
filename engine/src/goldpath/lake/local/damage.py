"""What is wrong with a lake whose files are lost, damaged or locked, and what to do about it."""

import errno
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goldpath.lake.lakehouse import LakehouseError

BUSY_SECONDS = 4.0
ANEW = (
    "move it away and make it anew from its sources (mv lake lake.damaged; make data); "
    "models, audit log and logs stay"
)
REBUILD = f"restore the folder lake/ from a backup, or {ANEW}"
FREE_SPACE = "free disk space and run the command again; nothing of the lake is lost"
OBSTACLES: tuple[tuple[tuple[int, ...], tuple[str, ...], str], ...] = (
    ((errno.ENOSPC, errno.EDQUOT), ("disk is full",), FREE_SPACE),
    (
        (errno.EACCES, errno.EPERM),
        ("access denied", "unable to open database file", "readonly database"),
        "give the folder lake/ to the user who runs this and run the command again: "
        'sudo chown -R "$(id -un)" lake; nothing of it is lost',
    ),
    (
        (errno.EROFS,),
        (),
        "mount the disk so that it can be written and run the command again; "
        "nothing of the lake is lost",
    ),
    (
        (errno.EMFILE, errno.ENFILE),
        (),
        "allow more open files (ulimit -n 4096) and run the command again; "
        "nothing of the lake is lost",
    ),
    (
        (errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
        ("disk I/O error",),
        f"see that the disk answers and run the command again; if it does, {REBUILD}",
    ),
)
"""What keeps whole files from being used: error numbers, further words for them, the fix."""


def way_out(error: Exception) -> str:
    """What to do about a file that cannot be used; only what is lost or damaged is made anew.

    pyarrow, SQLite and DuckDB wrap the system's errors, so its words are looked for as well.
    """
    code = error.errno if isinstance(error, OSError) else None
    text = str(error)
    for codes, words, fix in OBSTACLES:
        if code in codes or any(word in text for word in (*map(os.strerror, codes), *words)):
            return fix
    return REBUILD


@contextmanager
def catalog_errors(catalog: Path) -> Iterator[None]:
    """Say of a catalog that cannot be read what is wrong with it, and what to do.

    Raises:
        LakehouseError: If it is locked, damaged or not to be opened.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise LakehouseError(
                f"another process has locked the catalog {catalog} for more than "
                f"{BUSY_SECONDS:.0f} seconds",
                f"let it finish, or end it (fuser {catalog} names it), and run the command again",
            ) from error
        raise LakehouseError(
            f"the catalog {catalog} cannot be used: {error}", way_out(error)
        ) from error
    except OSError as error:
        raise LakehouseError(
            f"the catalog {catalog} cannot be used: {error}", way_out(error)
        ) from error
    except sqlite3.Error as error:
        raise LakehouseError(f"the catalog {catalog} is damaged: {error}", REBUILD) from error


UNREADABLE = (OSError, ValueError, LookupError, EOFError, zlib.error)


@contextmanager
def file_errors(what: str) -> Iterator[None]:
    """Say of a table's metadata or data that cannot be read which file is the reason, and the fix.

    pyiceberg and DuckDB raise a dozen kinds of exceptions for a file that is missing, cut short or
    overwritten; none of them names a way out.

    Args:
        what: The table, or what else is read.

    Raises:
        LakehouseError: Instead of them.
    """
    import duckdb
    from pyiceberg.exceptions import ValidationError
    from sqlalchemy.exc import DatabaseError, OperationalError

    try:
        yield
    except LakehouseError:
        raise
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        if ".parquet" not in str(error) and way_out(error) != FREE_SPACE:
            raise
        raise _unreadable(what, error) from error
    except OperationalError as error:
        if "locked" not in str(error):
            raise _unreadable(what, error) from error
        raise LakehouseError(
            f"another process has locked the lake's catalog, so {what} cannot be read",
            "let it finish, or end it, and run the command again",
        ) from error
    except UNREADABLE as error:
        raise _unreadable(what, error) from error
    except (DatabaseError, ValidationError) as error:
        raise _unreadable(what, error) from error


def _unreadable(what: str, error: Exception) -> LakehouseError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    kind = "is missing a file" if isinstance(error, FileNotFoundError) else "cannot be read"
    return LakehouseError(f"{what} {kind}: {lines[0][:300]}", way_out(error))


def require_catalog(tables: int, catalog: Path, warehouse: Path) -> None:
    """Refuse a catalog that has lost its tables, before new ones take the place of the old.

    Raises:
        LakehouseError: If it names no table and there are files of some.
    """
    if tables:
        return
    held = sorted({file.parents[1] for file in warehouse.glob("*/*/metadata/snap-*.avro")})
    if held:
        names = ", ".join(f"{folder.parent.name}.{folder.name}" for folder in held[:5])
        state = "is empty" if catalog.is_file() else "is missing"
        raise LakehouseError(f"the catalog {catalog} {state}; {warehouse} has {names}", REBUILD)
