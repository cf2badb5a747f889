"""The registry through MLflow's own client, for what the lighter ways cannot reach."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldpath.model_version import ModelVersion
from goldpath.registry.stores.answering import require_answer
from goldpath.registry.stores.database import ensure_database
from goldpath.registry.stores.login import shown_uri
from goldpath.registry.stores.store import (
    LEDGER_RUN,
    SQLITE,
    RegisteredModel,
    RegistryError,
    RunRecord,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = 1000
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
REFUSALS = (*ABSENT, "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST", "INVALID_STATE")
DATABASES = (SQLITE, "postgresql", "mysql", "mssql")


class MlflowStore:
    """Talks to whatever MLflow's client can talk to.

    Args:
        uri: The tracking URI.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own client.

        Raises:
            RegistryError: If the tracking URI names a folder, which MLflow 3 no longer serves, or
                a database that does not answer.
        """
        require_answer(self.uri)
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if self.uri.startswith(SQLITE):
            ensure_database(Path(self.uri.removeprefix(SQLITE)))
        elif not self.uri.startswith(("http://", "https://", *DATABASES)):
            raise RegistryError(
                f"MLFLOW_TRACKING_URI={self.uri!r} is neither a server nor a database",
                "use http://127.0.0.1:5000 (make mlflow-up), sqlite:///…, or leave it unset",
            )
        import mlflow

        return mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def model(self, name: str) -> RegisteredModel | None:
        """A registered model, or None."""
        with self._asking("looking up the model"):
            found = self._or_none(lambda: self.client.get_registered_model(name))
            return _model(found) if found is not None else None

    def models(self) -> list[RegisteredModel]:
        """All registered models, by name."""
        with self._asking("listing the models"):
            pages = self._pages(self.client.search_registered_models)
            return sorted((_model(item) for item in pages), key=lambda model: model.name)

    def version(self, name: str, version: str) -> ModelVersion | None:
        """A version, or None."""
        with self._asking(f"looking up version {version}"):
            found = self._or_none(lambda: self.client.get_model_version(name, version))
            return as_version(found) if found is not None else None

    def version_by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias points at, or None."""
        with self._asking(f"looking up the alias {alias}"):
            found = self._or_none(lambda: self.client.get_model_version_by_alias(name, alias))
            return as_version(found) if found is not None else None

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions, the oldest first."""
        model = self.model(name)
        if model is None:
            return []
        quoted = f"name = '{name}'" if "'" not in name else f'name = "{name}"'
        with self._asking("listing the versions"):
            pages = self._pages(self.client.search_model_versions, filter_string=quoted)
            # A search result carries no aliases in MLflow 3.17.
            found = [as_version(item, model.aliases) for item in pages]
        return sorted(found, key=lambda version: int(version.version))

    def model_location(self, model_id: str) -> str | None:
        """Where a logged model's files are, or None."""
        with self._asking("looking up the model's files"):
            found = self._or_none(lambda: self.client.get_logged_model(model_id))
            return str(found.artifact_location) if found is not None else None

    def run(self, run_id: str) -> RunRecord | None:
        """A run, or None."""
        with self._asking("looking up a run"):
            found = self._or_none(lambda: self.client.get_run(run_id))
        if found is None:
            return None
        return RunRecord(
            run_id=run_id,
            name=str(found.info.run_name or ""),
            status=str(found.info.status),
            deleted=found.info.lifecycle_stage == "deleted",
            parameters=dict(found.data.params),
            metrics=dict(found.data.metrics),
            tags=dict(found.data.tags),
            artifact_uri=str(found.info.artifact_uri),
        )

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        with self._asking(f"moving the alias {alias}"):
            self.client.set_registered_model_alias(name, alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; nothing happens where there is none."""
        with self._asking(f"removing the alias {alias}"):
            self.client.delete_registered_model_alias(name, alias)

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Tag a version."""
        with self._asking("tagging the version"):
            self.client.set_model_version_tag(name, version, key, value)

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        """Remove a tag."""
        with self._asking("removing a tag"):
            self.client.delete_model_version_tag(name, version, key)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Tag a registered model."""
        with self._asking("tagging the model"):
            self.client.set_registered_model_tag(name, key, value)

    def create_version(
        self,
        name: str,
        source: str,
        run_id: str,
        model_id: str | None,
        tags: Mapping[str, str],
        description: str,
    ) -> ModelVersion:
        """Register files as a new version."""
        with self._asking("registering the version"):
            return as_version(
                self.client.create_model_version(
                    name,
                    source=source,
                    run_id=run_id,
                    tags=dict(tags),
                    description=description,
                    model_id=model_id,
                )
            )

    def log_parameter(self, run_id: str, key: str, value: str) -> bool:
        """Log a parameter; False where the run has another value for it already."""
        from mlflow.exceptions import MlflowException

        with self._asking("logging a parameter"):
            try:
                self.client.log_param(run_id, key, value)
            except MlflowException as error:
                if "Changing param" in str(error):
                    return False
                raise
        return True

    def ledger_run(self, name: str) -> str | None:
        """The run that the tag of the experiment `name` names, or None."""
        with self._asking("looking up the ledger"):
            found = self.client.get_experiment_by_name(name)
            return found.tags.get(LEDGER_RUN) if found is not None else None

    def create_ledger(self, name: str) -> str | None:
        """Make the experiment `name` with one run; None where another process made it first."""
        from mlflow.exceptions import MlflowException

        with self._asking("making the ledger"):
            try:
                experiment = self.client.create_experiment(name)
            except MlflowException as error:
                if error.error_code == "RESOURCE_ALREADY_EXISTS":
                    return None
                raise
            run = self.client.create_run(experiment, tags={LEDGER_RUN: name}, run_name=name)
            self.client.set_experiment_tag(experiment, LEDGER_RUN, run.info.run_id)
            return str(run.info.run_id)

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        with translate(self.uri, what):
            yield

    def _or_none(self, ask: Any) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except MlflowException as error:
            if error.error_code in ABSENT:
                return None
            raise

    def _pages(self, search: Any, **query: Any) -> Iterator[Any]:
        token = None
        while True:
            page = search(**query, max_results=PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return


@contextlib.contextmanager
def translate(uri: str, what: str) -> Iterator[None]:
    """MLflow's exceptions as one sentence that names the server.

    Raises:
        RegistryError: In place of MLflow's exception.
    """
    from mlflow.exceptions import MlflowException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        away = type(error).__module__.startswith(("botocore", "boto3", "google.", "azure."))
        if not away and not isinstance(error, (MlflowException, OSError)):
            raise
        text = str(error).strip()
        first_line = text.splitlines()[0][:300] if text else type(error).__name__
        fix = "check that the server runs (make mlflow-up) or unset MLFLOW_TRACKING_URI"
        if getattr(error, "error_code", None) in REFUSALS:
            fix = "MLflow answered and refused it: change what it names"
        elif away:
            fix = (
                "the store of the registry's files does not answer: check its address "
                "(MLFLOW_S3_ENDPOINT_URL), the network and the credentials"
            )
        raise RegistryError(f"{what} failed at {shown_uri(uri)}: {first_line}", fix) from error


def as_version(found: Any, aliases: Mapping[str, str] | None = None) -> ModelVersion:
    """MLflow's model version as ours."""
    number = str(found.version)
    known = found.aliases or [
        alias for alias, version in (aliases or {}).items() if str(version) == number
    ]
    return ModelVersion(
        name=found.name,
        version=number,
        run_id=str(found.run_id or ""),
        aliases=tuple(sorted(known)),
        tags=dict(found.tags or {}),
        description=found.description or "",
        source=found.source or "",
        created=(found.creation_timestamp or 0) / 1000,
        mlflow_stage=found.current_stage or "None",
    )


def _model(found: Any) -> RegisteredModel:
    return RegisteredModel(
        name=found.name,
        description=found.description or "",
        tags=dict(found.tags or {}),
        aliases={alias: str(version) for alias, version in (found.aliases or {}).items()},
        created=(found.creation_timestamp or 0) / 1000,
    )
