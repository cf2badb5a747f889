"""What is read from an identity provider, and what its silence costs; no socket is opened."""

import io
import json
import time
import urllib.error
import urllib.request
from typing import Any

import jwt
import pytest

from goldpath.serving.access import identity_provider
from goldpath.serving.access.identity_provider import (
    LONGEST_SUBJECT,
    PAUSE_SECONDS,
    IdentityProvider,
    ProviderError,
)
from goldpath.serving.access.tokens import LEEWAY_SECONDS, TokenError
from goldpath.settings import Settings, load_settings

ISSUER = "https://id.example.com/realm"
SECRET = "s" * 32


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 500.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def provider(project: Settings, monkeypatch: pytest.MonkeyPatch) -> IdentityProvider:
    monkeypatch.setenv("MLOPS_ACCESS__OIDC_ISSUER", ISSUER)
    monkeypatch.setenv("MLOPS_ACCESS__OIDC_AUDIENCE", "scoring")
    return IdentityProvider(load_settings(project.root))


def answers(monkeypatch: pytest.MonkeyPatch, *contents: object) -> list[str]:
    """Let the network answer these one after the other; returns what was asked for."""
    asked: list[str] = []

    def urlopen(address: str, timeout: float) -> io.BytesIO:
        content = contents[min(len(asked), len(contents) - 1)]
        asked.append(address)
        if isinstance(content, Exception):
            raise content
        return io.BytesIO(content if isinstance(content, bytes) else json.dumps(content).encode())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


GOOD = {"issuer": ISSUER, "jwks_uri": "https://id.example.com/keys"}


def test_the_address_of_the_keys_is_in_the_providers_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = answers(monkeypatch, GOOD)
    assert identity_provider._discover(ISSUER) == GOOD["jwks_uri"]
    assert asked == [f"{ISSUER}/.well-known/openid-configuration"]
    answers(monkeypatch, {**GOOD, "issuer": ISSUER + "/"})
    assert identity_provider._discover(ISSUER + "/") == GOOD["jwks_uri"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>", "no document of OpenID Connect"),
        (b"[" * 100_000, "no document of OpenID Connect"),
        ([], "no document of OpenID Connect"),
        ({"issuer": ISSUER}, "no document of OpenID Connect"),
        ({"jwks_uri": GOOD["jwks_uri"]}, "no document of OpenID Connect"),
        ({**GOOD, "issuer": "https://a.example.com"}, "belongs to the issuer"),
        ({**GOOD, "issuer": "https://zz.example.com"}, "belongs to the issuer"),
        ({**GOOD, "jwks_uri": "http://id.example.com/keys"}, "which is not https"),
        (urllib.error.URLError("no route"), "does not answer"),
        (ConnectionResetError(), "does not answer"),
        (TimeoutError(), "does not answer"),
    ],
    ids=str,
)
def test_another_document_is_refused(
    monkeypatch: pytest.MonkeyPatch, content: object, said: str
) -> None:
    answers(monkeypatch, content)
    with pytest.raises(ProviderError, match=said):
        identity_provider._discover(ISSUER)


