"""What is kept of users and keys: limits to the letter, one line in the audit for each change."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from goldpath.serving.access.location import has_store, store_file
from goldpath.serving.access.passwords import is_right
from goldpath.serving.access.records import (
    AccessError,
    ApiKey,
    StoreError,
    UnknownError,
    check_name,
    check_roles,
    time_shown,
)
from goldpath.serving.access.store import AccessStore, open_or_make
from goldpath.serving.access.tables import AUDIT, FIRST, AccessAction, faults, make_tables
from goldpath.settings import Settings

from ..quick_hashes import with_quick_hashes

PASSWORD = "four words make one"
DAY = 86_400


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from with_quick_hashes(monkeypatch)


@pytest.fixture
def store(project: Settings) -> Iterator[AccessStore]:
    opened = open_or_make(project)
    yield opened
    opened.close()


class Now:
    """A wall clock that stands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1_700_000_000.5
        monkeypatch.setattr(time, "time", lambda: self.seconds)


def key_with(**changed: Any) -> ApiKey:
    return replace(ApiKey("0a0b0c0d", "shop", ("predict",), 1.0, None, None, None), **changed)


@pytest.mark.parametrize("name", ["a", "A-b_c.d@e", "a" * 63, "environments"])
def test_a_name_has_63_characters_at_most(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "a" * 64, "a\n", "-a", "anonymous", "environment"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(AccessError):
        check_name(name)


def test_roles_are_known_ones_and_at_least_one() -> None:
    check_roles(["predict"])
    check_roles(["predict", "admin"])
    with pytest.raises(AccessError, match="no role was given"):
        check_roles([])
    with pytest.raises(AccessError, match="unknown roles: king"):
        check_roles(["predict", "king"])


def test_a_time_is_shown_to_the_minute_and_none_as_none() -> None:
    assert time_shown(None) is None
    assert time_shown(0) == "1970-01-01T00:00Z"
    assert time_shown(61.9) == "1970-01-01T00:01Z"


def test_a_key_is_valid_until_it_expires_or_is_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    now = Now(monkeypatch).seconds
    assert key_with().is_valid
    assert key_with(expires_at=now + 0.1).is_valid
    assert not key_with(expires_at=now).is_valid
    assert not key_with(expires_at=now - 0.1).is_valid
    assert not key_with(revoked_at=now).is_valid
    assert not key_with(revoked_at=now, expires_at=now + 9).is_valid
    assert not key_with(revoked_at=now, expires_at=now - 9).is_valid


def test_what_is_shown_of_keys_and_users(store: AccessStore) -> None:
    made, _ = store.create_key("shop", ["predict", "label"], 1, "me")
    user = store.add_user("ana", PASSWORD, ["predict"], "me")

    assert made.shown() == {
        "id": made.id,
        "name": "shop",
        "roles": ["predict", "label"],
        "created": time_shown(made.created_at),
        "expires": time_shown(made.created_at + DAY),
        "revoked": None,
        "last_used": None,
        "valid": True,
    }
    created = time_shown(user.created_at)
    assert user.shown() == {
        "name": "ana",
        "roles": ["predict"],
        "created": created,
        "disabled": False,
    }


@pytest.mark.parametrize("days", [0.001, 0.5, 36_500])
def test_a_key_lives_for_as_many_days_as_asked(store: AccessStore, days: float) -> None:
    made, _ = store.create_key("shop", ["predict"], days, "me")

    assert made.expires_at == pytest.approx(made.created_at + days * DAY)
    assert store.all_keys() == [made]
    assert made.is_valid


@pytest.mark.parametrize("days", [0, -1, 36_500.5, 40_000])
def test_a_key_cannot_live_for_no_time_or_longer_than_a_century(
    store: AccessStore, days: float
) -> None:
    with pytest.raises(AccessError, match="cannot be valid"):
        store.create_key("shop", ["predict"], days, "me")
    assert store.all_keys() == []


def test_a_user_is_found_by_the_whole_name_alone(store: AccessStore) -> None:
    users = {name: store.add_user(name, PASSWORD, ["predict"], "me") for name in ("ana", "eve")}

    assert {name: store.user(name) for name in users} == users
    assert [store.user(name) for name in ("an", "anas", "bob", "Eve", "eve2")] == [None] * 5


def test_a_key_is_found_by_its_text_alone(store: AccessStore) -> None:
    made, content = store.create_key("shop", ["predict", "label"], None, "me")
    store.create_key("other", ["predict"], None, "me")

    assert content.startswith(f"mlops_{made.id}_")
    assert (len(made.id), len(content)) == (8, len("mlops_") + 8 + 1 + 43)
    assert made.expires_at is None
    assert store.key_by_digest(hashlib.sha256(content.encode()).hexdigest()) == made
    assert store.key_by_digest(hashlib.sha256(b"another").hexdigest()) is None


def test_keys_are_listed_oldest_first_and_users_by_name(
    store: AccessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = Now(monkeypatch)
    for name in ("c", "a", "b"):
        now.seconds += 10
        store.create_key(name, ["predict"], None, "me")
        store.add_user(f"user-{name}", PASSWORD, ["predict"], "me")

    assert [key.name for key in store.all_keys()] == ["c", "a", "b"]
    assert [user.name for user in store.all_users()] == ["user-a", "user-b", "user-c"]
    assert store.user("user-d") is None


def test_revoking_takes_one_key_and_no_other(store: AccessStore) -> None:
    first, _ = store.create_key("shop", ["predict"], None, "me")
    second, _ = store.create_key("shop", ["predict"], None, "me")
    other, _ = store.create_key("other", ["predict"], None, "me")

    with pytest.raises(AccessError, match="2 keys are called shop") as caught:
        store.revoke_key("shop", "me")
    assert first.id in str(caught.value)
    assert caught.value.fix == "name one by its id"
    revoked = store.revoke_key(first.id, "me")
    assert revoked.id == first.id
    assert revoked.revoked_at == pytest.approx(time.time(), abs=60)
    assert store.revoke_key("shop", "me").id == second.id, "one of that name is left"
    with pytest.raises(AccessError, match="it is revoked") as caught:
        store.revoke_key("shop", "me")
    assert not caught.value.fix
    assert not isinstance(caught.value, UnknownError)
    with pytest.raises(UnknownError, match="there is no key nobody"):
        store.revoke_key("nobody", "me")
    assert [key.id for key in store.all_keys() if key.is_valid] == [other.id]


def test_the_hour_of_a_keys_use_is_noted_once_an_hour(
    store: AccessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = Now(monkeypatch)
    made, _ = store.create_key("shop", ["predict"], None, "me")
    other, _ = store.create_key("other", ["predict"], None, "me")
    hour = now.seconds // 3600 * 3600
    writes: list[str] = []
    reading = store._reading

    def counted() -> object:
        writes.append("")
        return reading()

    monkeypatch.setattr(store, "_reading", counted)
    for seconds in (0, 1, 3599):
        now.seconds = hour + seconds
        store.note_use(made.id)
    assert len(writes) == 1
    assert {key.name: key.last_used for key in store.all_keys()} == {"shop": hour, "other": None}
    now.seconds = hour + 3600
    store.note_use(made.id)
    assert {key.name: key.last_used for key in store.all_keys()}["shop"] == hour + 3600
    assert other.last_used is None


def test_a_use_that_cannot_be_noted_does_no_harm(store: AccessStore) -> None:
    made, _ = store.create_key("shop", ["predict"], None, "me")
    with store._engine.begin() as connection:
        connection.execute(text("ALTER TABLE access_keys RENAME TO gone"))

    store.note_use(made.id)

    with pytest.raises(StoreError, match="cannot be used"):
        store.all_keys()


def test_a_user_is_kept_shut_out_and_let_in_again(
    store: AccessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = Now(monkeypatch)
    added = store.add_user("ana", PASSWORD, ["predict", "admin"], "me")
    store.add_user("ben", PASSWORD, ["predict"], "me")
    assert store.user("ana") == added
    assert (added.roles, added.is_disabled) == (("predict", "admin"), False)
    assert added.created_at == added.tokens_since == now.seconds

    now.seconds += 5
    out = store.disable_user("ana", "me")
    assert (out.is_disabled, out.tokens_since) == (True, now.seconds)
    now.seconds += 5
    again = store.disable_user("ana", "me", enable=True)
    assert (again.is_disabled, again.tokens_since) == (False, now.seconds)
    now.seconds += 5
    changed = store.set_password("ana", PASSWORD + "!", "me")
    assert changed.tokens_since == now.seconds
    assert is_right(PASSWORD + "!", changed.password_hash)
    assert not is_right(PASSWORD, changed.password_hash)
    ben = store.user("ben")
    assert ben is not None
    assert ben.created_at == ben.tokens_since
    assert [(action.action, action.subject) for action in store.actions()] == [
        ("user added", "ana"),
        ("user added", "ben"),
        ("user disabled", "ana"),
        ("user enabled", "ana"),
        ("password changed", "ana"),
    ]


def test_what_is_refused_leaves_nothing_behind(store: AccessStore) -> None:
    store.add_user("ana", PASSWORD, ["predict"], "me")
    store.create_key("shop", ["predict"], None, "me")
    refused: list[Callable[[], object]] = [
        lambda: store.add_user("ana", PASSWORD, ["predict"], "me"),
        lambda: store.add_user("shop", PASSWORD, ["predict"], "me"),
        lambda: store.add_user("ben", PASSWORD, [], "me"),
        lambda: store.create_key("ana", ["predict"], None, "me"),
        lambda: store.create_key("kiosk", ["king"], None, "me"),
    ]
    for each in refused:
        with pytest.raises(AccessError):
            each()
    with pytest.raises(UnknownError, match="there is no user nobody"):
        store.set_password("nobody", PASSWORD, "me")
    with pytest.raises(UnknownError, match="there is no user nobody"):
        store.disable_user("nobody", "me")

    assert [user.name for user in store.all_users()] == ["ana"]
    assert [key.name for key in store.all_keys()] == ["shop"]
    assert len(store.actions()) == 2


def test_each_action_says_who_did_what_and_follows_the_one_before(store: AccessStore) -> None:
    made, _ = store.create_key("shop", ["predict"], 2, "a" * 300)
    store.record("me", "keys rotated", "s" * 300, {"b": 1, "a": 2})

    first, second = store.actions()

    assert (first.sequence, first.previous, first.actor) == (1, FIRST, "a" * 200)
    assert json.loads(first.details) == {"id": made.id, "roles": ["predict"], "days": 2}
    assert (second.sequence, second.previous, second.subject) == (2, first.hash, "s" * 200)
    assert second.details == '{"a": 2, "b": 1}', "sorted, so that it has one spelling"
    assert FIRST == "0" * 64
    assert faults([first, second]) == []


def sealed(**values: object) -> AccessAction:
    usual = {
        "sequence": 1,
        "time": "2026-01-01",
        "actor": "me",
        "action": "did",
        "subject": "it",
        "details": "{}",
        "previous": FIRST,
        "hash": "",
    }
    action = AccessAction(**{**usual, **values})  # type: ignore[arg-type]
    return replace(action, hash=action.expected_hash())


def test_an_audit_is_whole_only_in_its_order() -> None:
    first = sealed()
    second = sealed(sequence=2, previous=first.hash)
    third = sealed(sequence=3, previous=second.hash)
    followed = "does not follow the one before it"

    assert faults([first, second, third]) == []
    assert faults([]) == []
    assert faults([replace(first, actor="you"), second, third]) == ["action 1 was changed"]
    for other in ("0" * 64, "f" * 64):
        assert faults([first, replace(second, hash=other)]) == ["action 2 was changed"]
        assert faults([first, sealed(sequence=2, previous=other)]) == [f"action 2 {followed}"]
    assert faults([second, third]) == [f"action 2 {followed}", f"action 3 {followed}"]
    numbered_anew = sealed(sequence=5, previous=first.hash)
    assert faults([first, numbered_anew]) == [f"action 5 {followed}"]
    of_another = sealed(sequence=2, previous=FIRST)
    assert faults([first, of_another]) == [f"action 2 {followed}"]
    lower = sealed(sequence=1, previous=first.hash)
    assert faults([first, lower]) == [f"action 1 {followed}"]
    assert (
        first.expected_hash()
        == hashlib.sha256(
            b'{"action":"did","actor":"me","details":"{}","previous":"' + FIRST.encode() + b'",'
            b'"sequence":1,"subject":"it","time":"2026-01-01"}'
        ).hexdigest()
    ), "the spelling that logs on disk have"


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_the_store_is_its_owners_alone_and_made_on_first_use(project: Settings) -> None:
    file = store_file(project)
    assert not has_store(project)

    open_or_make(project).close()
    open_or_make(project).close()

    assert has_store(project)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_no_database_is_one_clear_sentence(project: Settings) -> None:
    file = store_file(project)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"this is not a database at all" * 100)

    with pytest.raises(StoreError, match="the store of users and keys cannot be used"):
        open_or_make(project)


def test_an_audit_of_many_actions_is_whole() -> None:
    actions: list[AccessAction] = []
    for sequence in range(1, 301):
        previous = actions[-1].hash if actions else FIRST
        actions.append(sealed(sequence=sequence, previous=previous))

    assert faults(actions) == []
    without_one = [*actions[:279], *actions[280:]]
    assert faults(without_one)[0] == "action 281 does not follow the one before it"


@pytest.mark.parametrize(
    "name", ["time", "actor", "action", "subject", "details", "previous", "hash"]
)
def test_no_part_of_an_action_may_be_left_out(name: str) -> None:
    engine = create_engine("sqlite://")
    make_tables(engine)
    with engine.connect() as connection:
        connection.execute(AUDIT.insert().values(**vars(sealed())))
        with pytest.raises(IntegrityError, match=f"NOT NULL constraint failed: .*{name}"):
            connection.execute(AUDIT.insert().values(**{**vars(sealed(sequence=2)), name: None}))
    engine.dispose()
