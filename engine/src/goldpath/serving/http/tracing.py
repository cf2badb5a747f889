"""OpenTelemetry traces, an extra: a span a request, sent in batches to an OTLP/HTTP collector.

On where `serving.tracing_endpoint` or one of OpenTelemetry's own variables names a collector. Off,
nothing of it is imported. Sampler, headers, certificates and resource attributes are taken from the
standard OTEL_ variables.
"""

import importlib.util
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from goldpath.errors import ProjectError
from goldpath.settings import Settings

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PATH = "/v1/traces"
EXPORT_SECONDS = 5.0
PACKAGE = "goldpath"


# FastAPI's own telemetry would make a second span a request, and log what a client got wrong.
NO_OTHER_TELEMETRY: "TelemetryConfig" = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


class TracingError(ProjectError):
    """Traces are asked for and cannot be made."""


def is_traced(settings: Settings) -> bool:
    """Whether a collector is named and tracing is not disabled."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    named = settings.serving.tracing_endpoint or any(map(os.environ.get, VARIABLES))
    return bool(named) and not disabled


def require_tracing(settings: Settings) -> None:
    """Refuse to start where traces are asked for and the packages are not there.

    Raises:
        TracingError: With the command that installs them.
    """
    packages = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
    if is_traced(settings) and not all(map(_is_installed, packages)):
        raise TracingError(
            "a tracing endpoint is set, and the OpenTelemetry packages are not installed",
            "install the project's extra `tracing` (make setup does), or unset "
            f"MLOPS_SERVING__TRACING_ENDPOINT and {VARIABLES[1]}",
        )


def start_tracing(settings: Settings, service: str) -> "Tracing | None":
    """Begin to trace this process; None where it is off.

    Args:
        settings: Name the collector.
        service: The service's name in the traces, unless OTEL_SERVICE_NAME gives one.

    Raises:
        TracingError: If the packages are missing.
    """
    if not is_traced(settings):
        return None
    require_tracing(settings)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = settings.serving.tracing_endpoint.rstrip("/")
    exporter = OTLPSpanExporter(endpoint=own + PATH if own else None, timeout=EXPORT_SECONDS)
    facts = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME", service),
        "deployment.environment.name": settings.environment,
    }
    provider = TracerProvider(resource=Resource.create(facts))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)


class Tracing:
    """Makes the spans of one process.

    Args:
        provider: OpenTelemetry's, with its exporter.
    """

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer(PACKAGE)
        self._extract = TraceContextTextMapPropagator().extract
        self._server = SpanKind.SERVER
        self._failed = Status(StatusCode.ERROR)

    def begin(self, method: str, headers: Mapping[str, str]) -> "Span":
        """Begin the span of a request, below the client's where it names one."""
        return self._tracer.start_span(
            method,
            context=self._parent(headers),
            kind=self._server,
            attributes={"http.request.method": method},
        )

    def end(self, span: "Span", method: str, route: str, status: int, request_id: str) -> None:
        """End the span of a request with what came of it."""
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("request.id", request_id)
        if status >= 500:
            span.set_status(self._failed)
        span.end()

    def record(
        self,
        method: str,
        route: str,
        headers: Mapping[str, str],
        request_id: str,
        seconds: float,
    ) -> None:
        """The span of a request that was answered with 200 just now."""
        ended = time.time_ns()
        span = self._tracer.start_span(
            f"{method} {route}",
            context=self._parent(headers),
            kind=self._server,
            attributes={
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": 200,
                "request.id": request_id,
            },
            start_time=ended - int(seconds * 1e9),
        )
        span.end(ended)

    def stop(self) -> None:
        """Send what is left, within the exporter's time."""
        self._provider.shutdown()

    def _parent(self, headers: Mapping[str, str]) -> "Context":
        # An empty context, so that no span of another request becomes the parent.
        from opentelemetry.context import Context

        return self._extract(headers, context=Context())


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
