"""No request, however wrong, gets a 5xx, hangs, or changes the answer to the next good one.

All over real sockets, against `serve --production` in processes of its own.
"""

import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from ..counts import times
from .examples import contract_of, fitted, random_rows
from .hostile_corpus import ANY, GOOD, ROW, bodies_for, chunked, exchanges, head
from .mutation import mutate
from .raw_http import Asker, RawAnswer, SilentServerError, Wire, post
from .running_service import RunningService, project_with_champion, running

pytestmark = pytest.mark.slow

LANES = {"fast": "application/json", "slow": "application/json; charset=utf-8"}
PATHS = ("/predict", "/predict/batch", "/invocations")
PATIENCE = 20.0
GROWTH = 64 * 2**20
BODIES = times(1_000, 10_000)  # each goes to both lanes
HEADS = times(300, 2_000)
CASES = times(15, 60)  # of Schemathesis, for each operation that predicts
READ_SECONDS = 6
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    root = tmp_path_factory.mktemp("hostile")
    project_with_champion(root)
    limits = {"MLOPS_SERVING__WORKERS": "1", "MLOPS_SERVING__READ_SECONDS": str(READ_SECONDS)}
    with running(root, "--production", **limits) as service:
        warm_up(service)
        yield service
        lines = [json.loads(line) for line in service.output().splitlines()[1:]]
    found = [line["traceback"] for line in lines if "traceback" in line]
    # A client that goes away while its answer is being written is logged so by Uvicorn.
    assert [each for each in found if "the handler is closed" not in each] == []


def warm_up(service: RunningService) -> None:
    for _ in range(5):
        check_good(service)


def check_good(service: RunningService) -> None:
    """A usual request gets the right answer, on a connection of its own."""
    with Wire(service.port, PATIENCE) as wire:
        wire.send(post("/predict", GOOD))
        check_right(wire.answer())


