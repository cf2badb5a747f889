"""Counts and times each request that FastAPI's app answers."""

import time
from typing import TYPE_CHECKING

from goldpath.serving.metrics.service import Metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOO_MANY = 429


class RequestMetrics:
    """Measures every request (pure ASGI); the route's template is the label, never the path."""

    def __init__(self, app: "ASGIApp", metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass the request on and measure it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        self.metrics.request_begins()
        status = 500  # stays where the app fails before it answers

        async def send_and_note(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            self.metrics.request_ends()
            seconds = time.perf_counter() - started
            route = route_of(scope)
            self.metrics.request_answered(route, scope["method"], status, seconds)
            if status == TOO_MANY:
                self.metrics.rate_limited(route)


def route_of(scope: "Scope") -> str:
    """The template of the route that answers, `unmatched` where there is none.

    FastAPI keeps the path with the prefix of `include_router` beside the route.
    """
    included = scope.get("fastapi", {}).get("effective_route_context")
    return str(getattr(included or scope.get("route"), "path", "unmatched"))
