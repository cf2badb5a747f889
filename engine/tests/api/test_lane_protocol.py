"""What is answered straight from the connection is what HTTP and the app would have answered."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from goldpath.serving.api import create_service
from goldpath.serving.http.value_count import ValueCount
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.protocol import LaneProtocol
from goldpath.serving.lane.request_structs import RequestDecoder
from goldpath.serving.prediction_log import read_log

from ..counts import examples
from .examples import Shelf, contract_of, fitted, random_rows, settings_of
from .raw_http import RawAnswer, Wire

KEEP_ALIVE = 1
READ_SECONDS = 2.0  # of the one service that is to lose patience; the others have the usual 30
PATIENCE = 30.0  # of a test on a busy machine
ROWS = random_rows(contract_of("binary"), 40, seed=5)
# Who answers: requests that come to Uvicorn's side, and those of them that come to the app.
PARSER, LANE, APP = (0, 0), (1, 0), (1, 1)


@dataclass
class Served:
    """A service that really listens.

    Attributes:
        passed_on: Requests that the app answered.
        to_uvicorn: Requests that were not answered straight from the connection.
    """

    port: int
    lane: FastLane
    server: uvicorn.Server
    log: Path
    passed_on: list[str] = field(default_factory=list)
    to_uvicorn: list[str] = field(default_factory=list)

    def wire(self) -> Wire:
        return Wire(self.port)


def serve(folder: Path, *, compiled: bool, read_seconds: float = 30) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        made = settings_of(folder, patch, read_seconds=read_seconds)
        shelf = Shelf(compiled=compiled)
        shelf.put(fitted("binary"))
        lane = create_service(made, contract_of("binary"), shelf)
        app = lane.app
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(
                lane, http=LaneProtocol, log_config=None, timeout_keep_alive=KEEP_ALIVE
            )
            served = Served(
                listener.getsockname()[1],
                lane,
                uvicorn.Server(config),
                folder / made.serving.prediction_log,
            )

            async def counted(scope: Scope, receive: Receive, send: Send) -> None:
                served.passed_on.append(scope.get("path", ""))
                await app(scope, receive, send)

            whole = FastLane.__call__

            async def noted(self: FastLane, scope: Scope, receive: Receive, send: Send) -> None:
                if self is lane and scope["type"] == "http":
                    served.to_uvicorn.append(scope["path"])
                await whole(self, scope, receive, send)

            patch.setattr(FastLane, "__call__", noted)
            lane.app = counted
            thread = threading.Thread(target=served.server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                deadline = time.monotonic() + 20
                while lane._traffic.loaded_versions() == frozenset():
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                served.passed_on.clear()
                yield served
            finally:
                served.server.should_exit = True
                thread.join(20)
                assert not thread.is_alive()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("protocol"), compiled=True)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same with a pipeline, which answers from a thread."""
    yield from serve(tmp_path_factory.mktemp("pipeline"), compiled=False)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A request must be there within two seconds, which a busy machine may need for any other."""
    yield from serve(tmp_path_factory.mktemp("impatient"), compiled=True, read_seconds=READ_SECONDS)


def body_of(number: int) -> bytes:
    return json.dumps({"features": ROWS[number % len(ROWS)]}).encode()


def request_of(body: bytes, *lines: str, path: str = "/predict") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: here", "Content-Type: application/json", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def facts(answer: RawAnswer | None) -> Any:
    assert answer is not None
    found = answer.json()
    found.pop("prediction_id", None)
    return answer.status, found


def expected(number: int) -> float:
    scored = fitted("binary").predict([ROWS[number % len(ROWS)]])
    return float(scored.scores[0])


def score_of(answer: RawAnswer | None) -> float:
    assert answer is not None
    assert answer.status == 200, answer.body
    return float(answer.json()["probabilities"]["yes"])


@pytest.mark.parametrize("kind", ["served", "slow"])
def test_one_connection_answers_request_after_request(
    kind: str, request: pytest.FixtureRequest
) -> None:
    service: Served = request.getfixturevalue(kind)
    before = len(service.passed_on)
    with service.wire() as wire:
        for number in range(40):
            wire.send(request_of(body_of(number)))
            answer = wire.answer()
            assert score_of(answer) == pytest.approx(expected(number), abs=1e-9)
            assert answer is not None
            assert {"date", "content-type", "x-content-type-options"} <= answer.headers.keys()
            logged = read_log(service.log, 1)[0]
            assert logged["prediction_id"] == answer.json()["prediction_id"]
    assert len(service.passed_on) == before


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["served", "slow"])
@given(cuts=st.lists(st.integers(1, 600), max_size=5), together=st.integers(1, 4))
@settings(
    max_examples=examples(25, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_how_requests_are_cut_into_packets_does_not_matter(
    kind: str, request: pytest.FixtureRequest, cuts: list[int], together: int
) -> None:
    service: Served = request.getfixturevalue(kind)
    content = b"".join(request_of(body_of(number)) for number in range(together))
    places = sorted({cut for cut in cuts if cut < len(content)})
    with service.wire() as wire:
        for start, end in zip([0, *places], [*places, len(content)], strict=True):
            wire.send(content[start:end])
            time.sleep(0.002)  # so that the server reads each part on its own
        for number in range(together):
            assert score_of(wire.answer()) == pytest.approx(expected(number), abs=1e-9)


@pytest.mark.parametrize(
    ("change", "status", "who"),
    [
        (lambda body: request_of(body, path="/predict?x=1"), 200, LANE),
        (lambda body: request_of(body, "X-Model-Version: 9"), 403, APP),
        (lambda body: request_of(body).replace(b"HTTP/1.1", b"HTTP/1.0", 1), 200, LANE),
        (lambda body: request_of(body, "Connection: close"), 200, LANE),
        (lambda body: request_of(body, "Expect: 100-continue"), 200, LANE),
        (lambda body: request_of(body, "Content-Encoding: identity"), 200, APP),
        (lambda body: request_of(body, "Origin: https://app.example.com"), 200, APP),
        (lambda body: request_of(body, "Upgrade: h2c", "Connection: Upgrade"), 200, LANE),
        (lambda body: request_of(body, "X-Request-Id: a", "X-Request-Id: b"), 200, APP),
        (lambda body: request_of(body, "X-Forwarded-For: a", "X-Forwarded-For: b"), 200, APP),
        (lambda body: request_of(body, "Content-Type: application/json"), 200, APP),
        (lambda body: request_of(body, "Content-Length: 3"), 400, PARSER),
        (lambda body: request_of(body, "Transfer-Encoding: chunked"), 400, PARSER),
        (lambda body: request_of(body).replace(b"POST", b"PUT ", 1), 405, APP),
        (lambda body: request_of(body, path="/predict/nowhere"), 404, APP),
        (lambda body: request_of(body, path="/predict/"), 404, APP),
        (lambda body: request_of(body, path="/predict%0a"), 400, APP),
        (lambda body: request_of(body).replace(b"application/json", b"text/plain", 1), 415, APP),
        (lambda body: request_of(body[:-1]), 400, APP),
        (lambda body: request_of(b'{"features": {}}'), 422, APP),
    ],
)
def test_what_is_unusual_is_the_apps(
    served: Served, change: Any, status: int, who: tuple[int, int]
) -> None:
    """Or the ASGI lane's; and a good request is answered on a new connection afterwards."""
    before = len(served.to_uvicorn), len(served.passed_on)
    with served.wire() as wire:
        wire.send(change(body_of(0)))
        answer = wire.answer()
        while answer is not None and answer.status == 100:
            answer = wire.answer()
        assert answer is not None
        assert answer.status == status, answer.body
        if status == 200:
            assert score_of(answer) == pytest.approx(expected(0), abs=1e-9)
    with served.wire() as wire:
        wire.send(request_of(body_of(1)))
        assert score_of(wire.answer()) == pytest.approx(expected(1), abs=1e-9)
    after = len(served.to_uvicorn), len(served.passed_on)
    assert (after[0] - before[0], after[1] - before[1]) == who, "who has answered"


