"""The keys that models are signed with, and those whose signatures are trusted.

The private key comes from `registry.signing_key` (a PEM in the environment) or from
`registry.signing_key_file`. Trusted are the public keys in the folder `registry.trusted_keys`, one
`<key id>.pem` each, which belong into git: a signature is as good as the review of that folder.
"""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.errors import ProjectError
from goldpath.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

KEY_ID_LENGTH = 16
PUBLIC_SUFFIX = ".pem"


class SignatureError(ProjectError):
    """A model is not signed as it must be, or a key cannot be used; names file and fault."""


@dataclass(frozen=True)
class KeyPair:
    """A key that signs.

    Attributes:
        key_id: The first 16 hexadecimal digits of the public key's SHA-256.
        private_file: Where the private key is; None where it came from the environment.
        public_file: Where the public key is trusted.
    """

    key_id: str
    private_file: Path | None
    public_file: Path


def signing_key(settings: Settings) -> "tuple[str, Ed25519PrivateKey]":
    """The key to sign with, and its id.

    Without one, development makes a pair; anywhere else that is refused, since nobody would have
    chosen to trust it.

    Raises:
        SignatureError: If there is no key, it cannot be read, or its public half is not trusted.
    """
    text, file = settings.registry.signing_key.get_secret_value(), private_file(settings)
    if text:
        private = _parse_private(text.replace("\\n", "\n").encode(), "MLOPS_REGISTRY__SIGNING_KEY")
    else:
        if not file.exists():
            if settings.environment != "development":
                raise SignatureError(
                    f"there is no key to sign models with: {settings.shown(file)} is absent and "
                    "MLOPS_REGISTRY__SIGNING_KEY is empty",
                    "give it, or make one: registry keygen "
                    f"(environment={settings.environment} makes none by itself)",
                )
            keygen(settings, rotate=True)  # another process may have made one meanwhile
        _refuse_open_to_others(settings, file)
        private = _parse_private(file.read_bytes(), settings.shown(file))
    name = key_id(private.public_key())
    if name not in trusted_keys(settings):
        raise SignatureError(
            f"models would be signed with key {name}, which is not trusted",
            f"put its public key into {settings.registry.trusted_keys}/{name}{PUBLIC_SUFFIX}, "
            "or sign with a trusted key",
        )
    return name, private


def trusted_keys(settings: Settings) -> "dict[str, Ed25519PublicKey]":
    """Every trusted public key by its id.

    Raises:
        SignatureError: If a file of the folder is no Ed25519 public key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found = {}
    for file in sorted((settings.root / settings.registry.trusted_keys).glob(f"*{PUBLIC_SUFFIX}")):
        try:
            public = load_pem_public_key(file.read_bytes())
        except (ValueError, UnsupportedAlgorithm, OSError) as error:
            raise SignatureError(
                f"{settings.shown(file)} is not a public key in PEM form",
                "remove it, or put the public key there (never the private one)",
            ) from error
        if not isinstance(public, Ed25519PublicKey):
            raise SignatureError(
                f"{settings.shown(file)} is not an Ed25519 key",
                "make one: registry keygen",
            )
        found[key_id(public)] = public
    return found


def keygen(settings: Settings, *, rotate: bool = False) -> KeyPair:
    """Make a key pair to sign with from now on, and trust it.

    Args:
        settings: Say where keys are kept.
        rotate: Whether a key that is there is set aside, beside the new one. Its public key stays
            trusted, so that models that it signed still load; removing that is how it is revoked.

    Raises:
        SignatureError: If there is a key already, or the environment gives it, which a new file
            would not replace.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    if settings.registry.signing_key.get_secret_value():
        raise SignatureError(
            "the key comes from MLOPS_REGISTRY__SIGNING_KEY, so a new file would not be used",
            "unset the variable to make a key file, or change the variable",
        )
    file = private_file(settings)
    if file.exists() and not rotate:
        raise SignatureError(
            f"there is a key already: {settings.shown(file)}",
            "registry keygen --rotate sets it aside; models that it signed stay trusted",
        )
    private = Ed25519PrivateKey.generate()
    name = key_id(private.public_key())
    public_file = settings.root / settings.registry.trusted_keys / f"{name}{PUBLIC_SUFFIX}"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    public_file.parent.mkdir(parents=True, exist_ok=True)
    # The public key first: a kill in between leaves a key that nothing was signed with.
    public_file.write_bytes(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    part = file.with_name(f"{file.name}.{name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with contextlib.suppress(FileNotFoundError):
        file.rename(file.with_name(f"{file.stem}-before-{name}{file.suffix}"))
    part.replace(file)
    return KeyPair(name, file, public_file)


def private_file(settings: Settings) -> Path:
    """Where the private key is kept where the environment does not give it."""
    return settings.root / settings.registry.signing_key_file


def key_id(public: "Ed25519PublicKey") -> str:
    """A public key's name: the start of its SHA-256."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:KEY_ID_LENGTH]


def _parse_private(text: bytes, where: str) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(
            f"{where} holds no private key in PEM form that can be read without a password",
            "give an Ed25519 key: openssl genpkey -algorithm ed25519",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SignatureError(
            f"{where} is not an Ed25519 key", "make one: openssl genpkey -algorithm ed25519"
        )
    return private


def _refuse_open_to_others(settings: Settings, file: Path) -> None:
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise SignatureError(
            f"others on this machine may read {settings.shown(file)}",
            f"chmod 600 {settings.shown(file)}, and make a new key if somebody may have done so",
        )
