"""OpenTelemetry traces, received by a small collector over HTTP."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from goldpath.serving.lane.request_heads import read_headers
from goldpath.serving.schemas import example_features
from goldpath.settings import load_settings

from ..ports import free_port
from .conftest import MakeClient
from .examples import contract_of, write_project

pytest.importorskip("opentelemetry.sdk", reason="the extra `tracing` is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra is not installed")

from goldpath.serving.http.tracing import is_traced, start_tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
ROW = {"features": example_features(contract_of("binary"))}
SERVER_KIND = 2


class Collector:
    """Receives spans as an OpenTelemetry collector does: protobuf by POST to /v1/traces."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.paths: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.receive(self.path, self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def receive(self, path: str, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        message = ExportTraceServiceRequest.FromString(body)
        self.paths.add(path)
        for resource in message.resource_spans:
            facts = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.services.add(facts["service.name"])
            for scope in resource.scope_spans:
                self.spans += scope.spans


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                 "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_requests_become_spans_below_the_clients(
    make_client: MakeClient, collector: Collector
) -> None:
    client = make_client(tracing_endpoint=collector.url)
    named = {"traceparent": TRACEPARENT, "X-Request-Id": "r-1"}
    client.post("/predict", json={}, headers=named)
    client.get("/health")

    client.__exit__(None, None, None)  # what was not sent yet goes out when the service stops

    assert collector.paths == {"/v1/traces"}
    assert collector.services == {contract_of("binary").model_name}
    (refused,) = [span for span in collector.spans if span.name == "POST /predict"]
    assert (refused.trace_id.hex(), refused.parent_span_id.hex()) == (TRACE, SPAN)
    assert refused.kind == SERVER_KIND
    assert refused.end_time_unix_nano > refused.start_time_unix_nano
    facts = attributes(refused)
    assert facts["http.route"] == "/predict"
    assert facts["http.response.status_code"] == 422
    assert facts["request.id"] == "r-1"
    health = next(span for span in collector.spans if span.name == "GET /health")
    assert health.parent_span_id == b""
    assert health.trace_id.hex() != TRACE


def test_an_answer_of_the_fast_lane_is_one_span(
    make_client: MakeClient, collector: Collector
) -> None:
    client = make_client(tracing_endpoint=collector.url)
    assert client.post("/predict", json=ROW, headers={"traceparent": TRACEPARENT}).is_success

    client.__exit__(None, None, None)

    (span,) = [span for span in collector.spans if span.name == "POST /predict"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    assert attributes(span)["http.response.status_code"] == 200


def test_an_unsampled_parent_leaves_no_span(make_client: MakeClient, collector: Collector) -> None:
    client = make_client(tracing_endpoint=collector.url)

    client.get("/health", headers={"traceparent": TRACEPARENT.replace("-01", "-00")})
    client.__exit__(None, None, None)

    assert TRACE not in {span.trace_id.hex() for span in collector.spans}


def test_the_fast_lanes_answers_become_spans_of_their_own_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    from goldpath.serving.lane.trail import lane_trail

    write_project(tmp_path)
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named-by-hand")
    settings = load_settings(tmp_path)
    tracing = start_tracing(settings, "small")
    assert tracing is not None
    leave = lane_trail(settings, tracing)
    assert leave is not None
    head = read_headers(
        "/predict",
        [
            (b"content-type", b"application/json"),
            (b"content-length", b"2"),
            (b"traceparent", TRACEPARENT.encode()),
        ],
    )
    assert head is not None

    leave(head, 5.0, 5.25)
    tracing.stop()

    (span,) = collector.spans
    assert span.name == "POST /predict"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 250_000_000
    assert collector.services == {"named-by-hand"}


def test_a_collector_that_is_away_does_not_hold_up_answers(make_client: MakeClient) -> None:
    client = make_client(tracing_endpoint=f"http://127.0.0.1:{free_port()}")

    answers = [client.post("/predict", json=ROW).status_code for _ in range(20)]

    assert answers == [200] * 20


def test_tracing_is_off_where_it_is_disabled_or_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path)
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    settings = load_settings(tmp_path)
    assert not is_traced(settings)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")
    assert is_traced(settings)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not is_traced(settings)


@pytest.mark.slow
def test_without_the_packages_the_service_says_so_at_its_start(tmp_path: Path) -> None:
    write_project(tmp_path)
    program = (
        "import sys, runpy, importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name.startswith('opentelemetry')"
        " else real(name, *rest)\n"
        "sys.argv = ['project', 'serve']\n"
        "runpy.run_module('goldpath', run_name='__main__')\n"
    )
    environment = {
        "PATH": "",
        "PYTHONPATH": ":".join(sys.path),
        "MLOPS_ROOT": str(tmp_path),
        "MLOPS_SERVING__PORT": str(free_port()),
        "MLOPS_SERVING__TRACING_ENDPOINT": "http://127.0.0.1:4318",
    }

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "extra `tracing`" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_collector_opentelemetrys_sdk_is_not_imported() -> None:
    program = (
        "import sys\n"
        "import goldpath.serving.api\n"
        "import goldpath.serving.process.server\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.sdk')]\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
