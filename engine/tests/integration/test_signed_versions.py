"""A version is what was registered under its number: its files, its documents and its report."""

import base64
import json
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from goldpath.jobs.promotion.registry_audit import verify_audit
from goldpath.learning.frames import model_frame
from goldpath.model_version import ModelVersion
from goldpath.registry.files.documents import sign_report
from goldpath.registry.layout import CARD_FILE, DOCUMENTS, REFERENCE_FILE, REPORT_FILE, REPORT_PAGE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.registration import Registration
from goldpath.trust.audit import audit_file
from goldpath.trust.signing import (
    SIGNATURE_FILE,
    VERSIONLESS,
    Signature,
    SignatureError,
    sign_again,
)
from goldpath.trust.signing_keys import signing_key

from ..api.examples import fitted
from ..registry_projects import CONTRACT, EXAMPLE, add_version, make_registry, scores

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MLflowManager:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    return make_registry(tmp_path)


def add_documented_version(manager: MLflowManager, seed: str = "1") -> ModelVersion:
    """A version whose run has a card and a reference, as training logs them."""
    with manager.run(f"run-{seed}", {}) as run_id:
        for path in DOCUMENTS:
            manager.log_text(run_id, f"{path} of {seed}", path)
        example = model_frame(EXAMPLE, CONTRACT)
        return manager.register(run_id, fitted("binary", seed, "linear"), example, {})


def run_folder(manager: MLflowManager, version: ModelVersion) -> Path:
    run = manager.run_record(version)
    assert run is not None
    return Path(unquote(urlsplit(run.artifact_uri).path))


def model_folder(manager: MLflowManager, version: ModelVersion) -> Path:
    location = manager.store.model_location(version.source.removeprefix("models:/"))
    assert location is not None
    return Path(unquote(urlsplit(location).path))


def replace_files(manager: MLflowManager, target: ModelVersion, source: ModelVersion) -> None:
    """Put one version's files and signature where those of another one are."""
    for folder in (model_folder, run_folder):
        shutil.rmtree(folder(manager, target))
        shutil.copytree(folder(manager, source), folder(manager, target))


def write_first_format(manager: MLflowManager, version: ModelVersion) -> None:
    """Give a version the signature that an older engine made."""
    signature = manager.signature(version)
    name, private = signing_key(manager.settings)
    message = json.dumps([VERSIONLESS, version.name, name, signature.digest]).encode()
    old = Signature(
        version.name,
        name,
        signature.digest,
        signature.files,
        base64.b64encode(private.sign(message)).decode(),
    )
    manager.log_text(version.run_id, old.to_json(), SIGNATURE_FILE)


def test_files_and_signature_of_another_version_are_refused(manager: MLflowManager) -> None:
    first, second = add_version(manager), add_version(manager, seed="2")
    assert verify_audit(manager.settings, CONTRACT).intact
    replace_files(manager, second, first)

    for read in (manager.load, manager.load_for_serving, manager.verify_signature):
        with pytest.raises(SignatureError, match="signed as version 1 of small, and version 2"):
            read(second)
    report = verify_audit(manager.settings, CONTRACT)
    assert not report.intact
    assert any("version 2 " in difference for difference in report.differences)
    assert len(scores(manager, "1")) == 50


def test_files_that_a_trusted_key_signed_later_are_not_what_was_registered(
    manager: MLflowManager,
) -> None:
    first, second = add_version(manager), add_version(manager, seed="2")
    replace_files(manager, second, first)
    forged = sign_again(manager.signature(first), first.name, "2", manager.settings)
    manager.log_text(second.run_id, forged.to_json(), SIGNATURE_FILE)
    manager.tag_version("2", {"model_digest": forged.digest})

    with pytest.raises(
        SignatureError, match=r"version 2 of small is not what was registered.*record 2"
    ):
        manager.load_version("2")
    assert not verify_audit(manager.settings, CONTRACT).intact


