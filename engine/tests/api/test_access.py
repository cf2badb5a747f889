"""Who may do what: keys, tokens, roles, limits, and what a refused client is told."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pwdlib.hashers.argon2 import Argon2Hasher

from goldpath.serving.access import clients as access_module
from goldpath.serving.access.clients import Access
from goldpath.serving.access.limits import Limits
from goldpath.serving.access.login import TOKEN_PATH
from goldpath.serving.access.records import AccessError, StoreError
from goldpath.serving.access.roles import ROLES
from goldpath.serving.access.store import AccessStore, open_or_make
from goldpath.serving.access.tables import AUDIT, faults
from goldpath.serving.api import create_app, create_service
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.request_body import KeyedRoute
from goldpath.serving.prediction_log import read_log
from goldpath.settings import Settings, load_settings

from ..postgres_server import postgres_server
from .conftest import MakeClient, until
from .examples import Shelf, TestClient, contract_of, fitted, random_rows, settings_of

OWNER = "correct-horse-battery"
PASSWORD = "four words make one"
ROW = random_rows(contract_of("binary"), 1)[0]
BODY = {"features": ROW}
# Open to everybody; each of the others asks for a role.
# `/hooks/registry` takes signed messages only.
OPEN = {
    *("/", "/reference", "/health", "/ready", "/model", "/metrics", "/hooks/registry"),
    TOKEN_PATH,
}
FRAMEWORK = {"/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"}
TEST_PEER = "testclient"


@contextmanager
def store_of(settings: Settings) -> Iterator[AccessStore]:
    store = open_or_make(settings)
    try:
        yield store
    finally:
        store.close()


def settings_behind(client: TestClient) -> Settings:
    settings: Settings = app_of(client).state.settings
    return settings


def app_of(client: TestClient) -> Any:
    return client.app.app  # type: ignore[attr-defined]


def predict(client: TestClient, **headers: str) -> Any:
    return client.post(
        "/predict", json=BODY, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def new_key(
    settings: Settings, name: str = "shop", roles: Any = ("predict",), days: float | None = None
) -> tuple[str, str]:
    with store_of(settings) as store:
        made, text = store.create_key(name, roles, days, "a test")
        return made.id, text


def new_user(settings: Settings, name: str = "ana", roles: Any = ("predict",)) -> None:
    with store_of(settings) as store:
        store.add_user(name, PASSWORD, roles, "a test")


def token_of(client: TestClient, name: str = "ana", **form: str) -> str:
    answer = log_in(client, name, **form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def log_in(client: TestClient, name: str = "ana", password: str = PASSWORD, **form: str) -> Any:
    data = {"grant_type": "password", "username": name, "password": password, **form}
    return client.post(TOKEN_PATH, data=data)


def test_development_lets_everybody_in_and_refuses_a_wrong_credential(
    make_client: MakeClient,
) -> None:
    client = make_client()

    assert predict(client).status_code == 200
    for headers in (
        {"X_API_Key": "wrong"},
        {"X_API_Key": ""},
        {"X_API_Key": "mlops_00000000_" + "x" * 43},
        {"X_API_Key": "x" * 5000},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Basic YW5hOng="},
        {"Authorization": "Bearer"},
        {"X_API_Key": "wrong", "Authorization": "Bearer wrong"},
    ):
        answer = predict(client, **headers)
        assert answer.status_code == 401, headers
        assert "Bearer" in answer.headers["www-authenticate"]
        assert answer.headers["content-type"] == "application/problem+json"
        assert all(value not in answer.text for value in headers.values() if len(value) > 6)
    assert client.get("/admin/keys").status_code == 403


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_credential_is_asked_for_outside_development(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    monkeypatch.setenv("MLOPS_ENVIRONMENT", environment)
    client = make_client(api_key=OWNER)

    assert predict(client).status_code == 401
    assert predict(client, X_API_Key=OWNER).status_code == 200
    assert predict(client, Authorization=f"Bearer {OWNER}").status_code == 200
    assert client.get("/health").status_code == 200


def test_a_setting_asks_for_a_credential_in_development(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ACCESS__REQUIRE_CREDENTIAL", "true")
    client = make_client()
    _, key = new_key(settings_behind(client))

    answer = predict(client)

    assert answer.status_code == 401
    assert "X-API-Key" in answer.json()["fix"]
    assert predict(client, X_API_Key=key).status_code == 200


def test_every_route_asks_for_a_role_or_is_known_to_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_AUTOML__ROUTES", "true")
    app = create_app(settings_of(tmp_path, monkeypatch), contract_of("binary"), Shelf())

    asked = roles_of(app)
    unguarded = {path for path, role in asked.items() if role is None}

    assert unguarded <= OPEN | FRAMEWORK, "declare its role, or say here that it is open"
    assert set(asked.values()) == {*ROLES, None}
    for path, role in asked.items():
        if path.startswith("/admin"):
            assert role == "admin"
        if path.startswith("/api/automl"):
            assert role == "automl"
    for path in ("/predict", "/predict/batch", "/invocations"):
        assert asked[path] == "predict"
    assert asked["/feedback"] == asked["/feedback/batch"] == "label"


def roles_of(app: FastAPI) -> dict[str, str | None]:
    """The role that each path asks for; None where it asks for none."""
    found: dict[str, str | None] = {}
    for route in app.routes:
        # FastAPI keeps an included router as one route, which knows its own.
        for each in getattr(route, "effective_route_contexts", lambda one=route: [one])():
            inner = getattr(each, "original_route", each)
            role = inner.role if isinstance(inner, KeyedRoute) else None
            assert found.setdefault(each.path, role) == role, each.path
    assert set(app.openapi()["paths"]) <= set(found), "a route was not found"
    return found


def test_every_route_refuses_every_other_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_AUTOML__ROUTES", "true")
    monkeypatch.setenv("MLOPS_ACCESS__METRICS", "role")
    monkeypatch.setenv("MLOPS_ACCESS__REQUIRE_CREDENTIAL", "true")
    settings = settings_of(tmp_path, monkeypatch)
    keys = {role: new_key(settings, f"only-{role}", [role])[1] for role in ROLES}
    app = create_app(settings, contract_of("binary"), Shelf())
    client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
    schema = app.openapi()["paths"]
    asked = {path: role for path, role in roles_of(app).items() if role is not None}

    assert asked["/metrics"] == "read-metrics"
    for path, role in asked.items():
        for method in schema[path]:
            url = path.replace("{", "").replace("}", "")
            statuses: dict[str, int] = {
                other: client.request(method, url, headers={"X-API-Key": key}).status_code
                for other, key in keys.items()
            }
            assert client.request(method, url).status_code == 401, path
            assert statuses.pop(role) not in (401, 403), path
            assert set(statuses.values()) == {403}, path


def test_a_key_lives_until_it_is_revoked(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ACCESS__CACHE_SECONDS", "0.5")
    client = make_client()
    settings = settings_behind(client)
    _, other = new_key(settings, "other")
    key_id, key = new_key(settings)

    new_key(settings, "unused")
    assert predict(client, X_API_Key=key).status_code == 200
    for _ in range(15):  # in use all the time, far beyond the time for which it is remembered
        assert predict(client, X_API_Key=key).status_code == 200
        time.sleep(0.1)
    with store_of(settings) as store:
        store.revoke_key(key_id, "a test")
    until(lambda: predict(client, X_API_Key=key).status_code == 401, seconds=3)
    assert predict(client, X_API_Key=other).status_code == 200
    with store_of(settings) as store:
        used = {each.name: each.last_used for each in store.all_keys()}
        assert used["shop"] is not None
        assert used["shop"] % 3600 == 0, "to the hour, no finer"
        assert used["unused"] is None


def test_an_expired_key_is_refused_also_where_it_was_remembered(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    settings = settings_behind(client)
    _, key = new_key(settings, days=3 / 86_400)
    _, long = new_key(settings, "long", days=1)

    assert predict(client, X_API_Key=key).status_code == 200

    until(lambda: predict(client, X_API_Key=key).status_code == 401)
    assert predict(client, X_API_Key=long).status_code == 200


def test_only_a_hash_of_a_key_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, monkeypatch)
    _, key = new_key(settings)
    new_user(settings)

    file = tmp_path / ".secrets" / "access.db"
    content = file.read_bytes()
    secret = key.split("_", 2)[2]  # which may hold more of these: it is base64 for URLs

    assert len(secret) == 43
    assert key.encode() not in content
    assert secret.encode() not in content
    assert PASSWORD.encode() not in content
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_token_opens_what_its_roles_open(make_client: MakeClient) -> None:
    client = make_client(api_key=OWNER)
    settings = settings_behind(client)
    new_user(settings, roles=["predict", "read-metrics"])

    token = token_of(client)
    narrow = token_of(client, scope="read-metrics")

    assert predict(client, Authorization=f"Bearer {token}").status_code == 200
    assert predict(client, Authorization=f"bearer {token}").status_code == 200
    refused = predict(client, Authorization=f"Bearer {narrow}")
    assert refused.status_code == 403
    assert "predict" in refused.json()["detail"]
    assert client.get("/admin/keys", headers=bearer(token)).status_code == 403
    assert predict(client, Authorization=f"Bearer {token[:-6]}{token[-5:]}x").status_code == 401
    assert log_in(client, scope="admin").status_code == 422


def test_a_disabled_users_tokens_are_void(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ACCESS__CACHE_SECONDS", "0.3")
    client = make_client()
    settings = settings_behind(client)
    new_user(settings)
    token = token_of(client)
    assert predict(client, Authorization=f"Bearer {token}").status_code == 200

    with store_of(settings) as store:
        store.disable_user("ana", "a test")
    until(lambda: predict(client, Authorization=f"Bearer {token}").status_code == 401, seconds=3)
    assert log_in(client).status_code == 401
    with store_of(settings) as store:
        store.disable_user("ana", "a test", enable=True)
    assert predict(client, Authorization=f"Bearer {token}").status_code == 401
    token = token_of(client)
    with store_of(settings) as store:
        store.set_password("ana", "another four words", "a test")
    assert predict(client, Authorization=f"Bearer {token}").status_code == 401


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_login_says_the_same_of_unknown_users_and_wrong_passwords(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    new_user(settings_behind(client))
    checked: list[tuple[str, ...]] = []
    original = Argon2Hasher.verify

    def counting(self: Argon2Hasher, password: Any, kept: Any) -> bool:
        text = kept if isinstance(kept, str) else kept.decode()
        checked.append(tuple(text.split("$")[:4]))  # algorithm, version, memory, passes, lanes
        return original(self, password, kept)

    monkeypatch.setattr(Argon2Hasher, "verify", counting)

    wrong = log_in(client, "ana", "not the password")
    unknown = log_in(client, "nobody", "not the password")
    long = log_in(client, "nobody", "x" * 2000)

    assert wrong.status_code == unknown.status_code == long.status_code == 401
    assert wrong.json() == unknown.json()
    assert len(checked) == 3, "one hash each"
    assert len(set(checked)) == 1, "with the same cost"
    assert "ana" not in wrong.text


def test_login_without_a_single_user_is_refused_like_any_other(make_client: MakeClient) -> None:
    client = make_client()
    assert log_in(client).status_code == 401
    assert not (settings_behind(client).root / ".secrets" / "access.db").exists()


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"username=ana", "application/x-www-form-urlencoded", 422),
        (b"username=ana&password=x&grant_type=magic", "application/x-www-form-urlencoded", 422),
        (b"username=ana&username=bea&password=x", "application/x-www-form-urlencoded", 422),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"username", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % n for n in range(40)), "application/x-www-form-urlencoded", 400),
        (b"username=ana&password=" + b"x" * 5000, "application/x-www-form-urlencoded", 413),
        (b"username=%ED%A0%80&password=x", "application/x-www-form-urlencoded", 401),
        (b"username=%00&password=%00", "application/x-www-form-urlencoded", 401),
    ],
)
def test_a_form_that_is_none_is_a_problem(
    served: TestClient, content: bytes, media_type: str, status: int
) -> None:
    app_of(served).state.limits = Limits(None, 0)
    answer = served.post(TOKEN_PATH, content=content, headers={"Content-Type": media_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_guessing_is_throttled(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Argon2Hasher, "verify", lambda *_: False)
    client = make_client()

    statuses = [log_in(client, password=f"guess {n} of a password").status_code for n in range(8)]

    assert statuses == [401] * 5 + [429] * 3


def test_too_many_requests_are_a_problem_that_says_when_to_come_back(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ACCESS__REQUESTS_PER_SECOND", "0.5")
    monkeypatch.setenv("MLOPS_ACCESS__BURST_SECONDS", "10")
    client = make_client(api_key=OWNER)
    _, key = new_key(settings_behind(client))

    answers = [predict(client, X_API_Key=key) for _ in range(8)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
    assert "shop" in refused.json()["detail"]
    assert predict(client, X_API_Key=OWNER).status_code == 200, "another client"
    assert client.get("/health").status_code == 200


def test_too_many_requests_at_the_same_time_are_refused(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ACCESS__CONCURRENT_REQUESTS", "2")
    client = make_client()
    limits: Limits = app_of(client).state.limits
    anybody = app_of(client).state.access.anonymous
    for _ in range(2):
        assert limits.enter(anybody, TEST_PEER)

    body = {"dataframe_records": [ROW]}
    refused = client.post("/invocations", json=body)
    limits.leave(anybody, TEST_PEER)

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    for _ in range(5):
        assert client.post("/invocations", json=body).status_code == 200


def test_admins_make_and_revoke_keys_over_http(make_client: MakeClient) -> None:
    client = make_client(api_key=OWNER)
    owner = {"X-API-Key": OWNER}

    made = client.post(
        "/admin/keys", json={"name": "shop", "roles": ["predict"], "days": 30}, headers=owner
    )
    key = made.json()["key"]
    listed = client.get("/admin/keys", headers=owner)

    assert made.status_code == 201
    assert predict(client, X_API_Key=key).status_code == 200
    assert [each["name"] for each in listed.json()["keys"]] == ["shop"]
    assert key not in listed.text
    assert client.get("/admin/keys", headers={"X-API-Key": key}).status_code == 403
    gone = client.delete(f"/admin/keys/{made.json()['id']}", headers=owner)
    assert gone.json()["valid"] is False
    assert client.delete("/admin/keys/none", headers=owner).status_code == 404
    bad = client.post("/admin/keys", json={"name": "1 2"}, headers=owner)
    assert bad.status_code == 422
    unknown = client.post("/admin/keys", json={"name": "x", "roles": ["root"]}, headers=owner)
    assert unknown.status_code == 422
    with store_of(settings_behind(client)) as store:
        actions = [(each.actor, each.action, each.subject) for each in store.actions()]
    assert actions == [
        ("environment", "key created", "shop"),
        ("environment", "key revoked", "shop"),
    ]


def test_admins_shut_users_out_over_http(make_client: MakeClient) -> None:
    client = make_client(api_key=OWNER)
    new_user(settings_behind(client), roles=["predict", "admin"])
    token = token_of(client)

    listed = client.get("/admin/users", headers=bearer(token)).json()["users"]
    disabled = client.post("/admin/users/ana/disable", headers=bearer(token))

    assert [(user["name"], user["disabled"]) for user in listed] == [("ana", False)]
    assert disabled.json()["disabled"] is True
    assert client.post("/admin/users/bob/disable", headers={"X-API-Key": OWNER}).status_code == 404


def test_what_was_done_elsewhere_is_written_down_with_its_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store_of(settings_of(tmp_path, monkeypatch)) as store:
        store.record("admin", "keys rotated", "tokens", {"at_once": True})
        store.record("admin", "keys rotated", "tokens")
        told = [json.loads(each.details) for each in store.actions()]
    assert told == [{"at_once": True}, {}]


def test_what_was_done_is_written_down_and_changes_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, monkeypatch)
    for name in ("one", "two", "three"):
        new_key(settings, name)
    with store_of(settings) as store:
        with pytest.raises(AccessError):
            store.revoke_key("four", "a test")
        whole = store.actions()
        assert [each.sequence for each in whole] == [1, 2, 3], "what failed is not there"
        assert faults(whole) == []
        with store._engine.begin() as connection:
            connection.execute(
                AUDIT.update().where(AUDIT.c.sequence == 2).values(actor="somebody else")
            )
        assert faults(store.actions()) == ["action 2 was changed"]
        with store._engine.begin() as connection:
            connection.execute(AUDIT.delete().where(AUDIT.c.sequence == 2))
        assert faults(store.actions()) == ["action 3 does not follow the one before it"]


@pytest.mark.parametrize("name", ["", "environment", "anonymous", "1st", "a b", "a" * 64, "é"])
def test_names_that_could_be_taken_for_another_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with store_of(settings_of(tmp_path, monkeypatch)) as store:
        with pytest.raises(AccessError):
            store.create_key(name, ["predict"], None, "a test")
        with pytest.raises(AccessError):
            store.add_user(name, PASSWORD, ["predict"], "a test")


def test_a_user_and_a_key_cannot_share_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, monkeypatch)
    new_key(settings, "shop")
    new_user(settings, "ana")
    with store_of(settings) as store:
        with pytest.raises(AccessError, match="name of a key"):
            store.add_user("shop", PASSWORD, ["predict"], "a test")
        with pytest.raises(AccessError, match="is a user"):
            store.create_key("ana", ["predict"], None, "a test")
        store.create_key("shop", ["predict"], None, "a test")
        with pytest.raises(AccessError, match="2 keys are called shop"):
            store.revoke_key("shop", "a test")


def test_what_was_good_is_believed_while_the_store_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ACCESS__CACHE_SECONDS", "0.2")
    settings = settings_of(tmp_path, monkeypatch)
    _, key = new_key(settings)
    access = Access(settings)
    header, value = b"x-api-key", key.encode()
    request = FakeRequest([(header, value)])
    client = asyncio.run(access.authenticate(request, "predict"))  # type: ignore[arg-type]

    def away(*_: object) -> None:
        raise StoreError("the database is away")

    try:
        monkeypatch.setattr(AccessStore, "key_by_digest", away)
        for _ in range(10):
            time.sleep(0.1)
            assert access.known(header, value) == client
        monkeypatch.setattr(access_module, "OUTAGE_SECONDS", 0.0)
        until(lambda: access.known(header, value) is None, seconds=3)
        with pytest.raises(Exception, match="cannot be checked"):
            asyncio.run(access.authenticate(request, "predict"))  # type: ignore[arg-type]
    finally:
        access.close()


class FakeRequest:
    """As much of a request as `authenticate` looks at."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.scope = {"headers": headers}


