"""What a slow model's failure costs: the app answers, and the log says what happened."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.serving.lane.turn import LaneTurn, Request
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