def test_a_provider_that_did_not_answer_is_left_alone_for_a_while(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    asked = answers(monkeypatch, TimeoutError(), TimeoutError(), GOOD)
    for wait in (0, PAUSE_SECONDS - 0.5):
        clock.now += wait
        with pytest.raises(ProviderError, match="does not answer"):
            provider._client()
    assert len(asked) == 1
    clock.now += 0.5
    with pytest.raises(ProviderError, match="does not answer"):
        provider._client()
    assert len(asked) == 2
    clock.now += PAUSE_SECONDS
    found = provider._client()
    assert provider._client() is found
    assert len(asked) == 3


def test_no_document_is_asked_for_where_the_settings_name_the_keys(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ACCESS__OIDC_ISSUER", ISSUER)
    monkeypatch.setenv("MLOPS_ACCESS__OIDC_AUDIENCE", "scoring")
    monkeypatch.setenv("MLOPS_ACCESS__OIDC_JWKS_URL", "https://keys.example.com/k")
    asked = answers(monkeypatch, GOOD)
    found = IdentityProvider(load_settings(project.root))._client()
    assert (found.uri, asked) == ("https://keys.example.com/k", [])


def test_keys_that_cannot_be_fetched_are_not_asked_for_at_once_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    fetched: list[float] = []
    problems: list[Exception] = [
        jwt.PyJWKClientConnectionError("gone"),
        ConnectionResetError("gone"),
        ValueError("gone"),
        RecursionError("gone"),
    ]

    def fetch(_: object) -> dict[str, Any]:
        fetched.append(clock.now)
        if len(fetched) <= len(problems):
            raise problems[len(fetched) - 1]
        return {"keys": []}

    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", fetch)
    client = identity_provider._key_client("https://id.example.com/keys")
    for _ in problems:
        with pytest.raises(jwt.PyJWKClientConnectionError, match="gone"):
            client.fetch_data()
        clock.now += PAUSE_SECONDS - 0.5
        with pytest.raises(jwt.PyJWKClientConnectionError, match="a moment ago"):
            client.fetch_data()
        clock.now += 0.5
    assert client.fetch_data() == {"keys": []}
    assert client.fetch_data() == {"keys": []}
    assert len(fetched) == len(problems) + 2


def test_a_token_says_who_its_issuer_is(provider: IdentityProvider) -> None:
    def signed(claims: dict[str, Any]) -> str:
        return jwt.encode(claims, SECRET, "HS256")

    assert provider.is_issuer_of(signed({"iss": ISSUER}))
    for other in ("https://a.example.com", "https://z.example.com", ISSUER + "/"):
        assert not provider.is_issuer_of(signed({"iss": other}))
    assert not provider.is_issuer_of(signed({}))
    for nonsense in ("", "a.b.c", "\ud83d.b.c", "a"):
        assert not provider.is_issuer_of(nonsense)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_shared_secret_signs_nothing(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    asked = answers(monkeypatch, GOOD)
    with pytest.raises(TokenError, match="not valid") as caught:
        provider.read(jwt.encode({"iss": ISSUER}, "s" * 64, algorithm))
    assert "RS256" in caught.value.fix
    for nonsense in ("", "a.b.c", "\ud83d.b.c"):
        with pytest.raises(TokenError, match="not valid"):
            provider.read(nonsense)
    assert asked == [], "the provider is not asked for what cannot be its"


def test_claims_are_read_with_the_leeway_of_clocks(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Keys:
        def get_signing_key_from_jwt(self, _: str) -> str:
            return SECRET

    monkeypatch.setattr(identity_provider, "ALGORITHMS", ("HS256",))
    monkeypatch.setattr(provider, "_client", Keys)
    now = int(time.time())

    def token(**changed: Any) -> str:
        claims = {"iss": ISSUER, "aud": "scoring", "sub": "ana", "iat": now, "exp": now + 90}
        claims |= {"roles": ["predict"]} | changed
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, SECRET, "HS256")

    claims = provider.read(token())
    assert (claims.user, claims.roles) == ("oidc:ana", ("predict",))
    assert (claims.issued_at, claims.expires_at) == (float(now), float(now + 90))
    assert provider.read(token(exp=now - LEEWAY_SECONDS + 3)).user == "oidc:ana"
    changes: tuple[dict[str, Any], ...] = (
        {"exp": now - LEEWAY_SECONDS - 1},
        {"aud": "mail"},
        {"iss": "https://else.example.com"},
        *({name: None} for name in ("exp", "iat", "iss", "aud", "sub")),
    )
    for changed in changes:
        with pytest.raises(TokenError):
            provider.read(token(**changed))


def test_keys_that_do_not_answer_are_an_outage(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Keys:
        def get_signing_key_from_jwt(self, _: str) -> str:
            raise jwt.PyJWKClientConnectionError("gone")

    monkeypatch.setattr(identity_provider, "ALGORITHMS", ("HS256",))
    monkeypatch.setattr(provider, "_client", Keys)
    with pytest.raises(ProviderError, match="does not answer"):
        provider.read(jwt.encode({"iss": ISSUER}, SECRET, "HS256"))


@pytest.mark.parametrize("subject", ["a", "a" * LONGEST_SUBJECT, "Ana María"])
def test_a_claim_names_the_user(subject: str) -> None:
    assert identity_provider._subject({"sub": subject}, "sub") == subject


@pytest.mark.parametrize("subject", [None, 7, "", "  ", "a\n", "a" * (LONGEST_SUBJECT + 1)])
def test_a_claim_that_names_nobody_is_refused(subject: object) -> None:
    with pytest.raises(TokenError):
        identity_provider._subject({"sub": subject}, "sub")
    with pytest.raises(TokenError):
        identity_provider._subject({}, "sub")
