"""JSON that means one thing only, read within bounds; what is long, away from the event loop.

Five megabytes of `[{},{},…]` are a million objects: seconds in which nobody else is answered. So
the values of a body are counted before any is made. What passes and is long is read in one thread,
a client's bodies one after another, so that who sends many waits for oneself.
"""

import asyncio
import codecs
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from goldpath.serving.http.problem_error import ProblemError

GZIP = b"\x1f\x8b"
SHORT = 16_384
"""Bytes that are read at once, in a fraction of a millisecond."""

# Each unknown name would be described; half a million of them held up the service for seconds.
MOST_NAMES = 5_000
_SOME_VALUES = 2_000

Pairs = list[tuple[str, Any]]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Bounds:
    """How much a body may hold.

    Attributes:
        values: Values in lists and objects.
        names: Names of one object.
        levels: Objects and lists in each other.
        fix: What to do about too many values.
    """

    values: int
    names: int = MOST_NAMES
    levels: int = 16
    fix: str = "send fewer rows in a request, or raise MLOPS_SERVING__MAXIMUM_BATCH_ROWS"

    @classmethod
    def of(cls, rows: int, features: int, levels: int) -> "Bounds":
        """The bounds of requests with so many rows, of which each may hold some columns more."""
        columns = 2 * features + 20
        return cls(rows * columns + _SOME_VALUES, max(1_000, columns), levels)


TABLES = Bounds(values=1_000_000, fix="put the table into a file below data/, and name the file")
"""Of tables with columns of their own, which are for clients with the role automl."""


class JsonBodies:
    """Reads bodies.

    Args:
        bounds: Of what they hold.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._turns: dict[str, asyncio.Lock] = {}

    async def value_of(self, body: bytes, client: str, bounds: Bounds | None = None) -> Any:
        """What a body says.

        Args:
            body: JSON.
            client: Who sent it.
            bounds: Other ones than usual.

        Raises:
            ProblemError: 400 if it is not JSON, 422 if it is JSON that cannot be used.
        """
        allowed = bounds or self.bounds
        if len(body) <= SHORT:
            return read_json(body, allowed)
        return await self._in_turn(client, read_json, body, allowed)

    async def check(self, body: bytes, client: str) -> None:
        """Insist on the bounds of a body that somebody else reads.

        Raises:
            ProblemError: 422 if it holds too many values.
        """
        await self._in_turn(client, refuse_many_values, body, self.bounds)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, client: str, work: Callable[..., Found], *given: Any) -> Found:
        turn = self._turns.setdefault(client, asyncio.Lock())
        try:
            async with turn:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._thread, work, *given)
        finally:
            if not turn.locked():
                self._turns.pop(client, None)


def read_json(body: bytes, bounds: Bounds) -> Any:
    """A body's value, within bounds.

    Raises:
        ProblemError: 400 if it is not JSON, 422 if it is JSON that cannot be used.
    """
    refuse_many_values(body, bounds)
    value = parse_json(body, bounds.names)
    refuse_nesting(value, bounds.levels)
    return value


def parse_json(body: bytes, most_names: int = MOST_NAMES) -> Any:
    """The body's value.

    `NaN` and `1e400` pass here, so that the schema's check can name the field that holds them.

    Raises:
        ProblemError: 400 if it is not JSON, 422 if it is JSON that cannot be used.
    """
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_object_of(most_names))
    except UnicodeDecodeError as error:
        if body.startswith(GZIP):
            raise ProblemError(
                400, "the body is compressed with gzip", "send it as it is, uncompressed"
            ) from error
        detail = f"the body is not UTF-8 text (byte {error.start})"
        raise ProblemError(400, detail, "send JSON in UTF-8") from error
    except json.JSONDecodeError as error:
        if not body.strip():
            raise ProblemError(
                400, "the body is empty", "send a JSON object; /docs shows an example"
            ) from error
        if body.startswith(codecs.BOM_UTF8):
            raise ProblemError(
                400, "the body begins with a byte order mark", "send JSON in UTF-8 without one"
            ) from error
        detail = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise ProblemError(400, detail, "correct the JSON; /docs shows an example") from error
    except RecursionError as error:
        detail = "the body's JSON is nested too deeply"
        raise ProblemError(422, detail, "send the form that /docs shows") from error
    except ValueError as error:  # Python refuses whole numbers of more than 4300 digits
        detail = "the body holds a number with too many digits"
        raise ProblemError(422, detail, "send numbers that a float64 can hold") from error


def refuse_many_values(body: bytes, bounds: Bounds) -> None:
    """Insist that there are at most so many values, before any of them is made.

    All but the first value of a list or object follow a comma, so commas are counted: at once, and
    where that is not enough, without those in texts, up to the one that is too many.

    Raises:
        ProblemError: 422 if there are more.
    """
    if body.count(b",") <= bounds.values:
        return
    commas = 0
    for token in _TEXT_OR_COMMA.finditer(body):
        commas += token[0] == b","
        if commas > bounds.values:
            detail = f"the body holds more than {bounds.values} values"
            raise ProblemError(422, detail, bounds.fix)


def refuse_nesting(value: Any, limit: int) -> None:
    """Insist that objects and lists stand in each other at most so deep.

    Raises:
        ProblemError: 422 if they do not.
    """
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise ProblemError(
            422,
            f"the body's JSON is nested deeper than {limit}",
            "send the form that /docs shows, or raise MLOPS_SERVING__MAXIMUM_NESTING",
        )


def _object_of(most_names: int) -> Callable[[Pairs], dict[str, Any]]:
    """What makes an object of its pairs; refuses one that two readers could read differently."""

    def read(pairs: Pairs) -> dict[str, Any]:
        if len(pairs) > most_names:
            detail = f"a JSON object holds more than {most_names} names"
            raise ProblemError(422, detail, "send the model's features only")
        values = dict(pairs)
        if len(values) < len(pairs):
            raise ProblemError(
                422, "a name appears twice in one JSON object", "send each name once"
            )
        return values

    return read


# A text that does not end takes the rest; possessive, so that a long one needs no memory.
_TEXT_OR_COMMA = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|,', re.DOTALL)
