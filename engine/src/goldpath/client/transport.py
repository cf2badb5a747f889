"""Requests over kept connections, tried again where that is safe and likely to help."""

import http.client
import random
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from goldpath.client.answers import UnavailableError, error_of

TRANSIENT = frozenset((429, 502, 503, 504))


@dataclass(frozen=True)
class Retries:
    """When to try again.

    Waits grow exponentially and are drawn at random below their bound ("full jitter"), so that
    many clients do not come back at the same moment. What the service says in `Retry-After` is
    waited for at least.

    Attributes:
        attempts: How often a request is sent at most.
        first_wait: Bound of the first wait, in seconds; each further one is twice as long.
        longest_wait: No bound is above it.
        total: Seconds after which nothing is tried again.
    """

    attempts: int = 5
    first_wait: float = 0.1
    longest_wait: float = 10.0
    total: float = 60.0

    def wait(self, attempt: int, asked: float) -> float:
        """Seconds to wait after this attempt, counted from 1."""
        bound = min(self.longest_wait, self.first_wait * 2 ** (attempt - 1))
        return asked + random.uniform(0, bound)  # noqa: S311  no secret depends on it


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status: The HTTP status.
        content: The body.
        retry_after: Seconds to wait, where the service said so.
    """

    status: int
    content: bytes
    retry_after: float


class Transport:
    """Connections to one service; threads may share it.

    Args:
        url: `http://host:port` or `https://…`, with a path in front of the routes where a proxy
            has one.
        timeout: Seconds for the connection, and for each read.
        retries: When to try again.
        context: TLS settings; the system's authorities where not given.
    """

    def __init__(
        self, url: str, timeout: float, retries: Retries, context: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address such as http://127.0.0.1:8000")
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._is_secure = parts.scheme == "https"
        self._context = context
        self._timeout = timeout
        self._retries = retries
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        """Send a request until it has an answer that is not transient.

        Raises:
            UnavailableError: If there is none.
            ServiceError: If the last one is transient.
        """
        began = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            reply: Reply | None = None
            failure: Exception | None = None
            try:
                reply = self._exchange(method, self._prefix + path, headers, body)
            except (OSError, http.client.HTTPException) as error:
                failure = error
            if reply is not None and reply.status not in TRANSIENT:
                return reply
            wait = self._retries.wait(attempt, reply.retry_after if reply else 0.0)
            left = self._retries.total - (time.monotonic() - began)
            if attempt >= self._retries.attempts or wait > left:
                if reply is not None:
                    raise error_of(reply.status, reply.content)
                raise UnavailableError(
                    f"{self._host} did not answer {method} {path}: {failure or 'no reason given'}",
                    f"check that the service runs; it was tried {attempt} times",
                ) from failure
            time.sleep(wait)

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        connection, is_kept = self._connection()
        try:
            return self._once(connection, method, path, headers, body)
        except (OSError, http.client.HTTPException):
            connection.close()
            if not is_kept:
                raise
        # The service may have closed a kept connection meanwhile; that is no failure of its.
        connection = self._connect()
        try:
            return self._once(connection, method, path, headers, body)
        except (OSError, http.client.HTTPException):
            connection.close()
            raise

    def _once(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Reply:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
        if answer.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return Reply(answer.status, content, _seconds(answer.getheader("Retry-After")))

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        return self._connect(), False

    def _connect(self) -> http.client.HTTPConnection:
        if self._is_secure:
            context = self._context or ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)


def _seconds(header: str | None) -> float:
    """`Retry-After` is a number of seconds, or a date."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header)) if header.strip().isdigit() else _until(header)
    except (ValueError, TypeError):
        return 0.0


def _until(header: str) -> float:
    at = parsedate_to_datetime(header)
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
