"""What a JSON body holds, counted while it arrives: what is too much is refused before it is there.

Nothing of a body is made into objects for that: NumPy looks at its slices, each in a fraction of a
millisecond.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from goldpath.serving.http.problem_error import ProblemError

SHORT = 16_384
"""Bytes that are read at once, in a fraction of a millisecond."""

LONGEST_TOKEN = 65_536
"""Bytes of a text, a number or white space; the contract's texts have at most 200 characters."""

# Each unknown name would be described; half a million of them held up the service for seconds.
MOST_NAMES = 5_000
_SOME_VALUES = 2_000
_SLICE = 32_768  # a token that is too long fills one of them or more
_NO_BOUND = 1 << 62


@dataclass(frozen=True)
class Bounds:
    """How much a body may hold.

    Attributes:
        values: Values in lists and objects.
        names: Names of one object.
        levels: Objects and lists in each other.
        fix: What to do about too many values.
        token: Bytes of a text, a number or white space.
        containers: Values that are objects or lists; a row is one, or a column.
    """

    values: int
    names: int = MOST_NAMES
    levels: int = 16
    fix: str = "send fewer rows in a request, or raise MLOPS_SERVING__MAXIMUM_BATCH_ROWS"
    token: int = LONGEST_TOKEN
    containers: int = _NO_BOUND

    @classmethod
    def of(cls, rows: int, features: int, levels: int) -> "Bounds":
        """The bounds of requests with so many rows, of which each may hold some columns more."""
        columns = 2 * features + 20
        values, containers = rows * columns + _SOME_VALUES, 2 * rows + columns + _SOME_VALUES
        return cls(values, max(1_000, columns), levels, containers=containers)

    def of_values(self) -> Self:
        """The same bound of values, and no other: for bodies whose form is not the engine's."""
        return replace(self, levels=_NO_BOUND, token=_NO_BOUND, containers=_NO_BOUND)


TABLES = Bounds(values=1_000_000, fix="put the table into a file below data/, and name the file")
"""Of tables with columns of their own, which are for clients with the role automl."""


class ValueCount:
    """Counts one body's values and levels, part by part.

    All but the first value of a list or object follow a comma, so commas outside texts are counted.
    What is no JSON may pass here; it is refused where it is parsed.

    Args:
        bounds: How much there may be.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._values = self._containers = 0
        self._level = 0
        self._is_in_text = False
        self._is_escaped = False  # the first byte of the next slice
        self._unmarked = 0  # bytes since the last mark, where whole slices have none
        self._marked: tuple[bytes, bool] | None = None  # the slice before, and how it began

    def add(self, part: bytes) -> None:
        """Count what has arrived.

        Args:
            part: The next bytes of the body.

        Raises:
            ProblemError: 422 if the body holds too much.
        """
        for start in range(0, len(part), _SLICE):
            self._add(self._without_escapes(part[start : start + _SLICE]))

    def _without_escapes(self, part: bytes) -> bytes:
        """As many bytes, in which each quote begins or ends a text."""
        if self._is_escaped:
            part = b"_" + part[1:]
        self._is_escaped = False
        if b"\\" in part:
            part = part.replace(rb"\\", b"__").replace(rb"\"", b"__")
            self._is_escaped = part.endswith(b"\\")
        return part

    def _add(self, part: bytes) -> None:
        begins_in_text = self._is_in_text
        marks, self._is_in_text = _marks(part, begins_in_text)
        if not marks.any():
            self._grow(len(part))
            return
        if self._unmarked:
            self._insist_on_token(self._unmarked + int(_places(part, begins_in_text)[0]))
            self._unmarked = 0
        self._marked = part, begins_in_text
        self._insist_on_values(int(np.count_nonzero(marks == _COMMA)))
        self._insist_on_levels(marks)

    def _insist_on_values(self, commas: int) -> None:
        bounds = self._bounds
        self._values += commas
        if self._values > bounds.values:
            raise ProblemError(422, f"the body holds more than {bounds.values} values", bounds.fix)

    def _insist_on_levels(self, marks: np.ndarray) -> None:
        bounds = self._bounds
        opening, closing = marks == _OPENING, marks == _CLOSING
        opened = int(np.count_nonzero(opening))
        self._containers += opened
        if self._level + opened > bounds.levels:
            steps = opening.view(np.int8) - closing.view(np.int8)
            if self._level + int(np.cumsum(steps, dtype=np.int32).max()) > bounds.levels:
                raise too_deep(bounds.levels)
        self._level += opened - int(np.count_nonzero(closing))
        if self._containers > bounds.containers:
            detail = (
                f"the body holds more than {bounds.containers} values that are objects or lists"
            )
            raise ProblemError(422, detail, bounds.fix)

    def _grow(self, size: int) -> None:
        """Count the bytes of a text or number that goes on over a whole slice."""
        if self._marked is not None:
            part, begins_in_text = self._marked
            self._unmarked = len(part) - 1 - int(_places(part, begins_in_text)[-1])
            self._marked = None
        self._unmarked += size
        self._insist_on_token(self._unmarked)

    def _insist_on_token(self, size: int) -> None:
        if size > self._bounds.token:
            raise ProblemError(
                422,
                "the body holds a text, a number or white space of more than "
                f"{self._bounds.token} bytes",
                "send the form that /docs shows",
            )


def _marks(part: bytes, is_in_text: bool) -> tuple[np.ndarray, bool]:
    """The kinds of the marks, 0 for one in a text; and whether the end is in a text."""
    found = np.frombuffer(part.translate(_KINDS, _NO_MARKS), np.uint8)
    if not len(found):
        return found, is_in_text
    is_quote = found == _QUOTE
    # Between an odd quote and the next one is a text; quotes count as marks outside of it.
    inside = np.bitwise_xor.accumulate(is_quote) ^ is_in_text
    return found * (is_quote | ~inside), bool(inside[-1])


def _places(part: bytes, is_in_text: bool) -> np.ndarray:
    """Where the same marks are; it takes longer to find out."""
    found = np.frombuffer(part.translate(_KINDS), np.uint8)
    is_quote = found == _QUOTE
    inside = np.bitwise_xor.accumulate(is_quote) ^ is_in_text
    return np.flatnonzero(is_quote | ((found > 0) & ~inside))


def too_deep(limit: int) -> ProblemError:
    """The refusal of JSON whose objects and lists stand too deep in each other."""
    return ProblemError(
        422,
        f"the body's JSON is nested deeper than {limit}",
        "send the form that /docs shows, or raise MLOPS_SERVING__MAXIMUM_NESTING",
    )


_QUOTE, _COMMA, _COLON, _OPENING, _CLOSING = range(1, 6)
_MARKS = {34: _QUOTE, 44: _COMMA, 58: _COLON, **dict.fromkeys(b"[{", _OPENING)}
_MARKS.update(dict.fromkeys(b"]}", _CLOSING))
_KINDS = bytes(_MARKS.get(byte, 0) for byte in range(256))
_NO_MARKS = bytes(byte for byte in range(256) if byte not in _MARKS)
