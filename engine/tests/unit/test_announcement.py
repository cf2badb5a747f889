"""Messages about the registry: signed, checked, and in a form that the receiver reads."""

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from goldpath.registry.webhooks.announcement import (
    TOLERANCE_SECONDS,
    MessageError,
    RegistryEvent,
    announce,
    render,
    sign_message,
    verify_message,
)
from goldpath.settings import RegistrySettings, Settings

SECRET = "a secret that both sides know"
EVENT = RegistryEvent("promoted", "churn", "4", "champion", "3", "ada", "2026-11-20T10:00:00Z")
Received = list[tuple[dict[str, str], bytes]]


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.received: Received = []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server
        server.shutdown()


def settings_of(root: Path, monkeypatch: pytest.MonkeyPatch, url: str, style: Any) -> Settings:
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    registry = RegistrySettings(
        webhook_url=SecretStr(url), webhook_secret=SecretStr(SECRET), webhook_format=style
    )
    return Settings(root=root, registry=registry)


@given(body=st.binary(max_size=200), changed=st.binary(max_size=200))
def test_only_the_body_that_was_signed_is_trusted(body: bytes, changed: bytes) -> None:
    headers = sign_message(body, SECRET)

    verify_message(headers, body, SECRET)

    if changed != body:
        with pytest.raises(MessageError, match="signature is wrong"):
            verify_message(headers, changed, SECRET)
    with pytest.raises(MessageError, match="signature is wrong"):
        verify_message(headers, body, "another secret")


def test_old_unsigned_and_foreign_messages_are_refused() -> None:
    headers = sign_message(b"{}", SECRET)
    moment = int(headers["webhook-timestamp"])

    verify_message(headers, b"{}", SECRET, now=moment + TOLERANCE_SECONDS)
    with pytest.raises(MessageError, match="s old"):
        verify_message(headers, b"{}", SECRET, now=moment + TOLERANCE_SECONDS + 1)
    with pytest.raises(MessageError, match="not signed"):
        verify_message(sign_message(b"{}", ""), b"{}", SECRET)
    with pytest.raises(MessageError, match="is none"):
        verify_message({**headers, "webhook-timestamp": "soon"}, b"{}", SECRET)


@pytest.mark.parametrize("moment", ["9" * 400, "9" * 4400, "9" * 13, "١٢٣", "-1", "1e9", " 1"])
def test_a_time_that_is_none_is_refused_and_nothing_else_happens(moment: str) -> None:
    headers = {**sign_message(b"{}", SECRET), "webhook-timestamp": moment}
    with pytest.raises(MessageError):
        verify_message(headers, b"{}", SECRET)


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_####", "whsec_YQ", "whsec_ключ", "whsec_YWJj", "short", " " * 20]
)
def test_a_secret_that_protects_nothing_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError, match="webhook_secret"):
        RegistrySettings(webhook_secret=SecretStr(secret))


@pytest.mark.parametrize("secret", ["whsec_", "whsec_####", "whsec_ключ", ""])
def test_a_message_signed_with_an_empty_secret_is_not_trusted(secret: str) -> None:
    signed = hmac.new(b"", b"id-1.1700000000.{}", hashlib.sha256).digest()
    headers = {
        "webhook-id": "id-1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    with pytest.raises(MessageError):
        verify_message(headers, b"{}", secret, now=1_700_000_000)


def test_a_secret_of_standard_webhooks_is_taken() -> None:
    secret = "whsec_" + base64.b64encode(b"24 bytes that nobody has").decode()
    settings = RegistrySettings(webhook_secret=SecretStr(secret))
    verify_message(sign_message(b"{}", secret), b"{}", secret)
    assert settings.webhook_secret.get_secret_value() == secret
    assert not RegistrySettings().webhook_secret.get_secret_value()


def test_mlflows_own_headers_are_understood() -> None:
    signed = hmac.new(SECRET.encode(), b'id-1.1700000000.{"a":1}', hashlib.sha256).digest()
    headers = {
        "X-MLflow-Delivery-Id": "id-1",
        "X-MLflow-Timestamp": "1700000000",
        "X-MLflow-Signature": f"v1,{base64.b64encode(signed).decode()}",
    }

    verify_message(headers, b'{"a":1}', SECRET, now=1_700_000_010)


def test_each_receiver_gets_its_own_form() -> None:
    sentence = "churn version 4: promoted as champion by ada, before: version 3"

    assert render(EVENT, "slack") == {"text": sentence}
    card = render(EVENT, "teams")["attachments"][0]["content"]
    assert card["body"][0]["text"] == sentence
    assert render(EVENT, "json")["previous"] == "3"


def test_announcement_arrives_signed(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = announce(settings_of(tmp_path, monkeypatch, receiver.url, "slack"), EVENT)

    assert said == "webhook delivered"
    ((headers, body),) = receiver.received
    verify_message(headers, body, SECRET)
    assert b"churn version 4" in body


def test_receiver_that_is_down_is_reported_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = announce(settings_of(tmp_path, monkeypatch, "http://127.0.0.1:1/", "json"), EVENT)

    assert said.startswith("webhook not delivered: the receiver cannot be reached")
