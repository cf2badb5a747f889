"""A person's lines of the prediction log: counted, given out, and taken out beside a live service.

A line is a person's where the request named the entity. Lines of requests that gave features only
cannot be told apart by person.

A line is taken out by writing blanks over it. Segments only grow, so this disturbs neither the
process that appends to one nor whoever remembers how far it was read.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from goldpath.serving.log.segments import sealed, segments

WAIT_SECONDS = 1.0

Find = Callable[[bytes], bytes | None]


def lines_of(folder: Path, entity: str) -> list[dict[str, Any]]:
    """A person's predictions, the oldest segment first."""
    return [
        json.loads(line)
        for file in segments(folder)
        for line in _lines(file)
        if _names(line, entity) and _is_whole(line)
    ]


def holds_lines(folder: Path, entity: str) -> int:
    """How many lines are a person's, those that a crash tore included."""
    return sum(_names(line, entity) for file in segments(folder) for line in _lines(file))


def erase_lines(folder: Path, entity: str) -> int:
    """Write blanks over a person's lines; a service may go on appending.

    A call that was killed is finished by the next one: of each line, the id goes last.

    Returns:
        How many lines went.
    """
    return blank_lines(folder, lambda line: _spelling_in(line, entity))


def blank_lines(folder: Path, find: Find) -> int:
    """Write blanks over the lines that `find` finds.

    Args:
        folder: The log's folder; need not exist.
        find: Gives the part of a line by which it is found, or None. That part goes last.

    Returns:
        How many lines went.
    """
    return sum(_blank_in(file, find) for file in segments(folder))


def _blank_in(file: Path, find: Find) -> int:
    count = 0
    try:
        with file.open("rb") as read, file.open("r+b", buffering=0) as write:
            start = 0
            while line := read.readline():
                if not line.endswith(b"\n"):
                    line += _rest_of_line(file, read)
                found = find(line)
                if found:
                    _blank(write, start, line, found)
                    count += 1
                start += len(line)
    except FileNotFoundError:
        return 0
    return count


def _rest_of_line(file: Path, content: IO[bytes]) -> bytes:
    """What the process that is writing the line still adds; nothing where a crash tore it."""
    rest = b""
    until = time.monotonic() + WAIT_SECONDS
    while not rest.endswith(b"\n") and time.monotonic() < until:
        with sealed(file) as held:
            more = content.readline()
            if not more and held is not None:
                break
        rest += more
        time.sleep(0 if more else 0.01)
    return rest


def _blank(content: IO[bytes], start: int, line: bytes, found: bytes) -> None:
    """Blanks over everything but the id, and then over the id, each on disk before the next."""
    end = len(line.removesuffix(b"\n"))
    at = line.rindex(found)
    after = at + len(found)
    for step in (((0, at), (after, end)), ((at, after),)):
        for first, last in step:
            os.pwrite(content.fileno(), b" " * (last - first), start + first)
        os.fdatasync(content.fileno())


def _names(line: bytes, entity: str) -> bool:
    return _spelling_in(line, entity) is not None


def _spelling_in(line: bytes, entity: str) -> bytes | None:
    """How a line about the person writes the id; in a torn one it only has to stand there."""
    found = next((spelling for spelling in _spellings(entity) if spelling in line), None)
    if found is None:
        return None
    try:
        value = json.loads(line).get("entity")
    except (ValueError, AttributeError):
        return found
    return found if isinstance(value, str) and value.strip() == entity else None


def _spellings(entity: str) -> tuple[bytes, bytes]:
    """How JSON may write the id: letters beyond ASCII as they are, or escaped."""
    escaped = json.dumps(entity)[1:-1].encode("ascii")
    return escaped, json.dumps(entity, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as content:
            yield from content
    except FileNotFoundError:
        return
