"""The service's routes as methods."""

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from goldpath.client.answers import Explanation, NotAllowedError, Prediction, RefusedError, error_of
from goldpath.client.transport import Reply, Retries, Transport

Row = Mapping[str, Any]
REFRESH_BEFORE = 30.0
"""Seconds before its end in which a token is replaced."""


class Client:
    """Asks one service; threads may share it.

    Predictions may be asked again without harm: a repeated one is another line in the log.

    Args:
        url: `http://host:port` or `https://…`.
        api_key: Sent as `X-API-Key`.
        username: With a password instead of a key: logs in, and again when the token ends.
        password: The user's.
        timeout: Seconds for a connection, and for each read.
        retries: When to try again.
        connections: How many requests `predict_many` has under way.
        rows_per_request: How many rows it puts into one; halved where the service takes fewer.
        context: TLS settings; the system's authorities where not given.

    Raises:
        ValueError: If `connections` or `rows_per_request` is below 1.

    Example:
        >>> from goldpath import Client
        >>> with Client("http://127.0.0.1:9", api_key="secret") as client:  # nobody listens there
        ...     client.predict({"tenure_months": 14, "region": "north"}).prediction
        Traceback (most recent call last):
        goldpath.client.answers.UnavailableError: ...
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        username: str | None = None,
        password: str | None = None,
        timeout: float = 10.0,
        retries: Retries | None = None,
        connections: int = 4,
        rows_per_request: int = 500,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if connections < 1 or rows_per_request < 1:
            raise ValueError("connections and rows_per_request are 1 at least")
        self._transport = Transport(url, timeout, retries or Retries(), context)
        self._api_key = api_key
        self._user = (username, password) if username and password else None
        self._connections = connections
        self._rows = rows_per_request
        self._token = ""
        self._token_ends = 0.0
        self._login = threading.Lock()

    def __enter__(self) -> Self:
        """Use it in a `with`, which closes its connections."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._transport.close()

    def predict(self, features: Row | None = None, **entity: str) -> Prediction:
        """Score one row: its features, or those that the online store holds for an entity.

        Args:
            features: By name.
            entity: The entity's key, such as `customer_id="C000123"`.

        Raises:
            ServiceError: If the service refuses, or does not answer.
        """
        answer = self._post("/predict", _row_of(features, entity))
        return Prediction.read(answer, answer)

    def predict_many(self, rows: Iterable[Row]) -> Iterator[Prediction]:
        """Score any number of rows, some batches at once; predictions come in the rows' order.

        Rows are taken as they are needed, so that a generator of millions fits into memory. A row
        is its features, or names its entity: `{"customer_id": "C000123", "features": {…}}`.

        Raises:
            ServiceError: If the service refuses a batch, or does not answer.
        """
        source = iter(rows)
        under_way: deque[Future[list[Prediction]]] = deque()
        with ThreadPoolExecutor(self._connections, thread_name_prefix="predict") as pool:
            try:
                while True:
                    while len(under_way) < 2 * self._connections:
                        batch = list(islice(source, self._rows))
                        if not batch:
                            break
                        under_way.append(pool.submit(self._predict_batch, batch))
                    if not under_way:
                        return
                    yield from under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()

    def explain(self, features: Row | None = None, **entity: str) -> Explanation:
        """What each feature adds to the prediction of one row.

        Args:
            features: By name.
            entity: The entity's key, as in `predict`.

        Raises:
            ServiceError: If the service refuses, or does not answer.
        """
        return Explanation.read(self._post("/explain", _row_of(features, entity)))

    def feedback(self, prediction_id: str, label: str | float) -> None:
        """Tell what turned out to be true.

        Raises:
            ServiceError: If the service refuses, or does not answer.
        """
        self._post("/feedback", {"prediction_id": prediction_id, "label": label})

    def model(self) -> Mapping[str, Any]:
        """What serves: name, version, and what each feature may be.

        Raises:
            ServiceError: If no model serves, or the service does not answer.
        """
        facts: Mapping[str, Any] = self._json(self._send("GET", "/model"))
        return facts

    def _predict_batch(self, rows: Sequence[Row]) -> list[Prediction]:
        try:
            answer = self._post("/predict/batch", {"instances": rows})
        except RefusedError as error:
            if len(rows) == 1 or not _is_too_much(error):
                raise
            middle = len(rows) // 2
            return self._predict_batch(rows[:middle]) + self._predict_batch(rows[middle:])
        return [Prediction.read(item, answer) for item in answer["predictions"]]

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        return self._json(self._send("POST", path, content))

    def _send(self, method: str, path: str, content: bytes | None = None) -> Reply:
        reply = self._transport.send(method, path, self._headers(), content)
        if reply.status == 401 and self._user:  # revoked, or signed with a key that is gone
            self._token = ""
            reply = self._transport.send(method, path, self._headers(), content)
        return reply

    def _json(self, reply: Reply) -> Any:
        if not 200 <= reply.status < 300:
            raise error_of(reply.status, reply.content)
        return json.loads(reply.content)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._api_key:
            headers["X-API-Key"] = self._api_key
        elif self._user:
            headers["Authorization"] = f"Bearer {self._current_token(*self._user)}"
        return headers

    def _current_token(self, name: str, password: str) -> str:
        with self._login:
            if not self._token or time.monotonic() > self._token_ends:
                form = urlencode({"username": name, "password": password, "grant_type": "password"})
                kind = {"Content-Type": "application/x-www-form-urlencoded"}
                reply = self._transport.send("POST", "/auth/token", kind, form.encode())
                if reply.status in (400, 404):
                    raise NotAllowedError(
                        f"the login failed ({reply.status})", "check the address and the user"
                    )
                answer = self._json(reply)
                self._token = str(answer["access_token"])
                lasts = float(answer.get("expires_in", 60))
                self._token_ends = time.monotonic() + max(0.0, lasts - REFRESH_BEFORE)
            return self._token


def _row_of(features: Row | None, entity: Mapping[str, str]) -> dict[str, Any]:
    return dict(entity) if features is None else {**entity, "features": features}


def _is_too_much(error: RefusedError) -> bool:
    """Whether half of the rows may do: the body is too large, or its rows are too many."""
    problem = error.problem
    if problem is None:
        return False
    fields = {each.field for each in problem.errors}
    return problem.status == 413 or (problem.status == 422 and fields == {"instances"})
