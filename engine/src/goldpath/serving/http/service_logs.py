"""The service's log lines: readable ones for a person, one JSON object a line for a log store.

A JSON line names the request that it belongs to. Nothing that a client sent beside its request id
and trace context is ever logged here: no body, no query, no address, no key.
"""

import json
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from goldpath.serving.http.request_context import RequestContext, current_request
from goldpath.settings import Settings

PACKAGE = "goldpath"
ACCESS_LOGGER = f"{PACKAGE}.access"

AccessLine = Callable[[RequestContext, str, str, int, float], None]
"""Writes a line about an answer: the request, its method and route, the status, the seconds."""


class JsonFormatter(logging.Formatter):
    """One JSON object a log line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record with its time, level, logger, process, message and request."""
        values = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        fields: dict[str, Any] = getattr(record, "fields", {})
        request = current_request()
        if request is not None and "request_id" not in fields:
            values |= request.fields()
        values |= fields
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return json.dumps(values)


def log_config(*, as_json: bool) -> dict[str, Any]:
    """The logging of Uvicorn and of this package, on standard error."""
    line = {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": JsonFormatter} if as_json else line},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            PACKAGE: {"level": "INFO"},
            "uvicorn": {"level": "INFO"},
            # One line a try while the registry is away; predictor.py says it once.
            "urllib3": {"level": "ERROR"},
        },
    }


def access_line(settings: Settings) -> AccessLine | None:
    """What writes a line a request, by `serving.access_log`; None where it is off."""
    if not settings.serving.access_log:
        return None
    log = logging.getLogger(ACCESS_LOGGER)

    def write(
        request: RequestContext, method: str, route: str, status: int, seconds: float
    ) -> None:
        fields = {
            **request.fields(),
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(1000 * seconds, 3),
        }
        log.info("%s %s %d", method, route, status, extra={"fields": fields})

    return write


def sampled(line: AccessLine, share: float) -> AccessLine:
    """The same for a share of the answers, which are drawn at random."""

    def write(
        request: RequestContext, method: str, route: str, status: int, seconds: float
    ) -> None:
        if random.random() < share:  # noqa: S311
            line(request, method, route, status, seconds)

    return write
