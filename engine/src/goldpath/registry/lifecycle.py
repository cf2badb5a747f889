"""What happens to versions after they were registered; everything is recorded in the audit log."""

from collections.abc import Mapping
from typing import Any

from goldpath.model_version import ModelVersion
from goldpath.registry.alias_moves import move_alias, position
from goldpath.registry.layout import SIGNATURE_TAG
from goldpath.registry.ledger import ANCHOR_TAG
from goldpath.registry.lookup import Lookup
from goldpath.registry.recording import append_record
from goldpath.registry.stages import CHAMPION, STAGE_TAG, Stage, parse_stage, plan_transition
from goldpath.registry.stores.store import RegistryError
from goldpath.trust.audit import RENAMED


class Lifecycle(Lookup):
    """Describing, moving, renaming and deleting."""

    def set_champion(self, version: str) -> None:
        """Point the champion alias at a version without asking the gate (`promote` asks it)."""
        self.set_alias(CHAMPION, version)

    def set_alias(self, alias: str, version: str) -> None:
        """Point an alias at a version and record it; nothing happens where it does so already."""
        start = position(self.store, self.model_name, alias)
        if start.version == str(version):
            return
        self.version(version)
        move_alias(self.settings, self.store, start, str(version), "alias moved")

    def note_succession(self, champion: str, former: str | None) -> None:
        """Bring the stage tags in line with the champion alias, which decides before them."""
        if STAGE_TAG in self.version(champion).tags:
            self.store.delete_version_tag(self.model_name, champion, STAGE_TAG)
        if former is not None:
            self.store.set_version_tag(self.model_name, former, STAGE_TAG, "Archived")

    def remove_alias(self, alias: str) -> None:
        """Remove an alias and record it."""
        start = position(self.store, self.model_name, alias)
        if start.version is not None:
            move_alias(self.settings, self.store, start, None, "alias removed")

    def tag_version(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version; what a program notes, so it is not in the audit log."""
        for key, value in tags.items():
            self.store.set_version_tag(self.model_name, version, key, value)

    def annotate(
        self,
        version: str,
        tags: Mapping[str, str] | None = None,
        remove: tuple[str, ...] = (),
        description: str | None = None,
    ) -> None:
        """Set or remove tags, or change the description, on behalf of a person; recorded."""
        before = self.version(version)
        self.tag_version(version, tags or {})
        for key in remove:
            self.store.delete_version_tag(self.model_name, version, key)
        if description is not None:
            self.describe(version, description)
        changed = {key: f"{before.tags.get(key)} -> {value}" for key, value in (tags or {}).items()}
        changed |= {key: f"{before.tags.get(key)} removed" for key in remove}
        if changed:
            self.record("tagged", version, changed)

    def describe(self, version: str, description: str) -> None:
        """Write a version's description; recorded."""
        with self.translate("writing the description"):
            self.client.update_model_version(self.model_name, version, description)
        self.record("described", version, {"description": description[:500]})

    def describe_model(self, description: str, tags: Mapping[str, str] | None = None) -> None:
        """Write the registered model's description and tags; the model is made where missing."""
        self.ensure_model()
        with self.translate("writing the description"):
            self.client.update_registered_model(self.model_name, description)
        for key, value in (tags or {}).items():
            self.store.set_model_tag(self.model_name, key, value)
        self.record("described", None, {"description": description[:500], **(tags or {})})

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
        versions = self.versions()
        plan = plan_transition(versions, version, wanted, archive_existing=archive_existing)
        for alias, target in plan.aliases.items():
            if target is None:
                self.remove_alias(alias)
            else:
                self.set_alias(alias, target)
        for number, tagged in plan.tags.items():
            self.store.set_version_tag(self.model_name, number, STAGE_TAG, tagged)
            self.record("staged", number, {"stage": tagged})
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
        if self.store.model(name) is not None:
            raise RegistryError(f"there is a model {name} already", "choose another name")
        signed = [item for item in self.versions() if SIGNATURE_TAG in item.tags]
        paths = {item.version: self.sign_again(item, name) for item in signed}
        before = self.model_name
        with self.translate("renaming the model"):
            self.client.rename_registered_model(before, name)
        self.model_name = name
        for number, path in paths.items():
            self.store.set_version_tag(name, number, SIGNATURE_TAG, path)
        append_record(self.settings, RENAMED, name, None, {"before": before})

    def delete_version(self, version: str, *, force: bool = False) -> None:
        """Delete a version; recorded. MLflow would drop its aliases without a word.

        Raises:
            RegistryError: If an alias points at it and it is not forced.
        """
        found = self.version(version)
        if found.aliases and not force:
            raise RegistryError(
                f"version {version} of {self.model_name} is {', '.join(found.aliases)}",
                "move the alias first, or use --force",
            )
        for alias in found.aliases:
            self.remove_alias(alias)
        with self.translate("deleting the version"):
            self.client.delete_model_version(self.model_name, version)
        self.record("deleted", version, {"run_id": found.run_id, "forced": force})

    def delete_model(self, *, force: bool = False) -> None:
        """Delete the registered model with all its versions; recorded.

        Raises:
            RegistryError: If an alias points at a version and it is not forced.
        """
        model = self.registered_model()
        if model is None:
            raise RegistryError(f"there is no model {self.model_name}", "see: registry list --all")
        if model.aliases and not force:
            aliases = ", ".join(f"{alias}: {number}" for alias, number in model.aliases.items())
            raise RegistryError(
                f"{self.model_name} has aliases ({aliases})", "remove them first, or use --force"
            )
        numbers = [item.version for item in self.versions()]
        for alias in model.aliases:
            self.remove_alias(alias)
        with self.translate("deleting the model"):
            self.client.delete_registered_model(self.model_name)
        self.record("deleted", None, {"versions": ", ".join(numbers), "forced": force})

    def sign_again(self, version: ModelVersion, subject: str) -> str:
        """Verify a version's files and sign them for another registered model.

        Returns:
            The new signature's path in the run.
        """
        from pathlib import Path
        from tempfile import TemporaryDirectory

        from goldpath.trust.signing import sign_folder

        with TemporaryDirectory(prefix="sign-") as name:
            folder = Path(name)
            self.download_model(version, folder)
            signature = sign_folder(folder, subject, self.settings)
        path = f"signatures/{subject}.json"
        self.log_text(version.run_id, signature.to_json(), path)
        return path

    def record(self, action: str, version: str | None, details: Mapping[str, Any]) -> None:
        """Append to the audit log, and leave the log's new end in MLflow."""
        record = append_record(self.settings, action, self.model_name, version, details)
        if action != "deleted" or version is not None:
            self.store.set_model_tag(
                self.model_name, f"{ANCHOR_TAG}.{record.log}", f"{record.sequence} {record.hash}"
            )
