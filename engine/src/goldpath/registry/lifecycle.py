"""What happens to versions after they were registered; everything is recorded in the audit log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldpath.registry.alias_moves import Position, move_alias, position
from goldpath.registry.connection import RegistryConnection
from goldpath.registry.layout import SIGNATURE_TAG
from goldpath.registry.lookup import Lookup
from goldpath.registry.model_files import ModelFiles
from goldpath.registry.recording import append_record, record_change
from goldpath.registry.registration import Registration
from goldpath.registry.stages import CHAMPION, STAGE_TAG, Stage, parse_stage, plan_transition
from goldpath.registry.stores.store import RegistryError
from goldpath.trust.audit import RENAMED


@dataclass(frozen=True)
class Lifecycle:
    """Describes, moves, renames and deletes a registered model's versions.

    Attributes:
        lookup: Finds them.
        registration: Makes the registered model where it is missing.
        files: Signs them anew under another name.
    """

    lookup: Lookup
    registration: Registration
    files: ModelFiles

    @property
    def connection(self) -> RegistryConnection:
        """The registry."""
        return self.lookup.connection

    @property
    def model_name(self) -> str:
        """The registered model."""
        return self.lookup.model_name

    def set_champion(self, version: str) -> None:
        """Point the champion alias at a version without asking the gate (`promote` asks it)."""
        self.set_alias(CHAMPION, version)

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version and record it; nothing happens where it does so already."""
        start = position(self.connection.store, self.model_name, alias)
        if start.version == str(version):
            return
        self.lookup.version(version)
        self._move(start, str(version), "alias moved")

    def note_succession(self, champion: str, former: str | None) -> None:
        """Bring the stage tags in line with the champion alias, which decides before them."""
        if STAGE_TAG in self.lookup.version(champion).tags:
            self.connection.store.delete_version_tag(self.model_name, champion, STAGE_TAG)
        if former is not None:
            self.connection.store.set_version_tag(self.model_name, former, STAGE_TAG, "Archived")

    def remove_alias(self, alias: str) -> None:
        """Remove an alias and record it."""
        start = position(self.connection.store, self.model_name, alias)
        if start.version is not None:
            self._move(start, None, "alias removed")

    def tag_version(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version; what a program notes, so it is not in the audit log."""
        for key, value in tags.items():
            self.connection.store.set_version_tag(self.model_name, version, key, value)

    def annotate(
        self,
        version: str,
        tags: Mapping[str, str] | None = None,
        remove: tuple[str, ...] = (),
        description: str | None = None,
    ) -> None:
        """Set or remove tags, or change the description, on behalf of a person; recorded."""
        before = self.lookup.version(version)
        self.tag_version(version, tags or {})
        for key in remove:
            self.connection.store.delete_version_tag(self.model_name, version, key)
        if description is not None:
            self.describe(version, description)
        changed = {key: f"{before.tags.get(key)} -> {value}" for key, value in (tags or {}).items()}
        changed |= {key: f"{before.tags.get(key)} removed" for key in remove}
        if changed:
            self._record("tagged", version, changed)

    def describe(self, version: str, description: str) -> None:
        """Write a version's description; recorded."""
        with self.connection.translate("writing the description"):
            self.connection.client.update_model_version(self.model_name, version, description)
        self._record("described", version, {"description": description[:500]})

    def describe_model(self, description: str, tags: Mapping[str, str] | None = None) -> None:
        """Write the registered model's description and tags; the model is made where missing."""
        self.registration.ensure_model()
        with self.connection.translate("writing the description"):
            self.connection.client.update_registered_model(self.model_name, description)
        for key, value in (tags or {}).items():
            self.connection.store.set_model_tag(self.model_name, key, value)
        self._record("described", None, {"description": description[:500], **(tags or {})})

    def transition_stage(self, version: str, stage: str, *, archive_existing: bool = True) -> Stage:
        """Bring a version into a stage (see `stages.py`); recorded.

        To Production it asks no gate: `promotion.promote` does.

        Args:
            version: The version.
            stage: None, Staging, Production or Archived.
            archive_existing: Whether the others in that stage are archived.

        Returns:
            The stage.
        """
        wanted = parse_stage(stage)
        versions = self.lookup.versions()
        plan = plan_transition(versions, version, wanted, archive_existing=archive_existing)
        for alias, target in plan.aliases.items():
            if target is None:
                self.remove_alias(alias)
            else:
                self.set_alias(alias, target)
        for number, tagged in plan.tags.items():
            self.connection.store.set_version_tag(self.model_name, number, STAGE_TAG, tagged)
            self._record("staged", number, {"stage": tagged})
        return wanted

    def archive(self, version: str) -> None:
        """Archive a version. The champion cannot be archived."""
        self.transition_stage(version, "Archived")

    def rename(self, name: str) -> None:
        """Give the registered model another name, and sign its versions anew for it; recorded.

        Raises:
            SignatureError: If a signed version is not what was signed.
            RegistryError: If the name is taken.
        """
        if self.connection.store.model(name) is not None:
            raise RegistryError(f"there is a model {name} already", "choose another name")
        signed = [item for item in self.lookup.versions() if SIGNATURE_TAG in item.tags]
        paths = {item.version: self.files.sign_again(item, name) for item in signed}
        with self.connection.translate("renaming the model"):
            self.connection.client.rename_registered_model(self.model_name, name)
        for number, path in paths.items():
            self.connection.store.set_version_tag(name, number, SIGNATURE_TAG, path)
        append_record(self.connection.settings, RENAMED, name, None, {"before": self.model_name})

    def delete_version(self, version: str, *, force: bool = False) -> None:
        """Delete a version; recorded. MLflow would drop its aliases without a word.

        Raises:
            RegistryError: If an alias points at it and it is not forced.
        """
        found = self.lookup.version(version)
        if found.aliases and not force:
            raise RegistryError(
                f"version {version} of {self.model_name} is {', '.join(found.aliases)}",
                "move the alias first, or use --force",
            )
        for alias in found.aliases:
            self.remove_alias(alias)
        with self.connection.translate("deleting the version"):
            self.connection.client.delete_model_version(self.model_name, version)
        self._record("deleted", version, {"run_id": found.run_id, "forced": force})

    def delete_model(self, *, force: bool = False) -> None:
        """Delete the registered model with all its versions; recorded.

        Raises:
            RegistryError: If an alias points at a version and it is not forced.
        """
        model = self.lookup.registered_model()
        if model is None:
            raise RegistryError(f"there is no model {self.model_name}", "see: registry list --all")
        if model.aliases and not force:
            aliases = ", ".join(f"{alias}: {number}" for alias, number in model.aliases.items())
            raise RegistryError(
                f"{self.model_name} has aliases ({aliases})", "remove them first, or use --force"
            )
        numbers = [item.version for item in self.lookup.versions()]
        for alias in model.aliases:
            self.remove_alias(alias)
        with self.connection.translate("deleting the model"):
            self.connection.client.delete_registered_model(self.model_name)
        self._record("deleted", None, {"versions": ", ".join(numbers), "forced": force})

    def _move(self, start: Position, version: str | None, action: str) -> None:
        move_alias(self.connection.settings, self.connection.store, start, version, action)

    def _record(self, action: str, version: str | None, details: Mapping[str, Any]) -> None:
        record_change(
            self.connection.settings,
            self.connection.store,
            self.model_name,
            action,
            version,
            details,
        )
