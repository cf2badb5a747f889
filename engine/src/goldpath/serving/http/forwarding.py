"""Requests that came through a proxy: who asked, by which scheme, and below which prefix.

Headers say so, and anybody can send a header: they count only on connections from an address of
`serving.trusted_proxies`.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from goldpath.settings import SettingsError

if TYPE_CHECKING:
    from fastapi import FastAPI

CLIENT, SCHEME, PREFIX = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-prefix"


class TrustedProxies:
    """Whose word counts.

    Args:
        networks: Addresses and networks, such as `127.0.0.1` and `10.0.0.0/8`.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(each, strict=False) for each in networks]

    def trusts(self, peer: str) -> bool:
        """Whether a connection comes from a trusted proxy."""
        if not self._networks:
            return False
        address = _address(peer)
        return address is not None and self._holds(address)

    def client_behind(self, peer: str, forwarded: bytes) -> str:
        """The address that asked: the last of the chain that is no trusted proxy's.

        Each proxy adds whom it heard from at the end, so what stands before a stranger's address
        is the stranger's own invention.

        Args:
            peer: A trusted proxy, which the connection comes from.
            forwarded: `X-Forwarded-For`.
        """
        client = peer
        for text in reversed(forwarded.decode("latin-1").split(",")):
            address = _address(text.strip())
            if address is None:
                break
            client = str(address)
            if not self._holds(address):
                break
        return client

    def _holds(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


class ForwardedRequests:
    """Shows the app a request as the client sent it to the proxy (pure ASGI).

    Args:
        app: What answers.
        proxies: Whose headers count.
        root_path: The prefix below which the service is found from outside; empty: none.
    """

    def __init__(self, app: ASGIApp, proxies: TrustedProxies, root_path: str) -> None:
        self.app = app
        self._proxies = proxies
        self._root_path = root_path.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with what is known of its client."""
        if scope["type"] == "http":
            scope = {**scope, **self._seen(scope)}
        await self.app(scope, receive, send)

    def _seen(self, scope: Scope) -> Scope:
        seen: Scope = {"root_path": self._root_path} if self._root_path else {}
        peer = scope["client"][0] if scope.get("client") else ""
        if not self._proxies.trusts(peer):
            return seen
        chain = _values(scope, CLIENT)
        if chain:
            seen["client"] = (self._proxies.client_behind(peer, b",".join(chain)), 0)
        scheme = _last(_values(scope, SCHEME)).lower()
        if scheme in ("http", "https"):
            seen["scheme"] = scheme
        prefix = _last(_values(scope, PREFIX)).rstrip("/")
        if _PREFIX.fullmatch(prefix):
            # Who sends it has stripped it, and ASGI's path holds it: else `/x/metrics` with the
            # prefix `/x` would be `/metrics`, past the rule of the proxy that guards that path.
            seen["root_path"], seen["path"] = prefix, prefix + scope["path"]
        return seen


def refuse_taken_prefix(app: "FastAPI", root_path: str) -> None:
    """Refuse a prefix that is a path of the service, or the beginning of one.

    Whether a proxy has stripped it could not be told: with the prefix `/predict`, a request to
    `/predict` would be one to the page.

    Raises:
        SettingsError: If it is one.
    """
    # Late, because the lane answers before FastAPI is there, and reads this module's other parts.
    from fastapi.openapi.utils import get_openapi
    from starlette.routing import Match

    prefix = root_path.rstrip("/")
    if not prefix:
        return
    documented = get_openapi(title="paths", version="1", routes=app.routes)["paths"]
    taken = [path for path in documented if path == prefix or path.startswith(f"{prefix}/")]
    scope: Scope = {"type": "http", "method": "GET", "path": prefix, "headers": []}
    if any(route.matches(scope)[0] is not Match.NONE for route in app.routes):
        taken.append(prefix)
    if taken:
        raise SettingsError(
            f"serving.root_path is {root_path}, and the service itself answers {taken[0]}",
            "let the proxy use another prefix, such as /api, and name it in config/serving.yaml",
        )


def _values(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]


def _last(values: Iterable[bytes]) -> str:
    """What the nearest proxy says."""
    return b",".join(values).decode("latin-1").rpartition(",")[2].strip()


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: also with a port, and IPv6 in brackets."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
