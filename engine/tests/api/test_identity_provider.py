"""Tokens of an identity provider: a small one, with keys that it rotates, on this machine."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldpath.serving.access import identity_provider
from goldpath.serving.access.identity_provider import roles_of
from goldpath.settings import load_settings
from goldpath.settings.errors import SettingsError

from .conftest import MakeClient
from .examples import TestClient, contract_of, random_rows, write_project

BODY = {"features": random_rows(contract_of("binary"), 1)[0]}
AUDIENCE = "scoring"


@dataclass
class Provider:
    """What a provider publishes, how often it was asked, and its private keys."""

    port: int = 0
    private: dict[str, Any] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    issuer_said: str | None = None
    page: bytes | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}/realm"

    def add_key(self, kid: str, private: Any = None) -> None:
        self.private[kid] = private or rsa.generate_private_key(65537, 2048)
        self.published.append(kid)

    def token(self, kid: str = "one", algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        said = {"iss": self.issuer, "aud": AUDIENCE, "sub": "ana", "iat": now, "exp": now + 300}
        said |= {"roles": ["predict"]} | claims
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, self.private[kid], algorithm, {"kid": kid})

    def document(self, path: str) -> dict[str, Any] | None:
        if path == "/realm/.well-known/openid-configuration":
            keys = f"http://127.0.0.1:{self.port}/keys"
            return {"issuer": self.issuer_said or self.issuer, "jwks_uri": keys}
        if path == "/keys":
            return {"keys": [self._published(kid) for kid in self.published]}
        return None

    def _published(self, kid: str) -> dict[str, Any]:
        public = self.private[kid].public_key()
        is_rsa = isinstance(public, rsa.RSAPublicKey)
        algorithm = jwt.algorithms.RSAAlgorithm if is_rsa else jwt.algorithms.ECAlgorithm
        return {**algorithm.to_jwk(public, as_dict=True), "kid": kid, "use": "sig"}


@pytest.fixture
def provider() -> Iterator[Provider]:
    found = Provider()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            document = found.document(self.path)
            self.send_response(404 if document is None else 200)
            self.end_headers()
            self.wfile.write(found.page or json.dumps(document).encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.port = server.server_address[1]
    found.add_key("one")
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(
    provider: Provider, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> TestClient:
    monkeypatch.setenv("MLOPS_ACCESS__OIDC_ISSUER", provider.issuer)
    monkeypatch.setenv("MLOPS_ACCESS__OIDC_AUDIENCE", AUDIENCE)
    monkeypatch.setenv("MLOPS_ACCESS__REQUIRE_CREDENTIAL", "true")
    return make_client()


def app_of(client: TestClient) -> Any:
    return client.app.app  # type: ignore[attr-defined]


def status(client: TestClient, token: str, path: str = "/predict") -> int:
    headers = {"Authorization": f"Bearer {token}"}
    if path != "/predict":
        return int(client.get(path, headers=headers).status_code)
    return int(client.post(path, json=BODY, headers=headers).status_code)


def test_a_token_opens_what_its_roles_open(client: TestClient, provider: Provider) -> None:
    assert client.post("/predict", json=BODY).status_code == 401
    token = provider.token()
    assert [status(client, token) for _ in range(3)] == [200, 200, 200]
    assert status(client, token, "/admin/keys") == 403
    assert status(client, provider.token(roles=["admin"]), "/admin/keys") == 200
    assert status(client, provider.token(roles=["stranger"])) == 403
    assert status(client, provider.token(roles=None)) == 403
    # The discovery document and the keys, once each.
    assert sorted(provider.asked) == ["/keys", "/realm/.well-known/openid-configuration"]


def test_what_is_forged_or_meant_for_others_opens_nothing(
    client: TestClient, provider: Provider
) -> None:
    good = provider.token()
    assert status(client, good) == 200
    now = int(time.time())
    public = provider.private["one"].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(good, options={"verify_signature": False})
    head, body, signature = good.split(".")
    provider.private["stranger"] = rsa.generate_private_key(65537, 2048)
    forged = {
        "another audience": provider.token(aud="mail"),
        "another issuer": provider.token(iss="http://127.0.0.1:1/realm"),
        "expired": provider.token(exp=now - 60),
        "not yet": provider.token(nbf=now + 600),
        "endless": provider.token(exp=None),
        "without a user": provider.token(sub=None),
        "a key of nobody's": provider.token("stranger"),
        "unsigned": jwt.encode(claims, "", "none", {"kid": "one"}),
        "the public key as a secret": signed_with_public_key(pem, claims),
        "cut": f"{head}.{body}.",
        "another's signature": f"{head}.{body}.{signature[:-6]}AAAAAA",
        "no object": f"{head}.W10.{signature}",
    }
    found = {name: status(client, token) for name, token in forged.items()}
    assert set(found.values()) == {401}, found


def signed_with_public_key(pem: bytes, claims: dict[str, Any]) -> str:
    """The attack of CVE-2016-10555: HS256, with the published key as its secret."""

    def part(value: object) -> bytes:
        return jwt.utils.base64url_encode(json.dumps(value).encode())

    text = part({"alg": "HS256", "typ": "JWT", "kid": "one"}) + b"." + part(claims)
    mac = hmac.new(pem, text, hashlib.sha256).digest()
    return (text + b"." + jwt.utils.base64url_encode(mac)).decode()


def test_rotated_keys_are_found_and_unknown_ones_cost_the_provider_nothing(
    client: TestClient, provider: Provider
) -> None:
    assert status(client, provider.token()) == 200
    provider.private["forged"] = rsa.generate_private_key(65537, 2048)
    for number in range(5):
        assert status(client, provider.token("forged", jti=str(number))) == 401
    assert provider.asked.count("/keys") == 1

    provider.add_key("two", ec.generate_private_key(ec.SECP256R1()))
    provider.published.remove("one")
    app_of(client).state.access._provider._keys._last_successful_fetch = None  # long ago
    assert status(client, provider.token("two", "ES256")) == 200
    assert status(client, provider.token("one", jti="new")) == 401
    assert provider.asked.count("/keys") == 2


def test_a_silent_provider_is_an_outage_and_no_refusal(
    client: TestClient, provider: Provider
) -> None:
    provider.issuer_said = "https://elsewhere.example.com"
    assert status(client, provider.token()) == 503
    provider.issuer_said = None
    assert status(client, provider.token()) == 503  # it was asked a moment ago
    access = app_of(client).state.access
    access._provider = None
    assert status(client, provider.token()) == 200

    # Its keys are old, and what it sends is no list of keys: a page about maintenance, say.
    access._provider._keys.jwk_set_cache.jwk_set_with_timestamp = None
    provider.page = b"<html>back soon</html>"
    asked = provider.asked.count("/keys")
    assert [status(client, provider.token(jti=str(n))) for n in range(4)] == [503] * 4
    assert provider.asked.count("/keys") == asked + 1


def test_passwords_are_kept_only_where_asked_for(
    client: TestClient, provider: Provider, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"grant_type": "password", "username": "ana", "password": "four words make one"}
    assert client.post("/auth/token", data=form).status_code == 404
    schemes = client.get("/openapi.json").json()["components"]["securitySchemes"]
    assert schemes["OAuth2PasswordBearer"]["openIdConnectUrl"].startswith(provider.issuer)
    monkeypatch.setenv("MLOPS_ACCESS__LOCAL_LOGIN", "true")
    both = make_client()
    assert both.post("/auth/token", data=form).status_code == 401
    schemes = both.get("/openapi.json").json()["components"]["securitySchemes"]
    assert schemes["OAuth2PasswordBearer"]["type"] == "oauth2"
    assert status(both, provider.token()) == 200


def test_a_users_name_cannot_be_a_keys(provider: Provider, tmp_path: Path) -> None:
    """Limits count by name: a stranger's token must not use up the account of the owner."""
    write_project(tmp_path)
    settings = load_settings(tmp_path)
    access = settings.access.model_copy(
        update={"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
    )
    reader = identity_provider.IdentityProvider(settings.model_copy(update={"access": access}))
    assert reader.read(provider.token(sub="environment")).user == "oidc:environment"


@pytest.mark.parametrize(
    ("claims", "claim", "named", "roles"),
    [
        ({"roles": ["predict", "label"]}, "roles", {}, ("predict", "label")),
        ({"scope": "openid predict"}, "scope", {}, ("predict",)),
        ({"realm_access": {"roles": ["admin"]}}, "realm_access.roles", {}, ("admin",)),
        ({"https://a.b/roles": ["admin"]}, "https://a.b/roles", {}, ("admin",)),
        ({"groups": ["A", "B"]}, "groups", {"B": ("predict", "label")}, ("predict", "label")),
        ({"groups": ["admin"]}, "groups", {"B": ("predict",)}, ()),
        ({"roles": {"admin": True}}, "roles", {}, ()),
        ({"roles": [["admin"], 1, None]}, "roles", {}, ()),
        ({"roles": "admin"}, "roles.x", {}, ()),
        ({}, "roles", {}, ()),
    ],
)
def test_roles_come_from_a_claim(
    claims: dict[str, Any], claim: str, named: dict[str, tuple[str, ...]], roles: tuple[str, ...]
) -> None:
    assert roles_of(claims, claim, named) == roles


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OIDC_ISSUER": "https://id.example.com"}, "oidc_audience is missing"),
        (
            {"OIDC_ISSUER": "http://id.example.com", "OIDC_AUDIENCE": "a"},
            "give an https:// address",
        ),
        ({"OIDC_ISSUER": "file:///etc/passwd", "OIDC_AUDIENCE": "a"}, "give an https:// address"),
        ({"OIDC_AUDIENCE": "a"}, "name the issuer"),
        (
            {
                "OIDC_ISSUER": "https://id.example.com",
                "OIDC_AUDIENCE": "a",
                "OIDC_ROLES": '{"staff": ["predit"]}',
            },
            "predict",
        ),
    ],
)
def test_settings_that_would_let_strangers_in_are_refused(
    variables: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(f"MLOPS_ACCESS__{name}", value)
    with pytest.raises(SettingsError, match=said):
        load_settings(tmp_path)
