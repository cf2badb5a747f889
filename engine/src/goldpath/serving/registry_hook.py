"""`POST /hooks/registry`: the registry says that an alias moved, so the service looks at once."""

from fastapi import APIRouter, Request, Response

from goldpath.registry.webhooks.announcement import MessageError, verify_message
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.refresh_bell import RefreshBell
from goldpath.settings import Settings

MOST_BYTES = 65_536


def registry_hook(settings: Settings, bell: RefreshBell) -> APIRouter:
    """The route; who calls is known by the message's signature.

    Args:
        settings: `registry.webhook_secret`.
        bell: Wakes every worker.
    """
    router = APIRouter(tags=["operations"], responses=problem_answers(401, 413, 429))

    @router.post("/hooks/registry", status_code=204)
    async def registry_changed(request: Request) -> Response:
        """Take a message of MLflow, or of this project, that is signed with the shared secret."""
        request.app.state.limits.refuse_flood(request.client.host if request.client else "")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                raise ProblemError(413, f"the message is larger than {MOST_BYTES} bytes")
        secret = settings.registry.webhook_secret.get_secret_value()
        try:
            verify_message(dict(request.headers), body, secret)
        except MessageError as error:
            raise ProblemError(
                401, error.message, "sign with the secret of MLOPS_REGISTRY__WEBHOOK_SECRET"
            ) from error
        bell.ring()
        return Response(status_code=204)

    return router
