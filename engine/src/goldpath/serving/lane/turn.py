"""Rows of different requests that one turn of the event loop found, answered together.

Nobody waits for company: what one look at the sockets brought is scored with one call of the
kernel and logged with one write, and a request that came alone is answered at once. This is
micro-batching without a timer, for models that take microseconds. What a slower model has scored
together in its thread is written together, too.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from goldpath.compiled.json_rows import JsonRows
from goldpath.serving.access.roles import Client
from goldpath.serving.lane.answers import Answer
from goldpath.serving.lane.model import LaneModel
from goldpath.serving.lane.request_heads import Head
from goldpath.serving.lane.request_structs import DecodedBatch, DecodedRow
from goldpath.serving.predictor import UnscorableError

MOST_REQUESTS = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the lane answers.

    Attributes:
        head: Its head.
        model: Which model answers it, whatever the alias does meanwhile.
        rows: What it asks for.
        started: When it was there, by `time.perf_counter`.
        client: Who asks.
        peer: The address that it came from.
    """

    head: Head
    model: LaneModel
    rows: DecodedRow | DecodedBatch | JsonRows
    started: float
    client: Client
    peer: str


class Connection(Protocol):
    """Where a request came from."""

    def answered(self, request: Request, data: bytes, answer: bytes | None, /) -> None:
        """Take the answer; None where the app has to look at the request."""
        ...


class Done(Protocol):
    """Hears of the end of each request."""

    def __call__(self, request: Request, /, *, is_answered: bool) -> None:
        """Count it."""
        ...


class _Waiting(NamedTuple):
    connection: Connection
    request: Request
    row: DecodedRow
    data: bytes


Item = TypeVar("Item")


class LaneTurn:
    """The requests of one turn.

    Args:
        done: Called for each request, and whether it was answered.
    """

    def __init__(self, done: Done) -> None:
        self._done = done
        self._waiting: list[_Waiting] = []
        self._found: list[tuple[_Waiting, Answer]] = []

    def add(self, connection: Connection, request: Request, row: DecodedRow, data: bytes) -> None:
        """Answer this request at the end of the turn, before the loop looks for others.

        Args:
            connection: Gets the answer.
            request: What it is.
            row: What it asks for.
            data: The request as it came.
        """
        asked = _Waiting(connection, request, row, data)
        if not request.model.is_immediate:
            request.model.ask(row).add_done_callback(partial(self._add_found, asked))
            return
        self._waiting.append(asked)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._answer)
        elif len(self._waiting) >= MOST_REQUESTS:
            self._answer()

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for model, own in _by_model(waiting, lambda asked: asked):
            self._send(own, model.answers([asked.row for asked in own]))

    def _add_found(self, asked: _Waiting, future: "asyncio.Future[Sequence[Answer]]") -> None:
        """Take what a model has found; those of one batch come one behind the other."""
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            if error is not None and not isinstance(error, UnscorableError):
                log.error("the fast lane failed; the app answers", exc_info=error)
            self._send([asked], [None])
            return
        self._found.append((asked, future.result()[0]))
        if len(self._found) == 1:
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        found, self._found = self._found, []
        for model, own in _by_model(found, lambda each: each[0]):
            rows = [asked.row for asked, _ in own]
            bodies = model.written(rows, [answer for _, answer in own])
            self._send([asked for asked, _ in own], bodies)

    def _send(self, asked: "Sequence[_Waiting]", answers: Sequence[bytes | None]) -> None:
        for each, answer in zip(asked, answers, strict=True):
            try:
                each.connection.answered(each.request, each.data, answer)
                self._done(each.request, is_answered=answer is not None)
            except Exception:  # the others of this turn are to have their answers
                log.exception("a connection failed")


def _by_model(
    items: list[Item], asked_of: Callable[[Item], _Waiting]
) -> Iterator[tuple[LaneModel, list[Item]]]:
    """What each model has to do; most often there is one."""
    while items:
        model = asked_of(items[0]).request.model
        own = [item for item in items if asked_of(item).request.model is model]
        if len(own) < len(items):
            items = [item for item in items if asked_of(item).request.model is not model]
        else:
            items = []
        yield model, own
