"""A request that cannot be answered, as the service's parts say it; `problems.py` writes it out.

It stands alone, so that the fast lane comes up without FastAPI.
"""

from collections.abc import Mapping

from starlette.exceptions import HTTPException


class ProblemError(HTTPException):
    """A request that cannot be answered.

    Args:
        status: The HTTP status.
        detail: What is wrong.
        fix: What the client, or the person who runs the service, can do.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, detail: str, fix: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.fix = fix
