"""Telling other systems of promotions: messages as JSON, for Slack and for Teams, signed.

Signed as Standard Webhooks and MLflow do it: `v1,` and the base64 of an HMAC-SHA256 over
`id.timestamp.body`. A receiver checks it with `verify_message`.
"""

import base64
import hashlib
import hmac
import json
import time
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.error import HTTPError

from goldpath.errors import ProjectError
from goldpath.settings import Settings
from goldpath.trust.audit_record import AuditRecord

Format = Literal["json", "slack", "teams"]
TOLERANCE_SECONDS = 300
TIMEOUT_SECONDS = 5.0
LONGEST_TIME = 12
"""Digits of seconds since 1970; a float cannot hold what has hundreds."""
ID_HEADERS = ("webhook-id", "x-mlflow-delivery-id")
TIME_HEADERS = ("webhook-timestamp", "x-mlflow-timestamp")
SIGNATURE_HEADERS = ("webhook-signature", "x-mlflow-signature")
BASE64_MARK = "whsec_"


class MessageError(ProjectError):
    """A message cannot be trusted or cannot be delivered."""


@dataclass(frozen=True)
class RegistryEvent:
    """Something that happened in the registry.

    Attributes:
        event: `promoted`, `rolled back`, or MLflow's name such as `model_version.created`.
        model: The registered model.
        version: The version that it is about; empty where it is about the model.
        alias: The alias that moved; empty where none did.
        previous: What the alias pointed at before; empty where it did not exist.
        actor: Who did it; empty where MLflow does not say.
        time: When, UTC.
        record: Number and hash of the audit record; empty for MLflow's own events.
    """

    event: str
    model: str
    version: str = ""
    alias: str = ""
    previous: str = ""
    actor: str = ""
    time: str = ""
    record: str = ""

    @property
    def sentence(self) -> str:
        """The event for people."""
        about = f"{self.model} version {self.version}" if self.version else self.model
        alias = f" as {self.alias}" if self.alias else ""
        before = f", before: version {self.previous}" if self.previous else ""
        by = f" by {self.actor}" if self.actor else ""
        return f"{about}: {self.event}{alias}{by}{before}"


def render(event: RegistryEvent, style: Format) -> dict[str, Any]:
    """The message's body in the form that the receiver understands."""
    if style == "slack":
        return {"text": event.sentence}
    facts = {name: value for name, value in vars(event).items() if value}
    if style == "teams":
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": [
                {"type": "TextBlock", "text": event.sentence, "weight": "Bolder", "wrap": True},
                {
                    "type": "FactSet",
                    "facts": [{"title": name, "value": value} for name, value in facts.items()],
                },
            ],
        }
        kind = "application/vnd.microsoft.card.adaptive"
        return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}
    return facts


def event_of(record: AuditRecord) -> RegistryEvent:
    """An alias move as an event."""
    return RegistryEvent(
        event=record.action,
        model=record.model,
        version=record.after or "",
        alias=record.alias or "",
        previous=record.before or "",
        actor=record.actor,
        time=record.time,
        record=f"{record.sequence} {record.hash}",
    )


def event_of_mlflow(payload: Mapping[str, Any]) -> RegistryEvent:
    """MLflow's webhook message as an event.

    Raises:
        MessageError: If it is none.
    """
    data = payload.get("data")
    if not isinstance(data, Mapping) or "entity" not in payload:
        raise MessageError("the message is none of MLflow's", "send MLflow's webhooks here")
    return RegistryEvent(
        event=f"{payload['entity']}.{payload.get('action', '')}",
        model=str(data.get("name", "")),
        version=str(data.get("version", "")),
        alias=str(data.get("alias", "")),
        time=str(payload.get("timestamp", "")),
    )


def announce(settings: Settings, event: RegistryEvent) -> str:
    """Send an event to `registry.webhook_url`; what came of it, as a sentence; empty without one.

    A receiver that is down undoes no promotion, so this raises nothing.
    """
    url = settings.registry.webhook_url.get_secret_value()
    if not url:
        return ""
    body = json.dumps(render(event, settings.registry.webhook_format)).encode()
    try:
        deliver(url, body, settings.registry.webhook_secret.get_secret_value())
    except MessageError as error:
        return f"webhook not delivered: {error.message}"
    return "webhook delivered"


def deliver(url: str, body: bytes, secret: str) -> None:
    """POST a message; signed where there is a secret.

    Raises:
        MessageError: If the receiver does not take it.
    """
    headers = {"Content-Type": "application/json", **sign_message(body, secret)}
    if not url.startswith(("https://", "http://")):
        raise MessageError("the receiver's URL is no http(s) address", "correct it")
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310  # nosec B310
            return
    except HTTPError as error:
        error.close()
        raise MessageError(f"the receiver answered {error.code}", "see its log") from error
    except (OSError, ValueError) as error:
        raise MessageError(f"the receiver cannot be reached: {error}", "see the URL") from error


def sign_message(body: bytes, secret: str) -> dict[str, str]:
    """The headers of a message; without a secret they carry no signature."""
    identity, moment = f"msg_{uuid.uuid4().hex}", str(int(time.time()))
    headers = {"webhook-id": identity, "webhook-timestamp": moment}
    if secret:
        headers["webhook-signature"] = f"v1,{_digest(secret, identity, moment, body)}"
    return headers


def verify_message(
    headers: Mapping[str, str], body: bytes, secret: str, now: float | None = None
) -> None:
    """Check that a message comes from whoever has the secret, and is not an old one.

    Args:
        headers: Of the request, in any case; MLflow's or Standard Webhooks'.
        body: Exactly as it arrived.
        secret: The webhook's secret.
        now: Seconds since 1970; the clock where not given.

    Raises:
        MessageError: If it must not be trusted.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    identity, moment, signatures = (
        next((lower[name] for name in names if name in lower), "")
        for names in (ID_HEADERS, TIME_HEADERS, SIGNATURE_HEADERS)
    )
    if not secret or not identity or not moment or not signatures:
        raise MessageError("the message is not signed", "set the webhook's secret on both sides")
    if not moment.isascii() or not moment.isdigit() or len(moment) > LONGEST_TIME:
        raise MessageError(f"the message's time {moment[:40]!r} is none")
    age = abs((time.time() if now is None else now) - int(moment))
    if age > TOLERANCE_SECONDS:
        raise MessageError(
            f"the message is {age:.0f} s old", "compare the clocks; or it is a replay"
        )
    expected = _digest(secret, identity, moment, body).encode()
    given = [text.removeprefix("v1,").encode() for text in signatures.split() if text[:3] == "v1,"]
    if not any(hmac.compare_digest(expected, item) for item in given):
        raise MessageError("the message's signature is wrong", "compare the secret on both sides")


def _digest(secret: str, identity: str, moment: str, body: bytes) -> str:
    key = secret.encode()
    if secret.startswith(BASE64_MARK):
        try:
            key = base64.b64decode(secret.removeprefix(BASE64_MARK), validate=True)
        except ValueError as error:
            raise MessageError("the secret after whsec_ is not base64", "correct it") from error
    if not key:
        raise MessageError("the webhook's secret is empty", "set the same on both sides")
    signed = f"{identity}.{moment}.".encode() + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
