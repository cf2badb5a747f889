"""Who has a turn when: parts of a long request, requests of one turn, and rows of one batch."""

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.serving.lane import batching, parted_flow
from goldpath.serving.lane.batching import MicroBatcher
from goldpath.serving.lane.parted_flow import PartedFlow
from goldpath.serving.lane.request_heads import Head, RequestHeads, read_headers
from goldpath.serving.lane.trail import lane_trail
from goldpath.serving.lane.turn import MOST_REQUESTS, LaneTurn, Request
from goldpath.settings import Settings, load_settings


class Transport:
    """Notes whether it is read from; refuses what asyncio's refuses."""

    def __init__(self) -> None:
        self.is_paused = False
        self.is_closed = False
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        assert not self.is_paused
        self.is_paused = True
        self.calls.append("pause")

    def resume_reading(self) -> None:
        assert self.is_paused
        self.is_paused = False
        self.calls.append("resume")

    def is_closing(self) -> bool:
        return self.is_closed


class Loop:
    """Keeps what is to be called, until the test says so."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.later: list[float] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.later.append(seconds)
        self.soon.append(call)

    def turn(self) -> int:
        calls, self.soon = self.soon, []
        for call in calls:
            call()
        return len(calls)


@pytest.fixture
def flow() -> Any:
    transport, loop = Transport(), Loop()
    taken: list[bytes] = []
    made: Any = PartedFlow(transport, loop, taken.append)  # type: ignore[arg-type]
    made.transport, made.loop, made.taken = transport, loop, taken
    return made


def test_a_long_request_is_passed_on_part_by_part_as_it_is_asked_for(
    flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parted_flow, "PART", 4)
    assert not flow.is_passing
    flow.pass_on(b"0123456789")
    assert flow.taken == [b"0123"]
    assert (flow.is_passing, flow.transport.is_paused) == (True, True)
    flow.resume_reading()
    flow.resume_reading()
    assert flow.taken == [b"0123"], "the next one has a turn of its own"
    assert flow.loop.turn() == 1, "asked for twice, and given once"
    assert flow.taken == [b"0123", b"4567"]
    assert flow.loop.turn() == 0, "nobody asked"
    flow.resume_reading()
    flow.loop.turn()
    assert b"".join(flow.taken) == b"0123456789"
    assert not flow.is_passing
    assert flow.transport.is_paused
    flow.resume_reading()
    assert not flow.transport.is_paused, "the last one is given: read on"
    assert flow.loop.soon == []


@pytest.mark.parametrize("how", ["closed", "ended"])
def test_a_connection_that_is_gone_gets_no_further_part(
    flow: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(parted_flow, "PART", 4)
    flow.pass_on(b"0123456789")
    flow.resume_reading()
    if how == "closed":
        flow.transport.is_closed = True
    else:
        flow.end()
        assert not flow.is_passing
    flow.loop.turn()
    assert flow.taken == [b"0123"]
    assert not flow.is_passing


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_rest_ends_by_itself_and_reads_on(flow: Any, seconds: float) -> None:
    flow.rest(seconds)
    flow.rest(seconds)
    assert flow.transport.calls == ["pause"]
    assert flow.loop.later == ([seconds] if seconds else [])
    assert len(flow.loop.soon) == 1
    flow.loop.turn()
    assert flow.transport.calls == ["pause", "resume"]
    flow.rest(seconds)
    assert flow.transport.is_paused, "it may rest again"


def test_who_pauses_during_a_rest_is_not_read_from_behind_it(flow: Any) -> None:
    flow.rest()
    flow.pause_reading()
    flow.loop.turn()
    assert flow.transport.calls == ["pause"]
    flow.resume_reading()
    assert flow.transport.calls == ["pause", "resume"]
    flow.rest()
    flow.pause_reading()
    flow.resume_reading()
    assert flow.transport.is_paused, "the rest is not over"
    flow.loop.turn()
    assert not flow.transport.is_paused


def test_a_rest_of_who_is_paused_changes_nothing(flow: Any) -> None:
    flow.pause_reading()
    flow.rest()
    flow.loop.turn()
    assert flow.transport.calls == ["pause"]
    flow.resume_reading()
    assert not flow.transport.is_paused


def test_a_connection_that_closes_while_it_rests_is_left_alone(flow: Any) -> None:
    flow.rest()
    flow.transport.is_closed = True
    flow.loop.turn()
    assert flow.transport.calls == ["pause"]


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


USUAL = [(b"content-type", b"application/json"), (b"content-length", b"12")]


def test_headers_that_a_server_has_read_say_nothing_of_framing() -> None:
    found = read_headers("/predict", [USUAL[0], (b"connection", b"close"), (b"expect", b"x")])
    assert found == Head("/predict")
    assert read_headers("/predict", USUAL, 0) == Head("/predict", length=12)
    assert read_headers("/predict", USUAL, 99) == Head("/predict", 99, 12)
    assert read_headers("/predict", [USUAL[0]], 99) is None
    assert read_headers("/predict", [*USUAL, (b"expect", b"x")], 99) is None
    assert read_headers("/predict", [*USUAL, (b"origin", b"x")]) is None
    assert read_headers("/predict", [*USUAL, (b"content-encoding", b"x")]) is None
    assert read_headers("/predict", [*USUAL, (b"accept", b"a"), (b"accept", b"b")], 9) is not None
    for name in (b"x-api-key", b"authorization"):
        found = read_headers("/predict", [*USUAL, (name, b"v")], 9)
        assert found is not None
        assert found.credential == (name, b"v")
    assert read_headers("/predict", [(b"x-request-id", b""), *USUAL], 9) is not None


def test_what_is_pipelined_behind_a_head_is_no_part_of_it() -> None:
    head = b"POST /predict HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"
    heads = RequestHeads({"/predict"})
    found = heads.of(head + b"{}" + head + b"{}")
    assert found is not None
    assert (found.size, found.length) == (len(head), 2)
    assert heads.of(b"") is None
    assert heads.of(b"\r\n\r\n") is None
    assert heads.of(b"x" + head) is None


def settings_of(project: Settings, monkeypatch: pytest.MonkeyPatch, **values: object) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"MLOPS_SERVING__{name.upper()}", str(value).lower())
    return load_settings(project.root)


def test_a_request_of_the_lane_leaves_a_line_where_lines_are_wanted(
    project: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    off = settings_of(project, monkeypatch, access_log=False, access_log_share=1)
    assert lane_trail(off, None) is None
    none = settings_of(project, monkeypatch, access_log=True, access_log_share=0)
    assert lane_trail(none, None) is None
    half = settings_of(project, monkeypatch, access_log=True, access_log_share=0.5)
    leave = lane_trail(half, None)
    assert leave is not None
    draws = iter([0.49, 0.5, 0.2])
    monkeypatch.setattr(random, "random", lambda: next(draws))
    with caplog.at_level(logging.INFO, "goldpath.access"):
        for name in (b"a", b"b", b"c"):
            leave(Head("/predict", request_id=name), 10.0, 10.25)
    fields = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert [each["request_id"] for each in fields] == ["a", "c"]
    assert {(each["method"], each["route"], each["status"]) for each in fields} == {
        ("POST", "/predict", 200)
    }
    assert [each["milliseconds"] for each in fields] == [250.0, 250.0]


def test_a_request_of_the_lane_leaves_a_span_where_traces_are_wanted(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = settings_of(project, monkeypatch, access_log=False)
    spans: list[tuple[Any, ...]] = []
    tracing: Any = SimpleNamespace(record=lambda *span: spans.append(span))
    leave = lane_trail(off, tracing)
    assert leave is not None
    leave(Head("/predict", request_id=b"a"), 10.0, 10.25)
    leave(Head("/predict/batch", request_id=b"b", trace=b"00-1"), 10.0, 11.0)
    assert spans == [
        ("POST", "/predict", {}, "a", 0.25),
        ("POST", "/predict/batch", {"traceparent": "00-1"}, "b", 1.0),
    ]
