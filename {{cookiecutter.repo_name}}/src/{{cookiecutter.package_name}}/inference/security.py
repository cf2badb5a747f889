"""Who may ask for predictions, and the headers that make a browser careful."""

import hmac

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..settings import Settings

API_KEY_HEADER = "X-API-Key"

# The documentation page loads its scripts from a CDN, so only framing is restricted here.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def is_authorised(request: Request, settings: Settings) -> bool:
    """Whether the request carries the API key, or none is set (development only).

    The comparison takes the same time wherever the keys differ.
    """
    expected = settings.serving.api_key.get_secret_value()
    given = request.headers.get(API_KEY_HEADER, "")
    return not expected or same_secret(given.encode(), expected.encode())


def same_secret(given: bytes, expected: bytes) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(given, expected)


class SecurityHeaders:
    """Adds the security headers to every answer (pure ASGI: no cost per body chunk)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add to its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)
