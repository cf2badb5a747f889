"""Reads a request's body with care: who sends it, its media type, its size; then what it says."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer

from goldpath.serving.http.json_bodies import JsonBodies
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.value_count import SHORT, TABLES, Bounds, ValueCount
from goldpath.serving.security import API_KEY_HEADER
from goldpath.settings import ServingSettings

if TYPE_CHECKING:
    from goldpath.contract import Contract
    from goldpath.serving.access.clients import Access
    from goldpath.serving.access.limits import Limits
    from goldpath.serving.access.roles import Client, Role

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
    """A route whose key, media type, size and JSON are checked before FastAPI parses the body.

    `bounds` are how much a body may hold; those of the app where not given. `contract` says what a
    wrong field should have been; the app's where not given.
    """

    bounds: Bounds | None = None
    contract: "Contract | None" = None

    def handler_behind_key(self) -> Handler:
        """Wrap FastAPI's handler."""
        handler = super().handler_behind_key()
        bounds, contract = self.bounds, self.contract

        async def checked(request: Request) -> Response:
            request.state.contract = contract
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                raise ProblemError(
                    415,
                    "the body is not declared as JSON",
                    "send the header Content-Type: application/json",
                )
            careful = CarefulRequest(request.scope, request.receive)
            careful.bounds = bounds or request.app.state.json_bodies.bounds
            return await handler(careful)

        return checked


class TableRoute(PredictionRoute):
    """The same for bodies that hold tables with columns of their own."""

    bounds = TABLES


Route = TypeVar("Route", bound=KeyedRoute)


def for_role(route: type[Route], role: "Role") -> type[Route]:
    """The class of routes like these that ask for another role."""
    return type(f"{role.title().replace('-', '')}{route.__name__}", (route,), {"role": role})


class CarefulRequest(Request):
    """Stops reading at the limit, and refuses JSON that two readers could read differently.

    Attributes:
        bounds: How much its body may hold, which is counted while it arrives; None: any bytes.
    """

    bounds: Bounds | None = None

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
            bodies: JsonBodies = self.app.state.json_bodies
            body, is_counted = await self.body(), self.bounds is not None
            self._json = await bodies.value_of(
                body, self._sender(), self.bounds, is_counted=is_counted
            )
        return self._json

    async def checked(self) -> bytes:
        """The body, for somebody else who reads it as JSON: not too large, nor too many values."""
        bodies: JsonBodies = self.app.state.json_bodies
        self.bounds = bodies.bounds.of_values()
        return await self.body()

    def _sender(self) -> str:
        client: Client = self.state.client
        if client is self.app.state.access.anonymous and self.client is not None:
            return self.client.host
        return client.name

    async def _read(self, limit: int) -> bytes:
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise _too_large(limit)
        chunks = bytearray()
        values = ValueCount(self.bounds) if self.bounds else None
        counted = 0
        async for chunk in self.stream():
            chunks += chunk
            if len(chunks) > limit:
                raise _too_large(limit)
            if values and len(chunks) > SHORT:
                bodies: JsonBodies = self.app.state.json_bodies
                await bodies.count(values, bytes(chunks[counted:]))
                counted = len(chunks)
        return bytes(chunks)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        413,
        f"the body is larger than {limit} bytes",
        "send fewer instances, or raise MLOPS_SERVING__MAXIMUM_BODY_BYTES",
    )
