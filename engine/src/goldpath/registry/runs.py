"""Runs in MLflow: parameters, metrics and files."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from goldpath.registry.connection import RegistryConnection
from goldpath.registry.files.artifacts import can_fetch, fetch_file, has_file
from goldpath.registry.stores.store import SQLITE, RegistryError


@dataclass(frozen=True)
class Runs:
    """The runs of one experiment, and the files of any run.

    Attributes:
        connection: The registry.
        experiment: The experiment's name.
    """

    connection: RegistryConnection
    experiment: str

    @contextlib.contextmanager
    def start(self, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """An MLflow run; yields its id. An exception inside marks the run as failed."""
        import mlflow

        with self.connection.translate("starting a run"):
            experiment_id = self.experiment_id()
            mlflow.set_tracking_uri(self.connection.uri)
            active = mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=dict(tags))
        try:
            yield active.info.run_id
        except BaseException:
            # MLflow may be the very thing that failed; the first error is the one to show.
            with contextlib.suppress(RegistryError), self.connection.translate("ending the run"):
                mlflow.end_run("FAILED")
            raise
        with self.connection.translate("ending the run"):
            mlflow.end_run()

    def finish(self, run_id: str) -> None:
        """Mark a run as finished."""
        with self.connection.translate("ending the run"):
            self.connection.client.set_terminated(run_id)

    def log_parameters(self, run_id: str, parameters: Mapping[str, Any]) -> None:
        """Log parameters of a run."""
        with self.connection.translate("logging parameters"):
            for key, value in parameters.items():
                self.connection.client.log_param(run_id, key, value)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log metrics of a run."""
        with self.connection.translate("logging metrics"):
            for key, value in metrics.items():
                self.connection.client.log_metric(run_id, key, value)

    def log_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Tag a run."""
        with self.connection.translate("tagging the run"):
            for key, value in tags.items():
                self.connection.client.set_tag(run_id, key, value)

    def log_text(self, run_id: str, text: str, artifact: str) -> None:
        """Log a text artifact."""
        with self.connection.translate(f"logging {artifact}"):
            self.connection.client.log_text(run_id, text, artifact)

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Log a file as an artifact."""
        with self.connection.translate(f"logging {file.name}"):
            self.connection.client.log_artifact(run_id, str(file), folder)

    def read_text(self, run_id: str, path: str) -> str:
        """The text of an artifact of a run.

        Raises:
            RegistryError: If the run has no such artifact.
        """
        with TemporaryDirectory(prefix="artifact-") as name:
            return self.download(run_id, path, Path(name)).read_text(encoding="utf-8")

    def download(self, run_id: str, path: str, folder: Path) -> Path:
        """A copy of an artifact of a run.

        Args:
            run_id: The run.
            path: The artifact's path in the run.
            folder: Where to put it. MLflow would choose one itself, and leave it there.

        Raises:
            RegistryError: If the run has no such artifact.
        """
        if location := self._light_location(run_id):
            return fetch_file(self.connection.store, location, path, folder)
        import mlflow

        with self.connection.translate(f"downloading {path}"):
            _ = self.connection.client
            return Path(
                mlflow.artifacts.download_artifacts(
                    run_id=run_id,
                    artifact_path=path,
                    dst_path=str(folder),
                    tracking_uri=self.connection.uri,
                )
            )

    def has(self, run_id: str, path: str) -> bool:
        """Whether a run has an artifact of this path."""
        if location := self._light_location(run_id):
            return has_file(self.connection.store, location, path)
        with self.connection.translate(f"looking for {path}"):
            files = self.connection.client.list_artifacts(run_id, path.rpartition("/")[0] or None)
        return any(file.path == path for file in files)

    def experiment_id(self) -> str:
        """The experiment's id; it is made, or restored, where it is missing."""
        with self.connection.translate("looking up the experiment"):
            client = self.connection.client
            found = client.get_experiment_by_name(self.experiment)
            if found is not None:
                if found.lifecycle_stage == "deleted":
                    client.restore_experiment(found.experiment_id)
                return str(found.experiment_id)
            location = None
            if self.connection.uri.startswith(SQLITE):
                # MLflow's default is ./mlruns, wherever the command happens to run.
                location = (self.connection.settings.root / "mlflow" / "artifacts").as_uri()
            return str(client.create_experiment(self.experiment, artifact_location=location))

    def _light_location(self, run_id: str) -> str | None:
        """Where the run's files are, if they can be read without MLflow."""
        store = self.connection.store
        run = store.run(run_id)
        return run.artifact_uri if run and can_fetch(store, run.artifact_uri) else None
