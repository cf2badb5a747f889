"""Reads a request's body with care: size, media type, JSON that means one thing only."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from .problems import ProblemError
from .security import API_KEY_HEADER, is_authorised

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class KeyedRoute(APIRoute):
    """A route that asks for the key before anything else."""

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        handler = self.handler_behind_key()

        async def checked(request: Request) -> Response:
            if not is_authorised(request, request.app.state.settings):
                raise ProblemError(
                    401,
                    f"the header {API_KEY_HEADER} is missing or wrong",
                    f"send the header {API_KEY_HEADER} with the service's key",
                    {"WWW-Authenticate": "ApiKey"},
                )
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
            return await handler(_CarefulRequest(request.scope, request.receive))

        return checked


class _CarefulRequest(Request):
    """Stops reading at the limit, and refuses JSON that two readers could read differently."""

    async def body(self) -> bytes:
        # Starlette's own limit answers in plain text and cannot be given another form.
        if not hasattr(self, "_body"):
            limit: int = self.app.state.settings.serving.maximum_body_bytes
            declared = self.headers.get("content-length", "")
            if declared.isdecimal() and int(declared[:20]) > limit:
                raise _too_large(limit)
            chunks = bytearray()
            async for chunk in self.stream():
                chunks += chunk
                if len(chunks) > limit:
                    raise _too_large(limit)
            self._body = bytes(chunks)
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


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


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
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
