"""The way to the registry: where it is, the lightest store, and MLflow's own client."""

import contextlib
import os
from functools import cached_property
from typing import TYPE_CHECKING

from goldpath.registry.stores.answering import require_answer
from goldpath.registry.stores.artifact_root import require_own_artifacts
from goldpath.registry.stores.mlflow import MlflowStore, translate
from goldpath.registry.stores.open_store import open_store
from goldpath.registry.stores.store import SQLITE, RegistryError, RegistryStore
from goldpath.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


class RegistryConnection:
    """One registry, on a server or in the project's own SQLite file; opened when it is first used.

    Args:
        settings: Say where MLflow is.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._store: RegistryStore | None = None
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        if self.is_server:
            # MLflow's defaults retry for minutes; a person wants to read that the server is down.
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return self.settings.tracking_uri

    @property
    def is_server(self) -> bool:
        """Whether a server is asked, and no database."""
        return self.uri.startswith("http")

    @property
    def store(self) -> RegistryStore:
        """The lightest way to the registry that works."""
        if self._store is None:
            store = open_store(self.settings)
            if type(store) is MlflowStore and self.uri.startswith(SQLITE):
                return store  # the file will be there once MLflow has made it
            self._store = store
        return self._store

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own client, for whatever the store does not offer, and for all files.

        Raises:
            RegistryError: If the tracking URI is none, the database does not answer, or the files
                are those of another folder.
        """
        if self.uri.startswith(SQLITE):  # a locked file is waited for once
            require_answer(self.uri)
        require_own_artifacts(self.uri, self.settings.root)
        client = MlflowStore(self.uri).client
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        return client

    def translate(self, what: str) -> contextlib.AbstractContextManager[None]:
        """MLflow's exceptions as one sentence that names the server."""
        return translate(self.uri, what)

    def require_server(self, what: str) -> None:
        """Insist on a server.

        Raises:
            RegistryError: If the registry is a database.
        """
        if not self.is_server:
            raise RegistryError(
                f"{what} are sent by MLflow's server; {self.uri} is a database",
                "make mlflow-up and set MLFLOW_TRACKING_URI; or use registry.webhook_url",
            )
