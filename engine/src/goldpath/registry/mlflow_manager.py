"""MLflow: runs, the registry and its aliases, on a server or on a SQLite file."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldpath.contract import Contract
from goldpath.model_version import ModelVersion
from goldpath.registry.comparison import VersionComparison
from goldpath.registry.connection import RegistryConnection
from goldpath.registry.copy import copy_version
from goldpath.registry.garbage import Garbage, collect_garbage, find_garbage
from goldpath.registry.lifecycle import Lifecycle
from goldpath.registry.lookup import Lookup
from goldpath.registry.model_files import ModelFiles
from goldpath.registry.registration import Registration
from goldpath.registry.runs import Runs
from goldpath.registry.stages import CHALLENGER, CHAMPION, STAGING, Stage, stage_of
from goldpath.registry.stores.store import RegisteredModel, RegistryError, RegistryStore, RunRecord
from goldpath.registry.webhooks.server import ServerWebhooks
from goldpath.settings import Settings
from goldpath.trust.signing import Signature

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from goldpath.compiled.encoded import EncodedModel
    from goldpath.compiled.scorer import CompiledModel
    from goldpath.learning.scoring import LoadedModel

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "STAGING",
    "MLflowManager",
    "RegisteredModel",
    "RegistryError",
    "RegistryStatus",
    "RunRecord",
    "stage_of",
]


@dataclass(frozen=True)
class RegistryStatus:
    """Where runs and models are kept."""

    tracking_uri: str
    experiment: str
    model: str
    champion: str | None


class MLflowManager:
    """The registry: runs, model versions, aliases and stages; the one place that talks to MLflow.

    Works with a server (`MLFLOW_TRACKING_URI=http://…`, with or without a login) and, by default,
    with the project's own SQLite file, which `make mlflow-up` serves too, so that both see the same
    runs. Its parts do the work: `runs`, `files` (of a version), `lookup`, `registration` (storing
    and signing), `lifecycle` (aliases, stages, renaming, deleting) and `server_webhooks`.

    Args:
        settings: Where the registry is (`tracking_uri`), and how versions are signed.
        contract: Names the registered model.
        model_name: Another registered model than the contract's.

    Raises:
        RegistryError: If a version is not there or the registry cannot be reached, from any method.
        SignatureError: If a version is not what was signed, from those that load it.

    Example:
        In a project whose first version is the champion:

        >>> from goldpath import MLflowManager, load_contract, load_settings
        >>> settings = load_settings()
        >>> manager = MLflowManager(settings, load_contract(settings.root))
        >>> champion = manager.champion_version()
        >>> champion.name, champion.version
        ('customer_churn', '1')
        >>> manager.load(champion).contract.target.classes
        ('no', 'yes')
    """

    def __init__(
        self, settings: Settings, contract: Contract, model_name: str | None = None
    ) -> None:
        self.settings = settings
        self.contract = contract
        self.connection = RegistryConnection(settings)
        self.runs = Runs(self.connection, settings.experiment_name or contract.dataset)
        self.files = ModelFiles(self.runs)
        self.server_webhooks = ServerWebhooks(self.connection)
        self._work_on(model_name or contract.model_name)

    def _work_on(self, model_name: str) -> None:
        self.model_name = model_name
        self.lookup = Lookup(self.connection, model_name)
        self.registration = Registration(self.runs, model_name)
        self.lifecycle = Lifecycle(self.lookup, self.registration, self.files)

    # The registry itself

    @property
    def store(self) -> RegistryStore:
        """The lightest way to the registry that works."""
        return self.connection.store

    @property
    def client(self) -> "MlflowClient":
        """MLflow's own client, for whatever this class does not offer."""
        return self.connection.client

    def translate(self, what: str) -> AbstractContextManager[None]:
        """MLflow's exceptions as one sentence that names the server."""
        return self.connection.translate(what)

    def initialise(self) -> RegistryStatus:
        """Create the experiment and the registered model where they are missing."""
        self.experiment_id()
        self.ensure_model()
        champion = self.champion_version()
        return RegistryStatus(
            tracking_uri=self.connection.uri,
            experiment=self.runs.experiment,
            model=self.model_name,
            champion=champion.version if champion else None,
        )

    def named(self, name: str) -> "MLflowManager":
        """The same registry, and another registered model in it."""
        return MLflowManager(self.settings, self.contract, name)

    def at(self, tracking_uri: str) -> "MLflowManager":
        """The same model in another registry."""
        settings = self.settings.model_copy(update={"tracking_uri": tracking_uri})
        return MLflowManager(settings, self.contract, self.model_name)

    # Runs

    def experiment_id(self) -> str:
        """The experiment's id; it is made, or restored, where it is missing."""
        return self.runs.experiment_id()

    def run(self, name: str, tags: Mapping[str, str]) -> AbstractContextManager[str]:
        """An MLflow run; yields its id. An exception inside marks the run as failed."""
        return self.runs.start(name, tags)

    def finish_run(self, run_id: str) -> None:
        """Mark a run as finished."""
        self.runs.finish(run_id)

    def log_parameters(self, run_id: str, parameters: Mapping[str, Any]) -> None:
        """Log parameters of a run."""
        self.runs.log_parameters(run_id, parameters)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log metrics of a run."""
        self.runs.log_metrics(run_id, metrics)

    def log_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Tag a run."""
        self.runs.log_tags(run_id, tags)

    def log_text(self, run_id: str, text: str, artifact: str) -> None:
        """Log a text artifact."""
        self.runs.log_text(run_id, text, artifact)

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Log a file as an artifact."""
        self.runs.log_file(run_id, file, folder)

    def download_artifact(self, run_id: str, path: str, folder: Path) -> Path:
        """A copy of a run's artifact in a folder."""
        return self.runs.download(run_id, path, folder)

    def read_text(self, run_id: str, path: str) -> str:
        """The text of a run's artifact."""
        return self.runs.read_text(run_id, path)

    def has_artifact(self, run_id: str, path: str) -> bool:
        """Whether a run has an artifact of this path."""
        return self.runs.has(run_id, path)

    # Storing and loading models

    def ensure_model(self) -> None:
        """Create the registered model where it is missing."""
        self.registration.ensure_model()

    def register(
        self,
        run_id: str,
        model: "LoadedModel",
        example: Any,
        tags: Mapping[str, str],
        description: str = "",
    ) -> ModelVersion:
        """Store a fitted pipeline in the run, sign it, and register it as a new version."""
        return self.registration.register(run_id, model, example, tags, description)

    def create_version(
        self,
        source: str,
        run_id: str,
        model_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> ModelVersion:
        """Register files that a run has stored as a new version, and record it."""
        return self.registration.create_version(source, run_id, model_id, tags, description)

    def finish_registration(self, version: ModelVersion) -> None:
        """Do what a process or a server that died after the version was made left undone."""
        self.registration.finish(version)

    def signature(self, version: ModelVersion) -> Signature:
        """The signature that was stored for a version; nothing is verified."""
        return self.files.signature(version)

    def verify_signature(self, version: ModelVersion) -> Signature:
        """Check that a version's files are those that were signed for it."""
        return self.files.verify(version)

    def load(self, version: ModelVersion) -> "LoadedModel":
        """A version's pipeline and the contract it was trained with, verified before it is read."""
        return self.files.load(version)

    def load_version(self, reference: str) -> "LoadedModel":
        """Load by number, alias, stage or semantic version, verified."""
        return self.files.load(self.find(reference))

    def load_for_serving(
        self, version: ModelVersion
    ) -> "CompiledModel | EncodedModel | LoadedModel":
        """A version as it serves: its compiled form where it has one, else its pipeline."""
        return self.files.load_for_serving(version)

    def load_kept(self) -> "tuple[ModelVersion, CompiledModel | EncodedModel | LoadedModel] | None":
        """The model that `load_for_serving` gave last on this machine, verified again; or None."""
        return self.files.load_kept(self.model_name)

    # Finding versions

    def version(self, version: str) -> ModelVersion:
        """A version of the registered model, by its number."""
        return self.lookup.version(version)

    def versions(self) -> list[ModelVersion]:
        """All versions, the oldest first, with their aliases."""
        return self.lookup.versions()

    def find(self, reference: str) -> ModelVersion:
        """A version by number, alias, stage or semantic version: 3, champion, Production, 1.4.2."""
        return self.lookup.find(reference)

    def newest_version(self) -> ModelVersion | None:
        """The version with the highest number, or None."""
        return self.lookup.newest()

    def version_by_alias(self, alias: str) -> ModelVersion | None:
        """The version that an alias points at, or None."""
        return self.lookup.by_alias(alias)

    def champion_version(self) -> ModelVersion | None:
        """The version that the champion alias points at, or None."""
        return self.lookup.champion()

    def version_of_run_key(self, run_key: str) -> ModelVersion | None:
        """The version that a run of this name registered, or None."""
        return self.lookup.of_run_key(run_key)

    def search_versions(
        self, tags: Mapping[str, str] | None = None, stage: str | None = None, text: str = ""
    ) -> list[ModelVersion]:
        """Versions with all of these tags, in this stage, and with this text in the description."""
        return self.lookup.search(tags, stage, text)

    def compare_versions(self, first: str, second: str) -> VersionComparison:
        """Metrics, data, parameters and tags of two versions, and where they differ."""
        return self.lookup.compare(first, second)

    def run_record(self, version: ModelVersion) -> RunRecord | None:
        """What the version's run logged; None where the run is gone."""
        return self.lookup.run(version)

    def registered_model(self) -> RegisteredModel | None:
        """The registered model itself; None before the first version."""
        return self.lookup.registered_model()

    def models(self) -> list[RegisteredModel]:
        """All registered models."""
        return self.lookup.models()

    def search_models(self, text: str = "") -> list[RegisteredModel]:
        """Registered models with this text in name or description."""
        return self.lookup.search_models(text)

    # What happens to them afterwards

    def set_champion(self, version: str) -> None:
        """Point the champion alias at a version without asking the gate (`promote` asks it)."""
        self.lifecycle.set_champion(version)

    def note_succession(self, champion: str, former: str | None) -> None:
        """Bring the stage tags in line with the champion alias, which decides before them."""
        self.lifecycle.note_succession(champion, former)

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version and record it; nothing happens where it does so already."""
        self.lifecycle.set_alias(alias, version)

    def remove_alias(self, alias: str) -> None:
        """Remove an alias and record it."""
        self.lifecycle.remove_alias(alias)

    def tag_version(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version; what a program notes, so it is not in the audit log."""
        self.lifecycle.tag_version(version, tags)

    def annotate(
        self,
        version: str,
        tags: Mapping[str, str] | None = None,
        remove: tuple[str, ...] = (),
        description: str | None = None,
    ) -> None:
        """Set or remove tags, or change the description, on behalf of a person; recorded."""
        self.lifecycle.annotate(version, tags, remove, description)

    def describe(self, version: str, description: str) -> None:
        """Write a version's description; recorded."""
        self.lifecycle.describe(version, description)

    def describe_model(self, description: str, tags: Mapping[str, str] | None = None) -> None:
        """Write the registered model's description and tags; the model is made where missing."""
        self.lifecycle.describe_model(description, tags)

    def transition_stage(self, version: str, stage: str, *, archive_existing: bool = True) -> Stage:
        """Bring a version into a stage; recorded. To Production it asks no gate."""
        return self.lifecycle.transition_stage(version, stage, archive_existing=archive_existing)

    def archive(self, version: str) -> None:
        """Archive a version. The champion cannot be archived."""
        self.lifecycle.archive(version)

    def rename(self, name: str) -> None:
        """Give the registered model another name, and sign its versions anew for it; recorded."""
        self.lifecycle.rename(name)
        self._work_on(name)

    def delete_version(self, version: str, *, force: bool = False) -> None:
        """Delete a version; recorded. One with an alias only by force."""
        self.lifecycle.delete_version(version, force=force)

    def delete_model(self, *, force: bool = False) -> None:
        """Delete the registered model with its versions; recorded. One with aliases by force."""
        self.lifecycle.delete_model(force=force)

    def copy(self, reference: str, target: "MLflowManager") -> ModelVersion:
        """Copy a version to another registered model, here or in another registry; recorded there.

        Args:
            reference: Number, alias, stage or semantic version.
            target: `named("prod.churn")` for one here, `at("https://…")` for another registry.
        """
        return copy_version(self.files, self.find(reference), target.registration)

    # Cleaning up, and telling others

    def garbage(self, older_than_days: float = 0) -> Garbage:
        """The deleted runs that may be purged, and those that a version still needs."""
        return find_garbage(self.connection, older_than_days)

    def collect_garbage(
        self, older_than_days: float = 0, backend_store_uri: str | None = None
    ) -> Garbage:
        """Purge deleted runs with their files, but none that is behind a registered version."""
        return collect_garbage(self.connection, self.model_name, older_than_days, backend_store_uri)

    def create_webhook(
        self, name: str, url: str, events: Sequence[str], secret: str | None = None
    ) -> Any:
        """Let the MLflow server call a URL on events such as model_version_alias.created."""
        return self.server_webhooks.create(name, url, events, secret)

    def webhooks(self) -> list[Any]:
        """The server's webhooks."""
        return self.server_webhooks.all()

    def try_webhook(self, webhook_id: str) -> Any:
        """Let the server send a trial message; the answer says what the receiver said."""
        return self.server_webhooks.attempt(webhook_id)

    def delete_webhook(self, webhook_id: str) -> None:
        """Remove a webhook."""
        self.server_webhooks.delete(webhook_id)
