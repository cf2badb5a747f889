"""Registering a fitted pipeline as a signed version: in one step that may be called again."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from goldpath.contract import dump_contract
from goldpath.model_version import ModelVersion
from goldpath.project import running_project
from goldpath.registry.connection import RegistryConnection
from goldpath.registry.files.documents import document_digests
from goldpath.registry.files.pipeline import (
    model_requirements,
    model_signature,
    trusted_types,
)
from goldpath.registry.files.registered import REGISTERED
from goldpath.registry.layout import (
    CLASSES_TAG,
    COMPILED_TAG,
    CONTRACT_FILE,
    DIGEST_TAG,
    ENGINE_TAG,
    KEY_TAG,
    MODEL_PATH,
    PROJECT_TAG,
    RUN_KEY,
    SIGNATURE_TAG,
)
from goldpath.registry.model_files import ModelFiles
from goldpath.registry.recording import append_record
from goldpath.registry.runs import Runs
from goldpath.registry.stores.store import RegistryError
from goldpath.trust.audit import history
from goldpath.trust.signing import (
    SIGNATURE_FILE,
    Signature,
    SignatureError,
    sign_again,
    sign_folder,
)

if TYPE_CHECKING:
    from goldpath.learning.scoring import LoadedModel


@dataclass(frozen=True)
class Registration:
    """Puts models into the registry.

    Attributes:
        runs: Where a version's files go.
        model_name: The registered model.
    """

    runs: Runs
    model_name: str

    @property
    def connection(self) -> RegistryConnection:
        """The registry."""
        return self.runs.connection

    def register(
        self,
        run_id: str,
        model: "LoadedModel",
        example: Any,
        tags: Mapping[str, str],
        description: str = "",
    ) -> ModelVersion:
        """Store a fitted pipeline in the run, sign it, and register it as a new version.

        The version comes last and in one step, with all its tags: what was killed before leaves
        no version, and a second call with the run finds the one that is there.

        Args:
            run_id: The run.
            model: The fitted pipeline.
            example: Model frame for the signature; all training rows, since MLflow would make a
                column required where the rows it sees have no gap.
            tags: Tags of the version.
            description: What people shall read; its first line is shown in lists.
        """
        with self._one_at_a_time():
            if existing := self._registered(run_id, tags):
                return existing
            with TemporaryDirectory(prefix="register-") as name:
                folder = Path(name) / MODEL_PATH
                model_id, source, found = self._log_model(run_id, model, example, folder)
                (folder / CONTRACT_FILE).write_text(dump_contract(model.contract), "utf-8")
                signature = sign_folder(
                    folder,
                    self.model_name,
                    self.connection.settings,
                    self.next_number(),
                    document_digests(self.runs, run_id),
                )
                self.runs.log_file(run_id, folder / CONTRACT_FILE)
            self.ensure_model()
            return self.create_signed(
                source, run_id, model_id, {**tags, **found}, description, signature
            )

    def next_number(self) -> str:
        """The number that the next version will have, unless another machine is faster."""
        numbers = [int(item.version) for item in self.connection.store.versions(self.model_name)]
        return str(max(numbers, default=0) + 1)

    def create_signed(
        self,
        source: str,
        run_id: str,
        model_id: str | None,
        tags: Mapping[str, str],
        description: str,
        signature: Signature,
        path: str = SIGNATURE_FILE,
    ) -> ModelVersion:
        """Register signed files as a new version; the signature lies in the run before it is made.

        Where another machine took the number that was signed, the files are signed again for the
        number that they got.

        Args:
            source: Where the files are: models:/m-… or the run's artifacts.
            run_id: The run.
            model_id: MLflow's id of a models:/m-… source.
            tags: Tags of the version.
            description: What people shall read.
            signature: The files' signature, for `next_number`.
            path: Where the signature lies in the run.
        """
        self.runs.log_text(run_id, signature.to_json(), path)
        signed = {
            SIGNATURE_TAG: path,
            KEY_TAG: signature.key_id,
            DIGEST_TAG: signature.digest,
        }
        created = self.create_version(source, run_id, model_id, {**tags, **signed}, description)
        self._sign_for(created, signature)
        return created

    def create_version(
        self,
        source: str,
        run_id: str,
        model_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> ModelVersion:
        """Register files that a run has stored as a new version, and record it.

        Args:
            source: Where the files are: models:/m-… or the run's artifacts.
            run_id: The run.
            model_id: MLflow's id of a models:/m-… source.
            tags: Tags of the version.
            description: What people shall read.

        Raises:
            RegistryError: If MLflow refuses it or does not answer.
        """
        try:
            created = self.connection.store.create_version(
                self.model_name, source, run_id, model_id, tags or {}, description
            )
        except RegistryError:
            # The answer may be lost and the version made: never a second one for the same run.
            found = self._after_lost_answer(run_id, source)
            if found is None:
                raise
            created = found
        self._record(created)
        return created

    def finish(self, version: ModelVersion) -> None:
        """Do what a process or a server that died after the version was made left undone."""
        self._record(version, once=True)
        run = self.connection.store.run(version.run_id)
        if run is not None and run.status != "FINISHED":
            self.runs.finish(version.run_id)

    def ensure_model(self) -> None:
        """Create the registered model where it is missing."""
        from mlflow.exceptions import MlflowException

        with self.connection.translate("creating the registered model"):
            try:
                self.connection.client.create_registered_model(self.model_name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def _log_model(
        self, run_id: str, model: "LoadedModel", example: Any, folder: Path
    ) -> tuple[str, str, dict[str, str]]:
        """Store pipeline and compiled form as a logged model; its id, its source, and its tags."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model
        from mlflow.sklearn import save_model

        from goldpath.compiled.store import write_compiled
        from goldpath.learning.background import write_background
        from goldpath.learning.storable import ROWS, require_storable
        from goldpath.registry.files.own_classes import require_restorable, write_own_classes

        settings = self.connection.settings
        require_storable(model.pipeline, running_project().families_of_all)
        require_restorable(model.pipeline, example.head(ROWS))
        with self.connection.translate("storing the model"):
            client = self.connection.client
            experiment = client.get_run(run_id).info.experiment_id
            logged = client.create_logged_model(experiment, name=MODEL_PATH, source_run_id=run_id)
            save_model(
                sk_model=model.pipeline,
                path=str(folder),
                mlflow_model=Model(run_id=run_id, model_id=logged.model_id),
                signature=model_signature(model.pipeline, example, model.contract),
                # Without requirements MLflow spends 50 s guessing them.
                pip_requirements=model_requirements(model.pipeline),
                serialization_format="skops",
                skops_trusted_types=list(trusted_types()),
            )
            own = write_own_classes(model.pipeline, folder, settings.root)
            compiled = write_compiled(model, folder, settings)
            write_background(example, model.contract, folder, settings.training.seed)
            client.log_model_artifacts(logged.model_id, str(folder))
            client.finalize_logged_model(logged.model_id, "READY")
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        tags = {
            COMPILED_TAG: compiled,
            ENGINE_TAG: own.engine,
            PROJECT_TAG: f"{own.project} {own.project_version}".strip(),
        }
        if own.classes:
            tags[CLASSES_TAG] = own.spoken
        return str(logged.model_id), f"models:/{logged.model_id}", tags

    def _registered(self, run_id: str, tags: Mapping[str, str]) -> ModelVersion | None:
        """The version that a former call with this run, or its key, has made."""
        key = tags.get(RUN_KEY)
        for version in self.connection.store.versions(self.model_name):
            if version.run_id == run_id or (key and version.tags.get(RUN_KEY) == key):
                self._record(version, once=True)
                # Whoever made it may have died before it was signed for the number that it got.
                with suppress(SignatureError):
                    self._sign_for(version, ModelFiles(self.runs).signature(version))
                return version
        return None

    def _sign_for(self, version: ModelVersion, signature: Signature) -> None:
        """Sign once more where the number is not the one that was signed and the files are."""
        if (
            SIGNATURE_TAG not in version.tags
            or signature.version == version.version
            or not signature.names_version
        ):
            return
        if signature.digest != version.tags.get(DIGEST_TAG):
            return
        settings = self.connection.settings
        again = sign_again(signature, self.model_name, version.version, settings)
        ModelFiles(self.runs).store_signature(version, again)

    def _after_lost_answer(self, run_id: str, source: str) -> ModelVersion | None:
        for version in reversed(self.connection.store.versions(self.model_name)):
            if (version.run_id, version.source) == (run_id, source):
                return version
        return None

    def _record(self, version: ModelVersion, *, once: bool = False) -> None:
        settings = self.connection.settings
        if once and any(
            (record.action, record.version) == (REGISTERED, version.version)
            for record in history(settings, version.name)
        ):
            return
        append_record(
            settings,
            REGISTERED,
            version.name,
            version.version,
            {"run_id": version.run_id, "digest": version.tags.get(DIGEST_TAG, "")},
        )

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Let a second process wait, and then find what the first has made."""
        folder = self.connection.settings.run_directory
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "register.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
