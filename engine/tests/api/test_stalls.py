"""What a long body costs everybody else: little of it is looked at, and in small parts."""

import asyncio
import json
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from goldpath.serving.http import request_body
from goldpath.serving.http.json_bodies import LONG, parse_json
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.value_count import SHORT, Bounds, ValueCount
from goldpath.serving.lane.batch_marks import BatchMarks
from goldpath.serving.lane.fast_lane import DECLINED, LONG_BATCH, FastLane
from goldpath.serving.lane.parted_flow import PART, PartedFlow
from goldpath.serving.lane.request_heads import Head
from goldpath.serving.process import server

from ..counts import examples
from .conftest import MakeClient
from .examples import contract_of, random_rows

ANY = Bounds(values=1 << 40, levels=1 << 40, token=1 << 40)
COMMA_OR_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"|[,\[{]', re.DOTALL)
JSON = {"content-type": "application/json"}
TEXTS = st.text(st.sampled_from('a",:[]{}\\é\n'), max_size=12)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=20,
)


def refused_after(body: bytes, bounds: Bounds, part: int = 1_000) -> tuple[int, str]:
    """How many bytes were seen until it was refused, and why."""
    count = ValueCount(bounds)
    for start in range(0, len(body), part):
        try:
            count.add(body[start : start + part])
        except ProblemError as error:
            return start + part, str(error.detail)
    return 0, ""


@settings(max_examples=examples(80, 2_000), deadline=None)
@given(value=VALUES, is_ascii=st.booleans(), size=st.integers(1, 9))
def test_it_counts_the_same_however_the_body_is_cut(value: Any, is_ascii: bool, size: int) -> None:
    body = json.dumps(value, ensure_ascii=is_ascii).encode()
    tokens = [each[0] for each in COMMA_OR_TEXT.finditer(body)]
    commas, containers = tokens.count(b","), tokens.count(b"[") + tokens.count(b"{")

    for part in (size, len(body)):
        exact = Bounds(values=commas, levels=1 << 40, containers=containers)
        assert refused_after(body, exact, part) == (0, "")
        if commas:
            assert refused_after(body, Bounds(values=commas - 1, levels=1 << 40), part)[0]
        if containers:
            fewer = Bounds(values=1 << 40, levels=1 << 40, containers=containers - 1)
            assert refused_after(body, fewer, part)[0]


@settings(max_examples=examples(40, 1_000), deadline=None)
@given(depth=st.integers(1, 40), part=st.integers(1, 50))
def test_levels_are_counted_before_anything_is_read(depth: int, part: int) -> None:
    body = b'{"[[[": [1], "a": ' + b"[" * (depth - 1) + b'"]]"' + b"]" * (depth - 1) + b"}"
    levels = max(depth, 2)

    assert refused_after(body, Bounds(100, levels=levels), part) == (0, "")
    assert "nested" in refused_after(body, Bounds(100, levels=levels - 1), part)[1]


@pytest.mark.parametrize(
    "begin",
    [b'["', b'["\\"', b"[1, ", b'{"a": ', b'["' + b"x" * 40_000 + b'", "'],
    ids=["text", "escape", "number", "space", "second text"],
)
@pytest.mark.parametrize("part", [1_000, 32_768, 1_000_000])
def test_a_text_or_number_has_a_length(begin: bytes, part: int) -> None:
    is_text = begin.count(b'"') % 2 == 1 or b"\\" in begin
    filler = b"7" if begin == b"[1, " else b"a,:" if is_text else b" "

    def body(size: int) -> bytes:
        return begin + (filler * size)[: size - 4] + (b'"]' if is_text else b"]")

    assert refused_after(body(65_530), Bounds(1 << 40), part) == (0, "")
    _, reason = refused_after(body(65_545), Bounds(1 << 40), part)
    assert "more than 65536 bytes" in reason


@pytest.mark.parametrize(
    ("unit", "most"),
    [
        (b"{},", 16_000),
        (b"[[[[]]]],", 16_000),
        (b"1,", 100_000),
        (b'"a":1,', 300_000),
    ],
)
def test_little_of_a_hostile_body_is_looked_at(unit: bytes, most: int) -> None:
    bounds = Bounds.of(rows=1000, features=12, levels=16)

    seen, reason = refused_after(b"[" + unit * (4_500_000 // len(unit)), bounds)

    assert 0 < seen <= most
    assert "values" in reason


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/invocations", "/feedback"])
def test_the_service_reads_no_further_than_the_limit(make_client: MakeClient, path: str) -> None:
    lane: Any = make_client().app
    received, sent = [0], []
    part = b"[" + b"{}," * 20_000

    async def receive() -> Any:
        received[0] += 1
        return {"type": "http.request", "body": part, "more_body": received[0] < 80}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"4800080")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "http_version": "1.1",
        "root_path": "",
        DECLINED: True,
    }
    with make_client():
        asyncio.run(lane(scope, receive, send))

    assert received[0] <= 3
    assert sent[0]["status"] == 422
    problem = json.loads(sent[1]["body"])
    assert "objects or lists" in problem["detail"]
    assert "MAXIMUM_BATCH_ROWS" in problem["fix"]