@pytest.mark.parametrize("cut", range(20, 240, 11))
def test_an_offered_upgrade_is_declined_wherever_it_is_cut(served: Served, cut: int) -> None:
    offer = ("X-A: websocket ", "Connection: Upgrade", "Upgrade: h2c", "X-Request-Id: mine")
    content = request_of(body_of(2), *offer)
    with served.wire() as wire:
        wire.send(content[:cut])
        time.sleep(0.003)  # so that the server reads each part on its own
        wire.send(content[cut:])
        answer = wire.answer()
        assert score_of(answer) == pytest.approx(expected(2), abs=1e-9)
        assert answer is not None
        assert answer.headers["x-request-id"] == "mine"
        wire.send(request_of(body_of(3)))
        assert score_of(wire.answer()) == pytest.approx(expected(3), abs=1e-9)


def test_a_connection_goes_from_lane_to_app_and_back(served: Served) -> None:
    with served.wire() as wire:
        for number in range(6):
            wire.send(request_of(body_of(number)))
            assert score_of(wire.answer()) == pytest.approx(expected(number), abs=1e-9)
            wire.send(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
            assert facts(wire.answer())[0] == 200
            wire.send(request_of(b'{"features": {"nonsense": 1}}'))
            assert facts(wire.answer())[0] == 422


def test_request_ids_come_back_and_odd_ones_do_not(served: Served) -> None:
    with served.wire() as wire:
        wire.send(request_of(body_of(0), "X-Request-Id: order-17.a"))
        answer = wire.answer()
        assert answer is not None
        assert answer.headers["x-request-id"] == "order-17.a"
        wire.send(request_of(body_of(0), "X-Request-Id: <script>"))
        answer = wire.answer()
        assert answer is not None
        assert answer.headers.get("x-request-id") != "<script>"


def test_many_connections_share_turns_and_nobody_gets_anothers_answer(served: Served) -> None:
    before = len(served.passed_on)
    wanted = [expected(number) for number in range(40)]

    def ask(start: int) -> None:
        with served.wire() as wire:
            for number in range(start, start + 60):
                wire.send(request_of(body_of(number)))
                found = score_of(wire.answer())
                assert found == pytest.approx(wanted[number % 40], abs=1e-9)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(ask, range(16)))
    assert len(served.passed_on) == before


