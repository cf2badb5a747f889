"""Only tokens of this service, whole and in their time, say who somebody is."""

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldpath.serving.access import tokens
from goldpath.serving.access.tokens import (
    ALGORITHM,
    TokenError,
    TokenKey,
    TokenKeyError,
    TokenKeys,
    keys_file,
    rotate,
)
from goldpath.settings import Settings, load_settings

MakeKeys = Callable[..., TokenKeys]


def first_key(settings: Settings) -> TokenKey:
    return TokenKey(**json.loads(keys_file(settings).read_text())[0])


def forged(settings: Settings, headers: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token signed with the right key that says something else."""
    key, now = first_key(settings), time.time()
    claims = {
        "iss": "mlops",
        "aud": "predictions",
        "sub": "ana",
        "roles": ["predict"],
        "iat": now,
        "nbf": int(now),
        "exp": int(now + 60),
        "jti": "1",
        **changed,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, bytes.fromhex(key.secret), ALGORITHM, headers or {"kid": key.kid})


def test_a_token_says_who_was_given_it(project: Settings) -> None:
    text, seconds = TokenKeys(project).issue("ana", ["predict", "admin"])

    claims = TokenKeys(project).read(text)

    assert (claims.user, claims.roles) == ("ana", ("predict", "admin"))
    assert seconds == 15 * 60
    assert claims.expires_at == pytest.approx(time.time() + seconds, abs=5)
    assert keys_file(project).stat().st_mode & 0o777 == 0o600
    assert TokenKeys(project).read(forged(project)).user == "ana"


class FromNow(int):
    """Seconds from the moment of the test, which no test's name may hold."""


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1_000_000_000},
        {"exp": FromNow(-60)},
        {"nbf": FromNow(3600)},
        {"iat": FromNow(3600)},
        {"aud": "another service"},
        {"aud": ["another service"]},
        {"iss": "somebody else"},
        {"sub": 7},
        {"roles": "admin"},
        {"roles": None},
        *({name: None} for name in ("exp", "iat", "nbf", "aud", "iss", "sub", "jti")),
    ],
    ids=str,
)
def test_what_a_token_must_say_is_checked(project: Settings, changed: dict[str, Any]) -> None:
    changed = {
        name: int(time.time()) + value if isinstance(value, FromNow) else value
        for name, value in changed.items()
    }
    service = TokenKeys(project)
    service.issue("ana", [])
    with pytest.raises(TokenError):
        service.read(forged(project, **changed))


def test_a_token_without_signature_or_of_another_algorithm_is_refused(project: Settings) -> None:
    service = TokenKeys(project)
    text, _ = service.issue("ana", ["predict"])
    key = first_key(project)
    _, claims, signature = text.split(".")
    secret = bytes.fromhex(key.secret)
    content = jwt.decode(text, options={"verify_signature": False})

    def head(algorithm: str) -> str:
        values = json.dumps({"alg": algorithm, "kid": key.kid}).encode()
        return base64.urlsafe_b64encode(values).rstrip(b"=").decode()

    wrong = [
        f"{head('none')}.{claims}.",
        f"{head('None')}.{claims}.{signature}",
        f"{head('none')}.{claims}.{signature}",
        jwt.encode(content, secret * 2, "HS512", {"kid": key.kid}),
        jwt.encode(content, secret, ALGORITHM, {"kid": "unknown"}),
        jwt.encode(content, secret, ALGORITHM),
        jwt.encode(content, b"x" * 32, ALGORITHM, {"kid": key.kid}),
        jwt.encode(content, secret, ALGORITHM, {"kid": key.kid, "crit": ["x"], "x": 1}),
        text + "x" * 5000,
        "",
        "..",
    ]
    for each in wrong:
        with pytest.raises(TokenError):
            service.read(each)


def test_a_token_with_a_changed_byte_is_refused(project: Settings) -> None:
    service = TokenKeys(project)
    text, _ = service.issue("ana", ["predict"])

    @settings(max_examples=200, deadline=None)
    @given(place=st.integers(0, len(text) - 1), other=st.characters(codec="ascii"))
    def check(place: int, other: str) -> None:
        changed = text[:place] + other + text[place + 1 :]
        parts = [_decoded(part) for part in changed.split(".")]
        if parts == [_decoded(part) for part in text.split(".")]:
            return  # the last character of base64 has bits that mean nothing
        with pytest.raises(TokenError):
            service.read(changed)

    check()


