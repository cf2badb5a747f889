"""Micro-batching that an idle service does not notice.

Who finds the model free is scored at once; who does not waits for the batch that is running and
shares the next one. Clients that have just been answered together ask again within a moment, so the
next batch waits for as many as there were, at most a quarter of what a batch takes: without that,
the first to ask again would be scored alone, and all others would wait for it. It is worth its
thread only for models that take milliseconds, where a batch costs hardly more than a row.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")
Answer = TypeVar("Answer")
MOST_ROWS = 256
PATIENCE = 0.25
"""How long a batch waits for company, in the time that the last one took."""


@dataclass(frozen=True)
class _Waiting(Generic[Row, Answer]):
    rows: Sequence[Row]
    answers: "asyncio.Future[Sequence[Answer]]"


class MicroBatcher(Generic[Row, Answer]):
    """Scores rows of many requests together, in a thread of its own.

    Args:
        score: From rows to answers, one a row, in their order.
        most_rows: A batch takes no further request from here on; one request may be larger.
    """

    def __init__(
        self, score: Callable[[Sequence[Row]], Sequence[Answer]], most_rows: int = MOST_ROWS
    ) -> None:
        self._score = score
        self._most_rows = most_rows
        self._waiting: list[_Waiting[Row, Answer]] = []
        self._running: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="score")
        self._expected = 0  # requests that were there when the last batch ended
        self._until = 0.0  # for so long it is worth waiting for them
        self._all_there = asyncio.Event()

    async def submit(self, rows: Sequence[Row]) -> Sequence[Answer]:
        """The answers to one request's rows.

        Raises:
            Exception: What `score` raises for these rows; other requests are not touched by it.
        """
        return await self.ask(rows)

    def ask(self, rows: Sequence[Row]) -> "asyncio.Future[Sequence[Answer]]":
        """The same without a coroutine: what will hold the answers, or the exception."""
        answers: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(rows, answers))
        if len(self._waiting) >= self._expected:
            self._all_there.set()
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain())
        return answers

    async def _drain(self) -> None:
        while self._waiting:
            await self._gather()
            batch = self._take()
            started = time.monotonic()
            try:
                await self._answer(batch)
            except Exception:  # noqa: BLE001  one request's rows may be at fault: each alone
                for request in batch:
                    try:
                        await self._answer([request])
                    except Exception as error:  # noqa: BLE001  it is the request's own
                        if not request.answers.done():
                            request.answers.set_exception(error)
            ended = time.monotonic()
            self._expected = min(len(batch) + len(self._waiting), self._most_rows)
            self._until = ended + PATIENCE * (ended - started)

    async def _gather(self) -> None:
        """Wait a moment for those who have just been answered together."""
        left = self._until - time.monotonic()
        if left <= 0 or len(self._waiting) >= self._expected:
            return
        self._all_there.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._all_there.wait()

    def _take(self) -> list[_Waiting[Row, Answer]]:
        count, rows = 0, 0
        # A client that went away while it waited needs no answer.
        self._waiting = [each for each in self._waiting if not each.answers.done()]
        for request in self._waiting:
            if count and rows + len(request.rows) > self._most_rows:
                break
            count, rows = count + 1, rows + len(request.rows)
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _answer(self, batch: Sequence[_Waiting[Row, Answer]]) -> None:
        rows = [row for request in batch for row in request.rows]
        if not rows:
            return
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._thread, self._score, rows)
        start = 0
        for request in batch:
            end = start + len(request.rows)
            if not request.answers.done():
                request.answers.set_result(answers[start:end])
            start = end
