"""What a proxy says of a client counts where the proxy is trusted, and nowhere else."""

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from goldpath.serving.http.forwarding import ForwardedRequests, TrustedProxies
from goldpath.serving.http.request_line import RequestLine
from goldpath.settings import Settings, SettingsError, load_settings

from .conftest import MakeClient
from .examples import TestClient

PROXIES = TrustedProxies(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.9, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.7, 10.0.0.2, 10.1.1.1", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7:5120", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::7]:5120", "2001:db8::7"),
        ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "203.0.113.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, \xff, 10.0.0.2", "10.0.0.2"),
    ],
)
def test_the_last_stranger_of_the_chain_is_the_client(peer: str, chain: str, client: str) -> None:
    assert PROXIES.client_behind(peer, chain.encode("latin-1")) == client


@pytest.mark.parametrize("peer", ["192.0.2.1", "", "testclient", "11.0.0.1", "::2"])
def test_strangers_are_not_trusted(peer: str) -> None:
    assert not PROXIES.trusts(peer)
    assert PROXIES.trusts("::ffff:10.2.3.4")
    assert not TrustedProxies([]).trusts("127.0.0.1")


def seen(peer: str, root_path: str = "", **headers: str) -> Scope:
    """What the app hears of a request from a peer."""
    found: list[Scope] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        found.append(scope)

    async def ask() -> None:
        named = [
            (name.replace("_", "-").lower().encode(), value.encode())
            for name, value in headers.items()
        ]
        scope = {"type": "http", "client": (peer, 5), "scheme": "http", "headers": named}
        scope["path"] = "/predict"
        await ForwardedRequests(app, PROXIES, root_path)(scope, None, None)  # type: ignore[arg-type]

    asyncio.run(ask())
    return found[0]


def test_scheme_prefix_and_address_come_from_a_trusted_proxy_only() -> None:
    headers = {
        "X_Forwarded_For": "203.0.113.7",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Prefix": "/churn/",
    }

    trusted, stranger = seen("10.0.0.1", **headers), seen("192.0.2.1", **headers)

    assert (trusted["client"], trusted["scheme"], trusted["root_path"]) == (
        *(("203.0.113.7", 0), "https", "/churn"),
    )
    assert (stranger["client"], stranger["scheme"]) == (("192.0.2.1", 5), "http")
    assert (trusted["path"], stranger["path"]) == ("/churn/predict", "/predict")
    assert "root_path" not in stranger
    assert seen("192.0.2.1", "/own", **headers)["root_path"] == "/own"


@pytest.mark.parametrize("prefix", ["//evil.example", "/a b", "javascript:", "/a?b", "/a\x7f", "a"])
def test_a_prefix_that_is_no_path_is_ignored(prefix: str) -> None:
    assert "root_path" not in seen("10.0.0.1", X_Forwarded_Prefix=prefix)
    assert seen("10.0.0.1", X_Forwarded_Proto="gopher")["scheme"] == "http"


def test_a_name_among_the_proxies_is_refused(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_SERVING__TRUSTED_PROXIES", '["proxy.example.com"]')
    with pytest.raises(SettingsError, match="no address or network"):
        load_settings(project.root)


def test_one_clients_guesses_do_not_lock_out_another_behind_the_same_proxy(
    make_client: MakeClient,
) -> None:
    client = make_client(trusted_proxies='["10.0.0.1"]')
    lane: Any = client.app
    behind = TestClient(lane.app, client=("10.0.0.1", 5), follow_redirects=False)
    limits = lane.app.state.limits
    now = limits._clock()
    limits._clock = limits._table._clock = lambda: now  # a slow machine would win tries back

    def guess(address: str) -> int:
        form = {"username": "ana", "password": "wrong"}
        headers = {"X-Forwarded-For": address}
        return int(behind.post("/auth/token", data=form, headers=headers).status_code)

    assert [guess("203.0.113.7") for _ in range(6)] == [401] * 5 + [429]
    assert guess("203.0.113.8") == 401


def test_a_prefix_opens_no_path_that_the_proxy_guards(make_client: MakeClient) -> None:
    client = make_client(trusted_proxies='["10.0.0.1"]')
    lane: Any = client.app
    behind = TestClient(lane.app, client=("10.0.0.1", 5), follow_redirects=False)

    prefix = {"X-Forwarded-Prefix": "/x"}
    assert behind.get("/x/metrics", headers=prefix).status_code == 404
    assert behind.get("/metrics", headers=prefix).status_code == 200


def test_no_path_is_redirected(served: TestClient) -> None:
    """A redirect behind TLS named http, and clients sent key and body in the clear."""
    for method, path in (("POST", "/predict/"), ("GET", "/health/"), ("GET", "/docs/")):
        answer = served.request(method, path, json={"features": {}})
        assert answer.status_code == 404, path
        assert "location" not in answer.headers
        assert "slash" in answer.json()["fix"]


def test_the_documentation_works_below_a_prefix(make_client: MakeClient) -> None:
    client = make_client(root_path="/churn")

    for path in ("/docs", "/churn/docs"):  # whether the proxy strips the prefix or not
        page = client.get(path)
        assert page.status_code == 200
        assert "/churn/openapi.json" in page.text
    assert client.get("/openapi.json").json()["servers"] == [{"url": "/churn"}]
    assert "/churn/predict" in client.get("/reference").text
    assert client.get("/churn/health").status_code == 200


@pytest.mark.parametrize("prefix", ["/predict", "/predict/batch", "/admin", "/docs", "/metrics"])
def test_a_prefix_that_is_a_path_of_the_service_is_refused(
    make_client: MakeClient, prefix: str
) -> None:
    with pytest.raises(SettingsError, match=f"serving.root_path is {prefix}, and the service"):
        make_client(root_path=prefix)


@pytest.mark.parametrize("name", ["%0a", "%0d", "%00", "%7f", "%09", "%c2%85", "%1f"])
@pytest.mark.parametrize("path", ["/metrics", "/predict", "/health", "/", "/admin/keys/1"])
def test_control_characters_in_paths_are_refused(served: TestClient, path: str, name: str) -> None:
    for where in (path + name, name + path):
        answer = served.get("/" + where.lstrip("/"))
        assert answer.status_code == 400, where
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_head_answers_where_get_does(served: TestClient) -> None:
    pages = ("/", "/docs", "/reference", "/openapi.json")
    for path in ("/health", "/ready", "/model", "/metrics", *pages):
        head, get = served.head(path), served.get(path)
        assert head.status_code == get.status_code, path
        assert head.content == b""
        assert head.headers["content-type"] == get.headers["content-type"]
    assert served.head("/predict").status_code == 405
    assert served.head("/nowhere").status_code == 404


def test_what_is_no_request_passes_the_request_line() -> None:
    heard: list[str] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        heard.append(scope["type"])

    line = RequestLine(app, lambda *_: app)
    asyncio.run(line({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert heard == ["lifespan"]


def test_in_production_docs_load_nothing_from_elsewhere(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ENVIRONMENT", "production")
    client = make_client(api_key="0123456789abcdef0123")

    page = client.get("/docs")

    assert page.status_code == 200
    assert "/predict" in page.text
    assert "//cdn" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/redoc").status_code == 404
