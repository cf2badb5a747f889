"""Hashes of passwords that cost nothing, for tests."""

from collections.abc import Iterator

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from goldpath.serving.access import passwords


def with_quick_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Argon2 with the least memory: what is tried is not how long a hash takes."""
    quick = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    nobodys_hash = passwords._nobodys_hash
    monkeypatch.setattr(passwords, "_hasher", lambda: quick)
    nobodys_hash.cache_clear()
    yield
    nobodys_hash.cache_clear()