def test_damaged_audit_log_without_the_record_lets_nothing_load(manager: MLflowManager) -> None:
    add_version(manager)
    log = audit_file(manager.settings)
    log.write_bytes(log.read_bytes().replace(b'"digest":"', b'"digest":"0', 1))

    with pytest.raises(SignatureError, match=r"the audit log is damaged \(line 1 was changed"):
        manager.load_version("1")


def test_version_that_another_machine_registered_loads(manager: MLflowManager) -> None:
    add_version(manager)
    for file in audit_file(manager.settings).parent.iterdir():
        file.unlink()

    assert len(scores(manager, "1")) == 50


def test_model_is_signed_for_the_number_that_it_got(
    manager: MLflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registration, "next_number", lambda self: "7")

    version = add_version(manager)

    assert manager.verify_signature(version).version == version.version == "1"


def test_number_of_a_deleted_version_is_not_used_for_the_signature(manager: MLflowManager) -> None:
    add_version(manager)
    add_version(manager, seed="2")
    manager.delete_version("2")

    version = add_version(manager, seed="3")

    assert manager.verify_signature(version).version == version.version


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_that_was_altered_is_refused(manager: MLflowManager, document: str) -> None:
    version = add_documented_version(manager)
    assert set(manager.verify_signature(version).documents or ()) == set(DOCUMENTS)
    manager.log_text(version.run_id, "another text", document)

    with pytest.raises(SignatureError, match=f"{document} was altered"):
        manager.verify_signature(version)
    with pytest.raises(SignatureError, match=f"{document} was altered"):
        manager.files.document(version, document, manager.settings.root)
    assert len(scores(manager, "1")) == 50  # the model itself is what was signed


def test_documents_that_were_added_or_removed_are_refused(manager: MLflowManager) -> None:
    bare, full = add_version(manager), add_documented_version(manager, "2")
    manager.log_text(bare.run_id, "# A card", CARD_FILE)
    (run_folder(manager, full) / REFERENCE_FILE).unlink()

    with pytest.raises(SignatureError, match="was added after version 1 was signed"):
        manager.verify_signature(bare)
    with pytest.raises(SignatureError, match="was signed and is missing"):
        manager.verify_signature(full)


def test_validation_report_is_signed_for_its_run(manager: MLflowManager) -> None:
    first, second = add_version(manager), add_version(manager, seed="2")
    for version, verdict in ((first, "passed"), (second, "refused")):
        texts = {REPORT_PAGE: f"<p>{verdict}</p>", REPORT_FILE: json.dumps({"verdict": verdict})}
        for path, text in texts.items():
            manager.log_text(version.run_id, text, path)
        assert sign_report(manager.runs, manager.settings, version.run_id, texts) == ""
    assert b"refused" in (manager.files.report(second) or b"")

    source, target = (run_folder(manager, version) / "validation" for version in (first, second))
    shutil.copytree(source, target, dirs_exist_ok=True)

    with pytest.raises(SignatureError):
        manager.files.report(second)
    with pytest.raises(SignatureError):
        manager.verify_signature(second)


def test_report_without_a_signature_is_said_to_be_unsigned(manager: MLflowManager) -> None:
    version = add_version(manager)
    manager.log_text(version.run_id, "{}", REPORT_FILE)

    with pytest.raises(SignatureError, match="validation report of version 1 is unsigned"):
        manager.verify_signature(version)
    manager.files.renew(version)
    assert manager.files.report(version) == b"{}"


def test_signature_of_the_first_format_is_renewed_after_a_comparison(
    manager: MLflowManager,
) -> None:
    version = add_documented_version(manager)
    write_first_format(manager, version)

    with pytest.raises(SignatureError, match="first format") as refused:
        manager.load(version)
    assert "registry sign 1" in refused.value.fix
    renewed = manager.files.renew(version)

    assert renewed.version == "1"
    assert manager.verify_signature(version) == renewed
    assert len(scores(manager, "1")) == 50


