"""What a run holds about a model: card, reference for drift, the gate's report; signed.

Card and reference are there before the version and are named by its signature. The report is made
when the gate judges the version, and again each time, so it has a signature of its own; it names
the run, which a renamed or copied version keeps.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from goldpath.model_version import ModelVersion
from goldpath.registry.layout import DOCUMENTS, REPORT_FILE, REPORT_PAGE, REPORT_SIGNATURE
from goldpath.settings import Settings
from goldpath.trust.manifest import file_digest, refuse
from goldpath.trust.signing import (
    REPORT,
    Signature,
    SignatureError,
    parse_signature,
    sign_contents,
    verify_contents,
    verify_document,
)

UNSIGNED = "unsigned"
"""Takes the place of a report's signature where the machine that judged had no key."""


class RunFiles(Protocol):
    """The files of runs: `registry.runs.Runs`."""

    def has(self, run_id: str, path: str) -> bool:
        """Whether a run has a file of this path."""

    def download(self, run_id: str, path: str, folder: Path) -> Path:
        """Fetch a file."""

    def log_text(self, run_id: str, text: str, artifact: str) -> None:
        """Store a text."""


def document_digests(runs: RunFiles, run_id: str) -> dict[str, str]:
    """SHA-256 of the documents that a run has, by path."""
    with TemporaryDirectory(prefix="documents-") as name:
        return {
            path: file_digest(runs.download(run_id, path, Path(name)))
            for path in DOCUMENTS
            if runs.has(run_id, path)
        }


def fetch_document(
    runs: RunFiles,
    settings: Settings,
    version: ModelVersion,
    signature: Signature,
    path: str,
    folder: Path,
) -> Path:
    """Fetch a document of the run into a folder that nobody else writes to, and verify it.

    Raises:
        SignatureError: If it is not what was signed with the version.
        RegistryError: If there is none.
    """
    file = runs.download(version.run_id, path, folder)
    verify_document(path, file, signature, version.name, settings, version.version)
    return file


def verify_documents(
    runs: RunFiles, settings: Settings, version: ModelVersion, signature: Signature
) -> None:
    """Refuse a version whose card or reference is not what was signed with it.

    Raises:
        SignatureError: Names the document.
    """
    signed = signature.documents or {}
    with TemporaryDirectory(prefix="documents-") as name:
        for path in dict.fromkeys((*signed, *DOCUMENTS)):
            if runs.has(version.run_id, path):
                fetch_document(runs, settings, version, signature, path, Path(name))
            elif path in signed:
                refuse(f"{path} was signed and is missing")


def sign_report(runs: RunFiles, settings: Settings, run_id: str, texts: Mapping[str, str]) -> str:
    """Sign the gate's report beside it.

    Args:
        runs: Where the run is.
        settings: Say where the key is.
        run_id: The run of the version that was judged.
        texts: The report's files by their path in the run.

    Returns:
        Why it is not signed; empty if it is.
    """
    contents = {path: text.encode() for path, text in texts.items()}
    reason = ""
    try:
        signed = sign_contents(contents, run_id, settings, purpose=REPORT).to_json()
    except SignatureError as error:  # one may judge without the key that signs models
        signed, reason = UNSIGNED + "\n", error.message
    runs.log_text(run_id, signed, REPORT_SIGNATURE)
    return reason


def verified_report(
    runs: RunFiles, settings: Settings, version: ModelVersion
) -> dict[str, bytes] | None:
    """The gate's report, verified: content by path; None if the gate has not judged the version.

    Raises:
        SignatureError: If it is unsigned, or not what was signed.
    """
    contents = report_files(runs, version.run_id)
    if not contents:
        return None
    text = _signature_text(runs, version.run_id)
    if text in ("", UNSIGNED):
        raise SignatureError(
            f"the validation report of version {version.version} is unsigned"
            + (": the machine that judged it had no key to sign with" if text else ""),
            f"read it, then sign it: registry sign {version.version}",
        )
    verify_contents(contents, parse_signature(text), version.run_id, settings, purpose=REPORT)
    return contents


def has_unsigned_report(runs: RunFiles, run_id: str) -> bool:
    """Whether there is a report without a signature, which an older engine left."""
    return bool(report_files(runs, run_id)) and _signature_text(runs, run_id) in ("", UNSIGNED)


def report_files(runs: RunFiles, run_id: str) -> dict[str, bytes]:
    """The files of the gate's report as they lie in the run; nothing is verified."""
    with TemporaryDirectory(prefix="report-") as name:
        return {
            path: runs.download(run_id, path, Path(name)).read_bytes()
            for path in (REPORT_FILE, REPORT_PAGE)
            if runs.has(run_id, path)
        }


def _signature_text(runs: RunFiles, run_id: str) -> str:
    if not runs.has(run_id, REPORT_SIGNATURE):
        return ""
    with TemporaryDirectory(prefix="signature-") as name:
        file = runs.download(run_id, REPORT_SIGNATURE, Path(name))
        return file.read_text(encoding="utf-8", errors="replace").strip()
