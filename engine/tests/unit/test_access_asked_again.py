"""What was believed is asked again: what is kept, what is forgotten, and by which thread."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from goldpath.serving.access import clients
from goldpath.serving.access.clients import Access
from goldpath.serving.access.records import StoreError
from goldpath.serving.access.roles import OWNER, Client
from goldpath.settings import Settings, load_settings

from ..callers import KEY, OWNERS, SHOP, TOKEN, Clock, MakeAccess, accesses, ask, looks_up


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_access(
    project: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeAccess]:
    yield from accesses(project, clock, monkeypatch)


def entry_of(access: Access, value: bytes = b"a") -> Any:
    return access._seen[KEY][value]


def test_what_is_used_is_asked_again_and_what_is_not_is_forgotten(
    make_access: MakeAccess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access()
    less = Client("shop", frozenset({"label"}))
    end = clock.now + 1000
    looked_up = looks_up(access, monkeypatch, (SHOP, end), (less, clock.now + 45))
    ask(access, (KEY, b"a"))
    clock.now += 30
    access._ask_again(KEY, b"a", entry_of(access))
    assert access.known(KEY, b"a") == less
    clock.now += 14.5
    assert access.known(KEY, b"a") == less
    clock.now += 0.5
    assert access.known(KEY, b"a") is None, "its end is another one now"
    assert len(looked_up) == 2
    clock.now -= 1
    access.known(KEY, b"a")
    access._ask_again(KEY, b"a", entry_of(access))
    access._ask_again(KEY, b"a", entry_of(access))
    assert access._seen[KEY] == {}, "nobody used it since it was asked for"
    assert len(looked_up) == 3


def test_what_was_revoked_is_forgotten_when_it_is_asked_again(
    make_access: MakeAccess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access()
    looks_up(access, monkeypatch, (SHOP, float("inf")), (None, clock.now))
    ask(access, (KEY, b"a"))
    access._ask_again(KEY, b"a", entry_of(access))
    assert access.known(KEY, b"a") is None


def test_what_was_good_is_believed_for_so_long_while_the_store_is_away(
    make_access: MakeAccess,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    access = make_access()
    looks_up(access, monkeypatch, (SHOP, float("inf")), StoreError("away"))
    ask(access, (KEY, b"a"))
    asked_at = clock.now
    for seconds in (30, clients.OUTAGE_SECONDS - 0.5):
        clock.now = asked_at + seconds
        access._ask_again(KEY, b"a", entry_of(access))
        assert entry_of(access).is_used, "it is asked for again when the store is back"
        assert access.known(KEY, b"a") == SHOP
    assert "cannot be checked: away" in caplog.text
    clock.now = asked_at + clients.OUTAGE_SECONDS
    access._ask_again(KEY, b"a", entry_of(access))
    assert access.known(KEY, b"a") is None


def test_an_unexpected_error_shuts_out_and_does_not_end_the_thread(
    make_access: MakeAccess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    access = make_access()
    looks_up(access, monkeypatch, (SHOP, float("inf")), ZeroDivisionError())
    ask(access, (KEY, b"a"))
    with caplog.at_level(logging.ERROR):
        access._ask_again(KEY, b"a", entry_of(access))
    assert access.known(KEY, b"a") is None
    assert "a credential cannot be checked" in caplog.text


def test_a_thread_asks_again_for_all_but_the_owner_until_it_is_closed(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ACCESS__CACHE_SECONDS", "4")
    monkeypatch.setenv("MLOPS_SERVING__API_KEY", OWNERS)
    access = Access(load_settings(project.root))
    looked_up = looks_up(access, monkeypatch, (SHOP, float("inf")))
    ask(access, (KEY, b"a"))
    ask(access, (TOKEN, b"Bearer b"))
    thread = access._thread
    assert thread is not None
    assert thread.daemon, "a service that ends does not wait for it"
    end = time.monotonic() + 20
    while {*looked_up[2:]} != {b"a", b"Bearer b"}:
        assert time.monotonic() < end
        assert access.known(KEY, b"a") == SHOP
        assert access.known(TOKEN, b"Bearer b") == SHOP
        time.sleep(0.05)
    assert access._thread is thread
    access.close()
    assert not thread.is_alive()
    assert access.known(KEY, OWNERS.encode()) is OWNER


def test_closing_ends_the_threads_of_tokens(make_access: MakeAccess) -> None:
    access = make_access(oidc_issuer="https://id.example.com", oidc_audience="a")
    pool = access._token_threads
    assert pool is not None
    used = pool.submit(threading.current_thread).result(20)
    access.close()
    used.join(20)
    assert not used.is_alive()
