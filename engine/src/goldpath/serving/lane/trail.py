"""What a request that the fast lane answered leaves behind: a log line and a span, if wanted."""

from collections.abc import Callable

from goldpath.serving.http.request_context import read_context
from goldpath.serving.http.service_logs import access_line, sampled
from goldpath.serving.http.tracing import Tracing
from goldpath.serving.lane.request_heads import Head
from goldpath.settings import Settings

LaneTrail = Callable[[Head, float, float], None]
"""Called with a request that the fast lane answered with 200: its head, its begin and its end."""


def lane_trail(settings: Settings, tracing: Tracing | None) -> LaneTrail | None:
    """What the fast lane calls after an answer; None where neither traces nor lines are wanted."""
    share = settings.serving.access_log_share
    whole = access_line(settings)
    line = sampled(whole, share) if whole is not None and share > 0 else None
    if line is None and tracing is None:
        return None

    def leave(head: Head, started: float, ended: float) -> None:
        request = read_context(head.request_id, head.trace)
        if tracing is not None:
            carrier = {"traceparent": head.trace.decode("latin-1")} if head.trace else {}
            tracing.record("POST", head.path, carrier, request.request_id, ended - started)
        if line is not None:
            line(request, "POST", head.path, 200, ended - started)

    return leave
