"""The registry over HTTP, without MLflow: its import costs seconds, these requests milliseconds."""

import base64
import http.client
import json
import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from goldpath.model_version import ModelVersion
from goldpath.registry.stores.json import model_of, pairs_of, run_of, version_of
from goldpath.registry.stores.login import read_credentials, shown_uri
from goldpath.registry.stores.store import LEDGER_RUN, RegisteredModel, RegistryError, RunRecord

API = "/api/2.0/mlflow/"
PAGE = 1000
FRESH_SECONDS = 1.0
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "ENDPOINT_NOT_FOUND")
# Ways to log in that only MLflow's own client knows.
OTHER_LOGINS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_WORKSPACE")


class RestStore:
    """Talks to one server over one connection, which is kept open.

    Args:
        uri: The server, such as http://127.0.0.1:5000.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._parts = urlsplit(uri)
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._pid = os.getpid()
        self._last_used = 0.0
        self._headers = {"Accept": "application/json", **_login(uri)}

    @staticmethod
    def can_reach(uri: str) -> bool:
        """Whether no proxy is in between and the login is a password or a token."""
        host = urlsplit(uri).hostname or ""
        proxied = bool(getproxies().get(urlsplit(uri).scheme)) and not proxy_bypass(host)
        return not proxied and not any(os.environ.get(name) for name in OTHER_LOGINS)

    def model(self, name: str) -> RegisteredModel | None:
        """A registered model, or None."""
        found = self._find("registered-models/get", "registered_model", name=name)
        return model_of(found) if found is not None else None

    def models(self) -> list[RegisteredModel]:
        """All registered models, by name."""
        pages = self._pages("registered-models/search", "registered_models")
        return sorted((model_of(item) for item in pages), key=lambda model: model.name)

    def version(self, name: str, version: str) -> ModelVersion | None:
        """A version, or None."""
        found = self._find("model-versions/get", "model_version", name=name, version=version)
        return version_of(found) if found is not None else None

    def version_by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias points at, or None."""
        found = self._find("registered-models/alias", "model_version", name=name, alias=alias)
        return version_of(found) if found is not None else None

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions, the oldest first."""
        model = self.model(name)
        if model is None:
            return []
        quoted = f"name = '{name}'" if "'" not in name else f'name = "{name}"'
        found = self._pages("model-versions/search", "model_versions", filter=quoted)
        # A search result carries no aliases in MLflow 3.17.
        versions = [version_of(item, model.aliases) for item in found]
        return sorted(versions, key=lambda version: int(version.version))

    def model_location(self, model_id: str) -> str | None:
        """Where a logged model's files are, or None."""
        found = self._find(f"logged-models/{quote(model_id)}", "model")
        return str(found["info"]["artifact_uri"]) if found is not None else None

    def run(self, run_id: str) -> RunRecord | None:
        """A run, or None."""
        found = self._find("runs/get", "run", run_id=run_id)
        return run_of(run_id, found) if found is not None else None

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self._ask("POST", "registered-models/alias", name=name, alias=alias, version=version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; nothing happens where there is none."""
        self._ask("DELETE", "registered-models/alias", name=name, alias=alias)

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Tag a version."""
        self._ask(
            "POST", "model-versions/set-tag", name=name, version=version, key=key, value=value
        )

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        """Remove a tag."""
        self._ask("DELETE", "model-versions/delete-tag", name=name, version=version, key=key)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Tag a registered model."""
        self._ask("POST", "registered-models/set-tag", name=name, key=key, value=value)

    def create_version(
        self,
        name: str,
        source: str,
        run_id: str,
        model_id: str | None,
        tags: Mapping[str, str],
        description: str,
    ) -> ModelVersion:
        """Register files as a new version. Never sent twice: a retry would make two versions."""
        fields: dict[str, Any] = {
            "name": name,
            "source": source,
            "run_id": run_id,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
            "description": description,
        }
        if model_id:  # a server refuses a models:/ source without it
            fields["model_id"] = model_id
        answer = self._ask("POST", "model-versions/create", once=True, **fields)
        return version_of(answer["model_version"])

    def log_parameter(self, run_id: str, key: str, value: str) -> bool:
        """Log a parameter; False where the run has another value for it already."""
        answer = self._send(
            "POST", "runs/log-parameter", {"run_id": run_id, "key": key, "value": value}
        )
        if answer.get("error_code") == "INVALID_PARAMETER_VALUE" and "Changing param" in str(
            answer.get("message")
        ):
            return False
        self._refuse_error("runs/log-parameter", answer)
        return True

    def ledger_run(self, name: str) -> str | None:
        """The run that the tag of the experiment `name` names, or None."""
        found = self._find("experiments/get-by-name", "experiment", experiment_name=name)
        return pairs_of(found.get("tags")).get(LEDGER_RUN) if found is not None else None

    def create_ledger(self, name: str) -> str | None:
        """Make the experiment `name` with one run; None where another process made it first."""
        answer = self._send("POST", "experiments/create", {"name": name})
        if answer.get("error_code") == "RESOURCE_ALREADY_EXISTS":
            return None
        self._refuse_error("experiments/create", answer)
        experiment = answer["experiment_id"]
        made = self._ask(
            "POST",
            "runs/create",
            experiment_id=experiment,
            run_name=name,
            tags=[{"key": LEDGER_RUN, "value": name}],
        )
        run_id = str(made["run"]["info"]["run_id"])
        self._ask(
            "POST",
            "experiments/set-experiment-tag",
            experiment_id=experiment,
            key=LEDGER_RUN,
            value=run_id,
        )
        return run_id

    def _find(self, path: str, field: str, **query: str) -> dict[str, Any] | None:
        answer = self._send("GET", path, query)
        if answer.get("error_code") in ABSENT:
            return None
        self._refuse_error(path, answer)
        found: dict[str, Any] = answer[field]
        return found

    def _pages(self, path: str, field: str, **query: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            fields: dict[str, Any] = {**query, "max_results": PAGE}
            if token:
                fields["page_token"] = token
            answer = self._ask("GET", path, **fields)
            yield from answer.get(field, ())
            token = answer.get("next_page_token", "")
            if not token:
                return

    def _ask(self, method: str, path: str, *, once: bool = False, **fields: Any) -> dict[str, Any]:
        answer = self._send(method, path, fields, once=once)
        self._refuse_error(path, answer)
        return answer

    def _refuse_error(self, path: str, answer: Mapping[str, Any]) -> None:
        if "error_code" not in answer:
            return
        code, message = answer["error_code"], str(answer.get("message", "")).strip()
        first_line = message.splitlines()[0][:300] if message else code
        fixes = {
            "401": "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            "403": "ask the server's administrator for EDIT on this model",
        }
        raise RegistryError(
            f"MLflow at {shown_uri(self.uri)} refused {path}: {first_line}",
            fixes.get(code, "see what the registry holds: registry list"),
        )

    def _send(
        self, method: str, path: str, fields: Mapping[str, Any], *, once: bool = False
    ) -> dict[str, Any]:
        """One request; the answer's JSON, which is an error where it has an error_code."""
        if method == "GET":
            return self._parse(*self.exchange(method, f"{API}{path}?{urlencode(fields)}"))
        return self._parse(*self.exchange(method, f"{API}{path}", json.dumps(fields), once=once))

    def exchange(
        self, method: str, target: str, body: str | None = None, *, once: bool = False
    ) -> tuple[int, bytes]:
        """One request to the server; the answer's status and body.

        Args:
            method: HTTP's.
            target: Path and query below the server's own path.
            body: JSON.
            once: Never send it twice, even where the connection broke.

        Raises:
            RegistryError: If the server cannot be reached.
        """
        target = self._parts.path.rstrip("/") + target
        headers = self._headers
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        with self._lock:
            # A server may have closed a connection that lay idle; all but one request may be
            # sent again then, and that one does not go over a connection that lay idle.
            if once and time.monotonic() - self._last_used > FRESH_SECONDS:
                self._close()
            for attempt in (1, 1 if once else 2):
                try:
                    connection = self._connect()
                    connection.request(method, target, body, headers)
                    response = connection.getresponse()
                    content = response.read()
                    self._last_used = time.monotonic()
                    break
                except (OSError, http.client.HTTPException) as error:
                    self._close()
                    if attempt == 2 or once:
                        raise self._unreachable(target.partition("?")[0], error) from error
        return response.status, content

    def _parse(self, status: int, content: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(content or b"{}")
        except ValueError:
            answer = {}
        if status in (401, 403):
            text = content.decode("utf-8", "replace")[:200] or "login needed"
            return {"error_code": str(status), "message": answer.get("message", text)}
        if status >= 400 and "error_code" not in answer:
            return {"error_code": str(status), "message": f"HTTP {status}"}
        return answer if isinstance(answer, dict) else {}

    def _connect(self) -> http.client.HTTPConnection:
        if self._pid != os.getpid():  # a forked worker must not share its parent's connection
            self._connection, self._pid = None, os.getpid()
        if self._connection is None:
            timeout = float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "20"))
            host, port = self._parts.hostname or "", self._parts.port
            if self._parts.scheme == "https":
                self._connection = http.client.HTTPSConnection(
                    host, port, timeout=timeout, context=_tls()
                )
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=timeout)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unreachable(self, path: str, error: Exception) -> RegistryError:
        reason = str(error) or type(error).__name__
        return RegistryError(
            f"{path} failed: MLflow at {shown_uri(self.uri)} cannot be reached ({reason})",
            "check that the server runs (make mlflow-up) or unset MLFLOW_TRACKING_URI",
        )


def _login(uri: str) -> dict[str, str]:
    """The header that MLflow's variables, the credentials file or the URI ask for."""
    parts = urlsplit(uri)
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user, password = read_credentials()
    if parts.username:
        user, password = unquote(parts.username), unquote(parts.password or "")
    if not user:
        return {}
    pair = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return {"Authorization": f"Basic {pair}"}


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        context.load_cert_chain(client)
    return context
