"""A version's files: fetched and verified before anything in them is read."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from goldpath.contract import parse_contract
from goldpath.model_version import ModelVersion
from goldpath.registry.files.artifacts import can_fetch, fetch_folder
from goldpath.registry.files.documents import (
    document_digests,
    fetch_document,
    has_unsigned_report,
    report_files,
    sign_report,
    verified_report,
    verify_documents,
)
from goldpath.registry.files.pipeline import read_pipeline
from goldpath.registry.files.registered import require_registered
from goldpath.registry.layout import CONTRACT_FILE, DIGEST_TAG, REPORT_FILE, SIGNATURE_TAG
from goldpath.registry.runs import Runs
from goldpath.settings import Settings
from goldpath.trust.signing import (
    SIGNATURE_FILE,
    Signature,
    SignatureError,
    parse_signature,
    sign_again,
    verify_folder,
)

if TYPE_CHECKING:
    from goldpath.compiled.encoded import EncodedModel
    from goldpath.compiled.scorer import CompiledModel
    from goldpath.contract import Contract
    from goldpath.learning.scoring import LoadedModel

LOGGED_MODEL = "models:/m-"


SIGNATURES = "signatures"


def signature_path(subject: str, version: str) -> str:
    """Where a run keeps its signature for a version that came to it by renaming or copying.

    Engines before 2026-11-29 used `signatures/{subject}.json`, so that two versions from one run
    overwrote each other's signature.
    """
    return f"{SIGNATURES}/{subject}/{version}.json"


def _is_of_another(signature: Signature, version: ModelVersion) -> bool:
    """Whether a version of the same run has put its signature where this one's was."""
    path = version.tags.get(SIGNATURE_TAG, SIGNATURE_FILE)
    return (
        path.startswith(f"{SIGNATURES}/")
        and signature.names_version
        and signature.version != version.version
    )


@dataclass(frozen=True)
class ExaminedVersion:
    """A version as the gate looks at it.

    Attributes:
        model: Its pipeline and contract.
        served: The form in which the service uses it.
        size_bytes: Of all its files.
    """

    model: "LoadedModel"
    served: "CompiledModel | EncodedModel | LoadedModel"
    size_bytes: int


