"""One connection of the lane: what is answered at once, held, handed on, or closed."""

import asyncio
import json
import logging
from typing import Any

import pytest

from goldpath.serving.lane import bounded_protocol, protocol
from goldpath.serving.lane.request_structs import DecodedRow

from ..lane_connections import Connection, request, run, turns


def test_a_whole_request_is_answered_with_one_write() -> None:
    async def test() -> None:
        found: Any = Connection()
        for number in range(3):
            found.send(request(b"{%d}" % number))
            assert found.lane.decoded[-1] == b"{%d}" % number
            assert found.written == b"", "at the end of the turn"
            found.lane.turn.answer(b"answer")
            head, _, body = found.written.partition(b"\r\n\r\n")
            assert body == b"answer"
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert head.endswith(b"content-length: 6")
            assert found.state.total_requests == number + 1
        assert found.lane.peers == ["10.0.0.1"]
        assert found.lane.to_app == []

    run(test)


def test_an_answer_from_a_thread_is_written_when_it_is_there() -> None:
    async def test() -> None:
        found: Any = Connection()
        found.lane.own = lambda body: b"rows of " + body
        found.send(request(b"{}"))
        assert len(found.protocol.tasks) == 1
        await turns()
        assert found.written.endswith(b"\r\n\r\nrows of {}")
        assert not found.protocol.tasks

    run(test)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_a_body_in_pieces_is_put_together(size: int) -> None:
    async def test() -> None:
        found: Any = Connection()
        whole = request(b"x" * 120)
        head = whole.index(b"\r\n\r\n") + 4
        found.send(whole[:head])
        for at in range(head, len(whole), size):
            assert found.lane.decoded == []
            found.send(whole[at : at + size])
        assert found.lane.decoded == [b"x" * 120]
        found.lane.turn.answer(b"a")
        assert found.written.endswith(b"a")
        assert found.lane.to_app == []

    run(test)


def test_what_comes_behind_a_body_is_the_next_request() -> None:
    async def test() -> None:
        found: Any = Connection()
        first, second = request(b"first"), request(b"second")
        found.send(first[:-2])
        found.send(first[-2:] + second)
        assert found.lane.decoded == [b"first"]
        found.lane.turn.answer(b"1")
        assert found.lane.decoded == [b"first", b"second"]
        found.send(request(b"third"))
        assert found.lane.decoded == [b"first", b"second"], "one after the other"
        found.lane.turn.answer(b"2")
        found.lane.turn.answer(b"3")
        assert found.lane.decoded[2:] == [b"third"]
        assert [part[-1:] for part in found.written.split(b"HTTP/1.1")[1:]] == [b"1", b"2", b"3"]

    run(test)


def test_two_requests_at_once_are_uvicorns() -> None:
    async def test() -> None:
        found: Any = Connection()
        found.send(request(b"first") + request(b"second"))
        await turns()
        assert found.lane.decoded == []
        assert [body for body, _ in found.lane.to_app] == [b"first", b"second"]
        assert found.lane.to_app[0][1] is False
        assert found.written.count(b"app") == 2

    run(test)


def test_what_the_lane_declines_is_the_apps_with_a_note_and_the_next_one_is_not() -> None:
    async def test() -> None:
        found: Any = Connection()
        found.lane.own = lambda body: None if body == b"odd" else DecodedRow(None, ())
        found.send(request(b"odd"))
        await turns()
        assert found.lane.to_app == [(b"odd", True)]
        found.send(request(b"usual"))
        found.lane.turn.answer(None)
        await turns()
        assert found.lane.to_app == [(b"odd", True), (b"usual", True)]
        found.send(request(b"unusual", "Expect: nothing"))
        await turns()
        assert found.lane.to_app[-1] == (b"unusual", False)
        assert found.written.count(b"app") == 3
        assert found.state.total_requests == 3

    run(test)


