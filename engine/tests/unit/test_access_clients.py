"""Who asks: what is believed, for how long, and what is looked up."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from goldpath.serving.access import clients
from goldpath.serving.access.clients import Access, needs_credential
from goldpath.serving.access.records import StoreError
from goldpath.serving.access.roles import EVERYBODY, OWNER, ROLES, Client
from goldpath.serving.access.store import AccessStore, open_or_make
from goldpath.serving.access.tokens import Claims, TokenError
from goldpath.settings import Settings, load_settings

from ..callers import (
    KEY,
    OWNERS,
    SECONDS,
    SHOP,
    TOKEN,
    Clock,
    MakeAccess,
    accesses,
    ask,
    looks_up,
    refusal,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_access(
    project: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeAccess]:
    yield from accesses(project, clock, monkeypatch)


@pytest.fixture
def store(project: Settings) -> Iterator[AccessStore]:
    opened = open_or_make(project)
    yield opened
    opened.close()


def test_the_owners_key_opens_everything_for_ever(
    make_access: MakeAccess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access(OWNERS)
    value = OWNERS.encode()

    assert access.known(KEY, value) is OWNER
    assert access.known(TOKEN, value) is None
    clock.now += 1e9
    assert access.known(KEY, value) is OWNER
    assert {ask(access, (KEY, value), role=role) for role in ROLES} == {OWNER}
    assert ask(access, (TOKEN, b"Bearer " + value)) is OWNER
    assert access._thread is None, "nothing needs to be asked again"
    assert refusal(access).status_code == 401
    assert refusal(access, (KEY, value + b"x")).status_code == 401
    assert refusal(access, (TOKEN, value)).status_code == 401, "without a scheme"
    access._seen[KEY].clear()
    looked_up = looks_up(access, monkeypatch, (None, 0.0))
    assert ask(access, (KEY, value)) is OWNER
    assert access.known(KEY, value) is OWNER
    assert looked_up == []


def test_without_a_key_of_the_owner_nothing_is_the_owners(make_access: MakeAccess) -> None:
    access = make_access()
    for header, value in ((KEY, b""), (TOKEN, b"Bearer "), (TOKEN, b"Bearer"), (TOKEN, b"")):
        assert access.known(header, value) is None
        assert refusal(access, (header, value)).status_code == 401
    assert ask(access) is EVERYBODY
    assert refusal(access, role="admin").status_code == 403


def test_a_good_credential_is_believed_until_its_time_and_no_longer(
    make_access: MakeAccess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access()
    looked_up = looks_up(access, monkeypatch, (SHOP, float("inf")))

    assert ask(access, (KEY, b"a")) == SHOP
    clock.now += SECONDS - 0.5
    assert access.known(KEY, b"a") == SHOP
    assert access.known(TOKEN, b"a") is None, "a key is not a token"
    clock.now += 0.5
    assert access.known(KEY, b"a") is None
    assert looked_up == [b"a"]
    assert ask(access, (KEY, b"a")) == SHOP
    assert looked_up == [b"a", b"a"]


def test_a_credential_is_not_believed_beyond_its_own_end(
    make_access: MakeAccess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access()
    looks_up(access, monkeypatch, (SHOP, clock.now + 10))

    ask(access, (KEY, b"a"))
    clock.now += 9.5
    assert access.known(KEY, b"a") == SHOP
    clock.now += 0.5
    assert access.known(KEY, b"a") is None


def test_a_wrong_credential_is_refused_for_a_second_without_a_look_up(
    make_access: MakeAccess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access()
    looked_up = looks_up(access, monkeypatch, (None, 0.0))
    first = refusal(access, (KEY, b"wrong"))
    assert "X-API-Key is wrong" in first.detail
    clock.now += 0.75
    assert refusal(access, (KEY, b"wrong")).status_code == 401
    assert looked_up == [b"wrong"]
    clock.now += 0.25
    refusal(access, (KEY, b"wrong"))
    assert looked_up == [b"wrong", b"wrong"]
    assert "the header Authorization is wrong" in refusal(access, (TOKEN, b"Bearer x")).detail


def test_a_credential_that_nobody_asked_about_is_looked_up_in_the_machines_first_second(
    make_access: MakeAccess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.now = 0.25
    access = make_access()
    looked_up = looks_up(access, monkeypatch, (SHOP, float("inf")))

    assert ask(access, (KEY, b"a")) == SHOP
    assert looked_up == [b"a"]


def test_what_is_remembered_has_a_bound(
    make_access: MakeAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "REMEMBERED", 300)
    monkeypatch.setattr(clients, "REMEMBERED_WRONG", 300)
    access = make_access()
    values = [str(number).encode() for number in range(301)]
    for value in values:
        access._remember(KEY, value, SHOP, float("inf"))
        if value == values[299]:
            assert all(access.known(KEY, each) == SHOP for each in values[:300])
    assert [access.known(KEY, each) for each in (values[0], values[299], values[300])] == [
        *(None, None),
        SHOP,
    ]
    looks_up(access, monkeypatch, (None, 0.0))
    access._seen[KEY].clear()
    sizes = []
    for value in values:
        refusal(access, (KEY, value))
        sizes.append(len(access._wrong))
    assert sizes == [*range(1, 301), 1]


def test_a_credential_that_is_too_long_is_not_looked_up(
    make_access: MakeAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access()
    looked_up = looks_up(access, monkeypatch, (SHOP, float("inf")))
    for header in (KEY, TOKEN):
        assert ask(access, (header, b"x" * clients.LONGEST_CREDENTIAL)) == SHOP
        too_long = refusal(access, (header, b"x" * (clients.LONGEST_CREDENTIAL + 1)))
        assert "too long" in too_long.detail
    assert len(looked_up) == 2


def test_a_providers_token_may_be_longer_than_a_key(
    make_access: MakeAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access(oidc_issuer="https://id.example.com", oidc_audience="a")
    looked_up = looks_up(access, monkeypatch, (SHOP, float("inf")))
    longest = clients.LONGEST_PROVIDER_TOKEN
    assert ask(access, (TOKEN, b"x" * longest)) == SHOP
    assert "too long" in refusal(access, (TOKEN, b"x" * (longest + 1))).detail
    assert "too long" in refusal(access, (KEY, b"x" * longest)).detail
    assert len(looked_up) == 1


def test_two_credentials_are_none(make_access: MakeAccess) -> None:
    access = make_access(OWNERS)
    value = OWNERS.encode()
    for second in ((KEY, value), (TOKEN, b"Bearer " + value), (TOKEN, b"")):
        assert "more than one credential" in refusal(access, (KEY, value), second).detail


def test_a_store_that_cannot_be_asked_is_an_outage(
    make_access: MakeAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access()
    looks_up(access, monkeypatch, StoreError("away"))
    problem = refusal(access, (KEY, b"a"))
    assert problem.status_code == 503
    assert dict(problem.headers or {})["Retry-After"] == "5"
    assert access._wrong == {}, "it may be right"


def test_a_key_is_looked_up_in_either_header(make_access: MakeAccess, store: AccessStore) -> None:
    access = make_access()
    _, text = store.create_key("shop", ["predict"], None, "me")
    key = text.encode()

    for header, value in (
        (KEY, key),
        (TOKEN, b"Bearer " + key),
        (TOKEN, b"bearer   " + key + b" "),
    ):
        assert access._look_up(header, value) == (SHOP, float("inf"))
    for header, value in (
        (TOKEN, key),
        (TOKEN, b"Basic " + key),
        (TOKEN, b"Bearer"),
        (TOKEN, b"Bearer  "),
        (KEY, b"Bearer " + key),
        (KEY, key[:-1]),
        (KEY, key.removeprefix(b"mlops_")),
    ):
        assert access._look_up(header, value)[0] is None, value


def test_a_key_ends_when_it_expires_and_is_noted_as_used(
    make_access: MakeAccess, store: AccessStore, clock: Clock
) -> None:
    access = make_access()
    made, text = store.create_key("shop", ["predict"], 2, "me")

    client, expires = access._look_up(KEY, text.encode())

    assert client == SHOP
    assert expires == pytest.approx(clock.now + 2 * 86_400, abs=60)
    assert store.all_keys()[0].last_used is not None
    store.revoke_key(made.id, "me")
    assert access._look_up(KEY, text.encode()) == (None, clock.now)


def test_nothing_is_looked_up_where_nobody_made_a_store(make_access: MakeAccess) -> None:
    access = make_access()
    assert access._look_up(KEY, b"mlops_0a0b0c0d_x")[0] is None
    assert access.find_user("ana") is None
    assert access._store is None


def test_a_users_token_says_less_than_the_store(
    make_access: MakeAccess, store: AccessStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access()
    user = store.add_user("ana", "four words make one", ["predict", "label"], "me")
    assert access.find_user("ana") == user
    tokens = access.tokens()
    assert access.tokens() is tokens

    def read(issued_at: float, name: str = "ana") -> Any:
        claims = Claims(name, ("predict", "admin"), issued_at, time.time() + 100)
        monkeypatch.setattr(tokens, "read", lambda _: claims)
        return access._look_up(TOKEN, b"Bearer a.b.c")

    client, expires = read(user.tokens_since)
    assert client == Client("ana", frozenset({"predict"})), "only what both say"
    assert expires == pytest.approx(clock.now + 100, abs=30)
    assert read(user.tokens_since + 1)[0] == client
    assert read(user.tokens_since - 0.001) == (None, clock.now)
    assert read(user.tokens_since, "nobody") == (None, clock.now)
    store.disable_user("ana", "me")
    assert read(time.time() + 10) == (None, clock.now)

    def refuse(_: str) -> Claims:
        raise TokenError("no")

    monkeypatch.setattr(tokens, "read", refuse)
    assert access._look_up(TOKEN, b"Bearer a.b.c") == (None, clock.now)


def test_a_token_of_nobodys_store_opens_nothing(
    make_access: MakeAccess, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = make_access()
    claims = Claims("ana", ("predict",), time.time(), time.time() + 100)
    monkeypatch.setattr(access.tokens(), "read", lambda _: claims)
    assert access._look_up(TOKEN, b"Bearer a.b.c") == (None, clock.now)


@pytest.mark.parametrize("both", [True, False])
def test_tokens_are_the_providers_or_this_services_where_both_may_log_in(
    make_access: MakeAccess,
    store: AccessStore,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    both: bool,
) -> None:
    access = make_access(
        oidc_issuer="https://id.example.com", oidc_audience="a", local_login=str(both).lower()
    )
    user = store.add_user("ana", "four words make one", ["predict"], "me")
    ours = Claims("ana", ("predict",), user.tokens_since, time.time() + 100)
    monkeypatch.setattr(access.tokens(), "read", lambda _: ours)
    provider = access._identity_provider()
    assert provider is not None
    assert access._identity_provider() is provider
    theirs = Claims("oidc:eve", ("label",), 0.0, time.time() + 50)
    monkeypatch.setattr(provider, "is_issuer_of", lambda token: token == "t.h.s")
    monkeypatch.setattr(provider, "read", lambda _: theirs)

    client, expires = access._look_up(TOKEN, b"Bearer t.h.s")
    assert client == Client("oidc:eve", frozenset({"label"}))
    assert expires == pytest.approx(clock.now + 50, abs=30)
    found = access._look_up(TOKEN, b"Bearer o.u.r")[0]
    assert found == (Client("ana", frozenset({"predict"})) if both else None)


def test_a_provider_is_nobodys_where_the_settings_name_none(make_access: MakeAccess) -> None:
    access = make_access()
    assert access._identity_provider() is None
    assert access._token_threads is None
    with_one = make_access(oidc_issuer="https://id.example.com", oidc_audience="a")
    assert with_one._token_threads is not None


@pytest.mark.parametrize(
    ("environment", "key", "setting", "needs"),
    [
        ("development", "", None, False),
        ("development", OWNERS, None, True),
        ("staging", OWNERS, None, True),
        ("development", "", True, True),
        ("development", OWNERS, False, False),
        ("staging", OWNERS, False, False),
    ],
)
def test_who_needs_a_credential(
    project: Settings,
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    key: str,
    setting: bool | None,
    needs: bool,
) -> None:
    monkeypatch.setenv("MLOPS_ENVIRONMENT", environment)
    monkeypatch.setenv("MLOPS_SERVING__API_KEY", key)
    if setting is not None:
        monkeypatch.setenv("MLOPS_ACCESS__REQUIRE_CREDENTIAL", str(setting).lower())
    settings = load_settings(project.root)
    assert needs_credential(settings) is needs
    assert (Access(settings).anonymous is None) is needs