def _decoded(part: str) -> bytes | str:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return part


def test_rotation_keeps_tokens_that_are_out_and_signs_with_the_new_key(project: Settings) -> None:
    service = TokenKeys(project)
    before, _ = service.issue("ana", [])

    made = rotate(project)
    after, _ = service.issue("ana", [])

    assert jwt.get_unverified_header(after)["kid"] == made.kid
    assert service.read(before).user == service.read(after).user == "ana"
    rotate(project, at_once=True)
    for text in (before, after):
        with pytest.raises(TokenError):
            service.read(text)


def test_a_replaced_key_ends_with_the_life_of_its_tokens(project: Settings) -> None:
    service = TokenKeys(project)
    text, _ = service.issue("ana", [])
    rotate(project)
    keys = json.loads(keys_file(project).read_text())
    keys[1]["replaced_at"] -= 16 * 60
    keys_file(project).write_text(json.dumps(keys))

    with pytest.raises(TokenError):
        TokenKeys(project).read(text)
    rotate(project)
    assert len(json.loads(keys_file(project).read_text())) == 2


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_no_key_is_made_outside_development(
    project: Settings, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    monkeypatch.setenv("MLOPS_ENVIRONMENT", environment)
    monkeypatch.setenv("MLOPS_SERVING__API_KEY", "0123456789abcdef0123")
    settings = load_settings(project.root)

    with pytest.raises(TokenKeyError, match="no key to sign tokens with"):
        TokenKeys(settings).issue("ana", [])

    assert not keys_file(settings).exists()
    rotate(settings)
    assert TokenKeys(settings).issue("ana", [])


def test_keys_may_come_from_the_environment(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = json.dumps([{"kid": "a", "secret": "ab" * 32, "made_at": 0}])
    monkeypatch.setenv("MLOPS_ACCESS__TOKEN_KEYS", value)
    settings = load_settings(project.root)

    text, _ = TokenKeys(settings).issue("ana", [])

    assert jwt.get_unverified_header(text)["kid"] == "a"
    assert TokenKeys(settings).read(text).user == "ana"
    with pytest.raises(TokenKeyError, match="MLOPS_ACCESS__TOKEN_KEYS"):
        rotate(settings)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "[1]", '[{"kid": "a", "secret": "abcd", "made_at": 0}]', "\ud83d"],
)
def test_keys_that_are_none_are_one_clear_sentence(project: Settings, content: str) -> None:
    file = keys_file(project)
    file.parent.mkdir(mode=0o700)
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    file.chmod(0o600)

    with pytest.raises(TokenKeyError, match=r"access rotate --now"):
        TokenKeys(project).issue("ana", [])

    rotate(project, at_once=True)
    assert TokenKeys(project).issue("ana", [])


@pytest.mark.skipif(os.name != "posix", reason="file modes")
@pytest.mark.parametrize("mode", [0o644, *(0o600 | 1 << bit for bit in range(6))], ids=oct)
def test_keys_that_others_may_read_are_refused(project: Settings, mode: int) -> None:
    rotate(project)
    keys_file(project).chmod(mode)
    with pytest.raises(TokenKeyError, match="others on this machine may read"):
        TokenKeys(project).issue("ana", [])


def test_workers_that_start_together_agree_on_a_key(project: Settings, tmp_path: Path) -> None:
    made = {rotate(project, only_if_missing=True).kid for _ in range(3)}
    assert len(made) == 1


