"""Which request the code is working on: its id, and its place in a trace (W3C trace context).

A context variable carries it, also into the threads in which FastAPI runs plain functions.
"""

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# A later version of the standard may append fields; what stands before them keeps its meaning.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request.

    Attributes:
        request_id: The client's name for it, or one that was made.
        trace_id: The trace that it is part of; empty where there is none.
        span_id: The span that log lines belong to: the service's own, else the client's.
    """

    request_id: str
    trace_id: str = ""
    span_id: str = ""

    def fields(self) -> dict[str, str]:
        """What a log line says of it."""
        named = {
            "request_id": self.request_id,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
        }
        return {name: value for name, value in named.items() if value}


_CURRENT: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def current_request() -> RequestContext | None:
    """The request that is being answered; None outside of one."""
    return _CURRENT.get()


def enter_request(request: RequestContext) -> None:
    """State which request is being answered, from here on in this task.

    Nothing takes it back: a server runs each request in a task of its own, and the handler of
    crashes, which stands outside of all other layers, still has to know it.
    """
    _CURRENT.set(request)


def read_context(request_id: bytes = b"", traceparent: bytes = b"") -> RequestContext:
    """The request that these headers make; what is not of the known form is replaced or dropped."""
    given = request_id.decode("latin-1")
    found = _TRACEPARENT.fullmatch(traceparent.decode("latin-1").strip())
    trace_id, span_id = (found[1], found[2]) if found else ("", "")
    if _REQUEST_ID.fullmatch(given) is None:
        given = secrets.token_hex(16)
    return RequestContext(given, trace_id, span_id)