def test_a_body_that_the_lane_does_not_wait_for_is_uvicorns() -> None:
    async def test() -> None:
        found: Any = Connection()
        found.lane.longest = 5
        whole = request(b"123456")
        found.send(whole[:-1])
        found.send(whole[-1:])
        await turns()
        assert found.lane.to_app == [(b"123456", False)]
        assert found.lane.decoded == []
        whole = request(b"12345")
        found.send(whole[:-1])
        found.send(whole[-1:])
        assert found.lane.decoded == [b"12345"]

    run(test)


def test_a_body_that_is_counted_out_is_the_apps_while_it_arrives() -> None:
    async def test() -> None:
        found: Any = Connection()
        parts: list[bytes] = []

        def counter(part: bytes) -> bool:
            parts.append(part)
            return b"{{" not in part

        found.lane.counter = counter
        whole = request(b"one {{ two")
        found.send(whole[:-9])
        assert found.protocol._head is not None
        found.send(whole[-9:-3])
        assert found.protocol._head is None
        found.send(whole[-3:])
        await turns()
        assert found.lane.decoded == []
        assert found.lane.to_app == [(b"one {{ two", True)]
        assert len(parts) == 2

    run(test)


def test_a_long_request_that_is_declined_reaches_the_app_in_parts() -> None:
    async def test() -> None:
        found: Any = Connection()
        found.lane.own = lambda _: None
        body = bytes(range(97, 123)) * 10_000
        found.send(request(body))
        assert found.protocol._flow.is_passing
        found.send(request(b"next"))
        await turns(60)
        assert [each for each, _ in found.lane.to_app] == [body, b"next"]
        assert found.written.count(b"app") == 2

    run(test)


def test_a_client_that_does_not_wait_is_not_read_from_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "MOST_HELD", 100)

    async def test() -> None:
        found: Any = Connection()
        found.send(request(b"{}"))
        next_one = request(b"y" * 100)
        found.send(next_one[:100])
        assert not found.transport.is_paused
        found.send(next_one[100:])
        assert found.transport.is_paused
        found.lane.turn.answer(b"1")
        assert not found.transport.is_paused
        assert found.lane.decoded == [b"{}", b"y" * 100]

    run(test)


def test_a_connection_that_is_gone_gets_no_answer() -> None:
    async def test() -> None:
        found: Any = Connection()
        found.send(request(b"{}"))
        found.transport.is_closed = True
        found.lane.turn.answer(b"1")
        assert found.written == b""

    run(test)


def test_a_server_that_ends_gives_the_answers_that_are_due() -> None:
    async def test() -> None:
        idle: Any = Connection()
        idle.protocol.shutdown()
        assert idle.transport.is_closed
        busy: Any = Connection()
        busy.send(request(b"{}"))
        busy.protocol.shutdown()
        assert not busy.transport.is_closed
        busy.lane.turn.answer(b"due")
        assert busy.written.endswith(b"due")
        assert busy.transport.is_closed
        halfway: Any = Connection()
        whole = request(b"12345")
        halfway.send(whole[:-2])
        halfway.protocol.shutdown()
        assert not halfway.transport.is_closed
        halfway.send(whole[-2:])
        await turns()
        assert [body for body, _ in halfway.lane.to_app] == [b"12345"]
        assert b"app" in halfway.written
        assert halfway.transport.is_closed

    run(test)


@pytest.mark.parametrize("begun", [b"", b"POST /predict HT", request(b"12345")[:-1]])
def test_a_request_that_does_not_end_is_refused(begun: bytes) -> None:
    async def test() -> None:
        found: Any = Connection(keep_alive=0)
        found.protocol.timeout_keep_alive = 0.01
        found.lane.read_seconds = 1.5
        if begun:
            found.send(begun)
        await asyncio.sleep(0.1)
        assert not found.transport.is_closed
        while not found.transport.is_closed:
            await asyncio.sleep(0.01)
        head, _, body = found.written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"connection: close" in head
        assert json.loads(body)["status"] == 408

    run(test)