def test_the_hot_path_reads_nothing_from_disk_or_database(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    _, key = new_key(settings_behind(client))
    assert predict(client, X_API_Key=key).status_code == 200
    access: Access = app_of(client).state.access
    looked_up: list[int] = []
    original = access._look_up

    def counting(header: bytes, value: bytes) -> Any:
        looked_up.append(threading.get_ident())
        return original(header, value)

    monkeypatch.setattr(access, "_look_up", counting)

    for _ in range(1000):
        found = access.known(b"x-api-key", key.encode())
        assert found is not None
        assert found.name == "shop"

    assert threading.get_ident() not in looked_up
    assert access.known(b"authorization", key.encode()) is None
    assert access.known(b"x-api-key", b"mlops_wrong") is None


def test_a_client_that_insists_on_a_wrong_key_costs_one_look_up_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, monkeypatch)
    new_key(settings)
    now = 100.0
    access = Access(settings, lambda: now)
    looked_up: list[float] = []

    def nobody(header: bytes, value: bytes) -> tuple[None, float]:
        looked_up.append(now)
        return None, 0.0

    monkeypatch.setattr(access, "_look_up", nobody)
    request = FakeRequest([(b"x-api-key", b"mlops_wrong")])
    try:
        for now in (100.0, 100.5, 100.99, 101.0, 101.5):  # noqa: B007 the clock reads it
            with pytest.raises(ProblemError) as refused:
                asyncio.run(access.authenticate(request, "predict"))  # type: ignore[arg-type]
            assert refused.value.status_code == 401
    finally:
        access.close()
    assert looked_up == [100.0, 101.0]