def test_large_batches_arrive_in_parts(served: Served) -> None:
    rows = (ROWS * 25)[:1000]
    body = json.dumps({"instances": rows}).encode()
    wanted = [expected(number) for number in range(40)] * 25
    with served.wire() as wire:
        for _ in range(3):
            wire.send(request_of(body, path="/predict/batch"))
            answer = wire.answer()
            assert answer is not None
            assert answer.status == 200
            scores = [item["probabilities"]["yes"] for item in answer.json()["predictions"]]
            assert scores == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("unit", [b"{},", b"[[[[]]]],", b'"a",', b'"b":1,'])
def test_a_hostile_batch_is_refused_while_it_arrives_and_others_follow(
    served: Served, monkeypatch: pytest.MonkeyPatch, unit: bytes
) -> None:
    counted, decoded = [0], [0]
    add, decode = ValueCount.add, RequestDecoder.batch

    def noted(self: ValueCount, part: bytes) -> None:
        counted[0] += len(part)
        add(self, part)

    def tried(self: RequestDecoder, body: bytes) -> Any:
        decoded[0] += 1
        return decode(self, body)

    monkeypatch.setattr(ValueCount, "add", noted)
    monkeypatch.setattr(RequestDecoder, "batch", tried)
    body = b'{"instances": [' + unit * (4_500_000 // len(unit)) + b"1]}"
    honest = json.dumps({"instances": ROWS}).encode()

    with served.wire() as wire:
        for _ in range(2):
            assert wire.send(request_of(body, path="/predict/batch"))
            answer = wire.answer(PATIENCE)
            assert answer is not None
            assert answer.status == 422
            assert "values" in answer.json()["detail"]
            assert wire.send(request_of(honest, path="/predict/batch"))
            answer = wire.answer(PATIENCE)
            assert answer is not None
            assert answer.status == 200
            assert len(answer.json()["predictions"]) == len(ROWS)

    assert counted[0] < 2 * 700_000
    assert decoded[0] <= 2, "once, and not again when Uvicorn brings it"


def test_a_long_batch_that_the_lane_declines_reaches_the_app_whole(served: Served) -> None:
    rows = random_rows(contract_of("binary"), 1000, seed=9)
    text = json.dumps({"instances": [*rows[:-1], {"unknown": 1}]}, indent=12)
    followed = request_of(body_of(3))

    with served.wire() as wire:
        assert len(text) > 300_000
        assert wire.send(request_of(text.encode(), path="/predict/batch") + followed)
        refused = wire.answer(PATIENCE)
        assert refused is not None
        assert refused.status == 422
        assert "instances.999" in refused.json()["detail"]
        assert score_of(wire.answer(PATIENCE)) == expected(3)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"POST /predict HTTP/1.1\r\nHost", request_of(body_of(0))[:-5], b"GET /health"],
    ids=["nothing", "half a head", "half a body", "half a request of the app's"],
)
def test_a_request_that_never_ends_loses_its_connection(
    impatient: Served, beginning: bytes
) -> None:
    started = time.monotonic()  # the server's clock starts when it sees the connection
    with impatient.wire() as wire:
        wire.send(beginning)
        answer = wire.answer(PATIENCE)
        assert answer is None or answer.status == 408
        assert time.monotonic() - started >= READ_SECONDS


