"""Passwords: Argon2 through pwdlib, in two threads, and as slow for a user who does not exist."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

from goldpath.errors import ProjectError

if TYPE_CHECKING:
    from pwdlib import PasswordHash

SHORTEST, LONGEST = 12, 256
WAITING = 8
"""A hash takes 64 MB and a tenth of a second; so many may wait, the next is refused."""


class PasswordError(ProjectError):
    """A password cannot be accepted."""


class BusyError(ProjectError):
    """Too many passwords are being checked."""


class PasswordChecker:
    """Checks passwords away from the event loop, two at a time."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def is_right(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is the one that was hashed; without a hash it is not.

        Raises:
            BusyError: If too many wait.
        """
        if self._waiting >= WAITING:
            raise BusyError("too many passwords are being checked", "try again in a second")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(2, "passwords")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, is_right, password, password_hash)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def hash_password(password: str) -> str:
    """The hash of a password that is to be kept.

    Raises:
        PasswordError: If it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordError(
            f"the password has {len(password)} characters",
            f"choose {SHORTEST} to {LONGEST}; several words are easy to remember",
        )
    return _hasher().hash(password)


def is_right(password: str, password_hash: str | None) -> bool:
    """Whether the password is the one that was hashed.

    Where there is no hash a made-up one is checked, so that the time does not tell which users
    exist.
    """
    found = _hasher().verify(password[:LONGEST], password_hash or _nobodys_hash())
    return found and password_hash is not None and len(password) <= LONGEST


@cache
def _hasher() -> "PasswordHash":
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    return PasswordHash((Argon2Hasher(),))


@cache
def _nobodys_hash() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))
