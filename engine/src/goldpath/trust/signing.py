"""Signed models: a SHA-256 manifest of a model's files, and an Ed25519 signature over it.

Verified before anything of a model is read: a model is refused that is unsigned, that has an
altered, added, missing or symbolically linked file, that was signed for another registered model,
for another version of it or with a key that is not trusted, or that carries a pickle, whoever
signed it. Needs no MLflow, so the service does it too.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from goldpath.settings import Settings
from goldpath.trust.manifest import (
    RETRAIN,
    SIGNATURE_FILE,
    content_digests,
    file_digest,
    manifest_digest,
    model_files,
    refuse,
)
from goldpath.trust.pickle_scan import find_pickle, pickle_name  # nosec B403  a scanner
from goldpath.trust.signature import Signature, parse_signature, read_signature
from goldpath.trust.signing_keys import SignatureError, keygen, signing_key, trusted_keys

__all__ = [
    "SIGNATURE_FILE",
    "Signature",
    "SignatureError",
    "keygen",
    "parse_signature",
    "read_signature",
    "sign_again",
    "sign_contents",
    "sign_folder",
    "verify_contents",
    "verify_document",
    "verify_folder",
]

MODEL = "mlops model signature, version 2"
"""Part of what is signed: a signature made for anything else is none of a model."""

REPORT = "mlops validation report signature, version 1"
VERSIONLESS = "mlops model signature, version 1"
"""The first format, which names the registered model and no version of it."""


def sign_folder(
    folder: Path,
    subject: str,
    settings: Settings,
    version: str = "",
    documents: Mapping[str, str] | None = None,
) -> Signature:
    """Sign every file of a model's folder, a signature file in it left out.

    Args:
        folder: The model as it is stored, with its contract.
        subject: The registered model's name.
        settings: Say where the key is; development makes one on first use.
        version: The version's number. Without one the signature is of no registered version.
        documents: SHA-256 of further files of the run, by path.

    Raises:
        SignatureError: If there is no key to sign with, or a file must not be signed.
    """
    files = {name: file_digest(file) for name, file in model_files(folder)}
    _refuse_pickles(folder, files)
    return _sign(files, subject, settings, version, documents)


def sign_contents(
    contents: Mapping[str, bytes],
    subject: str,
    settings: Settings,
    version: str = "",
    purpose: str = MODEL,
) -> Signature:
    """Sign files that are in memory; equal to signing a folder that holds them.

    Raises:
        SignatureError: If there is no key to sign with, or a path is not a relative one.
    """
    return _sign(content_digests(contents), subject, settings, version, purpose=purpose)


def sign_again(
    signature: Signature,
    subject: str,
    version: str,
    settings: Settings,
    documents: Mapping[str, str] | None = None,
) -> Signature:
    """Sign the same files for another version or model; they must have been verified just now.

    Args:
        signature: What was verified.
        subject: The registered model's name.
        version: The version's number.
        settings: Say where the key is.
        documents: The documents, where not those of the signature.

    Raises:
        SignatureError: If there is no key to sign with.
    """
    named = signature.documents if documents is None else documents
    return _sign(signature.files, subject, settings, version, named)


def verify_folder(
    folder: Path,
    signature: Signature,
    subject: str,
    settings: Settings,
    version: str = "",
    *,
    versionless: bool = False,
) -> None:
    """Refuse a folder that is not exactly what a trusted key signed for this version.

    The folder must be one that nobody else can write to while it is verified and read, such as a
    fresh download.

    Args:
        folder: The files.
        signature: What was stored as their signature.
        subject: The registered model's name.
        settings: Say which keys are trusted.
        version: The version's number.
        versionless: Whether the first format is accepted, which is any version's: only to sign it
            again after a comparison with what was registered.

    Raises:
        SignatureError: Names the file and what is wrong with it.
    """
    _verify_signature(signature, subject, version, settings, versionless=versionless)
    found = dict(model_files(folder))
    for name in found:
        if reason := pickle_name(name):
            _refuse_pickle(name, reason)
    _compare_names(found, signature)
    for name, file in found.items():
        if file_digest(file) != signature.files[name]:
            refuse(f"{name} was altered after it was signed")
    _refuse_pickles(folder, signature.files)


def verify_contents(
    contents: Mapping[str, bytes],
    signature: Signature,
    subject: str,
    settings: Settings,
    version: str = "",
    purpose: str = MODEL,
) -> None:
    """Refuse files in memory that are not exactly what a trusted key signed for this version.

    Raises:
        SignatureError: Names the file and what is wrong with it.
    """
    _verify_signature(signature, subject, version, settings, purpose)
    digests = content_digests(contents)
    _compare_names(digests, signature)
    for name, digest in digests.items():
        if digest != signature.files[name]:
            refuse(f"{name} was altered after it was signed")


def verify_document(
    name: str, file: Path, signature: Signature, subject: str, settings: Settings, version: str
) -> None:
    """Refuse a document that is not the one that was signed with this version.

    Raises:
        SignatureError: If it was altered, was never signed, or the signature is another version's.
    """
    _verify_signature(signature, subject, version, settings)
    digest = (signature.documents or {}).get(name)
    if digest is None:
        refuse(f"{name} was added after version {version} was signed")
    if file_digest(file) != digest:
        refuse(f"{name} was altered after it was signed")


def _sign(
    files: Mapping[str, str],
    subject: str,
    settings: Settings,
    version: str,
    documents: Mapping[str, str] | None = None,
    purpose: str = MODEL,
) -> Signature:
    if not files:
        refuse("there is no file to sign")
    name, private = signing_key(settings)
    unsigned = Signature(
        subject=subject,
        key_id=name,
        digest=manifest_digest(files),
        files=dict(sorted(files.items())),
        signature="",
        version=version,
        documents=dict(sorted((documents or {}).items())),
    )
    signed = private.sign(_message(unsigned, purpose))
    return replace(unsigned, signature=base64.b64encode(signed).decode("ascii"))


def _verify_signature(
    signature: Signature,
    subject: str,
    version: str,
    settings: Settings,
    purpose: str = MODEL,
    *,
    versionless: bool = False,
) -> None:
    from cryptography.exceptions import InvalidSignature

    if signature.subject != subject:
        refuse(f"the model was signed as {signature.subject!r}, and {subject!r} was asked for")
    if not signature.names_version and not versionless:
        raise SignatureError(
            f"version {version} of {subject} has a signature of the first format, which does not "
            "say for which version it was made",
            f"compare its files with what was registered and sign it again: "
            f"registry sign {version}",
        )
    if signature.names_version and signature.version != version:
        refuse(
            f"the files were signed as version {signature.version or '(none)'} of {subject}, and "
            f"version {version or '(none)'} was asked for"
        )
    public = trusted_keys(settings).get(signature.key_id)
    if public is None:
        raise SignatureError(
            f"the model was signed with key {signature.key_id}, which is not trusted",
            f"if you know the key, put its public half into "
            f"{settings.registry.trusted_keys}/{signature.key_id}.pem; else do not load the model",
        )
    if manifest_digest(signature.files) != signature.digest:
        refuse(f"{SIGNATURE_FILE} was altered: its list of files is not the one that was signed")
    try:
        public.verify(
            base64.b64decode(signature.signature, validate=True), _message(signature, purpose)
        )
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise SignatureError(
            f"the signature does not belong to key {signature.key_id} and these files", RETRAIN
        ) from error


def _message(signature: Signature, purpose: str) -> bytes:
    """What is signed. JSON, so that no two lists have one spelling."""
    parts = [purpose, signature.subject, signature.version, signature.key_id, signature.digest]
    if signature.documents is None:
        parts = [VERSIONLESS, signature.subject, signature.key_id, signature.digest]
    else:
        parts.append(manifest_digest(signature.documents))
    return json.dumps(parts).encode("ascii")


def _compare_names(found: Mapping[str, Any], signature: Signature) -> None:
    if added := sorted(set(found) - set(signature.files)):
        refuse(f"{', '.join(added[:3])} was added after the model was signed")
    if missing := sorted(set(signature.files) - set(found)):
        refuse(f"{', '.join(missing[:3])} was signed and is missing")


def _refuse_pickles(folder: Path, names: Mapping[str, str]) -> None:
    for name in names:
        if reason := find_pickle(folder / name, name):
            _refuse_pickle(name, reason)


def _refuse_pickle(name: str, reason: str) -> NoReturn:
    raise SignatureError(
        f"{name} carries a pickle, which would run code when it is read: {reason}",
        "store the model with skops (make train-local does)",
    )
