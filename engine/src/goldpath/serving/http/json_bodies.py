"""JSON that means one thing only, read within bounds; what is long, away from the event loop.

Five megabytes of `[{},{},…]` are a million objects: seconds in which nobody else is answered. So
the values of a body are counted before any is made, while it arrives. What passes and is long is
read in one thread, a client's bodies one after another, so that who sends many waits for oneself.
"""

import asyncio
import codecs
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any, TypeVar

from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.value_count import MOST_NAMES, SHORT, Bounds, ValueCount, too_deep

GZIP = b"\x1f\x8b"
LONG = 524_288
"""Bytes that the library's scanner in C reads at once, in which no other thread runs."""

Pairs = list[tuple[str, Any]]
Found = TypeVar("Found")


class JsonBodies:
    """Reads bodies.

    Args:
        bounds: Of what they hold.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._counting = ThreadPoolExecutor(1, thread_name_prefix="body-counts")
        self._turns: dict[str, asyncio.Lock] = {}

    async def value_of(
        self, body: bytes, client: str, bounds: Bounds | None = None, *, is_counted: bool = False
    ) -> Any:
        """What a body says.

        Args:
            body: JSON.
            client: Who sent it.
            bounds: Other ones than usual.
            is_counted: Whether a long body was counted while it arrived.

        Raises:
            ProblemError: 400 if it is not JSON, 422 if it is JSON that cannot be used.
        """
        allowed = bounds or self.bounds
        if len(body) <= SHORT:
            return read_json(body, allowed)
        return await self._in_turn(client, read_json, body, allowed, is_counted)

    async def count(self, values: ValueCount, part: bytes) -> None:
        """Count what has arrived of a long body, in a thread that does nothing else.

        NumPy lets other threads run in each of its calls. In the event loop that would be no favour
        to anybody: while another thread reads a body, the loop would wait for it after each call.

        Raises:
            ProblemError: 422 if the body holds too much.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._counting, values.add, part)

    def close(self) -> None:
        """End the threads."""
        for thread in (self._thread, self._counting):
            thread.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, client: str, work: Callable[..., Found], *given: Any) -> Found:
        turn = self._turns.setdefault(client, asyncio.Lock())
        try:
            async with turn:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._thread, work, *given)
        finally:
            if not turn.locked():
                self._turns.pop(client, None)


def read_json(body: bytes, bounds: Bounds, is_counted: bool = False) -> Any:
    """A body's value, within bounds.

    Args:
        body: JSON.
        bounds: How much it may hold.
        is_counted: Whether its values were counted already.

    Raises:
        ProblemError: 400 if it is not JSON, 422 if it is JSON that cannot be used.
    """
    if not is_counted:
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
        text = body.decode("utf-8")
        hook = _object_of(most_names)
        if len(body) > LONG:
            return _read_in_steps(text, hook)
        return json.loads(text, object_pairs_hook=hook)
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
    """Insist that there are at most so many values, before any of them is made; see `ValueCount`.

    Raises:
        ProblemError: 422 if there are more, or other bounds are passed.
    """
    ValueCount(bounds).add(body)


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
        raise too_deep(limit)


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


def _read_in_steps(text: str, hook: Callable[[Pairs], dict[str, Any]]) -> Any:
    """The same as `json.loads`, by the library's scanner in Python.

    The one in C reads all of a body at once: 40 ms where texts hold a million escapes, 150 ms where
    numbers have thousands of digits. Here other threads run between any two values.
    """
    decoder = json.JSONDecoder(object_pairs_hook=hook)
    decoder.scan_once = py_make_scanner(decoder)  # type: ignore[attr-defined]
    return decoder.decode(text)
