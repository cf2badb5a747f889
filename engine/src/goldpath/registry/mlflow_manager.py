"""MLflow: runs, the registry and its aliases, on a server or on a SQLite file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldpath.model_version import ModelVersion
from goldpath.registry.copy import copy_version
from goldpath.registry.garbage import Garbage, collect_garbage, find_garbage
from goldpath.registry.layout import (
    CONTRACT_FILE,
    MODEL_PATH,
    REFERENCE_FILE,
    RUN_KEY,
    SEMANTIC_TAG,
)
from goldpath.registry.lifecycle import Lifecycle
from goldpath.registry.stages import CHALLENGER, CHAMPION, STAGING, stage_of
from goldpath.registry.stores.store import RegisteredModel, RegistryError, RunRecord

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "CONTRACT_FILE",
    "MODEL_PATH",
    "REFERENCE_FILE",
    "RUN_KEY",
    "SEMANTIC_TAG",
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


class MLflowManager(Lifecycle):
    """The registry: runs, model versions, aliases and stages; the one place that talks to MLflow.

    Works with a server (`MLFLOW_TRACKING_URI=http://…`, with or without a login) and, by default,
    with the project's own SQLite file, which `make mlflow-up` serves too, so that both see the same
    runs. Its parts: `tracking.py` (runs), `registration.py` (storing, signing, loading),
    `lookup.py` (finding, comparing), `lifecycle.py` (aliases, stages, renaming, deleting) and,
    below, copying, cleaning up and webhooks.

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

    def initialise(self) -> RegistryStatus:
        """Create the experiment and the registered model where they are missing."""
        self.experiment_id()
        self.ensure_model()
        champion = self.champion_version()
        return RegistryStatus(
            tracking_uri=self.settings.tracking_uri,
            experiment=self.experiment_name,
            model=self.model_name,
            champion=champion.version if champion else None,
        )

    def copy(self, reference: str, target: "MLflowManager") -> ModelVersion:
        """Copy a version to another registered model, here or in another registry; recorded there.

        Args:
            reference: Number, alias, stage or semantic version.
            target: `named("prod.churn")` for one here, `at("https://…")` for another registry.
        """
        return copy_version(self, self.find(reference), target)

    def garbage(self, older_than_days: float = 0) -> Garbage:
        """The deleted runs that may be purged, and those that a version still needs."""
        return find_garbage(self, older_than_days)

    def collect_garbage(
        self, older_than_days: float = 0, backend_store_uri: str | None = None
    ) -> Garbage:
        """Purge deleted runs with their files, but none that is behind a registered version."""
        return collect_garbage(self, older_than_days, backend_store_uri)

    def create_webhook(
        self, name: str, url: str, events: Sequence[str], secret: str | None = None
    ) -> Any:
        """Let the MLflow server call a URL on events such as model_version_alias.created.

        Raises:
            RegistryError: If there is no server, or it refuses URL or event.
        """
        self._require_server("webhooks")
        with self.translate("creating the webhook"):
            return self.client.create_webhook(name, url, list(events), secret=secret)

    def webhooks(self) -> list[Any]:
        """The server's webhooks."""
        self._require_server("webhooks")
        with self.translate("listing the webhooks"):
            return list(self.client.list_webhooks())

    def try_webhook(self, webhook_id: str) -> Any:
        """Let the server send a trial message; the answer says what the receiver said."""
        with self.translate("trying the webhook"):
            return self.client.test_webhook(webhook_id)

    def delete_webhook(self, webhook_id: str) -> None:
        """Remove a webhook."""
        with self.translate("deleting the webhook"):
            self.client.delete_webhook(webhook_id)

    def named(self, name: str) -> "MLflowManager":
        """The same registry, and another registered model in it."""
        return MLflowManager(self.settings, self.contract, name)

    def at(self, tracking_uri: str) -> "MLflowManager":
        """The same model in another registry."""
        settings = self.settings.model_copy(update={"tracking_uri": tracking_uri})
        return MLflowManager(settings, self.contract, self.model_name)

    def _require_server(self, what: str) -> None:
        if not self.settings.tracking_uri.startswith("http"):
            raise RegistryError(
                f"{what} are sent by MLflow's server; {self.settings.tracking_uri} is a database",
                "make mlflow-up and set MLFLOW_TRACKING_URI; or use registry.webhook_url",
            )