def check_right(answer: RawAnswer | None) -> None:
    assert answer is not None
    assert answer.status == 200, answer
    expected = fitted("binary").predict([ROW])
    assert expected.probabilities is not None
    body = answer.json()
    assert body["prediction"] == expected.values[0]
    given = list(body["probabilities"].values())
    assert given == pytest.approx(expected.probabilities[0].tolist(), abs=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_hostile_bodies_get_what_they_deserve(service: RunningService, path: str) -> None:
    wrong = []
    bodies = bodies_for(path)
    for body in bodies:
        seen = []
        for media_type in LANES.values():
            with Wire(service.port, PATIENCE) as wire:
                wire.send(post(path, body.content, media_type))
                answer = wire.answer()
                seen.append(answer.status if answer else None)
                wire.send(post("/predict", GOOD))  # the connection is as good as new
                after = wire.answer()
            if after is None:
                wrong.append((body.name, "the connection was closed"))
                check_good(service)
            else:
                check_right(after)
            if answer and answer.status != 200:
                assert answer.headers["content-type"] == "application/problem+json", body.name
                assert answer.json()["fix"], body.name
        if len(set(seen)) > 1 or seen[0] not in body.statuses:
            wrong.append((body.name, str(seen)))
    print(f"{path}: {2 * len(bodies)} hostile bodies")
    assert wrong == []


def test_hostile_framing_is_neither_obeyed_nor_waited_for(service: RunningService) -> None:
    wrong = []
    found = exchanges()
    for exchange in found:
        answers: list[RawAnswer] = []
        with Wire(service.port, PATIENCE) as wire:
            for piece in exchange.pieces:
                if not wire.send(piece):
                    break
            try:
                while answer := wire.answer(
                    PATIENCE if len(answers) < exchange.least_answers else 0.05,
                    head_only=exchange.head_only,
                ):
                    answers.append(answer)
            except SilentServerError:
                wire.end()  # it waits for more; now it knows that there is none
                try:
                    while answer := wire.answer(head_only=exchange.head_only):
                        answers.append(answer)
                except SilentServerError:
                    wrong.append((exchange.name, "hangs"))
        statuses = [answer.status for answer in answers]
        if not set(statuses) <= set(exchange.statuses):
            wrong.append((exchange.name, str(statuses)))
        if not exchange.least_answers <= len(answers) <= exchange.most_answers:
            wrong.append((exchange.name, f"{len(answers)} answers: {statuses}"))
        check_good(service)
    print(f"{len(found)} hostile exchanges")
    assert wrong == []


FLOODS = {
    "body with a length": (head("Content-Length: 100000000"), b"x" * 100_000),
    "body in chunks": (head("Transfer-Encoding: chunked"), b"186a0\r\n" + b"x" * 100_000 + b"\r\n"),
    "spaces before a row": (head("Content-Length: 100000000"), b" " * 100_000),
    "one header": (b"POST /predict HTTP/1.1\r\nX-A: ", b"x" * 100_000),
    "headers": (b"POST /predict HTTP/1.1\r\n", b"X-A: x\r\n" * 12_500),
    "path": (b"POST /", b"x" * 100_000),
    "empty lines": (b"", b"\r\n" * 50_000),
    "chunk extension": (head("Transfer-Encoding: chunked") + b"5;", b"x" * 100_000),
    "trailer": (head("Transfer-Encoding: chunked") + chunked(GOOD)[:-2], b"X-A: x\r\n" * 12_500),
}


@pytest.mark.parametrize("name", FLOODS)
def test_100_megabytes_fill_no_memory_and_keep_nobody_waiting(
    service: RunningService, name: str
) -> None:
    start, block = FLOODS[name]
    before = service.resident_bytes()
    slowest = 0.0
    answer: RawAnswer | None = None
    with Wire(service.port, PATIENCE) as wire:
        wire.send(start)
        for number in range(1000):
            if not wire.send(block):
                break
            if number % 100 == 0:
                started = time.monotonic()
                check_good(service)
                slowest = max(slowest, time.monotonic() - started)
        grown = service.resident_bytes() - before
        with contextlib.suppress(SilentServerError):
            answer = wire.answer(1)
    if answer is not None:
        assert answer.status in (400, 408, 413, 422, 431), answer
    assert grown < GROWTH, f"{grown / 2**20:.0f} MiB more"
    assert slowest < 5
    check_good(service)


def test_slow_clients_keep_nobody_waiting_and_are_sent_away(service: RunningService) -> None:
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(service.port, PATIENCE)) for _ in range(300)]
        for number, wire in enumerate(wires):
            wire.send(post("/predict", GOOD)[: 50 if number % 2 else -200])
        started = time.monotonic()
        waiting = list(wires)
        while waiting:
            assert time.monotonic() - started < 4 * READ_SECONDS, f"{len(waiting)} of 300 hold on"
            check_good(service)
            waiting = [wire for wire in waiting if not wire.is_closed()]
            for wire in waiting:
                wire.send(b"x")
            time.sleep(0.5)
        assert time.monotonic() - started > READ_SECONDS / 2, "it was too hasty"
    check_good(service)


def test_a_client_that_never_reads_fills_no_memory(service: RunningService) -> None:
    before = service.resident_bytes()
    sent = grown = 0
    with Wire(service.port, 2) as wire, contextlib.suppress(TimeoutError):
        for _ in range(400):
            if not wire.send(post("/predict", GOOD) * 500):
                break
            sent += 500
        grown = service.resident_bytes() - before
    assert sent
    assert grown < GROWTH, f"{grown / 2**20:.0f} MiB more"
    check_good(service)


