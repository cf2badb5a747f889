"""The example for nginx: each directive stands where nginx takes it, and fits the service."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.settings import ServingSettings

CONFIG = Path(__file__).parents[2] / "infra" / "nginx" / "service.conf"
TOKEN = re.compile(r"""\s+|#[^\n]*|"(?:[^"\\]|\\.)*"|'[^']*'|[{};]|[^\s{};"']+""")
EVERYWHERE = {"http", "server", "location"}
# By nginx's reference: where each directive may stand.
CONTEXTS = {
    "upstream": {"http"},
    "server": {"http", "upstream"},
    "location": {"server", "location"},
    "limit_req_zone": {"http"},
    "limit_conn_zone": {"http"},
    "keepalive": {"upstream"},
    "listen": {"server"},
    "server_name": {"server"},
    "return": {"server", "location"},
    "http2": {"http", "server"},
    "client_header_timeout": {"http", "server"},
    "large_client_header_buffers": {"http", "server"},
    "ssl_certificate": {"http", "server"},
    "ssl_certificate_key": {"http", "server"},
    "ssl_protocols": {"http", "server"},
    "ssl_session_cache": {"http", "server"},
    "ssl_session_timeout": {"http", "server"},
    "ssl_session_tickets": {"http", "server"},
    "proxy_pass": {"location"},
    **dict.fromkeys(
        [
            *("server_tokens", "add_header", "client_max_body_size", "client_body_timeout"),
            *("limit_req", "limit_conn", "limit_req_status", "limit_conn_status"),
            *("allow", "deny", "proxy_http_version", "proxy_set_header"),
            *("proxy_read_timeout", "proxy_next_upstream"),
        ],
        EVERYWHERE,
    ),
}


@dataclass
class Directive:
    """A directive with what stands inside of it."""

    words: list[str]
    context: str
    inside: "list[Directive]" = field(default_factory=list)


def parsed(text: str) -> list[Directive]:
    tokens = [token for token in lexed(text) if not token.isspace() and not token.startswith("#")]
    top: list[Directive] = []
    stack, words = [("http", top)], list[str]()
    for token in tokens:
        context, found = stack[-1]
        if token == "}":
            assert not words, f"a semicolon is missing after {words}"
            stack.pop()
            assert stack, "one brace too many"
        elif token in "{;":
            assert words, f"nothing stands before {token}"
            directive = Directive(words, context)
            found.append(directive)
            if token == "{":
                stack.append((words[0], directive.inside))
            words = []
        else:
            words.append(token)
    assert len(stack) == 1, "a brace is not closed"
    assert not words
    return top


def lexed(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        match = TOKEN.match(text, place)
        assert match, f"no token at {text[place : place + 20]!r}"
        yield match.group()
        place = match.end()


def every(directives: list[Directive]) -> Iterator[Directive]:
    for directive in directives:
        yield directive
        yield from every(directive.inside)


def test_every_directive_stands_where_nginx_takes_it() -> None:
    found = list(every(parsed(CONFIG.read_text())))

    for directive in found:
        name, *rest = directive.words
        assert name in CONTEXTS, name
        assert directive.context in CONTEXTS[name], f"{name} in {directive.context}"
        assert rest or directive.inside, name


def test_what_is_named_is_defined() -> None:
    found = list(every(parsed(CONFIG.read_text())))
    zones = {
        word.partition("=")[2].partition(":")[0]
        for directive in found
        if directive.words[0].endswith("_zone")
        for word in directive.words
        if word.startswith("zone=")
    }
    limits = [d for d in found if d.words[0] in ("limit_req", "limit_conn")]
    used = {limit.words[1].removeprefix("zone=") for limit in limits}
    upstreams = {d.words[1] for d in found if d.words[0] == "upstream"}
    passed = {d.words[1].removeprefix("http://") for d in found if d.words[0] == "proxy_pass"}

    assert used == zones
    assert passed == upstreams


def test_it_lets_through_what_the_service_takes() -> None:
    values = {d.words[0]: d.words[1:] for d in every(parsed(CONFIG.read_text()))}
    serving = ServingSettings()

    assert values["client_max_body_size"] == ["5m"]
    assert serving.maximum_body_bytes <= 5 * 1024 * 1024
    assert values["client_body_timeout"] == [f"{serving.read_seconds:g}s"]
    assert f"127.0.0.1:{serving.port}" in CONFIG.read_text()


@pytest.mark.parametrize("text", ["a b", "server {", "a b; }", "{}", "server { listen 80 }", ";"])
def test_the_reader_refuses_what_nginx_refuses(text: str) -> None:
    with pytest.raises(AssertionError):
        parsed(text)


def test_nginx_itself_takes_it(tmp_path: Path) -> None:
    nginx = shutil.which("nginx")
    openssl = shutil.which("openssl")
    if nginx is None or openssl is None:
        pytest.skip("nginx or openssl is not installed")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=api.example.com", "-keyout", "privkey.pem", "-out", "fullchain.pem"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    text = CONFIG.read_text().replace("/etc/nginx/tls", str(tmp_path))
    (tmp_path / "service.conf").write_text(text)
    (tmp_path / "nginx.conf").write_text("events { }\nhttp { include service.conf; }\n")
    tried = subprocess.run(
        [nginx, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 0, tried.stderr
