"""Parts of a long request, and rests: who is read from when."""

from collections.abc import Callable
from typing import Any

import pytest

from goldpath.serving.lane import parted_flow
from goldpath.serving.lane.parted_flow import PartedFlow


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
