"""MLflow: runs, the registry and the champion alias, on a server or on a SQLite file."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..contract import Contract, parse_contract
from ..errors import ProjectError
from ..settings import Settings
from .estimators import TRUSTED_TYPES
from .scoring import LoadedModel, ModelVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
MODEL_PATH = "model"
CONTRACT_FILE = "contract.yaml"
REFERENCE_FILE = "drift/reference.parquet"
RUN_KEY = "run_key"


class RegistryError(ProjectError):
    """MLflow cannot be reached, or lacks what was asked for."""


@dataclass(frozen=True)
class RegistryStatus:
    """Where runs and models are kept."""

    tracking_uri: str
    experiment: str
    model: str
    champion: str | None


class MLflowManager:
    """The one place that talks to MLflow.

    Works with a server (`MLFLOW_TRACKING_URI=http://…`) and, by default, with the project's own
    SQLite file, which `make mlflow-up` serves too, so that both see the same runs.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings = settings
        self._contract = contract
        self.model_name = contract.model_name
        self.experiment_name = settings.experiment_name or contract.dataset
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        if settings.tracking_uri.startswith("http"):
            # MLflow's defaults retry for minutes; a person wants to read that the server is down.
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own client.

        Raises:
            RegistryError: Where the tracking URI names a folder, which MLflow 3 no longer serves.
        """
        uri = self._settings.tracking_uri
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        elif not uri.startswith(("http://", "https://", "postgresql", "mysql")):
            raise RegistryError(
                f"MLFLOW_TRACKING_URI={uri!r} is neither a server nor a database",
                "use http://127.0.0.1:5000 (make mlflow-up), sqlite:///…, or leave it unset",
            )
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        import mlflow

        mlflow.set_tracking_uri(uri)
        return mlflow.MlflowClient(tracking_uri=uri)

    @contextlib.contextmanager
    def _translate(self, what: str) -> Iterator[None]:
        """MLflow's exceptions as one sentence that names the server."""
        from mlflow.exceptions import MlflowException

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except (MlflowException, OSError) as error:
            first_line = (
                str(error).strip().splitlines()[0][:300]
                if str(error).strip()
                else type(error).__name__
            )
            raise RegistryError(
                f"{what} failed at {self._settings.tracking_uri}: {first_line}",
                "check that the server runs (make mlflow-up) or unset MLFLOW_TRACKING_URI",
            ) from error

    def initialise(self) -> RegistryStatus:
        """Create the experiment and the registered model where they are missing."""
        with self._translate("creating the experiment"):
            self._experiment_id()
            self._ensure_registered_model()
        champion = self.champion_version()
        return RegistryStatus(
            tracking_uri=self._settings.tracking_uri,
            experiment=self.experiment_name,
            model=self.model_name,
            champion=champion.version if champion else None,
        )

    @contextlib.contextmanager
    def run(self, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """An MLflow run; yields its id. An exception inside marks the run as failed."""
        import mlflow

        with self._translate("starting a run"):
            _ = self.client
            experiment_id = self._experiment_id()
        with mlflow.start_run(
            experiment_id=experiment_id, run_name=name, tags=dict(tags)
        ) as active:
            yield active.info.run_id

    def log_parameters(self, run_id: str, parameters: Mapping[str, Any]) -> None:
        """Log parameters of a run."""
        with self._translate("logging parameters"):
            for key, value in parameters.items():
                self.client.log_param(run_id, key, value)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log metrics of a run."""
        with self._translate("logging metrics"):
            for key, value in metrics.items():
                self.client.log_metric(run_id, key, value)

    def log_text(self, run_id: str, text: str, artifact: str) -> None:
        """Log a text artifact."""
        with self._translate(f"logging {artifact}"):
            self.client.log_text(run_id, text, artifact)

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Log a file as an artifact."""
        with self._translate(f"logging {file.name}"):
            self.client.log_artifact(run_id, str(file), folder)

    def register(
        self, run_id: str, model: LoadedModel, example: Any, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Store a fitted pipeline in the run and register it as a new version.

        Args:
            run_id: The active run.
            model: The fitted pipeline.
            example: Model frame for the signature; all training rows, since MLflow would make a
                column required where the rows it sees have no gap.
            tags: Tags of the version.
        """
        import mlflow

        with self._translate("registering the model"):
            output = model.pipeline.predict(example)
            info = mlflow.sklearn.log_model(
                sk_model=model.pipeline,
                name=MODEL_PATH,
                signature=mlflow.models.infer_signature(example, output),
                # Without requirements MLflow spends 50 s guessing them.
                pip_requirements=_model_requirements(),
                serialization_format="skops",
                skops_trusted_types=list(TRUSTED_TYPES),
            )
            self._ensure_registered_model()
            created = self.client.create_model_version(
                self.model_name,
                source=info.model_uri,
                run_id=run_id,
                tags=dict(tags),
                model_id=info.model_id,  # a server refuses a models:/ source without it
            )
        return self.version(str(created.version))

    def version(self, version: str) -> ModelVersion:
        """A version of the registered model.

        Raises:
            RegistryError: Where there is no such version.
        """
        with self._translate(f"looking up {self.model_name} version {version}"):
            found = self.client.get_model_version(self.model_name, version)
            return _as_version(found)

    def champion_version(self) -> ModelVersion | None:
        """The version that the champion alias points at, or None."""
        from mlflow.exceptions import MlflowException

        with self._translate("looking up the champion"):
            try:
                return _as_version(
                    self.client.get_model_version_by_alias(self.model_name, CHAMPION)
                )
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def newest_version(self) -> ModelVersion | None:
        """The version with the highest number, or None."""
        versions = self._search(f"name = '{self.model_name}'")
        return max(versions, key=lambda version: int(version.version), default=None)

    def version_of_run_key(self, run_key: str) -> ModelVersion | None:
        """The version that a run of this name registered, or None."""
        versions = self._search(f"name = '{self.model_name}' and tags.{RUN_KEY} = '{run_key}'")
        return max(versions, key=lambda version: int(version.version), default=None)

    def _search(self, query: str) -> list[ModelVersion]:
        with self._translate("searching the registry"):
            found = self.client.search_model_versions(query)
            # A search result carries no aliases in MLflow 3.17; a look-up does.
            return [_as_version(item) for item in found]

    def set_champion(self, version: str) -> None:
        """Point the champion alias at a version. Only the promotion gate calls this."""
        with self._translate("moving the champion alias"):
            self.client.set_registered_model_alias(self.model_name, CHAMPION, version)

    def tag_version(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""
        with self._translate("tagging the version"):
            for key, value in tags.items():
                self.client.set_model_version_tag(self.model_name, version, key, value)

    def download_artifact(self, run_id: str, path: str, folder: Path | None = None) -> Path:
        """An artifact of a run as a local file.

        Args:
            run_id: The run.
            path: The artifact's path in the run.
            folder: Where to put a copy; where not given, MLflow's own file or a temporary one.

        Raises:
            RegistryError: Where the run has no such artifact.
        """
        import mlflow

        with self._translate(f"downloading {path}"):
            _ = self.client
            target = str(folder) if folder else None
            return Path(
                mlflow.artifacts.download_artifacts(
                    run_id=run_id, artifact_path=path, dst_path=target
                )
            )

    def load(self, version: ModelVersion) -> LoadedModel:
        """A version's pipeline and the contract it was trained with.

        Raises:
            RegistryError: Where the files are missing or hold a type that is not allowed.
        """
        import mlflow

        uri = f"models:/{version.name}/{version.version}"
        # A service loads each new champion for months: the downloads must not pile up.
        with TemporaryDirectory(prefix="model-") as folder:
            with self._translate(f"downloading version {version.version}"):
                _ = self.client
                files = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
            contract = self.download_artifact(version.run_id, CONTRACT_FILE, Path(folder))
            return LoadedModel(
                pipeline=_read_pipeline(Path(files) / "model.skops", uri),
                contract=parse_contract(contract.read_text(encoding="utf-8")),
                version=version,
            )

    def _experiment_id(self) -> str:
        found = self.client.get_experiment_by_name(self.experiment_name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = None
        if self._settings.tracking_uri.startswith("sqlite:"):
            # MLflow's default is ./mlruns, wherever the command happens to run.
            location = (self._settings.root / "mlflow" / "artifacts").as_uri()
        return str(self.client.create_experiment(self.experiment_name, artifact_location=location))

    def _ensure_registered_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _read_pipeline(file: Path, uri: str) -> Any:
    """A stored pipeline, read with the allow-list in `estimators.py`.

    The list that MLflow stores beside the model is ignored, since whoever can write the model can
    write that list.

    Raises:
        RegistryError: Where the file is missing or holds a type that is not allowed.
    """
    from skops.io import load
    from skops.io.exceptions import UntrustedTypesFoundException

    if not file.is_file():
        raise RegistryError(
            f"{uri} holds no {file.name}",
            "register it with: make train-local (pickled models are refused)",
        )
    try:
        return load(file, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise RegistryError(
            f"{uri} holds types that are not allowed: {error}",
            "extend TRUSTED_TYPES in model/estimators.py if you know them to be safe",
        ) from error


def _as_version(found: Any) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        run_id=str(found.run_id),
        aliases=tuple(sorted(found.aliases or ())),
        tags=dict(found.tags or {}),
    )


def _model_requirements() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("numpy", "pandas", "scikit-learn", "skops")]
