"""Finding versions: by number, alias, stage, semantic version, tag or text; and comparing two."""

from collections.abc import Mapping
from dataclasses import dataclass

from goldpath.model_version import ModelVersion
from goldpath.registry.comparison import VersionComparison, compare
from goldpath.registry.connection import RegistryConnection
from goldpath.registry.layout import RUN_KEY, SEMANTIC_TAG
from goldpath.registry.stages import CHAMPION, in_stage, parse_stage
from goldpath.registry.stores.store import RegisteredModel, RegistryError, RunRecord


@dataclass(frozen=True)
class Lookup:
    """Looks at the versions of a registered model and changes nothing.

    Attributes:
        connection: The registry.
        model_name: The registered model.
    """

    connection: RegistryConnection
    model_name: str

    def version(self, version: str) -> ModelVersion:
        """A version of the registered model, by its number.

        Raises:
            RegistryError: If there is no such version.
        """
        found = self.connection.store.version(self.model_name, str(version))
        if found is None:
            raise RegistryError(
                f"{self.model_name} has no version {version}", "see what there is: registry list"
            )
        return found

    def versions(self) -> list[ModelVersion]:
        """All versions, the oldest first, with their aliases."""
        return self.connection.store.versions(self.model_name)

    def models(self) -> list[RegisteredModel]:
        """All registered models."""
        return self.connection.store.models()

    def registered_model(self) -> RegisteredModel | None:
        """The registered model itself; None before the first version."""
        return self.connection.store.model(self.model_name)

    def run(self, version: ModelVersion) -> RunRecord | None:
        """What the version's run logged; None where the run is gone."""
        return self.connection.store.run(version.run_id) if version.run_id else None

    def newest(self) -> ModelVersion | None:
        """The version with the highest number, or None.

        MLflow's `get_latest_versions(name)[0]` is not that: it has one version a stage, unordered.
        """
        return max(self.versions(), key=lambda version: int(version.version), default=None)

    def by_alias(self, alias: str) -> ModelVersion | None:
        """The version that an alias points at, or None."""
        return self.connection.store.version_by_alias(self.model_name, alias)

    def champion(self) -> ModelVersion | None:
        """The version that the champion alias points at, or None."""
        return self.by_alias(CHAMPION)

    def of_run_key(self, run_key: str) -> ModelVersion | None:
        """The version that a run of this name registered, or None."""
        found = [version for version in self.versions() if version.tags.get(RUN_KEY) == run_key]
        return found[-1] if found else None

    def in_stage(self, stage: str) -> ModelVersion | None:
        """The version in a stage: the one its alias names, else the newest there; or None."""
        return next(iter(in_stage(self.versions(), parse_stage(stage))), None)

    def of_semantic(self, semantic: str) -> ModelVersion | None:
        """The newest version with this semantic version (1.4.2), or None."""
        found = [item for item in self.versions() if item.tags.get(SEMANTIC_TAG) == semantic]
        return found[-1] if found else None

    def find(self, reference: str) -> ModelVersion:
        """A version by number, alias, stage or semantic version: 3, champion, Production, 1.4.2.

        Raises:
            RegistryError: If nothing is called that.
        """
        found: ModelVersion | None
        if reference.isdigit():
            return self.version(reference)
        if reference.count(".") >= 2:
            found = self.of_semantic(reference)
        elif reference.lower() in ("production", "archived") or reference in ("Staging", "None"):
            found = self.in_stage(reference)
        else:
            found = self.by_alias(reference.removeprefix("@"))
        if found is None:
            raise RegistryError(
                f"{self.model_name} has no version called {reference!r}",
                "give a number, an alias, a stage or a semantic version (registry list)",
            )
        return found

    def search(
        self, tags: Mapping[str, str] | None = None, stage: str | None = None, text: str = ""
    ) -> list[ModelVersion]:
        """Versions with all of these tags, in this stage, and with this text in the description."""
        found = self.versions() if stage is None else in_stage(self.versions(), parse_stage(stage))
        return [
            version
            for version in found
            if all(version.tags.get(key) == value for key, value in (tags or {}).items())
            and text.lower() in version.description.lower()
        ]

    def search_models(self, text: str = "") -> list[RegisteredModel]:
        """Registered models with this text in name or description."""
        return [
            model
            for model in self.models()
            if text.lower() in f"{model.name} {model.description}".lower()
        ]

    def compare(self, first: str, second: str) -> VersionComparison:
        """Metrics, data, parameters and tags of two versions, and where they differ."""
        one, two = self.find(first), self.find(second)
        return compare(one, self.run(one), two, self.run(two))
