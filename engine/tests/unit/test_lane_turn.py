"""Requests of one turn: answered together, and what a slow model's failure costs."""

import asyncio
import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.serving.lane.turn import MOST_REQUESTS, LaneTurn, Request
from goldpath.serving.predictor import UnscorableError


class Connection:
    """Keeps what it was answered."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []

    def answered(self, request: Request, data: bytes, answer: bytes | None, /) -> None:
        self.answers.append(answer)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (RuntimeError("the batch is broken"), ["the batch is broken"]),
        (UnscorableError("1e308"), []),  # the caller's: the app says what is wrong
        (None, []),  # cancelled: the service stops
    ],
)
def test_the_app_answers_what_a_batch_could_not_and_only_a_fault_is_logged(
    failure: Exception | None, said: Sequence[str], caplog: pytest.LogCaptureFixture
) -> None:
    connection, ended = Connection(), []

    def done(request: Any, /, *, is_answered: bool) -> None:
        ended.append(is_answered)

    async def main() -> None:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        model = SimpleNamespace(is_immediate=False, ask=lambda row: future)
        request: Any = SimpleNamespace(model=model)
        row: Any = object()
        LaneTurn(done).add(connection, request, row, b"")
        if failure is None:
            future.cancel()
        else:
            future.set_exception(failure)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())

    assert connection.answers == [None]
    assert ended == [False]
    assert [str((each.exc_info or (0, 0))[1]) for each in caplog.records] == said


class Model:
    """Answers with a row's name and how many were asked for together."""

    def __init__(self, name: str, *, is_immediate: bool = True) -> None:
        self.name, self.is_immediate = name, is_immediate
        self.futures: list[asyncio.Future[Any]] = []
        self.sizes: list[int] = []

    def answers(self, rows: Sequence[Any]) -> list[bytes | None]:
        self.sizes.append(len(rows))
        return [None if row == "app" else f"{self.name} {row}".encode() for row in rows]

    def ask(self, row: Any) -> "asyncio.Future[Any]":
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def written(self, rows: Sequence[Any], answers: Sequence[Any]) -> list[bytes | None]:
        self.sizes.append(len(rows))
        return [f"{row} {answer}".encode() for row, answer in zip(rows, answers, strict=True)]


class Connections:
    """Every connection of a test; the one that is called `broken` fails."""

    def __init__(self) -> None:
        self.answers: list[tuple[bytes, bytes | None]] = []
        self.ended: list[bool] = []
        self.turn = LaneTurn(self.done)

    def done(self, request: Any, /, *, is_answered: bool) -> None:
        self.ended.append(is_answered)

    def answered(self, request: Request, data: bytes, answer: bytes | None, /) -> None:
        if data == b"broken":
            raise ConnectionResetError
        self.answers.append((data, answer))

    def add(self, model: Model, row: Any, data: bytes = b"") -> None:
        request: Any = SimpleNamespace(model=model)
        self.turn.add(self, request, row, data or str(row).encode())


def test_requests_of_one_turn_are_answered_together_and_in_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = Connections()
    one, other = Model("one"), Model("other")

    async def main() -> None:
        for model, row in ((one, "a"), (other, "b"), (one, "app"), (one, "c"), (other, "d")):
            found.add(model, row)
        found.add(one, "e", b"broken")
        assert found.answers == []
        await asyncio.sleep(0)
        assert (one.sizes, other.sizes) == ([4], [2])
        found.add(one, "f")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert found.answers == [
        (b"a", b"one a"),
        (b"app", None),
        (b"c", b"one c"),
        (b"b", b"other b"),
        (b"d", b"other d"),
        (b"f", b"one f"),
    ]
    assert found.ended == [True, False, True, True, True, True]
    assert [record.message for record in caplog.records] == ["a connection failed"]
    assert one.sizes == [4, 1]


def test_so_many_requests_do_not_wait_for_the_turns_end() -> None:
    found = Connections()
    model = Model("one")

    async def main() -> None:
        for number in range(MOST_REQUESTS - 1):
            found.add(model, number)
        assert model.sizes == []
        found.add(model, "last")
        assert model.sizes == [MOST_REQUESTS]
        found.add(model, "next")
        assert model.sizes == [MOST_REQUESTS]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert model.sizes == [MOST_REQUESTS, 1]
    assert len(found.answers) == MOST_REQUESTS + 1


def test_what_a_slow_model_found_together_is_written_together() -> None:
    found = Connections()
    slow, other = Model("slow", is_immediate=False), Model("other", is_immediate=False)

    async def main() -> None:
        for row in "abc":
            found.add(slow, row)
        found.add(other, "d")
        for number, future in enumerate((*slow.futures, *other.futures)):
            future.set_result([f"found {number}", "of another row"])
        for _ in range(3):
            await asyncio.sleep(0)
        found.add(slow, "e")
        slow.futures[-1].set_result(["found 4"])
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert (slow.sizes, other.sizes) == ([3, 1], [1])
    assert found.answers == [
        (row.encode(), f"{row} found {number}".encode()) for number, row in enumerate("abcde")
    ]