@pytest.mark.soak
def test_mutated_bodies_get_the_same_answer_in_both_lanes(service: RunningService) -> None:
    dice = random.Random(20_000)
    rows = random_rows(contract_of("binary"), 30, seed=9)
    seeds = [json.dumps({"features": row}, ensure_ascii=False).encode() for row in rows]
    seeds += [json.dumps({"features": row}).encode() for row in rows[:5]]
    seen: Counter[int] = Counter()
    before, started = service.resident_bytes(), time.monotonic()
    with Asker(service.port, PATIENCE) as asker:
        for number in range(BODIES):
            body = mutate(dice.choice(seeds), dice)
            fast, slow = (asker.ask(post("/predict", body, each)) for each in LANES.values())
            assert fast.status in ANY, (fast, body)
            assert (fast.status, facts(fast)) == (slow.status, facts(slow)), body
            seen[fast.status] += 2
            if number % 100 == 0:
                check_right(asker.ask(post("/predict", GOOD)))
    seconds, grown = time.monotonic() - started, service.resident_bytes() - before
    print(f"{seen.total()} mutated bodies in {seconds:.0f} s: {dict(seen)}; {grown >> 20} MiB more")
    assert seen.total() == 2 * BODIES
    assert seen[200] > BODIES / 25, "hardly a mutant was accepted"
    assert grown < GROWTH


def facts(answer: RawAnswer) -> dict[str, Any]:
    """What an answer says, but for the id that each has of its own."""
    return {name: value for name, value in answer.json().items() if name != "prediction_id"}


@pytest.mark.soak
def test_mutated_requests_get_an_answer_or_are_hung_up_on(service: RunningService) -> None:
    dice = random.Random(2_000)
    seen: Counter[int | None] = Counter()
    rows = b'{"instances": [' + GOOD[len(b'{"features": ') : -1] + b"]}"
    seeds = [
        post("/predict", GOOD, LANES["fast"], "X-Request-Id: abc"),
        head("Transfer-Encoding: chunked") + chunked(GOOD[:7], GOOD[7:]),
        post("/predict/batch", rows, LANES["slow"], "Connection: keep-alive"),
        b"GET /model?x=%41 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
    ]
    for number in range(HEADS):
        with Wire(service.port, PATIENCE) as wire:
            wire.send(mutate(dice.choice(seeds), dice))
            wire.end()  # whatever it says of its length, there is no more
            answer = wire.answer()
        seen[answer.status if answer else None] += 1
        assert answer is None or answer.status in (*ANY, 401, 403), answer
        if number % 100 == 0:
            check_good(service)
    print(f"{seen.total()} mutated requests: {dict(seen)}")


@pytest.mark.soak
@pytest.mark.parametrize("lane", LANES)
def test_schemathesis_finds_nothing(service: RunningService, lane: str) -> None:
    """Right bodies are accepted, wrong ones refused, and every answer is as the OpenAPI says."""
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    session = requests.Session()
    seen: Counter[tuple[str, str, int]] = Counter()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        label, is_prediction = operation.label, operation.path in PATHS
        if not is_prediction and lane == "slow":
            continue
        checks = [*CHECKS]
        if operation.path in ("/predict", "/predict/batch"):
            checks.append(positive_data_acceptance)
        modes = [GenerationMode.POSITIVE]
        if operation.body:
            modes.append(GenerationMode.NEGATIVE)
        for mode in modes:

            @settings(
                max_examples=CASES if is_prediction else max(3, CASES // 6),
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: schemathesis.Case[Any]) -> None:
                if is_prediction:  # noqa: B023  called at once
                    case.headers.clear()  # no made-up key: they are to reach the body's check
                typed = {"Content-Type": LANES[lane]} if case.media_type == LANES["fast"] else None
                answer = case.call(session=session, headers=typed, timeout=PATIENCE)
                seen[label, mode.value, answer.status_code] += 1  # noqa: B023
                case.validate_response(answer, checks=checks)  # noqa: B023

            check()
    for (label, kind, status), count in sorted(seen.items()):
        print(f"{label} {kind} {status}: {count}")
    print(f"{seen.total()} cases of Schemathesis")
    assert seen.total() >= 5 * CASES
    assert seen["POST /predict", "positive", 200] >= CASES / 2
    check_good(service)
