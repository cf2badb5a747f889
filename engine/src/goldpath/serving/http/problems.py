"""What a client gets when a request fails: RFC 9457 problem details that say how to mend it.

Nothing that the client sent is echoed: a value may be secret, huge, or impossible to write as
JSON (FastAPI's own handler answers 500 on NaN for that reason).
"""

import difflib
import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from goldpath.contract import Contract
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.request_context import REQUEST_ID_HEADER, current_request
from goldpath.serving.metrics.requests import route_of
from goldpath.serving.schemas import BY_FEATURES, BY_KEY
from goldpath.serving.security import SECURITY_HEADERS

MEDIA_TYPE = "application/problem+json"
SHOWN_ERRORS = 20
SHOWN_CHARACTERS = 300

log = logging.getLogger(__name__)

_TEXT = {"type": "string"}
_SCHEMA = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail", "fix"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "fix": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message", "fix"],
                "properties": {"field": _TEXT, "message": _TEXT, "fix": _TEXT},
            },
        },
    },
}


def problem_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How these statuses look, for the API's documentation."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": _SCHEMA}},
        }
        for status in statuses
    }


def install_problem_answers(app: FastAPI, contract: Contract) -> None:
    """Answer every error of the app as a problem.

    Args:
        app: The app.
        contract: Says what a wrong field should have been.
    """

    async def of_http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        fix = error.fix if isinstance(error, ProblemError) else _FIXES.get(error.status_code, "")
        if error.status_code == HTTPStatus.NOT_FOUND and request.url.path.endswith("/"):
            fix = "leave out the slash at the end; see /docs for the paths"
        return problem_answer(error.status_code, str(error.detail), fix, headers=error.headers)

    async def of_validation(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        request.app.state.metrics.validation_failed(route_of(request.scope))
        found = error.errors()
        asked = getattr(request.state, "contract", None) or contract
        errors = [_field_problem(item, asked) for item in found[:SHOWN_ERRORS]]
        more = len(found) - len(errors)
        named = ", ".join(item["field"] for item in errors[:3])
        detail = f"{len(found)} wrong: {named}" + (", …" if len(found) > 3 else "")
        fix = errors[0]["fix"] if len(found) == 1 else "correct each entry of `errors`"
        if more:
            fix += f"; {more} more are not shown"
        return problem_answer(422, detail, fix, errors=errors)

    async def of_crash(_: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        fix = "the service's log has the traceback"
        # This answer is made outside the middleware that adds the headers to all others.
        request = current_request()
        named = {REQUEST_ID_HEADER: request.request_id} if request else {}
        headers = {**SECURITY_HEADERS, **named}
        return problem_answer(500, "the service failed on this request", fix, headers=headers)

    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(Exception, of_crash)


_FIXES = {
    404: "see /docs for the paths",
    405: "see /docs for the method of each path",
}


def problem_answer(
    status: int,
    detail: str,
    fix: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer that says what is wrong and how to mend it."""
    title = HTTPStatus(status).phrase
    values = {"type": "about:blank", "title": title, "status": status, "detail": detail, "fix": fix}
    content = json.dumps({**values, "errors": list(errors)} if errors else values)
    return Response(content, status, dict(headers or {}), media_type=MEDIA_TYPE)


def _field_problem(error: Mapping[str, Any], contract: Contract) -> dict[str, str]:
    """One wrong field: where it is, what is wrong with it, what it should be."""
    # A form's name stands behind `body`; a feature may be called the same.
    inside = list(error["loc"])[1:] if error["loc"][:1] == ("body",) else list(error["loc"])
    form = 1 if inside[:1] == ["instances"] else 0
    if inside[form : form + 1] in ([BY_FEATURES], [BY_KEY]):
        del inside[form]
    place = inside or ["body"]
    kind = str(error["type"])
    name = str(place[-1])
    feature = contract.by_name.get(name) if len(place) > 1 else None
    if kind == "extra_forbidden":
        message = "is not a feature of this model" if len(place) > 1 else "is not expected here"
        fix = (
            _closest(name, contract)
            if len(place) > 1
            else "remove it; see /docs for the body's form"
        )
    elif kind == "missing":
        message = "is missing"
        fix = (
            f"add it: {feature.domain.describe()}"
            if feature
            else f'send a JSON object with "{name}"'
        )
    else:
        message = str(error["msg"])
        fix = f"send {feature.domain.describe()}" if feature else "see /docs for the body's form"
    field = ".".join(shown(str(part)) for part in place)
    return {"field": field, "message": shown(message), "fix": fix}


def _closest(name: str, contract: Contract) -> str:
    near = difflib.get_close_matches(name[:100], contract.feature_names, n=1)
    return (
        f'remove it, or did you mean "{near[0]}"?'
        if near
        else "remove it; see /docs for the features"
    )


def shown(text: str) -> str:
    """Text that any JSON can hold (a lone surrogate cannot be encoded), of bounded length."""
    readable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return readable if len(readable) <= SHOWN_CHARACTERS else readable[:SHOWN_CHARACTERS] + "…"
