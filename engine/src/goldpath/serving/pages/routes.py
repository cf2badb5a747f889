"""The routes of the pages for people: `/` and `/reference`, which is `/docs` without Swagger."""

from collections.abc import Sequence
from functools import cache

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from goldpath.contract import Contract
from goldpath.serving.pages.home import page_headers, render_page
from goldpath.serving.pages.reference import render_reference


def page_router(
    contract: Contract, *, looked_up: Sequence[str] = (), has_swagger: bool = True
) -> APIRouter:
    """The pages; they hold nothing that only some may see, so anybody may load them.

    All run in a thread: the first page imports Jinja2, and predictions do not wait for it.

    Args:
        contract: The form's fields.
        looked_up: What the model takes of an entity, which the form then asks for.
        has_swagger: Whether `/docs` is Swagger's; else it is the reference.
    """
    router = APIRouter(include_in_schema=False)

    @cache
    def page(needs_key: bool) -> str:
        return render_page(
            contract, needs_key=needs_key, looked_up=looked_up, has_swagger=has_swagger
        )

    @router.get("/")
    def home(request: Request) -> HTMLResponse:
        anonymous = request.app.state.access.anonymous
        may_read = anonymous is not None and "read-metrics" in anonymous.roles
        return HTMLResponse(page(not may_read), headers=page_headers())

    @router.get("/reference")
    def reference(request: Request) -> HTMLResponse:
        text = render_reference(
            request.app.openapi(), str(request.base_url), has_swagger=has_swagger
        )
        return HTMLResponse(text, headers=page_headers(script=False))

    if not has_swagger:
        router.add_api_route("/docs", reference)

    return router
