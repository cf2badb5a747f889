"""The headers that make a browser careful, and how secrets are compared."""

import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

from goldpath.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

API_KEY_HEADER = "X-API-Key"

# The documentation page loads its scripts from a CDN, so only framing is restricted here.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

# What the fast lane's answers carry: JSON that no browser may take for anything else, or keep.
JSON_HEADERS = (
    (b"content-type", b"application/json"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)


def security_headers(settings: Settings) -> Mapping[str, str]:
    """The headers of every answer of the app."""
    if not settings.serving.tls_certificate:
        return SECURITY_HEADERS
    # A browser that was here over HTTPS does not fall back to HTTP for half a year.
    return {**SECURITY_HEADERS, "Strict-Transport-Security": "max-age=15768000"}


def same_secret(given: bytes, expected: bytes) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(given, expected)


class SecurityHeaders:
    """Adds the security headers to every answer (pure ASGI: no cost per body chunk)."""

    def __init__(self, app: "ASGIApp", headers: Mapping[str, str] = SECURITY_HEADERS) -> None:
        self.app = app
        self._headers = [
            (name.lower().encode("ascii"), value.encode("latin-1"))
            for name, value in headers.items()
        ]

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass the request on and add to its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                more = [pair for pair in self._headers if pair[0] not in names]
                message = {**message, "headers": own + more}
            await send(message)

        await self.app(scope, receive, send_with_headers)
