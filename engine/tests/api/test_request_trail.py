"""Request ids, trace context and log lines."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from goldpath.serving.http.request_context import read_context
from goldpath.serving.http.service_logs import JsonFormatter
from goldpath.serving.lane.request_heads import read_headers
from goldpath.serving.schemas import example_features

from .conftest import MakeClient
from .examples import TestClient, contract_of

ROW = {"features": example_features(contract_of("binary"))}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the package logs, as production writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("goldpath")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def read(lines: io.StringIO, logger: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [line for line in found if line["logger"].endswith(logger)]


def app_of(client: TestClient) -> Any:
    lane: Any = client.app
    return lane.app


def test_a_request_id_comes_back_and_is_made_where_there_is_none(make_client: MakeClient) -> None:
    client = make_client()

    given = client.get("/health", headers={"X-Request-Id": "order-7.a_B"})
    made = [client.get("/health").headers["x-request-id"] for _ in range(2)]

    assert given.headers["x-request-id"] == "order-7.a_B"
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)
    assert made[0] != made[1]


@pytest.mark.parametrize("hostile", ["a b", "x" * 65, 'a"}', "é", "a\tb", "%0d%0a"])
def test_a_request_id_of_another_form_is_replaced(make_client: MakeClient, hostile: str) -> None:
    answer = make_client().get("/health", headers={"X-Request-Id": hostile.encode("latin-1")})

    assert answer.status_code == 200
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_refusals_and_crashes_carry_the_request_id(
    make_client: MakeClient, lines: io.StringIO
) -> None:
    client = make_client()

    def broken() -> None:
        raise RuntimeError("a fault in the code")

    app_of(client).add_api_route("/broken", broken)
    named = {"X-Request-Id": "r-1", "traceparent": TRACEPARENT}
    refused = client.post("/predict", json={}, headers=named)
    crashed = client.get("/broken", headers=named)

    assert (refused.status_code, crashed.status_code) == (422, 500)
    assert refused.headers["x-request-id"] == crashed.headers["x-request-id"] == "r-1"
    (line,) = read(lines, "problems")
    assert (line["request_id"], line["trace_id"], line["span_id"]) == ("r-1", TRACE, SPAN)
    assert "a fault in the code" in line["traceback"]


def test_log_lines_of_a_threads_work_name_the_request(
    make_client: MakeClient, lines: io.StringIO
) -> None:
    client = make_client()
    log = logging.getLogger("goldpath.test")

    app_of(client).add_api_route("/logging", lambda: log.info("at work"))
    client.get("/logging", headers={"X-Request-Id": "r-2"})
    log.info("at rest")

    work, rest = read(lines, ".test")
    assert work["request_id"] == "r-2"
    assert "request_id" not in rest


@pytest.mark.parametrize(
    "traceparent",
    ["", "00", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
     f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01\nx", "é" * 55],
)  # fmt: skip
def test_a_trace_context_that_the_standard_forbids_is_dropped(traceparent: str) -> None:
    context = read_context(b"r", traceparent.encode("latin-1"))
    assert (context.trace_id, context.span_id) == ("", "")


def test_a_trace_context_of_a_later_version_is_read() -> None:
    context = read_context(b"r", f"01-{TRACE}-{SPAN}-01-more".encode())
    assert (context.trace_id, context.span_id) == (TRACE, SPAN)


def test_no_access_log_by_default(make_client: MakeClient, lines: io.StringIO) -> None:
    client = make_client()
    client.get("/health")
    assert read(lines, ".access") == []
    assert app_of(client).state.lane_trail is None


def test_access_log_is_a_line_a_request_without_anything_personal(
    make_client: MakeClient, lines: io.StringIO
) -> None:
    client = make_client(access_log="true", api_key="a-key-of-a-test-run")
    headers = {"X-Request-Id": "r-3", "X-API-Key": "a-key-of-a-test-run"}
    row = {**ROW["features"], "free text": "Anna Schmidt", "unknown": 1}

    client.post("/predict?name=Anna", json={"features": row}, headers=headers)
    client.get("/customers/Anna", headers={"traceparent": TRACEPARENT})

    first, second = [
        line for line in read(lines, ".access") if line["route"] in ("/predict", "unmatched")
    ]
    assert (first["method"], first["route"], first["status"]) == ("POST", "/predict", 422)
    assert first["request_id"] == "r-3"
    assert first["milliseconds"] > 0
    assert (second["status"], second["trace_id"]) == (404, TRACE)
    for secret in ("Anna", "a-key-of-a-test-run", "testclient"):
        assert secret not in lines.getvalue()


def test_a_share_of_the_fast_lanes_answers_is_logged(
    make_client: MakeClient, lines: io.StringIO
) -> None:
    client = make_client(access_log="true", access_log_share="1")
    head = read_headers(
        "/predict",
        [
            (b"content-type", b"application/json"),
            (b"content-length", b"2"),
            (b"x-request-id", b"r-4"),
            (b"traceparent", TRACEPARENT.encode()),
        ],
    )

    app_of(client).state.lane_trail(head, 10.0, 10.002)

    (line,) = [line for line in read(lines, ".access") if line["route"] == "/predict"]
    assert (line["request_id"], line["trace_id"], line["status"]) == ("r-4", TRACE, 200)
    assert line["milliseconds"] == 2.0