def test_first_formats_signature_of_other_files_is_not_renewed(manager: MLflowManager) -> None:
    first, second = add_version(manager), add_version(manager, seed="2")
    write_first_format(manager, first)
    replace_files(manager, second, first)

    for force in (False, True):
        with pytest.raises(SignatureError, match="version 2 of small is not what was registered"):
            manager.files.renew(second, force=force)


def test_documents_and_report_come_along_when_a_model_is_renamed_or_copied(
    manager: MLflowManager,
) -> None:
    version = add_documented_version(manager)
    manager.log_text(version.run_id, "{}", REPORT_FILE)
    manager.files.renew(version)
    elsewhere = manager.at(f"sqlite:///{manager.settings.root / 'elsewhere' / 'mlflow.db'}")

    for copied, target in (
        (manager.copy("1", manager.named("copied")), manager.named("copied")),
        (manager.copy("1", elsewhere), elsewhere),
    ):
        assert set(target.verify_signature(copied).documents or ()) == set(DOCUMENTS)
    manager.rename("renamed")
    assert manager.verify_signature(manager.version("1")).subject == "renamed"
    assert verify_audit(manager.settings, CONTRACT.model_copy(update={"dataset": "renamed"})).intact


def copy_twice(manager: MLflowManager) -> MLflowManager:
    """A model with two versions of one run; they came to it through two other models."""
    add_version(manager)
    production = manager.named("prod.small")
    manager.copy("1", manager.named("staging.small"))
    for source in (manager, manager.named("staging.small")):
        source.copy("1", production)
    first, second = production.versions()
    assert first.run_id == second.run_id
    return production


def test_versions_of_one_run_keep_signatures_of_their_own(manager: MLflowManager) -> None:
    production = copy_twice(manager)
    assert scores(production, "1") == scores(production, "2") == scores(manager, "1")

    production.rename("renamed")

    for version in production.versions():
        assert production.verify_signature(version).version == version.version
        assert version.tags["signature"] == f"signatures/renamed/{version.version}.json"


def test_copy_is_signed_under_the_number_that_it_got(
    manager: MLflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_version(manager)
    production = manager.named("prod.small")
    monkeypatch.setattr(Registration, "next_number", lambda self: "7")

    copied = manager.copy("1", production)

    assert production.verify_signature(copied).version == copied.version == "1"
    assert copied.tags["signature"] == "signatures/prod.small/1.json"


def test_signature_that_an_older_engine_overwrote_is_renewed(manager: MLflowManager) -> None:
    production = copy_twice(manager)
    shared = "signatures/prod.small.json"  # where both of them were
    first, second = production.versions()
    signature = production.signature(second)
    for version in (first, second):
        production.log_text(version.run_id, signature.to_json(), shared)
        production.tag_version(version.version, {"signature": shared})

    with pytest.raises(SignatureError, match="was overwritten by that of version 2") as refused:
        production.load_version("1")
    assert "registry sign 1" in refused.value.fix
    assert production.verify_signature(production.version("2")) == signature
    for version in production.versions():
        production.files.renew(version)

    for version in production.versions():
        assert production.verify_signature(version).version == version.version
    assert scores(production, "1") == scores(production, "2")


def test_overwritten_signature_of_other_files_is_not_renewed(manager: MLflowManager) -> None:
    production = copy_twice(manager)
    other = add_version(manager, seed="2")
    forged = sign_again(manager.signature(other), "prod.small", "2", manager.settings)
    first = production.version("1")
    production.log_text(first.run_id, forged.to_json(), "signatures/prod.small.json")
    production.tag_version("1", {"signature": "signatures/prod.small.json"})

    for force in (False, True):
        with pytest.raises(SignatureError, match=r"altered|not what was registered"):
            production.files.renew(production.version("1"), force=force)
