"""Signed models: a SHA-256 manifest of a model's files, and an Ed25519 signature over it.

Verified before anything of a model is read: a model is refused that is unsigned, that has an
altered, added, missing or symbolically linked file, that was signed for another registered model or
with a key that is not trusted, or that carries a pickle, whoever signed it. Needs no MLflow, so the
service does it too.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from goldpath.settings import Settings
from goldpath.trust.manifest import (
    RETRAIN,
    SIGNATURE_FILE,
    check_path,
    content_digests,
    file_digest,
    manifest_digest,
    model_files,
    refuse,
)
from goldpath.trust.pickle_scan import find_pickle, pickle_name  # nosec B403  a scanner
from goldpath.trust.signing_keys import SignatureError, keygen, signing_key, trusted_keys

__all__ = [
    "SIGNATURE_FILE",
    "Signature",
    "SignatureError",
    "keygen",
    "parse_signature",
    "read_signature",
    "sign_contents",
    "sign_folder",
    "verify_contents",
    "verify_folder",
]

PURPOSE = "mlops model signature, version 1"
"""Part of what is signed: a signature made for anything else is none of a model."""

HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
KEY_NAME = re.compile("[0-9a-f]{16}")
MOST_SIGNATURE_BYTES = 4_000_000


@dataclass(frozen=True)
class Signature:
    """Who vouches for which bytes, and for which registered model.

    Attributes:
        subject: The registered model's name.
        key_id: The key that signed.
        digest: SHA-256 of the manifest.
        files: The manifest: SHA-256 by relative path, with forward slashes.
        signature: Ed25519 over purpose, subject, key id and digest, in base64.
    """

    subject: str
    key_id: str
    digest: str
    files: Mapping[str, str]
    signature: str

    def to_json(self) -> str:
        """The signature as JSON that `parse_signature` reads back to an equal one."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def sign_folder(folder: Path, subject: str, settings: Settings) -> Signature:
    """Sign every file of a model's folder, a signature file in it left out.

    Args:
        folder: The model as it is stored, with its contract.
        subject: The registered model's name.
        settings: Say where the key is; development makes one on first use.

    Raises:
        SignatureError: If there is no key to sign with, or a file must not be signed.
    """
    files = {name: file_digest(file) for name, file in model_files(folder)}
    _refuse_pickles(folder, files)
    return _sign(files, subject, settings)


def sign_contents(contents: Mapping[str, bytes], subject: str, settings: Settings) -> Signature:
    """Sign files that are in memory; equal to signing a folder that holds them.

    Raises:
        SignatureError: If there is no key to sign with, or a path is not a relative one.
    """
    return _sign(content_digests(contents), subject, settings)


def verify_folder(folder: Path, signature: Signature, subject: str, settings: Settings) -> None:
    """Refuse a folder that is not exactly what a trusted key signed for this model.

    The folder must be one that nobody else can write to while it is verified and read, such as a
    fresh download.

    Raises:
        SignatureError: Names the file and what is wrong with it.
    """
    _verify_signature(signature, subject, settings)
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
    contents: Mapping[str, bytes], signature: Signature, subject: str, settings: Settings
) -> None:
    """Refuse files in memory that are not exactly what a trusted key signed for this model.

    Raises:
        SignatureError: Names the file and what is wrong with it.
    """
    _verify_signature(signature, subject, settings)
    digests = content_digests(contents)
    _compare_names(digests, signature)
    for name, digest in digests.items():
        if digest != signature.files[name]:
            refuse(f"{name} was altered after it was signed")


def read_signature(folder: Path) -> Signature:
    """The signature that lies in a model's folder.

    Raises:
        SignatureError: If there is none, which is to say the model is unsigned.
    """
    file = folder / SIGNATURE_FILE
    if not file.is_file() or file.is_symlink():
        refuse(f"the model is unsigned: it has no {SIGNATURE_FILE}")
    return parse_signature(file.read_text(encoding="utf-8", errors="replace"))


def parse_signature(text: str) -> Signature:
    """Read a signature; anything unusual about it is refused.

    Raises:
        SignatureError: Names the field and what is wrong with it.
    """
    if len(text) > MOST_SIGNATURE_BYTES:
        refuse(f"{SIGNATURE_FILE} has more than {MOST_SIGNATURE_BYTES:,} characters")
    try:
        values = json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise SignatureError(f"{SIGNATURE_FILE} is not valid JSON: {error}", RETRAIN) from error
    fields = set(Signature.__dataclass_fields__)
    if not isinstance(values, dict) or set(values) != fields:
        named = sorted(values) if isinstance(values, dict) else type(values).__name__
        refuse(f"{SIGNATURE_FILE} holds {named}; expected exactly {sorted(fields)}")
    files = values["files"]
    if not isinstance(files, dict) or not files:
        refuse(f"{SIGNATURE_FILE}: files must name at least one file")
    for name, digest in files.items():
        check_path(name)
        _check_text(f"files[{name!r}]", digest, HEX_DIGEST)
    _check_text("digest", values["digest"], HEX_DIGEST)
    _check_text("key_id", values["key_id"], KEY_NAME)
    _check_text("subject", values["subject"], re.compile(r"[^\x00-\x1f]{1,256}"))
    # 64 bytes; the last letter has four bits to spare, which must be zero.
    _check_text("signature", values["signature"], re.compile(r"[A-Za-z0-9+/]{85}[AQgw]=="))
    return Signature(**values)


def _sign(files: Mapping[str, str], subject: str, settings: Settings) -> Signature:
    if not files:
        refuse("there is no file to sign")
    name, private = signing_key(settings)
    digest = manifest_digest(files)
    signed = private.sign(_message(subject, name, digest))
    return Signature(
        subject=subject,
        key_id=name,
        digest=digest,
        files=dict(sorted(files.items())),
        signature=base64.b64encode(signed).decode("ascii"),
    )


def _verify_signature(signature: Signature, subject: str, settings: Settings) -> None:
    from cryptography.exceptions import InvalidSignature

    if signature.subject != subject:
        refuse(f"the model was signed as {signature.subject!r}, and {subject!r} was asked for")
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
            base64.b64decode(signature.signature, validate=True),
            _message(signature.subject, signature.key_id, signature.digest),
        )
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise SignatureError(
            f"the signature does not belong to key {signature.key_id} and these files", RETRAIN
        ) from error


def _message(subject: str, key: str, digest: str) -> bytes:
    """What is signed. JSON, so that no two triples have one spelling."""
    return json.dumps([PURPOSE, subject, key, digest]).encode("ascii")


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


def _check_text(field: str, value: object, pattern: re.Pattern[str]) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        refuse(f"{SIGNATURE_FILE}: {field} is {str(value)[:80]!r}, not {pattern.pattern}")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a key is given twice")
    return dict(pairs)
