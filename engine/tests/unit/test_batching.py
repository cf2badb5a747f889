"""Requests that come while a batch runs share the next one, and never each other's fate."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldpath.serving.lane import batching
from goldpath.serving.lane.batching import MicroBatcher


def test_an_idle_batcher_scores_at_once_and_a_busy_one_gathers() -> None:
    batches: list[list[int]] = []
    first_runs, go_on = threading.Event(), threading.Event()

    def score(rows: Sequence[int]) -> Sequence[int]:
        batches.append(list(rows))
        first_runs.set()
        assert go_on.wait(10)
        return [row * 10 for row in rows]

    async def main() -> list[Sequence[int]]:
        batcher = MicroBatcher(score)
        first = asyncio.create_task(batcher.submit([1]))
        await asyncio.to_thread(first_runs.wait, 10)
        others = [asyncio.create_task(batcher.submit([row, row + 1])) for row in (2, 4, 6)]
        await asyncio.sleep(0.05)
        go_on.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(main())

    assert batches == [[1], [2, 3, 4, 5, 6, 7]]
    assert answers == [[10], [20, 30], [40, 50], [60, 70]]


def test_clients_that_are_answered_together_are_scored_together_again() -> None:
    clients, rounds = 16, 8
    sizes: list[int] = []

    def score(rows: Sequence[int]) -> Sequence[int]:
        sizes.append(len(rows))
        time.sleep(0.1)
        return rows

    async def ask(batcher: MicroBatcher[int, int], client: int) -> None:
        for row in range(rounds):
            await batcher.submit([row])
            await asyncio.sleep(client * 0.0005)  # as long as an answer is under way

    async def main() -> None:
        batcher = MicroBatcher(score)
        await asyncio.gather(*(ask(batcher, client) for client in range(clients)))

    asyncio.run(main())

    assert sum(sizes) == clients * rounds
    assert len(sizes) < 1.5 * rounds, sizes


def test_a_client_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 1e6)

    async def main() -> list[Sequence[int]]:
        batcher = MicroBatcher[int, int](lambda rows: rows)
        async with asyncio.timeout(30):
            return [await batcher.submit([row]) for row in range(20)]

    assert asyncio.run(main()) == [[row] for row in range(20)]


def test_company_that_does_not_come_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 50)
    waits: list[float] = []

    def score(rows: Sequence[int]) -> Sequence[int]:
        time.sleep(0.02)
        return rows

    async def main() -> None:
        batcher = MicroBatcher(score)
        await asyncio.gather(*(batcher.submit([row]) for row in range(4)))
        for row in range(2):
            started = time.monotonic()
            await batcher.submit([row])
            waits.append(time.monotonic() - started)

    asyncio.run(main())

    assert waits[0] >= 1
    assert waits[1] < waits[0]


def test_a_full_batch_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 1e6)
    sizes: list[int] = []

    def score(rows: Sequence[int]) -> Sequence[int]:
        sizes.append(len(rows))
        return rows

    async def main() -> None:
        batcher = MicroBatcher(score, most_rows=4)
        async with asyncio.timeout(30):
            await asyncio.gather(*(batcher.submit([row]) for row in range(12)))

    asyncio.run(main())

    assert sizes == [4, 4, 4]


def test_rows_that_fail_are_their_own_requests_fault_only() -> None:
    def score(rows: Sequence[int]) -> Sequence[int]:
        if 3 in rows:
            raise ValueError("three")
        return [row * 10 for row in rows]

    async def main() -> list[Sequence[int] | BaseException]:
        batcher = MicroBatcher(score)
        return await asyncio.gather(
            *(batcher.submit([row]) for row in range(6)), return_exceptions=True
        )

    answers = asyncio.run(main())

    assert [answer for answer in answers if not isinstance(answer, BaseException)] == [
        [0],
        [10],
        [20],
        [40],
        [50],
    ]
    assert isinstance(answers[3], ValueError)


def test_a_client_that_goes_away_costs_the_others_nothing() -> None:
    async def main() -> Sequence[int]:
        batcher = MicroBatcher[int, int](lambda rows: [row * 10 for row in rows])
        gone = asyncio.create_task(batcher.submit([1]))
        await asyncio.sleep(0)
        gone.cancel()
        answer = await batcher.submit([2])
        with pytest.raises(asyncio.CancelledError):
            await gone
        return answer

    assert asyncio.run(main()) == [20]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(), min_size=1, max_size=9), min_size=1, max_size=30))
def test_everybody_gets_the_answers_to_the_own_rows(requests: list[list[int]]) -> None:
    sizes: list[int] = []

    def score(rows: Sequence[int]) -> Sequence[int]:
        sizes.append(len(rows))
        return [row * 3 for row in rows]

    async def main() -> list[Sequence[int]]:
        batcher = MicroBatcher(score, most_rows=8)
        return await asyncio.gather(*(batcher.submit(rows) for rows in requests))

    assert asyncio.run(main()) == [[row * 3 for row in rows] for rows in requests]
    assert max(sizes) <= 9
    assert sum(sizes) == sum(map(len, requests))


def test_a_batch_is_filled_to_the_last_row_and_no_further() -> None:
    sizes: list[int] = []
    go = threading.Event()

    def score(rows: Sequence[int]) -> Sequence[int]:
        sizes.append(len(rows))
        assert go.wait(20)
        return [row * 10 for row in rows]

    async def main() -> list[Sequence[int]]:
        batcher = MicroBatcher(score, most_rows=4)
        asked = [asyncio.ensure_future(batcher.submit([9]))]
        while not sizes:
            await asyncio.sleep(0.001)
        asked += [
            asyncio.ensure_future(batcher.submit([start] * count))
            for start, count in enumerate((3, 1, 2, 3, 7, 1))
        ]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*asked)

    answers = asyncio.run(main())
    assert sizes == [1, 4, 2, 3, 7, 1]
    assert answers == [[90], [0] * 3, [10], [20] * 2, [30] * 3, [40] * 7, [50]]


def test_each_of_a_failing_batch_has_its_own_end(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[list[int]] = []

    def score(rows: Sequence[int]) -> Sequence[int]:
        batches.append(list(rows))
        if 3 in rows:
            raise ValueError("three")
        return [row * 10 for row in rows]

    async def main() -> list[Any]:
        batcher = MicroBatcher(score)
        asked = [batcher.ask([row, row]) for row in range(5)]
        await asyncio.sleep(0)
        asked[0].cancel()
        asked[3].add_done_callback(lambda _: None)
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(main())
    assert isinstance(found[0], asyncio.CancelledError)
    assert isinstance(found[3], ValueError)
    assert [found[1], found[2], found[4]] == [[10, 10], [20, 20], [40, 40]]
    assert len(batches) == 6, "once together, then each alone"


def test_company_is_waited_for_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 1e6)
    sizes: list[int] = []

    def score(rows: Sequence[int]) -> Sequence[int]:
        sizes.append(len(rows))
        return rows

    async def main() -> None:
        batcher = MicroBatcher(score)
        async with asyncio.timeout(30):
            await asyncio.gather(*(batcher.submit([row]) for row in range(3)))
            assert sizes == [3]
            asked = [asyncio.ensure_future(batcher.submit([row])) for row in range(2)]
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert sizes == [3], "the third is missing"
            asked.append(asyncio.ensure_future(batcher.submit([2])))
            await asyncio.gather(*asked)

    asyncio.run(main())
    assert sizes == [3, 3]


def test_nobody_is_scored_where_all_have_gone() -> None:
    sizes: list[int] = []

    def score(rows: Sequence[int]) -> Sequence[int]:
        sizes.append(len(rows))
        return rows

    async def main() -> Sequence[int]:
        batcher = MicroBatcher(score)
        gone = batcher.ask([1])
        gone.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        return await batcher.submit([2])

    assert asyncio.run(main()) == [2]
    assert sizes == [1]