def test_a_silent_connection_is_closed_and_a_busy_one_is_not(served: Served) -> None:
    with served.wire() as wire, served.wire() as silent:
        silent.send(request_of(body_of(0)))
        assert score_of(silent.answer()) > 0
        for _ in range(12):
            wire.send(request_of(body_of(0)))
            assert score_of(wire.answer()) > 0
            time.sleep(KEEP_ALIVE / 4)
        assert silent.answer(PATIENCE) is None


def test_answers_that_are_due_are_given_before_the_server_ends(tmp_path: Path) -> None:
    """A request that is in when the signal comes is answered, then the connection ends."""
    services = serve(tmp_path, compiled=False)
    service = next(services)
    with service.wire() as wire:
        wire.send(request_of(body_of(3)))
        assert score_of(wire.answer()) == pytest.approx(expected(3), abs=1e-9)
        wire.send(request_of(body_of(4))[:-9])
        time.sleep(0.5)  # the server has read it
        service.server.should_exit = True
        time.sleep(0.3)
        wire.send(request_of(body_of(4))[-9:])
        assert score_of(wire.answer()) == pytest.approx(expected(4), abs=1e-9)
        assert wire.answer(PATIENCE) is None
    assert next(services, None) is None


def test_a_model_that_fails_is_the_apps_to_explain(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1e308 in every number overflows in a linear model; here the kernel itself fails."""
    with served.wire() as wire:
        wire.send(request_of(body_of(0)))
        assert score_of(wire.answer()) == pytest.approx(expected(0), abs=1e-9)
    (model,) = served.lane._models.values()

    def fails(_: object) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(model._engine, "now", fails)
    before = len(served.passed_on)
    with served.wire() as wire:
        wire.send(request_of(body_of(0)))
        assert score_of(wire.answer()) == pytest.approx(expected(0), abs=1e-9)
    assert len(served.passed_on) == before + 1
