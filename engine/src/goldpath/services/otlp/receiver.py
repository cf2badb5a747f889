"""Takes pushed metrics and shows them to Prometheus.

    a process  --POST /v1/metrics-->  their sums  <--GET /metrics--  Prometheus

Run as `python -m goldpath.services.otlp.receiver PORT [ADDRESS]`; it listens on 127.0.0.1 unless
another address is named, as in a container whose port is not published. Prometheus itself takes
OpenTelemetry's protocol since 2.47 only, and adds up what several processes push since 3.2, by an
option; Debian has an older one.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from goldpath.services.otlp.figures import Figures
from goldpath.services.processes import HOST

PUSH, SHOW = "/v1/metrics", "/metrics"
MOST_BYTES, MOST_DIGITS = 8 << 20, 8
PROTOBUF = "application/x-protobuf"
OK, UNREADABLE, NOT_FOUND, LARGE, OTHER_FORM = 200, 400, 404, 413, 415


class MetricsReceiver(ThreadingHTTPServer):
    """Listens until it is shut down.

    Args:
        port: The port; 0 for a free one.
        address: Where it listens.
    """

    daemon_threads = True

    def __init__(self, port: int = 0, address: str = HOST) -> None:
        self.figures = Figures()
        self.registry = CollectorRegistry()
        self.registry.register(self.figures)
        super().__init__((address, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: MetricsReceiver

    def do_POST(self) -> None:
        if self.path != PUSH:
            return self._answer(NOT_FOUND)
        encoding = self.headers.get("Content-Encoding", "identity")
        if self.headers.get_content_type() != PROTOBUF or encoding != "identity":
            return self._answer(OTHER_FORM)  # a web page could send it otherwise
        length = self.headers.get("Content-Length", "")
        if not (length.isdecimal() and len(length) <= MOST_DIGITS and int(length) <= MOST_BYTES):
            return self._answer(LARGE)
        try:
            request = ExportMetricsServiceRequest.FromString(self.rfile.read(int(length)))
        except DecodeError:
            return self._answer(UNREADABLE)
        for said in self.server.figures.add(request):
            print(said, flush=True)
        return self._answer(OK, ExportMetricsServiceResponse().SerializeToString(), PROTOBUF)

    def do_GET(self) -> None:
        if self.path != SHOW:
            return self._answer(NOT_FOUND)
        return self._answer(OK, generate_latest(self.server.registry), CONTENT_TYPE_PLAIN_0_0_4)

    def _answer(self, code: int, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if code != OK:  # the body was not read
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: it is asked every few seconds."""


if __name__ == "__main__":
    with MetricsReceiver(int(sys.argv[1]), *sys.argv[2:3]) as server:
        server.serve_forever()