@dataclass(frozen=True)
class ModelFiles:
    """Takes models out of the registry: signed, or not at all.

    Attributes:
        runs: Where a version's signature and contract are.
    """

    runs: Runs

    @property
    def settings(self) -> Settings:
        """The project's settings."""
        return self.runs.connection.settings

    def signature(self, version: ModelVersion) -> Signature:
        """The signature that was stored for a version; nothing is verified.

        Raises:
            SignatureError: If there is none.
        """
        path = version.tags.get(SIGNATURE_TAG, SIGNATURE_FILE)
        if not version.run_id or not self.runs.has(version.run_id, path):
            raise SignatureError(
                f"version {version.version} of {version.name} is unsigned: its run has no {path}",
                "register it through this project (make train-local)",
            )
        with TemporaryDirectory(prefix="signature-") as name:
            file = self.runs.download(version.run_id, path, Path(name))
            return parse_signature(file.read_text(encoding="utf-8", errors="replace"))

    def download(self, version: ModelVersion, folder: Path, *, renewing: bool = False) -> Signature:
        """Fetch a version's files and contract into an empty folder, and verify them.

        Args:
            version: The version.
            folder: Where its files go.
            renewing: Whether a signature will do that is of the first format, or that was made for
                another version of the same run.

        Raises:
            SignatureError: If they are not what was signed for this version, or not what was
                registered as it.
            RegistryError: If they cannot be fetched.
        """
        settings = self.settings
        signature = self.signature(version)
        signed_as = version.version
        if _is_of_another(signature, version):
            if not renewing:
                raise SignatureError(
                    f"the signature of version {version.version} of {version.name} was overwritten "
                    f"by that of version {signature.version}, which is of the same run",
                    f"compare its files with what was registered and sign it again: "
                    f"registry sign {version.version}",
                )
            signed_as = signature.version
        self._fetch(version, folder)
        self.runs.download(version.run_id, CONTRACT_FILE, folder)
        verify_folder(folder, signature, version.name, settings, signed_as, versionless=renewing)
        require_registered(version, signature, settings)
        return signature

    def verify(self, version: ModelVersion) -> Signature:
        """Check that a version's files, its documents and its report are what was signed for it.

        Raises:
            SignatureError: Says what is wrong.
        """
        signature = self.verify_model(version)
        verified_report(self.runs, self.settings, version)
        return signature

    def verify_model(self, version: ModelVersion) -> Signature:
        """Check that a version's files and its documents are what was signed for it.

        Raises:
            SignatureError: Says what is wrong.
        """
        with TemporaryDirectory(prefix="verify-") as name:
            signature = self.download(version, Path(name))
        verify_documents(self.runs, self.settings, version, signature)
        return signature

    def document(self, version: ModelVersion, path: str, folder: Path) -> Path:
        """Fetch a document that was signed with the version, such as its card, and verify it.

        Raises:
            SignatureError: If it is not what was signed.
            RegistryError: If the run has none.
        """
        return fetch_document(
            self.runs, self.settings, version, self.signature(version), path, folder
        )

    def report(self, version: ModelVersion) -> bytes | None:
        """The gate's report as JSON, verified; None if the gate has not judged the version.

        Raises:
            SignatureError: If it is unsigned, or not what was signed.
        """
        return (verified_report(self.runs, self.settings, version) or {}).get(REPORT_FILE)

    def renew(self, version: ModelVersion, *, force: bool = False) -> Signature:
        """Sign a version again whose signature is of the first format, or was overwritten.

        The files are compared with what was registered. To a signature of the first format card,
        reference and report are added as they are now. A version that has a signature of its own
        keeps it; its report is signed where it has none.

        Args:
            version: The version.
            force: Whether to sign, too, where nothing says which files were registered.

        Raises:
            SignatureError: If the files are not what was signed and registered.
        """
        settings = self.settings
        with TemporaryDirectory(prefix="sign-") as name:
            signature = self.download(version, Path(name), renewing=True)
        if not signature.names_version or _is_of_another(signature, version):
            record = require_registered(version, signature, settings)
            recorded = bool(record and record.details.get("digest"))
            if not (force or recorded or version.tags.get(DIGEST_TAG)):
                raise SignatureError(
                    f"nothing says which files were registered as version {version.version} of "
                    f"{version.name}: the audit log of this machine has no record of it",
                    "sign it where it was registered; if you are sure of the files: "
                    f"registry sign {version.version} --force",
                )
            documents = signature.documents
            if documents is None:
                documents = document_digests(self.runs, version.run_id)
            signature = sign_again(signature, version.name, version.version, settings, documents)
            self.store_signature(version, signature)
        if has_unsigned_report(self.runs, version.run_id):
            files = report_files(self.runs, version.run_id)
            texts = {path: content.decode("utf-8") for path, content in files.items()}
            if reason := sign_report(self.runs, self.settings, version.run_id, texts):
                raise SignatureError(reason, "sign on a machine that has the key")
        return signature

    def store_signature(self, version: ModelVersion, signature: Signature) -> None:
        """Store a signature where no other version of the run has its own."""
        path = known = version.tags.get(SIGNATURE_TAG, SIGNATURE_FILE)
        if path != SIGNATURE_FILE:
            path = signature_path(version.name, version.version)
        self.runs.log_text(version.run_id, signature.to_json(), path)
        if path != known:
            store = self.runs.connection.store
            store.set_version_tag(version.name, version.version, SIGNATURE_TAG, path)

    def sign_again(self, version: ModelVersion, subject: str) -> str:
        """Verify a version's files and sign them, under the same number, for another name.

        Returns:
            The new signature's path in the run.
        """
        verified = self.verify_model(version)
        signature = sign_again(verified, subject, version.version, self.settings)
        path = signature_path(subject, version.version)
        self.runs.log_text(version.run_id, signature.to_json(), path)
        return path

    def load(self, version: ModelVersion) -> "LoadedModel":
        """A version's pipeline and the contract it was trained with, verified before it is read.

        Raises:
            SignatureError: If it is unsigned, altered, signed for another model or a pickle.
            RegistryError: If the files are missing or hold a type that is not allowed.
        """
        # A service loads each new champion for months: the downloads must not pile up.
        with TemporaryDirectory(prefix="model-") as name:
            folder = Path(name)
            self.download(version, folder)
            return _read(folder, _contract_in(folder), version)

    def load_for_serving(
        self, version: ModelVersion
    ) -> "CompiledModel | EncodedModel | LoadedModel":
        """A version as it serves: its compiled form where it has one, else its pipeline.

        Raises:
            SignatureError: If it is unsigned, altered, signed for another model or a pickle.
            RegistryError: If the files are missing or hold a type that is not allowed.
        """
        from goldpath.registry.files.kept_model import keep_model

        with TemporaryDirectory(prefix="model-") as name:
            folder = Path(name)
            signature = self.download(version, folder)
            served = self._read_served(folder, version)
            keep_model(folder, version, signature, self.settings)
            return served

    def examine(self, version: ModelVersion) -> "ExaminedVersion":
        """A version's pipeline, the form in which it serves, and the bytes of all its files.

        Raises:
            SignatureError: If it is unsigned, altered, signed for another model or a pickle.
            RegistryError: If the files are missing or hold a type that is not allowed.
        """
        with TemporaryDirectory(prefix="model-") as name:
            folder = Path(name)
            self.download(version, folder)
            sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
            model = _read(folder, _contract_in(folder), version)
            return ExaminedVersion(model, self._read_served(folder, version), sum(sizes))

    def load_kept(
        self, model_name: str
    ) -> "tuple[ModelVersion, CompiledModel | EncodedModel | LoadedModel] | None":
        """The model that `load_for_serving` gave last on this machine, verified again; or None.

        It needs no registry.

        Raises:
            SignatureError: If its files were changed.
        """
        from goldpath.registry.files.kept_model import kept_model

        kept = kept_model(self.settings, model_name)
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

        contract = _contract_in(folder)
        background = read_background(folder)
        compiled = read_compiled(folder, contract, version, self.settings)
        if compiled is not None:
            compiled.background = background
            return compiled
        loaded = replace(_read(folder, contract, version), background=background)
        return behind_encoder(loaded) or loaded

    def _fetch(self, version: ModelVersion, folder: Path) -> None:
        connection = self.runs.connection
        location = version.source
        if location.startswith(LOGGED_MODEL):  # MLflow would look in the registry used last
            model_id = location.removeprefix("models:/")
            location = connection.store.model_location(model_id) or location
        if can_fetch(connection.store, location):
            fetch_folder(connection.store, location, folder)
            return
        import mlflow

        with connection.translate(f"downloading version {version.version}"):
            files = Path(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=location, dst_path=str(folder), tracking_uri=connection.uri
                )
            )
            if files.resolve() != folder.resolve():  # MLflow keeps the last folder's name
                for item in files.iterdir():
                    item.rename(folder / item.name)
                files.rmdir()


def _contract_in(folder: Path) -> "Contract":
    return parse_contract((folder / CONTRACT_FILE).read_text(encoding="utf-8"))


def _read(folder: Path, contract: "Contract", version: ModelVersion) -> "LoadedModel":
    from goldpath.learning.scoring import LoadedModel

    uri = f"models:/{version.name}/{version.version}"
    return LoadedModel(read_pipeline(folder / "model.skops", uri), contract, version)