def test_a_silent_connection_is_closed_and_one_that_waits_for_its_answer_is_not() -> None:
    async def test() -> None:
        silent: Any = Connection()
        busy: Any = Connection()
        at_app: Any = Connection()
        for each in (silent, busy, at_app):
            each.protocol.timeout_keep_alive = 0.02
        silent.send(request(b"{}"))
        silent.lane.turn.answer(b"1")
        busy.send(request(b"{}"))
        at_app.lane.until.clear()
        at_app.lane.own = lambda _: None
        at_app.send(request(b"{}"))
        for each in (silent, busy, at_app):
            each.protocol._watch()
        while not silent.transport.is_closed:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not busy.transport.is_closed
        assert not at_app.transport.is_closed
        busy.lane.turn.answer(b"1")
        assert busy.written.endswith(b"1")
        while not busy.transport.is_closed:
            await asyncio.sleep(0.01)
        assert silent.written.endswith(b"1"), "and nothing behind it"

    run(test)


def test_an_answer_is_a_line_of_the_access_log_where_that_is_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        for is_on in (True, False):
            found: Any = Connection(access_log=is_on)
            found.protocol.access_log = is_on
            found.send(request(b"{}"))
            with caplog.at_level(logging.INFO, "uvicorn.access"):
                found.lane.turn.answer(b"1")

    run(test)
    lines = [record.getMessage() for record in caplog.records if record.name == "uvicorn.access"]
    assert lines == ['10.0.0.1:5 - "POST /predict HTTP/1.1" 200']


def test_others_have_their_turns_while_megabytes_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MUCH", 50)

    async def test() -> None:
        found: Any = Connection()
        found.lane.longest = 0
        whole = request(b"x" * 300)
        head = whole.index(b"\r\n\r\n") + 4
        found.send(whole[:head])
        await turns(2)
        found.send(whole[head : head + 49])
        assert not found.transport.is_paused
        found.send(whole[head + 49 : head + 99])
        assert found.transport.is_paused
        await turns(3)
        assert not found.transport.is_paused
        found.send(whole[head + 99 :])
        await turns()
        assert [body for body, _ in found.lane.to_app] == [b"x" * 300]

    run(test)


def test_what_is_no_body_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_protocol, "MOST_OVERHEAD", 200)

    async def test() -> None:
        for extra, refused in ((0, False), (1, True)):
            found: Any = Connection()
            line = b"GET / HTTP/1.1\r\nX: "
            found.send(line + b"y" * (200 - len(line) + extra))
            assert found.transport.is_closed is refused
            assert (b"431" in found.written) is refused
        found = Connection()
        for _ in range(5):
            found.send(b"GET / HTTP/1.1\r\nX: " + b"y" * 100 + b"\r\n\r\n")
            await turns()
        assert not found.transport.is_closed, "each request has its own"
        assert len(found.lane.to_app) == 5
        chunks = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        found.send(chunks)
        for _ in range(50):
            found.send(b"5\r\nabcde\r\n")
        found.send(b"0\r\n\r\n")
        await turns()
        assert found.lane.to_app[-1][0] == b"abcde" * 50
        assert not found.transport.is_closed

    run(test)


@pytest.mark.parametrize("framing", ["Content-Length: 3", "Transfer-Encoding: chunked"])
def test_an_upgrade_that_is_offered_is_not_taken_and_the_request_is_answered(framing: str) -> None:
    async def test() -> None:
        found: Any = Connection()
        lines = ["POST /predict HTTP/1.1", "Connection: upgrade", "Upgrade: h2c", framing, "", ""]
        body = b"abc" if "3" in framing else b"3\r\nabc\r\n0\r\n\r\n"
        found.send("\r\n".join(lines).encode() + body)
        await turns()
        assert found.lane.to_app == [(b"abc", False)]
        assert b"app" in found.written
        found.send(request(b"next"))
        await turns()
        found.lane.turn.answer(b"1")
        assert found.lane.decoded == [b"next"]

    run(test)


def test_what_is_no_http_is_refused_and_nobody_waits_for_it() -> None:
    async def test() -> None:
        found: Any = Connection()
        found.send(b"nonsense\r\n\r\n")
        assert b"400" in found.written
        assert found.transport.is_closed

    run(test)
