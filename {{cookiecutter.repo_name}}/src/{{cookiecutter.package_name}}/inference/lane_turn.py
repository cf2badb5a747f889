"""Rows of different requests that one turn of the event loop found, answered together.

Nobody waits for company: what one look at the sockets brought is scored with one call of the
kernel and logged with one write, and a request that came alone is answered at once. This is
micro-batching without a timer, for models that take microseconds.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from ..model.compiled.json_rows import JsonRows
from .access import Client
from .lane_model import LaneModel
from .request_heads import Head
from .request_structs import DecodedBatch, DecodedRow

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


class LaneTurn:
    """The requests of one turn.

    Args:
        done: Called for each request, and whether it was answered.
    """

    def __init__(self, done: Done) -> None:
        self._done = done
        self._waiting: list[tuple[Connection, Request, DecodedRow, bytes]] = []

    def add(self, connection: Connection, request: Request, row: DecodedRow, data: bytes) -> None:
        """Answer this request at the end of the turn, before the loop looks for others.

        Args:
            connection: Gets the answer.
            request: Asks a model that answers at once.
            row: What it asks for.
            data: The request as it came.
        """
        waiting = self._waiting
        waiting.append((connection, request, row, data))
        if len(waiting) == 1:
            asyncio.get_running_loop().call_soon(self._answer)
        elif len(waiting) >= MOST_REQUESTS:
            self._answer()

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        while waiting:
            model = waiting[0][1].model
            others = [each for each in waiting if each[1].model is not model]
            own = [each for each in waiting if each[1].model is model] if others else waiting
            answers = model.answers([each[2] for each in own])
            for (connection, request, _, data), answer in zip(own, answers, strict=True):
                try:
                    connection.answered(request, data, answer)
                    self._done(request, is_answered=answer is not None)
                except Exception:  # the others of this turn are to have their answers
                    log.exception("a connection failed")
            waiting = others
