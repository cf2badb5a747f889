"""What a request line may say: no control characters in the path; HEAD wherever GET is answered."""

import re
from collections.abc import Callable

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Refuse = Callable[[int, str, str], ASGIApp]
"""Makes the answer of a status, what is wrong, and how to mend it."""

# A route's pattern ends with `$`, which also matches before a line break: `/metrics%0a` was
# `/metrics` here, and another path for the proxy that guards it.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class RequestLine:
    """Refuses paths with control characters, and answers HEAD as GET without the body (ASGI).

    Args:
        app: What answers.
        refuse: Makes the answer.
    """

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        self.app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif _CONTROL.search(scope["path"]):
            answer = self._refuse(
                400, "the path holds a control character", "see /docs for the paths"
            )
            await answer(scope, receive, send)
        elif scope["method"] == "HEAD" and not _takes_head(scope):
            await self._answer_head(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # The server sees its own scope: it must know that no body follows.
        inner = {**scope, "method": "GET"}
        try:
            await self.app(inner, receive, send_head)
        finally:
            scope.update({**inner, "method": "HEAD"})  # the route, for figures and log lines


def _takes_head(scope: Scope) -> bool:
    """Whether a route answers HEAD itself, as a project's own may."""
    return any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)
