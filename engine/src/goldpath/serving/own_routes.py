"""The project's own routes: behind the same credentials, limits and problems as `/predict`."""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.serving.answers.models import BatchItem
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import DOCUMENTED_CREDENTIALS, CarefulRequest
from goldpath.serving.http.value_count import SHORT
from goldpath.serving.metrics.requests import route_of
from goldpath.serving.scorer import Scorer, Wish

if TYPE_CHECKING:
    from goldpath.serving.access.clients import Access
    from goldpath.serving.access.limits import Limits


def include_own_routes(app: FastAPI, routers: Sequence[APIRouter], maximum_body_bytes: int) -> None:
    """Add the project's routers to the app.

    Args:
        app: With the engine's own routes already in it.
        routers: The project's.
        maximum_body_bytes: Larger bodies are refused.

    Raises:
        ProjectDefinitionError: If a router is none, a path does not begin with a slash, or a route
            has the path and the method of one of the engine's, or of an earlier one's.
    """
    _require_routers(routers)
    engines = list(app.routes)
    earlier: list[APIRoute] = []
    for router in routers:
        for own in router.routes:
            if isinstance(own, APIRoute):
                _require_slash(own)
                _refuse_shadow(own, engines)
                _refuse_hidden(own, earlier)
                earlier.append(own)
        before = len(app.routes)
        app.include_router(
            router,
            dependencies=[Depends(_caller), *DOCUMENTED_CREDENTIALS],
            responses=problem_answers(400, 401, 403, 422, 429),
            max_body_size=maximum_body_bytes,
        )
        for included in app.routes[before:]:
            included.handle = _careful(included.handle)  # type: ignore[method-assign,assignment]


def _require_routers(routers: object) -> None:
    fix = "write Service(routers=[api.router]), with router = APIRouter() in that module"
    if not isinstance(routers, Sequence):
        raise ProjectDefinitionError(
            f"Service(routers=…) of project.py is a {type(routers).__name__}, not a list", fix
        )
    for router in routers:
        if not isinstance(router, APIRouter):
            raise ProjectDefinitionError(
                f"Service(routers=[…]) of project.py holds {router!r:.100}, which is a "
                f"{type(router).__name__} and no APIRouter",
                fix,
            )


def _require_slash(own: APIRoute) -> None:
    if not own.path.startswith("/"):
        raise ProjectDefinitionError(
            f"{place_of(own.endpoint)} has the path {own.path!r}, which no request can ask for",
            f'begin it with a slash: "/{own.path}"',
        )


def predict(request: Request, features: Mapping[str, Any], entity: str | None = None) -> BatchItem:
    """Ask the model that serves, from a route of one's own; logged and counted as `/predict` is.

    Args:
        request: The request that the route answers.
        features: A row, as `/predict` takes it in `features`.
        entity: Whom it is about; a model with window features asks for it.

    Returns:
        The prediction, its probabilities (classification) and its id.

    Raises:
        RequestValidationError: If the contract refuses the row; the caller gets a 422.
        ProblemError: If there is no model (the caller gets a 503), or the model has window features
            and no entity is given (422).

    Example:
        >>> from fastapi import APIRouter, Request
        >>> from goldpath import predict
        >>> router = APIRouter()
        >>> @router.post("/offer")
        ... def offer(request: Request, features: dict[str, object]) -> dict[str, bool]:
        ...     return {"call": predict(request, features).prediction == "yes"}
    """
    state = request.app.state
    scorer: Scorer = state.scorer
    try:
        row = state.row_model.model_validate(dict(features))
    except ValidationError as error:
        errors = [{**each, "loc": ("body", "features", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(errors) from error
    values = row.model_dump(by_alias=True)
    # The body chooses between champion and challenger, as it does for /predict.
    body = json.dumps(values, default=str).encode()
    wish = Wish(body, request.state.client, route_of(request.scope))
    return scorer.score([values], wish, None if entity is None else [entity]).predictions[0]


def _careful(handle: ASGIApp) -> ASGIApp:
    """Ask who calls before a long body is read, and count its values before they are made.

    FastAPI reads and parses a body first, in the event loop, and only then asks the dependencies.
    """

    async def careful(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_long(scope):
            request = CarefulRequest(scope, receive)
            access: Access = request.app.state.access
            request.state.client = await access.authenticate(request, "predict")
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            try:
                is_json = not media_type or media_type.endswith("json")
                body = await (request.checked() if is_json else request.body())
            except ClientDisconnect as error:
                raise ProblemError(400, "the client went away", "send the whole body") from error
            receive = _again(body, receive)
        await handle(scope, receive, send)

    return careful


def _is_long(scope: Scope) -> bool:
    """Whether a body is declared as long, or its length is not declared."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    is_short = length.isdigit() and len(length) < 8 and int(length) <= SHORT
    return not is_short or b"transfer-encoding" in headers


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read once more."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return waiting.pop() if waiting else await receive()

    return read


async def _caller(request: Request) -> AsyncIterator[None]:
    """Ask who calls, and whether it is too often, before the route answers."""
    access: Access = request.app.state.access
    limits: Limits = request.app.state.limits
    client = await access.authenticate(request, "predict")
    request.state.client = client
    with limits.request_of(client, request.client.host if request.client else ""):
        yield


def _refuse_shadow(route: APIRoute, engines: Sequence[BaseRoute]) -> None:
    """Ask the engine's routes whether one of them answers what this one would."""
    for method in route.methods or ():
        if any(_answers(each, method, route.path, "1") for each in engines):
            raise ProjectDefinitionError(
                f"{place_of(route.endpoint)} answers {method} {route.path}, which the service "
                "answers already",
                "give it another path",
            )


def _refuse_hidden(route: APIRoute, earlier: Sequence[APIRoute]) -> None:
    """Ask the project's routes before this one whether one of them answers all that it would."""
    for method in route.methods or ():
        for each in earlier:
            if all(_answers(each, method, route.path, part) for part in ("1", "x")):
                raise ProjectDefinitionError(
                    f"{place_of(route.endpoint)} is never asked: {place_of(each.endpoint)} "
                    f"answers {method} {each.path} before it",
                    f"give {route.path} another path, or put it first",
                )


def _answers(route: BaseRoute, method: str, path: str, part: str) -> bool:
    """Whether a route answers a path, with this in the place of each parameter."""
    asked = re.sub(r"{[^}]*}", part, path)
    scope = {"type": "http", "method": method, "path": asked, "headers": []}
    return route.matches(scope)[0] is Match.FULL
