"""Registering a fitted pipeline as a version, and reading one back: signed, or not at all."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from goldpath.contract import dump_contract, parse_contract
from goldpath.model_version import ModelVersion
from goldpath.registry.artifact_files import can_fetch, fetch_folder
from goldpath.registry.layout import (
    COMPILED_TAG,
    CONTRACT_FILE,
    DIGEST_TAG,
    KEY_TAG,
    MODEL_PATH,
    RUN_KEY,
    SIGNATURE_TAG,
)
from goldpath.registry.recording import append_record
from goldpath.registry.stored_model import model_requirements, read_pipeline, trusted_types
from goldpath.registry.stores.store import RegistryError
from goldpath.registry.tracking import Tracking
from goldpath.trust.audit import history
from goldpath.trust.signing import (
    SIGNATURE_FILE,
    Signature,
    SignatureError,
    parse_signature,
    sign_folder,
)
from goldpath.trust.signing import verify_folder as verify_signed_folder

if TYPE_CHECKING:
    from goldpath.compiled.encoded import EncodedModel
    from goldpath.compiled.scorer import CompiledModel
    from goldpath.contract import Contract
    from goldpath.learning.scoring import LoadedModel

REGISTERED = "registered"
LOGGED_MODEL = "models:/m-"


class Registration(Tracking):
    """Puts models into the registry and takes them out."""

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
        with self._one_registration():
            if existing := self._registered(run_id, tags):
                return existing
            with TemporaryDirectory(prefix="register-") as name:
                folder = Path(name) / MODEL_PATH
                model_id, source, compiled = self._log_model(run_id, model, example, folder)
                (folder / CONTRACT_FILE).write_text(dump_contract(model.contract), "utf-8")
                signature = sign_folder(folder, self.model_name, self.settings)
                self.log_file(run_id, folder / CONTRACT_FILE)
                self.log_text(run_id, signature.to_json(), SIGNATURE_FILE)
            self.ensure_model()
            return self.create_version(
                source,
                run_id,
                model_id,
                {
                    **tags,
                    COMPILED_TAG: compiled,
                    SIGNATURE_TAG: SIGNATURE_FILE,
                    KEY_TAG: signature.key_id,
                    DIGEST_TAG: signature.digest,
                },
                description,
            )

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
            created = self.store.create_version(
                self.model_name, source, run_id, model_id, tags or {}, description
            )
        except RegistryError:
            # The answer may be lost and the version made: never a second one for the same run.
            found = self._after_lost_answer(run_id, source)
            if found is None:
                raise
            created = found
        self._record_registration(created)
        return created

    def finish_registration(self, version: ModelVersion) -> None:
        """Do what a process or a server that died after the version was made left undone."""
        self._record_registration(version, once=True)
        run = self.store.run(version.run_id)
        if run is not None and run.status != "FINISHED":
            self.finish_run(version.run_id)

    def load(self, version: ModelVersion) -> "LoadedModel":
        """A version's pipeline and the contract it was trained with, verified before it is read.

        Raises:
            SignatureError: If it is unsigned, altered, signed for another model or a pickle.
            RegistryError: If the files are missing or hold a type that is not allowed.
        """
        # A service loads each new champion for months: the downloads must not pile up.
        with TemporaryDirectory(prefix="model-") as name:
            folder = Path(name)
            self.download_model(version, folder)
            contract = parse_contract((folder / CONTRACT_FILE).read_text(encoding="utf-8"))
            return self._read(folder, contract, version)

    @staticmethod
    def _read(folder: Path, contract: "Contract", version: ModelVersion) -> "LoadedModel":
        from goldpath.learning.scoring import LoadedModel

        uri = f"models:/{version.name}/{version.version}"
        return LoadedModel(read_pipeline(folder / "model.skops", uri), contract, version)

    def load_for_serving(
        self, version: ModelVersion
    ) -> "CompiledModel | EncodedModel | LoadedModel":
        """A version as it serves: its compiled form where it has one, else its pipeline.

        Raises:
            SignatureError: If it is unsigned, altered, signed for another model or a pickle.
            RegistryError: If the files are missing or hold a type that is not allowed.
        """
        from goldpath.registry.model_cache import keep_model

        with TemporaryDirectory(prefix="model-") as name:
            folder = Path(name)
            signature = self.download_model(version, folder)
            served = self._read_served(folder, version)
            keep_model(folder, version, signature, self.settings)
            return served

    def load_kept(self) -> "tuple[ModelVersion, CompiledModel | EncodedModel | LoadedModel] | None":
        """The model that `load_for_serving` gave last on this machine, verified again; or None.

        It needs no registry.

        Raises:
            SignatureError: If its files were changed.
        """
        from goldpath.registry.model_cache import kept_model

        kept = kept_model(self.settings, self.model_name)
        if kept is None:
            return None
        version, folder = kept
        return version, self._read_served(folder, version)

    def _read_served(
        self, folder: Path, version: ModelVersion
    ) -> "CompiledModel | EncodedModel | LoadedModel":
        from goldpath.compiled.encoded import behind_encoder
        from goldpath.compiled.store import read_compiled
        from goldpath.learning.background import read_background

        contract = parse_contract((folder / CONTRACT_FILE).read_text(encoding="utf-8"))
        background = read_background(folder)
        compiled = read_compiled(folder, contract, version, self.settings)
        if compiled is not None:
            compiled.background = background
            return compiled
        loaded = replace(self._read(folder, contract, version), background=background)
        return behind_encoder(loaded) or loaded

    def verify_signature(self, version: ModelVersion) -> Signature:
        """Check that a version's files are those that were signed for it.

        Raises:
            SignatureError: Says what is wrong.
        """
        with TemporaryDirectory(prefix="verify-") as name:
            return self.download_model(version, Path(name))

    def download_model(self, version: ModelVersion, folder: Path) -> Signature:
        """Fetch a version's files and contract into an empty folder, and verify them.

        Raises:
            SignatureError: If they are not what was signed for this model.
            RegistryError: If they cannot be fetched.
        """
        signature = self.signature(version)
        self._fetch_files(version, folder)
        self.download_artifact(version.run_id, CONTRACT_FILE, folder)
        verify_signed_folder(folder, signature, version.name, self.settings)
        return signature

    def signature(self, version: ModelVersion) -> Signature:
        """The signature that was stored for a version; nothing is verified.

        Raises:
            SignatureError: If there is none.
        """
        path = version.tags.get(SIGNATURE_TAG, SIGNATURE_FILE)
        if not version.run_id or not self.has_artifact(version.run_id, path):
            raise SignatureError(
                f"version {version.version} of {version.name} is unsigned: its run has no {path}",
                "register it through this project (make train-local)",
            )
        with TemporaryDirectory(prefix="signature-") as name:
            file = self.download_artifact(version.run_id, path, Path(name))
            return parse_signature(file.read_text(encoding="utf-8", errors="replace"))

    def ensure_model(self) -> None:
        """Create the registered model where it is missing."""
        from mlflow.exceptions import MlflowException

        with self.translate("creating the registered model"):
            try:
                self.client.create_registered_model(self.model_name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def _log_model(
        self, run_id: str, model: "LoadedModel", example: Any, folder: Path
    ) -> tuple[str, str, str]:
        """Store pipeline and compiled form as a logged model; its id, its source, and the proof."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model, infer_signature
        from mlflow.sklearn import save_model

        from goldpath.compiled.store import write_compiled
        from goldpath.learning.background import write_background

        with self.translate("storing the model"):
            experiment = self.client.get_run(run_id).info.experiment_id
            logged = self.client.create_logged_model(
                experiment, name=MODEL_PATH, source_run_id=run_id
            )
            save_model(
                sk_model=model.pipeline,
                path=str(folder),
                mlflow_model=Model(run_id=run_id, model_id=logged.model_id),
                signature=infer_signature(example, model.pipeline.predict(example)),
                # Without requirements MLflow spends 50 s guessing them.
                pip_requirements=model_requirements(model.pipeline),
                serialization_format="skops",
                skops_trusted_types=list(trusted_types()),
            )
            compiled = write_compiled(model, folder, self.settings)
            write_background(example, model.contract, folder, self.settings.training.seed)
            self.client.log_model_artifacts(logged.model_id, str(folder))
            self.client.finalize_logged_model(logged.model_id, "READY")
            self.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        return str(logged.model_id), f"models:/{logged.model_id}", compiled

    def _fetch_files(self, version: ModelVersion, folder: Path) -> None:
        location = version.source
        if location.startswith(LOGGED_MODEL):  # MLflow would look in the registry used last
            location = self.store.model_location(location.removeprefix("models:/")) or location
        if can_fetch(self.store, location):
            fetch_folder(self.store, location, folder)
            return
        import mlflow

        with self.translate(f"downloading version {version.version}"):
            files = Path(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=location,
                    dst_path=str(folder),
                    tracking_uri=self.settings.tracking_uri,
                )
            )
            if files.resolve() != folder.resolve():  # MLflow keeps the last folder's name
                for item in files.iterdir():
                    item.rename(folder / item.name)
                files.rmdir()

    def _registered(self, run_id: str, tags: Mapping[str, str]) -> ModelVersion | None:
        """The version that a former call with this run, or its key, has made."""
        key = tags.get(RUN_KEY)
        for version in self.store.versions(self.model_name):
            if version.run_id == run_id or (key and version.tags.get(RUN_KEY) == key):
                self._record_registration(version, once=True)
                return version
        return None

    def _after_lost_answer(self, run_id: str, source: str) -> ModelVersion | None:
        for version in reversed(self.store.versions(self.model_name)):
            if (version.run_id, version.source) == (run_id, source):
                return version
        return None

    def _record_registration(self, version: ModelVersion, *, once: bool = False) -> None:
        if once and any(
            (record.action, record.version) == (REGISTERED, version.version)
            for record in history(self.settings, version.name)
        ):
            return
        append_record(
            self.settings,
            REGISTERED,
            version.name,
            version.version,
            {"run_id": version.run_id, "digest": version.tags.get(DIGEST_TAG, "")},
        )

    @contextmanager
    def _one_registration(self) -> Iterator[None]:
        """Let a second process wait, and then find what the first has made."""
        folder = self.settings.run_directory
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "register.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
