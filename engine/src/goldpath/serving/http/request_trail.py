"""What each request leaves behind beside its answer: an id, a log line and a span."""

from collections.abc import Mapping
from time import perf_counter

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goldpath.serving.http.request_context import (
    REQUEST_ID_HEADER,
    RequestContext,
    enter_request,
    read_context,
)
from goldpath.serving.http.service_logs import AccessLine
from goldpath.serving.http.tracing import Tracing
from goldpath.serving.metrics.requests import route_of

METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


class RequestTrail:
    """Gives each request an id and a place in its trace, and writes down what came of it (ASGI).

    Args:
        app: What answers.
        line: Writes the access log; None where it is off.
        tracing: Makes spans; None where it is off.
    """

    def __init__(self, app: ASGIApp, line: AccessLine | None, tracing: Tracing | None) -> None:
        self.app = app
        self._line = line
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and echo its id."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        headers = dict(scope["headers"])
        request = read_context(headers.get(b"x-request-id", b""), headers.get(b"traceparent", b""))
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        tracing = self._tracing
        span = tracing.begin(method, _carrier(headers)) if tracing else None
        if span is not None:
            of_span = span.get_span_context()
            request = RequestContext(
                request.request_id, f"{of_span.trace_id:032x}", f"{of_span.span_id:016x}"
            )
        enter_request(request)
        status = 500  # stays where the app fails before it answers

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request.request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            route = route_of(scope)
            if tracing is not None and span is not None:
                tracing.end(span, method, route, status, request.request_id)
            if self._line is not None:
                self._line(request, method, route, status, perf_counter() - started)


def _carrier(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The headers of the trace context, as OpenTelemetry reads them."""
    names = (b"traceparent", b"tracestate")
    return {name.decode(): headers[name].decode("latin-1") for name in names if name in headers}
