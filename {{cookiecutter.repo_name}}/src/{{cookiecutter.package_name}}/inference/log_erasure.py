"""A person's lines of the prediction log: counted, given out, and taken out beside a live service.

A line is a person's where the request named the entity. Lines of requests that gave features only
cannot be told apart by person.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .prediction_log import SUFFIX

DRAFT = ".erasing"


def lines_of(folder: Path, entity: str) -> list[dict[str, Any]]:
    """A person's predictions, the oldest file first."""
    return [
        json.loads(line)
        for file in _segments(folder)
        for line in _lines(file)
        if _names(line, entity) and _is_whole(line)
    ]


def holds_lines(folder: Path, entity: str) -> int:
    """How many lines are a person's, those that a crash tore included."""
    return sum(_names(line, entity) for file in _segments(folder) for line in _lines(file))


def erase_lines(folder: Path, entity: str) -> int:
    """Write every file that holds such a line anew without it.

    A service may go on appending: it writes under the file's lock, and it opens the file again
    where another one has taken its place. The lock is held only for what came in during the copy.

    Returns:
        How many lines went.
    """
    for draft in folder.glob(f"*{DRAFT}"):
        draft.unlink(missing_ok=True)  # an erasure was killed
    return sum(
        _rewrite(file, entity)
        for file in _segments(folder)
        if any(_names(line, entity) for line in _lines(file))
    )


def _rewrite(file: Path, entity: str) -> int:
    draft = file.with_name(file.name + DRAFT)
    with file.open("rb") as old, draft.open("wb") as new:
        shutil.copymode(file, draft)
        gone = _copy(old, new, entity)
        fcntl.flock(old, fcntl.LOCK_EX)
        gone += _copy(old, new, entity, to_the_end=True)
        new.flush()
        os.fsync(new.fileno())
        draft.replace(file)
    return gone


def _copy(old: IO[bytes], new: IO[bytes], entity: str, *, to_the_end: bool = False) -> int:
    """Copy whole lines; the last one may still be half written, unless nobody writes."""
    gone = 0
    while line := old.readline():
        if not line.endswith(b"\n") and not to_the_end:
            old.seek(-len(line), os.SEEK_CUR)
            break
        if _names(line, entity):
            gone += 1
        else:
            new.write(line)
    return gone


def _names(line: bytes, entity: str) -> bool:
    """Whether a line is about the person; of a torn one, whether the id stands in it at all."""
    if json.dumps(entity)[1:-1].encode("ascii") not in line:
        return False
    try:
        value = json.loads(line).get("entity")
    except (ValueError, AttributeError):
        return True
    return isinstance(value, str) and value.strip() == entity


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as content:
            yield from content
    except FileNotFoundError:
        return