def test_a_long_body_is_counted_away_from_the_event_loop(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    class Noted(ValueCount):
        def add(self, part: bytes) -> None:
            threads.append(threading.current_thread().name)
            super().add(part)

    monkeypatch.setattr(request_body, "ValueCount", Noted)
    client = make_client()
    with client:
        client.post("/invocations", content=b" " * SHORT, headers=JSON)
        assert threads == []
        client.post("/invocations", content=b" " * (SHORT + 1), headers=JSON)

    assert threads
    assert all(name.startswith("body-counts") for name in threads)


@settings(max_examples=examples(40, 1_000), deadline=None)
@given(value=VALUES)
def test_long_bodies_are_read_alike(value: Any) -> None:
    body = json.dumps([value, 1.5, float("inf"), 10**30]).encode()

    assert parse_json(body + b" " * LONG) == json.loads(body)


@pytest.mark.parametrize(
    "body", [b"[1,,2]", b'["a', b'{"a":1,"a":2}', b'{"a" 1}', b"[" + b"7" * 4301 + b"]", b"[1]]"]
)
def test_long_bodies_are_refused_alike(body: bytes) -> None:
    refusals = []
    for begin in (b"", b" " * LONG):
        with pytest.raises(ProblemError) as caught:
            parse_json(begin + body)
        refusals.append((caught.value.status_code, caught.value.detail.partition(" at line")[0]))

    assert refusals[0] == refusals[1]


def test_other_threads_run_while_a_long_body_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scanner in C is not asked for more than a value."""
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("all at once"))

    assert parse_json(b'["' + b"\\u0041" * (LONG // 6) + b'", 1]')[1] == 1


def test_the_server_lets_no_thread_keep_the_loop_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float] = []
    monkeypatch.setattr(
        uvicorn.Server, "run", lambda *_, **__: found.append(sys.getswitchinterval())
    )
    before = sys.getswitchinterval()
    try:
        server._work(lambda: None, None, {}, production=False)  # type: ignore[arg-type, return-value]
    finally:
        sys.setswitchinterval(before)

    assert found == [pytest.approx(server.SWITCH_SECONDS)]
    assert server.SWITCH_SECONDS <= 0.001


def test_a_batch_that_cannot_be_the_lanes_shows_early() -> None:
    contract = contract_of("binary")
    honest = json.dumps({"instances": random_rows(contract, 1000, seed=3)}).encode()
    marks = BatchMarks(contract, 1000)

    assert marks.counter()(honest)
    for unit in (b"{},", b"[[[[]]]],", b'"a":1,'):
        allows = marks.counter()
        assert not allows(b'{"instances": [' + unit * 85_000)


def test_only_what_is_longer_than_honest_batches_is_counted(make_client: MakeClient) -> None:
    lane: Any = make_client().app

    assert lane.counter_of(Head("/predict/batch", length=LONG_BATCH)) is None
    assert lane.counter_of(Head("/predict/batch", length=LONG_BATCH + 1)) is not None


class Transport:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.is_reading, self.closing = True, False

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def is_closing(self) -> bool:
        return self.closing


class Turns:
    """An event loop that takes a turn when it is told to."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []
        self.later: list[float] = []

    def call_soon(self, work: Callable[[], None]) -> None:
        self.due.append(work)

    def call_later(self, seconds: float, work: Callable[[], None]) -> None:
        self.later.append(seconds)
        self.due.append(work)

    def turn(self) -> None:
        due, self.due = self.due, []
        for work in due:
            work()


def flow_of(taken: list[bytes]) -> tuple[PartedFlow, Any, Any]:
    transport, loop = Transport(), Turns()
    parts: Any = PartedFlow(transport, loop, taken.append)  # type: ignore[arg-type]
    return parts, transport, loop


def test_the_next_part_follows_when_it_is_asked_for() -> None:
    taken: list[bytes] = []
    flow, transport, loop = flow_of(taken)
    data = bytes(range(256)) * (PART // 100)

    flow.pass_on(data)
    assert len(taken) == 1
    loop.turn()
    assert len(taken) == 1, "nobody has asked"
    while flow.is_passing:
        assert not transport.is_reading
        before = len(taken)
        flow.resume_reading()
        flow.resume_reading()
        loop.turn()
        assert len(taken) == before + 1
    flow.resume_reading()

    assert b"".join(taken) == data
    assert max(map(len, taken)) == PART
    assert transport.is_reading


def test_a_rest_ends_by_itself_and_keeps_uvicorns_pause() -> None:
    flow, transport, loop = flow_of([])

    flow.rest()
    flow.rest()
    assert not transport.is_reading
    loop.turn()
    assert transport.is_reading

    flow.rest(0.5)
    flow.pause_reading()
    loop.turn()
    assert not transport.is_reading, "Uvicorn has still enough"
    flow.rest()
    flow.resume_reading()
    assert not transport.is_reading
    loop.turn()
    assert transport.is_reading
    assert loop.later == [0.5]


def test_nothing_is_given_to_a_connection_that_is_gone() -> None:
    taken: list[bytes] = []
    flow, transport, loop = flow_of(taken)

    flow.pass_on(b"x" * 3 * PART)
    flow.resume_reading()
    flow.rest()
    transport.closing = True
    loop.turn()

    assert len(taken) == 1
    assert not flow.is_passing
    assert not transport.is_reading


def test_what_the_lane_has_declined_is_not_read_by_it_again(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane: Any = make_client().app
    asked: list[str] = []

    async def app(scope: Any, *_: Any) -> None:
        asked.append(scope["path"])

    monkeypatch.setattr(FastLane, "_read", lambda *_: pytest.fail("it was read"))
    lane.app = app
    scope = {"type": "http", "method": "POST", "path": "/predict/batch", "headers": []}
    asyncio.run(lane({**scope, DECLINED: True}, None, None))

    assert asked == ["/predict/batch"]