def test_postgresql_holds_keys_and_users_as_sqlite_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_server() as url:
        store_url = url.replace("postgresql://", "postgresql+psycopg://")
        monkeypatch.setenv("MLOPS_ACCESS__STORE", store_url)
        settings = settings_of(tmp_path, monkeypatch)
        _, key = new_key(settings)
        new_user(settings)
        access = Access(settings)
        try:
            request = FakeRequest([(b"x-api-key", key.encode())])
            client = asyncio.run(access.authenticate(request, "predict"))  # type: ignore[arg-type]
            with store_of(settings) as store:
                both = [threading.Thread(target=new_key, args=(settings, n)) for n in ("a", "b")]
                for each in both:
                    each.start()
                for each in both:
                    each.join()
                assert faults(store.actions()) == []
                assert len(store.actions()) == 4
                assert store.user("ana") is not None
        finally:
            access.close()
    assert client.name == "shop"
    assert not (tmp_path / ".secrets").exists()


def test_a_store_that_cannot_be_used_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("nonsense", "oracle+nothing://x", "postgresql+psycopg://u:pw@127.0.0.1:9/db"):
        monkeypatch.setenv("MLOPS_ACCESS__STORE", url)
        settings = settings_of(tmp_path, monkeypatch)
        with pytest.raises(StoreError) as caught:
            open_or_make(settings)
        assert "MLOPS_ACCESS__STORE" in str(caught.value)
        assert "pw" not in caught.value.message


