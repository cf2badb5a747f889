"""The few calls of Airflow's REST API that starting it and testing it take."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

TIMEOUT_SECONDS = 60  # a small machine under load answers late

# A proxy of the environment must not answer for 127.0.0.1.
_direct = build_opener(ProxyHandler({}))


class AirflowApiError(Exception):
    """Airflow did not answer, or its answer was an error."""


class AirflowApi:
    """A signed-in client.

    Args:
        url: Airflow's address, without a path.
        username: Whom to sign in as.
        password: That user's password.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url
        self._credentials = {"username": username, "password": password}
        self._token = ""

    def get(self, path: str) -> Any:
        """The answer to `GET /api/v2/<path>`.

        Raises:
            AirflowApiError: If there is none, or it is an error.
        """
        return self._authorised("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to `POST /api/v2/<path>`.

        Raises:
            AirflowApiError: If there is none, or it is an error.
        """
        return self._authorised("POST", path, body)

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a run of a DAG now, with these parameters, and return the run's id.

        Raises:
            AirflowApiError: If Airflow refuses a parameter, or does not answer.
        """
        # No logical date: a run asked for by hand stands for no interval of a schedule.
        run = self.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
        return str(run["dag_run_id"])

    def _authorised(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        if not self._token:
            answer = self._call("POST", "auth/token", self._credentials)
            self._token = answer["access_token"]
        return self._call(method, f"api/v2/{path}", body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        request = Request(  # noqa: S310  the address is ours
            f"{self._url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with _direct.open(request, timeout=TIMEOUT_SECONDS) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise AirflowApiError(f"{method} /{path}: {error.code} {text[:500]}") from error
        except (OSError, ValueError) as error:
            raise AirflowApiError(f"{method} /{path}: {error}") from error
