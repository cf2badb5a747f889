"""Runs in MLflow: parameters, metrics and files."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldpath.contract import Contract
from goldpath.registry.artifact_files import can_fetch, fetch_file, has_file
from goldpath.registry.stores.mlflow import MlflowStore, translate
from goldpath.registry.stores.open_store import open_store
from goldpath.registry.stores.store import SQLITE, RegistryError, RegistryStore
from goldpath.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Tracking:
    """What training logs, on a server or in the project's own SQLite file.

    Args:
        settings: Say where MLflow is.
        contract: Names the registered model and the experiment.
        model_name: Another registered model than the contract's.
    """

    def __init__(
        self, settings: Settings, contract: Contract, model_name: str | None = None
    ) -> None:
        self.settings = settings
        self.contract = contract
        self.model_name = model_name or contract.model_name
        self.experiment_name = settings.experiment_name or contract.dataset
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        if settings.tracking_uri.startswith("http"):
            # MLflow's defaults retry for minutes; a person wants to read that the server is down.
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

    @property
    def store(self) -> RegistryStore:
        """The lightest way to the registry that works."""
        if self._store is None:
            store = open_store(self.settings)
            if type(store) is MlflowStore and self.settings.tracking_uri.startswith(SQLITE):
                return store  # the file will be there once MLflow has made it
            self._store = store
        return self._store

    _store: RegistryStore | None = None

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own client, for whatever this class does not offer.

        Raises:
            RegistryError: If the tracking URI is none.
        """
        client = MlflowStore(self.settings.tracking_uri).client
        import mlflow

        mlflow.set_tracking_uri(self.settings.tracking_uri)
        return client

    @contextlib.contextmanager
    def translate(self, what: str) -> Iterator[None]:
        """MLflow's exceptions as one sentence that names the server."""
        with translate(self.settings.tracking_uri, what):
            yield

    @contextlib.contextmanager
    def run(self, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """An MLflow run; yields its id. An exception inside marks the run as failed."""
        import mlflow

        with self.translate("starting a run"):
            experiment_id = self.experiment_id()
            mlflow.set_tracking_uri(self.settings.tracking_uri)
            active = mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=dict(tags))
        try:
            yield active.info.run_id
        except BaseException:
            # MLflow may be the very thing that failed; the first error is the one to show.
            with contextlib.suppress(RegistryError), self.translate("ending the run"):
                mlflow.end_run("FAILED")
            raise
        with self.translate("ending the run"):
            mlflow.end_run()

    def finish_run(self, run_id: str) -> None:
        """Mark a run as finished."""
        with self.translate("ending the run"):
            self.client.set_terminated(run_id)

    def log_parameters(self, run_id: str, parameters: Mapping[str, Any]) -> None:
        """Log parameters of a run."""
        with self.translate("logging parameters"):
            for key, value in parameters.items():
                self.client.log_param(run_id, key, value)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log metrics of a run."""
        with self.translate("logging metrics"):
            for key, value in metrics.items():
                self.client.log_metric(run_id, key, value)

    def log_text(self, run_id: str, text: str, artifact: str) -> None:
        """Log a text artifact."""
        with self.translate(f"logging {artifact}"):
            self.client.log_text(run_id, text, artifact)

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Log a file as an artifact."""
        with self.translate(f"logging {file.name}"):
            self.client.log_artifact(run_id, str(file), folder)

    def download_artifact(self, run_id: str, path: str, folder: Path | None = None) -> Path:
        """An artifact of a run as a local file.

        Args:
            run_id: The run.
            path: The artifact's path in the run.
            folder: Where to put a copy; where not given, MLflow's own file or a temporary one.

        Raises:
            RegistryError: If the run has no such artifact.
        """
        location = self._light_location(run_id)
        if folder is not None and location:
            return fetch_file(self.store, location, path, folder)
        import mlflow

        with self.translate(f"downloading {path}"):
            _ = self.client
            return Path(
                mlflow.artifacts.download_artifacts(
                    run_id=run_id,
                    artifact_path=path,
                    dst_path=str(folder) if folder else None,
                    tracking_uri=self.settings.tracking_uri,
                )
            )

    def has_artifact(self, run_id: str, path: str) -> bool:
        """Whether a run has an artifact of this path."""
        if location := self._light_location(run_id):
            return has_file(self.store, location, path)
        with self.translate(f"looking for {path}"):
            files = self.client.list_artifacts(run_id, path.rpartition("/")[0] or None)
        return any(file.path == path for file in files)

    def _light_location(self, run_id: str) -> str | None:
        """Where the run's files are, if they can be read without MLflow."""
        run = self.store.run(run_id)
        return run.artifact_uri if run and can_fetch(self.store, run.artifact_uri) else None

    def experiment_id(self) -> str:
        """The experiment's id; it is made, or restored, where it is missing."""
        with self.translate("looking up the experiment"):
            found = self.client.get_experiment_by_name(self.experiment_name)
            if found is not None:
                if found.lifecycle_stage == "deleted":
                    self.client.restore_experiment(found.experiment_id)
                return str(found.experiment_id)
            location = None
            if self.settings.tracking_uri.startswith("sqlite:"):
                # MLflow's default is ./mlruns, wherever the command happens to run.
                location = (self.settings.root / "mlflow" / "artifacts").as_uri()
            return str(
                self.client.create_experiment(self.experiment_name, artifact_location=location)
            )
