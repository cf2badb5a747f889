"""`POST /auth/token`: a user's name and password against a token (OAuth2's password form)."""

import asyncio
import logging
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel

from goldpath.errors import ProjectError
from goldpath.serving.access.clients import Access
from goldpath.serving.access.limits import Limits
from goldpath.serving.access.passwords import BusyError, PasswordChecker
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import CarefulRequest

TOKEN_PATH = "/auth/token"  # noqa: S105  a path
LONGEST_FORM = 4096
FORM = "application/x-www-form-urlencoded"

log = logging.getLogger(__name__)


class TokenAnswer(BaseModel):
    """A token, as OAuth2 writes it."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105  its kind
    expires_in: int
    scope: str


def login(access: Access, limits: Limits, checker: PasswordChecker) -> APIRouter:
    """The route.

    Args:
        access: Finds users, and makes tokens.
        limits: Counts the tries.
        checker: Checks passwords away from the event loop.
    """
    router = APIRouter(tags=["access"], route_class=APIRoute)

    @router.post(
        TOKEN_PATH,
        responses=problem_answers(400, 401, 408, 413, 415, 422, 429, 503),
        openapi_extra=_FORM_SCHEMA,
    )
    async def token(request: Request) -> TokenAnswer:
        """Give a user a token, which goes into `Authorization: Bearer …`."""
        form = await _form(request)
        name, password = form.get("username", ""), form.get("password", "")
        if not name or not password or form.get("grant_type", "password") != "password":
            raise ProblemError(
                422,
                "username or password is missing, or grant_type is not password",
                "send the form grant_type=password&username=…&password=…",
            )
        peer = request.client.host if request.client else ""
        limits.refuse_guessing(name[:100], peer)
        try:
            user = await asyncio.to_thread(access.find_user, name)
            is_right = await checker.is_right(password, user.password_hash if user else None)
        except BusyError as error:
            raise ProblemError(429, error.message, error.fix, {"Retry-After": "1"}) from error
        except ProjectError as error:
            log.warning("a password cannot be checked: %s", error.message)
            raise _unavailable("the password cannot be checked now", "try again") from error
        if user is None or not is_right or user.is_disabled:
            log.warning("login refused from %s", peer)
            raise ProblemError(
                401,
                "the user's name or the password is wrong, or the user is disabled",
                "try again; user password sets a new one",
                {"WWW-Authenticate": "Bearer"},
            )
        asked = form.get("scope", "").split() or list(user.roles)
        refused = [role for role in asked if role not in user.roles]
        if refused:
            raise ProblemError(
                422,
                "scope names a role that the user has not",
                f"leave scope out, or choose among {' '.join(user.roles)}",
            )
        try:
            text, seconds = await asyncio.to_thread(access.tokens().issue, user.name, asked)
        except ProjectError as error:
            raise _unavailable(error.message, error.fix) from error
        return TokenAnswer(access_token=text, expires_in=int(seconds), scope=" ".join(asked))

    return router


async def _form(request: Request) -> dict[str, str]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        raise ProblemError(415, "the body is not declared as a form", f"send Content-Type: {FORM}")
    body = await CarefulRequest(request.scope, request.receive).body()
    if len(body) > LONGEST_FORM:
        raise ProblemError(413, f"the form is longer than {LONGEST_FORM} bytes", "send less")
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=10)
        form = dict(pairs)
        "".join(form.values()).encode()  # %ED%A0%80 is half a character
    except ValueError as error:
        raise ProblemError(400, "the body is not a form", "encode it as browsers do") from error
    if len(form) < len(pairs):
        raise ProblemError(422, "a field appears twice", "send each field once")
    return form


def _unavailable(detail: str, fix: str) -> ProblemError:
    return ProblemError(503, detail, fix, {"Retry-After": "5"})


_FORM_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password"]},
                        "username": {"type": "string"},
                        "password": {"type": "string", "format": "password"},
                        "scope": {"type": "string", "description": "Roles; all where left out."},
                    },
                }
            }
        },
    }
}