def test_a_worker_that_comes_second_signs_with_the_newest_key_of_the_first(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(part: Path, file: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        rotate(project)
        rotate(project)
        link(part, file)

    monkeypatch.setattr(os, "link", late)

    made = rotate(project, only_if_missing=True)

    newest, older = json.loads(keys_file(project).read_text())
    assert made.kid == newest["kid"] != older["kid"]
    assert rotate(project, only_if_missing=True).kid == newest["kid"]
    assert [file.name for file in keys_file(project).parent.iterdir()] == [keys_file(project).name]


def test_a_token_may_be_as_long_as_the_longest_and_no_longer(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = TokenKeys(project)
    text, _ = service.issue("ana", ["predict"])
    monkeypatch.setattr(tokens, "LONGEST_TOKEN", len(text))
    assert service.read(text).user == "ana"
    monkeypatch.setattr(tokens, "LONGEST_TOKEN", len(text) - 1)
    with pytest.raises(TokenError, match="too long"):
        service.read(text)


def test_a_token_begins_now_and_ends_with_its_minutes(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = TokenKeys(project)
    now = time.time()
    text, seconds = service.issue("ana", ["predict"])
    said = jwt.decode(text, options={"verify_signature": False})

    assert seconds == 900
    assert now <= said["iat"] <= time.time()
    assert said["nbf"] == int(said["iat"])
    assert said["exp"] == int(said["iat"] + 900)
    assert len(said["jti"]) == 16
    other = jwt.decode(service.issue("ana", [])[0], options={"verify_signature": False})
    assert other["jti"] != said["jti"]


@pytest.mark.parametrize("key_bytes", [31, 32, 33])
def test_a_key_has_32_bytes_at_least(
    project: Settings, monkeypatch: pytest.MonkeyPatch, key_bytes: int
) -> None:
    keys = [
        {"kid": kid, "secret": "ab" * size, "made_at": 0}
        for kid, size in (("long", 64), ("asked", key_bytes))
    ]
    monkeypatch.setenv("MLOPS_ACCESS__TOKEN_KEYS", json.dumps(keys))
    service = TokenKeys(load_settings(project.root))
    if key_bytes < 32:
        with pytest.raises(TokenKeyError, match="less than 32 bytes"):
            service.issue("ana", [])
    else:
        assert service.issue("ana", [])


def test_a_replaced_key_is_believed_for_the_life_of_a_token_and_the_leeway(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = TokenKeys(project)
    service.issue("ana", [])
    old = first_key(project)
    new = rotate(project)
    replaced_at = json.loads(keys_file(project).read_text())[1]["replaced_at"]
    end = replaced_at + 900 + tokens.LEEWAY_SECONDS
    for moment, known in ((end - 0.5, True), (end, False), (end + 0.5, False)):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert service._key_of(new.kid) == new
        if known:
            assert service._key_of(old.kid).kid == old.kid
        else:
            with pytest.raises(TokenError, match="not known"):
                service._key_of(old.kid)
    with pytest.raises(TokenError, match="not known"):
        service._key_of("zzzzzzzz")
    with pytest.raises(TokenError, match="not known"):
        service._key_of("00")


def test_keys_whose_tokens_are_over_are_dropped_by_the_next_rotation(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    rotate(project)
    life = 900 + tokens.LEEWAY_SECONDS
    for wait, kept in ((1, 2), (life - 0.5, 3), (0.5, 3), (life, 2)):
        now += wait
        rotate(project)
        keys = json.loads(keys_file(project).read_text())
        assert len(keys) == kept, wait
        assert keys[0]["replaced_at"] is None
        assert all(key["replaced_at"] is not None for key in keys[1:])
    assert {len(key["secret"]) for key in keys} == {64}
    assert len(keys[0]["kid"]) == 8


def test_a_key_that_is_there_is_left_alone_where_only_a_missing_one_is_to_be_made(
    project: Settings,
) -> None:
    made = rotate(project, only_if_missing=True)
    before = keys_file(project).read_bytes()
    assert rotate(project, only_if_missing=True) == made
    assert keys_file(project).read_bytes() == before
    assert keys_file(project).stat().st_mode & 0o777 == 0o600
    assert keys_file(project).parent.stat().st_mode & 0o777 == 0o700


def test_the_file_is_read_when_it_is_another_one(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = TokenKeys(project)
    text, _ = service.issue("ana", [])
    reads: list[Path] = []
    read = tokens._read

    def counted(settings: Settings, file: Path) -> list[TokenKey]:
        reads.append(file)
        return read(settings, file)

    monkeypatch.setattr(tokens, "_read", counted)
    for _ in range(3):
        service.read(text)
    assert reads == []
    os.utime(keys_file(project), ns=(1, 1))
    service.read(text)
    assert len(reads) == 1
    other = keys_file(project).with_name("other")
    other.write_bytes(keys_file(project).read_bytes())
    other.chmod(0o600)
    os.utime(other, ns=(1, 1))
    other.replace(keys_file(project))  # at the same time, and another file
    service.read(text)
    service.read(text)
    assert len(reads) == 2
    keys_file(project).unlink()
    with pytest.raises(TokenError, match="not known"):
        service.read(text)


def test_a_file_of_keys_that_cannot_be_read_is_one_clear_sentence(project: Settings) -> None:
    file = keys_file(project)
    file.mkdir(parents=True, mode=0o700)
    with pytest.raises(TokenKeyError, match="cannot be read"):
        TokenKeys(project).issue("ana", [])
