"""Tokens (JWT) that the service gives to users and reads again: HS256, and nothing else.

The keys are a JSON list, newest first, in `access.token_keys` (the environment) or in the file
`access.token_keys_file`. The first one signs; the others are still believed for the life of a
token. A token names its key by `kid`.
"""

import json
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from goldpath.errors import ProjectError
from goldpath.settings import Settings

ALGORITHM = "HS256"
KEY_BYTES = 32
LONGEST_TOKEN = 4096
LEEWAY_SECONDS = 5


class TokenError(ProjectError):
    """A token is not one of this service's, or is not valid now."""


class TokenKeyError(ProjectError):
    """There is no key to sign tokens with, or it cannot be used."""


@dataclass(frozen=True)
class TokenKey:
    """A key.

    Attributes:
        kid: Names it.
        secret: 32 random bytes or more, as hexadecimal digits.
        made_at: Seconds since 1970.
        replaced_at: When another one took its place; None: it signs.
    """

    kid: str
    secret: str
    made_at: float
    replaced_at: float | None = None


@dataclass(frozen=True)
class Claims:
    """What a token says."""

    user: str
    roles: tuple[str, ...]
    issued_at: float
    expires_at: float


class TokenKeys:
    """Makes and reads tokens.

    Args:
        settings: Where the keys are, and what a token says.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys: list[TokenKey] = []
        self._stamp: tuple[int, int] | None = None

    def issue(self, user: str, roles: Sequence[str]) -> tuple[str, float]:
        """A token for a user.

        Returns:
            The token, and for how many seconds it is valid.

        Raises:
            TokenKeyError: If there is no key and none may be made.
        """
        import jwt

        access = self._settings.access
        key = self._signing_key()
        now = time.time()
        seconds = access.token_minutes * 60
        claims = {
            "iss": access.issuer,
            "aud": access.audience,
            "sub": user,
            "roles": list(roles),
            "iat": now,
            "nbf": int(now),
            "exp": int(now + seconds),
            "jti": secrets.token_hex(8),
        }
        text = jwt.encode(claims, bytes.fromhex(key.secret), ALGORITHM, {"kid": key.kid})
        return text, seconds

    def read(self, token: str) -> Claims:
        """What a token says.

        Raises:
            TokenError: If it is not one of ours, or not valid now. It does not say why: only a
                forger wants to know.
        """
        import jwt

        access = self._settings.access
        try:
            if len(token) > LONGEST_TOKEN:
                raise TokenError("the token is too long")
            key = self._key_of(str(jwt.get_unverified_header(token).get("kid")))
            claims = jwt.decode(
                token,
                bytes.fromhex(key.secret),
                algorithms=[ALGORITHM],
                audience=access.audience,
                issuer=access.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "nbf", "iss", "aud", "sub", "jti"]},
            )
            return _CLAIMS.validate_python(
                {
                    "user": claims["sub"],
                    "roles": claims.get("roles"),
                    "issued_at": claims["iat"],
                    "expires_at": claims["exp"],
                }
            )
        except (jwt.PyJWTError, ValidationError, ValueError, RecursionError) as error:
            raise TokenError("the token is not valid", "ask for one: POST /auth/token") from error

    def _signing_key(self) -> TokenKey:
        self._refresh()
        if not self._keys and not self._settings.access.token_keys.get_secret_value():
            if self._settings.environment != "development":
                raise TokenKeyError(
                    "there is no key to sign tokens with",
                    f"make one: access rotate (environment={self._settings.environment} makes none "
                    "by itself), or set MLOPS_ACCESS__TOKEN_KEYS",
                )
            rotate(self._settings, only_if_missing=True)
            self._refresh()
        return self._keys[0]

    def _key_of(self, kid: str) -> TokenKey:
        self._refresh()
        oldest = time.time() - self._settings.access.token_minutes * 60 - LEEWAY_SECONDS
        for key in self._keys:
            if key.kid == kid and (key.replaced_at is None or key.replaced_at > oldest):
                return key
        raise TokenError("the token's key is not known", "ask for a token: POST /auth/token")

    def _refresh(self) -> None:
        """Read the keys again where the file is another one."""
        text = self._settings.access.token_keys.get_secret_value()
        if text:
            self._keys = self._keys or _parse(text, "MLOPS_ACCESS__TOKEN_KEYS")
            return
        file = keys_file(self._settings)
        try:
            found = file.stat()
        except FileNotFoundError:
            self._keys, self._stamp = [], None
            return
        if self._stamp != (found.st_mtime_ns, found.st_ino):
            self._keys = _read(self._settings, file)
            self._stamp = (found.st_mtime_ns, found.st_ino)


def rotate(settings: Settings, *, at_once: bool = False, only_if_missing: bool = False) -> TokenKey:
    """Make a key that signs from now on.

    Args:
        settings: Where the keys are.
        at_once: Whether tokens of the keys before are void; else they live to their end.
        only_if_missing: Leave a key that is there alone.

    Raises:
        TokenKeyError: If the keys come from the environment, or cannot be read.
    """
    if settings.access.token_keys.get_secret_value():
        raise TokenKeyError(
            "the keys come from MLOPS_ACCESS__TOKEN_KEYS, so a new file would not be used",
            "put a new key at the head of the variable's list",
        )
    file = keys_file(settings)
    before = [] if not file.exists() or at_once else _read(settings, file)
    if before and only_if_missing:
        return before[0]
    now = time.time()
    made = TokenKey(secrets.token_hex(4), secrets.token_hex(KEY_BYTES), now)
    life = settings.access.token_minutes * 60 + LEEWAY_SECONDS
    kept = [TokenKey(k.kid, k.secret, k.made_at, k.replaced_at or now) for k in before]
    kept = [key for key in kept if (key.replaced_at or now) > now - life]
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{made.kid}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump([asdict(key) for key in (made, *kept)], stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    if only_if_missing:
        try:  # of several workers that make one at the same time, the first wins
            os.link(part, file)
        except FileExistsError:
            made = _read(settings, file)[0]
        part.unlink()
    else:
        part.replace(file)
    return made


def keys_file(settings: Settings) -> Path:
    """Where the keys are kept where the environment does not give them."""
    return settings.root / settings.access.token_keys_file


def _read(settings: Settings, file: Path) -> list[TokenKey]:
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise TokenKeyError(
            f"others on this machine may read {settings.shown(file)}",
            f"chmod 600 {settings.shown(file)}, then: access rotate --now",
        )
    try:
        text = file.read_bytes()
    except OSError as error:
        raise TokenKeyError(f"{settings.shown(file)} cannot be read: {error.strerror}") from error
    return _parse(text, settings.shown(file))


def _parse(text: str | bytes, where: str) -> list[TokenKey]:
    try:
        values: Any = json.loads(text)
        keys = _KEYS.validate_python(values)
        lengths = [len(bytes.fromhex(key.secret)) for key in keys]
    except (ValueError, RecursionError) as error:
        raise TokenKeyError(
            f"{where} is not a list of keys", "make one: access rotate --now"
        ) from error
    if not keys or min(lengths) < KEY_BYTES:
        raise TokenKeyError(
            f"{where} holds a key of less than {KEY_BYTES} bytes, or none",
            "make one: access rotate --now",
        )
    return keys


_KEYS = TypeAdapter(list[TokenKey])
_CLAIMS = TypeAdapter(Claims)
