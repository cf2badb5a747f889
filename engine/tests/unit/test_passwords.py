"""What a password may be, how one is checked, and how many are at the same time."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from goldpath.serving.access import passwords
from goldpath.serving.access.passwords import (
    BusyError,
    PasswordChecker,
    PasswordError,
    hash_password,
    is_right,
)

from ..quick_hashes import with_quick_hashes

PASSWORD = "four words make one"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from with_quick_hashes(monkeypatch)


@pytest.mark.parametrize("length", [12, 13, 256])
def test_a_password_of_12_to_256_characters_is_kept(length: int) -> None:
    assert is_right("p" * length, hash_password("p" * length))
    assert not is_right("q" * length, hash_password("p" * length))


@pytest.mark.parametrize("length", [0, 11, 257])
def test_a_shorter_or_longer_password_is_refused(length: int) -> None:
    with pytest.raises(PasswordError, match=f"has {length} characters"):
        hash_password("p" * length)


def test_a_longer_password_that_begins_alike_is_wrong() -> None:
    kept = hash_password("p" * 256)
    assert is_right("p" * 256, kept)
    assert not is_right("p" * 257, kept)


def test_nobody_logs_in_without_a_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_right(PASSWORD, None)
    made_up = hash_password(PASSWORD)
    monkeypatch.setattr(passwords, "_nobodys_hash", lambda: made_up)
    assert not is_right(PASSWORD, None), "though the password is that of the made-up hash"


def test_so_many_passwords_wait_and_two_are_checked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go, at_once = threading.Event(), []
    running = 0
    lock = threading.Lock()

    def slow(password: str, password_hash: str | None) -> bool:
        nonlocal running
        with lock:
            running += 1
            at_once.append(running)
        assert go.wait(20)
        with lock:
            running -= 1
        return password == password_hash

    monkeypatch.setattr(passwords, "is_right", slow)

    async def ask() -> list[bool]:
        checker = PasswordChecker()
        asked = [asyncio.create_task(checker.is_right("a", "a")) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await checker.is_right("a", "a")
        go.set()
        found = await asyncio.gather(*asked)
        assert not await checker.is_right("a", None), "there is room again"
        checker.close()
        return found

    assert asyncio.run(ask()) == [True] * 8
    assert max(at_once) == 2
    PasswordChecker().close()
