"""What the registry is asked for, whichever way it is reached."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from goldpath.errors import ProjectError
from goldpath.model_version import ModelVersion

SQLITE = "sqlite:///"
LEDGER_RUN = "registry_ledger_run"


class RegistryError(ProjectError):
    """MLflow cannot be reached, or lacks what was asked for."""


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model, without its versions.

    Attributes:
        name: Its name.
        description: What people wrote about it.
        tags: Its tags.
        aliases: The version that each alias points at.
        created: When, in seconds since 1970.
    """

    name: str
    description: str
    tags: Mapping[str, str]
    aliases: Mapping[str, str]
    created: float


@dataclass(frozen=True)
class RunRecord:
    """A run: what it logged.

    Attributes:
        run_id: MLflow's id.
        name: Its name.
        status: RUNNING, FINISHED, FAILED …
        deleted: Whether it waits for garbage collection.
        parameters: What it logged once.
        metrics: The last value of each.
        tags: Its tags.
        artifact_uri: Where its files are.
    """

    run_id: str
    name: str
    status: str
    deleted: bool
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifact_uri: str


class RegistryStore(Protocol):
    """The part of MLflow's API that the project's registry commands need."""

    def model(self, name: str) -> RegisteredModel | None:
        """A registered model, or None."""
        ...

    def models(self) -> list[RegisteredModel]:
        """All registered models, by name."""
        ...

    def version(self, name: str, version: str) -> ModelVersion | None:
        """A version, or None."""
        ...

    def version_by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias points at, or None."""
        ...

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions, the oldest first."""
        ...

    def model_location(self, model_id: str) -> str | None:
        """Where a logged model's files are, or None."""
        ...

    def run(self, run_id: str) -> RunRecord | None:
        """A run, or None."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; nothing happens where there is none."""
        ...

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Tag a version."""
        ...

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        """Remove a tag."""
        ...

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Tag a registered model."""
        ...

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
        ...

    def log_parameter(self, run_id: str, key: str, value: str) -> bool:
        """Log a parameter; False where the run has another value for it already."""
        ...

    def ledger_run(self, name: str) -> str | None:
        """The run that the tag of the experiment `name` names, or None."""
        ...

    def create_ledger(self, name: str) -> str | None:
        """Make the experiment `name` with one run; None where another process made it first."""
        ...