def test_other_origins_are_closed_unless_named(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "https://app.example.com"
    asking = {
        "Origin": page,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key",
    }
    closed = make_client()
    assert closed.options("/predict", headers=asking).status_code == 405
    assert not allowed(predict(closed, Origin=page))

    monkeypatch.setenv("MLOPS_ACCESS__CORS_ORIGINS", json.dumps([page]))
    client = make_client(api_key=OWNER)

    assert client.options("/predict", headers=asking).headers[ALLOWED] == page
    assert allowed(predict(client, Origin=page, X_API_Key=OWNER)) == page
    assert predict(client, Origin=page, X_API_Key=OWNER).status_code == 200
    assert not allowed(predict(client, Origin="https://evil.example", X_API_Key=OWNER))
    other = {**asking, "Origin": "https://evil.example"}
    assert client.options("/predict", headers=other).status_code == 400


ALLOWED = "access-control-allow-origin"


def allowed(answer: Any) -> str | None:
    origin: str | None = answer.headers.get(ALLOWED)
    return origin


def test_deeply_nested_json_is_refused(served: TestClient) -> None:
    for depth, fits in ((14, True), (20, False), (10_000, False)):
        content = b'{"features": ' + b"[" * depth + b"]" * depth + b"}"
        answer = served.post(
            "/predict", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422
        assert ("nested" in answer.json()["detail"]) is not fits


def test_personal_values_are_not_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = contract_of("binary")
    personal = ("class", "field_0", "free text", "copy")
    hidden = contract.model_copy(update={"personal": personal})
    rows = random_rows(contract, 3, seed=5)
    for mode in ("drop", "hash", "keep"):
        monkeypatch.setenv("MLOPS_ACCESS__PERSONAL_VALUES", mode)
        folder = f"log-{mode}"
        settings = settings_of(tmp_path, monkeypatch, prediction_log=folder)
        answers = []
        shelf = Shelf()
        shelf.put(fitted("binary"))
        with TestClient(create_service(settings, hidden, shelf)) as client:
            until(lambda: client.get("/ready").status_code == 200)
            answers.append(client.post("/predict", json={"features": rows[0]}))
            answers.append(client.post("/predict/batch", json={"instances": rows}))
            answers.append(client.post("/invocations", json={"dataframe_records": rows}))
        assert [answer.status_code for answer in answers] == [200] * 3
        logged = [line["features"] for line in read_log(tmp_path / folder, 10)]
        assert len(logged) == 7
        sent = {json.dumps(row["field_0"]) for row in rows}
        for features in logged:
            if mode == "keep":
                assert set(personal) <= set(features)
                continue
            assert "class" not in features
            assert "copy" not in features
            assert {"2nd call", "schema", "self"} <= set(features)
            if mode == "drop":
                assert "field_0" not in features
            else:
                assert str(features["field_0"]).startswith("hashed:")
                assert json.dumps(features["field_0"]) not in sent
                assert features["free text"] is None or features["free text"].startswith("hashed:")
        if mode == "hash":
            groups = {line["field_0"] for line in logged}
            assert len(groups) == len({row["field_0"] for row in rows})


def test_settings_of_access_are_checked(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(project.root).access.personal_values == "drop"
    monkeypatch.setenv("MLOPS_SERVING__TLS_CERTIFICATE", "cert.pem")
    with pytest.raises(Exception, match="belong together"):
        load_settings(project.root)
