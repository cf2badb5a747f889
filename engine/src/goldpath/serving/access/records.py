"""What is kept of users and keys, and what their names and roles may be."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from goldpath.errors import ProjectError
from goldpath.serving.access.roles import ANONYMOUS, ENVIRONMENT, ROLES

KEY_PREFIX = "mlops_"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.@-]{0,62}")


class AccessError(ProjectError):
    """A user or a key cannot be as asked for."""


class UnknownError(AccessError):
    """There is no such user or key."""


class StoreError(ProjectError):
    """The store cannot be used."""


def time_shown(seconds: float | None) -> str | None:
    """A time as ISO 8601 in UTC, to the minute."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")


@dataclass(frozen=True)
class ApiKey:
    """A key, as the store knows it.

    Attributes:
        id: Names the key; it is part of the key's text.
        name: Of the client who has it.
        roles: What it may do.
        created_at: Seconds since 1970, as all times here.
        expires_at: None: never.
        revoked_at: None: it was not.
        last_used: The hour in which it was last used; None: never.
    """

    id: str
    name: str
    roles: tuple[str, ...]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used: float | None

    @property
    def is_valid(self) -> bool:
        """Whether it opens anything now."""
        is_over = self.expires_at is not None and self.expires_at <= time.time()
        return self.revoked_at is None and not is_over

    def shown(self) -> dict[str, Any]:
        """What people and programs see of it."""
        return {
            "id": self.id,
            "name": self.name,
            "roles": list(self.roles),
            "created": time_shown(self.created_at),
            "expires": time_shown(self.expires_at),
            "revoked": time_shown(self.revoked_at),
            "last_used": time_shown(self.last_used),
            "valid": self.is_valid,
        }


@dataclass(frozen=True)
class User:
    """A user.

    Attributes:
        name: What the user logs in with.
        roles: What the user may do.
        password_hash: Argon2.
        is_disabled: Whether the user is shut out.
        created_at: When.
        tokens_since: Tokens from before are void.
    """

    name: str
    roles: tuple[str, ...]
    password_hash: str
    is_disabled: bool
    created_at: float
    tokens_since: float

    def shown(self) -> dict[str, Any]:
        """What people and programs see of one."""
        return {
            "name": self.name,
            "roles": list(self.roles),
            "created": time_shown(self.created_at),
            "disabled": self.is_disabled,
        }


def check_name(name: str) -> None:
    """Insist on a name that is one word and means one client."""
    if NAME.fullmatch(name) is None:
        raise AccessError(
            f"{name[:80]!r} is no name for a user or a key",
            "use letters, digits and _ . @ -, a letter first, 63 at most",
        )
    if name in (ANONYMOUS, ENVIRONMENT):
        raise AccessError(f"{name} means something already", "choose another name")


def check_roles(roles: Sequence[str]) -> None:
    """Insist on roles that exist."""
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        named = f"unknown roles: {', '.join(unknown)}" if unknown else "no role was given"
        raise AccessError(named, f"choose among {', '.join(ROLES)}")
