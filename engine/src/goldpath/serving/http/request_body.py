"""Reads a request's body with care: size, media type, JSON that means one thing only."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer

from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.security import API_KEY_HEADER
from goldpath.settings import ServingSettings

if TYPE_CHECKING:
    from goldpath.serving.access.clients import Access
    from goldpath.serving.access.limits import Limits
    from goldpath.serving.access.roles import Role

# Each unknown name would be described; half a million of them held up the service for seconds.
MOST_NAMES = 5_000

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


# The routes check credentials before they read the body; these only declare them to /docs.
DOCUMENTED_CREDENTIALS = [
    Security(APIKeyHeader(name=API_KEY_HEADER, auto_error=False)),
    Security(OAuth2PasswordBearer("auth/token", auto_error=False)),
]


class KeyedRoute(APIRoute):
    """A route that asks who calls, and whether it is too often, before anything else.

    `request.state.client` is who calls. `for_role` makes the class of routes for another role.
    """

    role: "Role" = "predict"

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        handler = self.handler_behind_key()
        role = self.role

        async def checked(request: Request) -> Response:
            access: Access = request.app.state.access
            limits: Limits = request.app.state.limits
            client = await access.authenticate(request, role)
            request.state.client = client
            with limits.request_of(client, request.client.host if request.client else ""):
                return await handler(request)

        return checked

    def handler_behind_key(self) -> Handler:
        """What answers a request that carries the key."""
        return super().get_route_handler()


class PredictionRoute(KeyedRoute):
    """A route whose key, media type, size and JSON are checked before FastAPI parses the body."""

    def handler_behind_key(self) -> Handler:
        """Wrap FastAPI's handler."""
        handler = super().handler_behind_key()

        async def checked(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                raise ProblemError(
                    415,
                    "the body is not declared as JSON",
                    "send the header Content-Type: application/json",
                )
            return await handler(CarefulRequest(request.scope, request.receive))

        return checked


Route = TypeVar("Route", bound=KeyedRoute)


def for_role(route: type[Route], role: "Role") -> type[Route]:
    """The class of routes like these that ask for another role."""
    return type(f"{role.title().replace('-', '')}{route.__name__}", (route,), {"role": role})


class CarefulRequest(Request):
    """Stops reading at the limit, and refuses JSON that two readers could read differently."""

    async def body(self) -> bytes:
        """The body, within its limits of size and time."""
        # Starlette's own limit answers in plain text and cannot be given another form.
        if not hasattr(self, "_body"):
            serving: ServingSettings = self.app.state.settings.serving
            try:
                async with asyncio.timeout(serving.read_seconds):
                    self._body = await self._read(serving.maximum_body_bytes)
            except TimeoutError as error:
                raise ProblemError(
                    408,
                    f"the body was not there after {serving.read_seconds:g} seconds",
                    "send it in one go, or raise MLOPS_SERVING__READ_SECONDS",
                    {"Connection": "close"},
                ) from error
        return self._body

    async def json(self) -> Any:
        """What the body says."""
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
            serving: ServingSettings = self.app.state.settings.serving
            refuse_nesting(self._json, serving.maximum_nesting)
        return self._json

    async def _read(self, limit: int) -> bytes:
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise _too_large(limit)
        chunks = bytearray()
        async for chunk in self.stream():
            chunks += chunk
            if len(chunks) > limit:
                raise _too_large(limit)
        return bytes(chunks)


def parse_json(body: bytes) -> Any:
    """The body's value.

    `NaN` and `1e400` pass here, so that the schema's check can name the field that holds them.

    Raises:
        ProblemError: 400 where it is not JSON, 422 where it is JSON that cannot be used.
    """
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8 text (byte {error.start})"
        raise ProblemError(400, detail, "send JSON in UTF-8") from error
    except json.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise ProblemError(400, detail, "correct the JSON; /docs shows an example") from error
    except RecursionError as error:
        detail = "the body's JSON is nested too deeply"
        raise ProblemError(422, detail, "send the form that /docs shows") from error
    except ValueError as error:  # Python refuses whole numbers of more than 4300 digits
        detail = "the body holds a number with too many digits"
        raise ProblemError(422, detail, "send numbers that a float64 can hold") from error


def refuse_nesting(value: Any, limit: int) -> None:
    """Insist that objects and lists stand in each other at most so deep.

    Raises:
        ProblemError: 422 where they do not.
    """
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise ProblemError(
            422,
            f"the body's JSON is nested deeper than {limit}",
            "send the form that /docs shows, or raise MLOPS_SERVING__MAXIMUM_NESTING",
        )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_NAMES:
        detail = f"a JSON object holds more than {MOST_NAMES} names"
        raise ProblemError(422, detail, "send the model's features only")
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ProblemError(422, "a name appears twice in one JSON object", "send each name once")
    return values


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        413,
        f"the body is larger than {limit} bytes",
        "send fewer instances, or raise MLOPS_SERVING__MAXIMUM_BODY_BYTES",
    )
