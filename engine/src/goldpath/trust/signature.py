"""A signature as a value: who vouches for which bytes, and its JSON, read strictly."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goldpath.trust.manifest import RETRAIN, SIGNATURE_FILE, check_path, refuse
from goldpath.trust.signing_keys import SignatureError

HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
KEY_NAME = re.compile("[0-9a-f]{16}")
VERSION_NUMBER = re.compile("[0-9]{0,18}")
MOST_SIGNATURE_BYTES = 4_000_000


ADDED_FIELDS = ("version", "documents")
"""What the first format lacks."""


@dataclass(frozen=True)
class Signature:
    """Who vouches for which bytes, and for which version of which registered model.

    Attributes:
        subject: The registered model's name.
        key_id: The key that signed.
        digest: SHA-256 of the manifest.
        files: The manifest: SHA-256 by relative path, with forward slashes.
        signature: Ed25519 over purpose, subject, version, key id and the digests of both manifests,
            in base64.
        version: The version's number.
        documents: SHA-256 of what the run holds about the model (its card, the reference for
            drift), by path in the run. None in the first format, which named neither documents nor
            version.
    """

    subject: str
    key_id: str
    digest: str
    files: Mapping[str, str]
    signature: str
    version: str = ""
    documents: Mapping[str, str] | None = None

    @property
    def names_version(self) -> bool:
        """Whether it was made for one version; the first format was for all of a model's."""
        return self.documents is not None

    def to_json(self) -> str:
        """The signature as JSON that `parse_signature` reads back to an equal one."""
        values = asdict(self)
        if not self.names_version:
            values = {name: value for name, value in values.items() if name not in ADDED_FIELDS}
        return json.dumps(values, indent=2, sort_keys=True) + "\n"


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
    first = fields - set(ADDED_FIELDS)
    if not isinstance(values, dict) or set(values) not in (fields, first):
        named = sorted(values) if isinstance(values, dict) else type(values).__name__
        refuse(f"{SIGNATURE_FILE} holds {named}; expected exactly {sorted(fields)}")
    if not values["files"]:
        refuse(f"{SIGNATURE_FILE}: files must name at least one file")
    _check_manifest("files", values["files"])
    if set(values) == fields:
        _check_manifest("documents", values["documents"])
        _check_text("version", values["version"], VERSION_NUMBER)
    _check_text("digest", values["digest"], HEX_DIGEST)
    _check_text("key_id", values["key_id"], KEY_NAME)
    _check_text("subject", values["subject"], re.compile(r"[^\x00-\x1f]{1,256}"))
    # 64 bytes; the last letter has four bits to spare, which must be zero.
    _check_text("signature", values["signature"], re.compile(r"[A-Za-z0-9+/]{85}[AQgw]=="))
    return Signature(**values)


def _check_manifest(field: str, manifest: object) -> None:
    if not isinstance(manifest, dict):
        refuse(f"{SIGNATURE_FILE}: {field} is not a list of files with their digests")
    for name, digest in manifest.items():
        check_path(name)
        _check_text(f"{field}[{name!r}]", digest, HEX_DIGEST)


def _check_text(field: str, value: object, pattern: re.Pattern[str]) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        refuse(f"{SIGNATURE_FILE}: {field} is {str(value)[:80]!r}, not {pattern.pattern}")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a key is given twice")
    return dict(pairs)
