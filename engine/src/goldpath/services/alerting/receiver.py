"""Takes alerts from Alertmanager: passes them on, and asks for a retraining.

    Alertmanager  --/teams-->    an Adaptive Card for alerts.teams_url
                  --/webhook-->  the same message for alerts.webhook_url
                  --/retrain-->  python -m PACKAGE retrain --source SOURCE

It decides nothing: `retrain` does, and says why where it refuses. Other programs and web pages
reach the port, too: whoever cannot show the token of this start is refused before anything is read.
"""

import hmac
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from goldpath.models.folders import NAME, VARIABLE
from goldpath.presentation import step
from goldpath.registry.webhooks.announcement import MessageError, deliver
from goldpath.services.alerting.configuration import RETRAINED_FOR, runbook_link, token_file
from goldpath.services.alerting.private_file import write_private
from goldpath.settings import Settings

MOST_BYTES, MOST_DIGITS = 1 << 20, 7
OK, ACCEPTED, UNREADABLE, UNKNOWN, FOREIGN, NOT_FOUND = 200, 202, 400, 401, 403, 404
LARGE, NO_JSON, UNDELIVERED = 413, 415, 502
LABELS = "labels"
"""The source of a verdict on quality; drift's sources are named by the alert."""

SOURCES = ("batch", "service", "table", LABELS)


class Asked(NamedTuple):
    """A retraining that an alert asks for: whose verdict, and of which further model."""

    source: str
    model: str = ""


class AlertReceiver(ThreadingHTTPServer):
    """Listens until it is shut down.

    Args:
        settings: Say where messages go, and where the token is kept; their project is trained
            again.
        port: The port of 127.0.0.1; 0 for a free one.
    """

    daemon_threads = True

    def __init__(self, settings: Settings, port: int = 0) -> None:
        self.settings = settings
        self.token = secrets.token_urlsafe(32)
        self._one_at_a_time = threading.Lock()
        self._queue_lock, self._queued = threading.Lock(), set[Asked]()
        super().__init__(("127.0.0.1", port), _Handler)
        # Not before the port is taken: it may be that of a receiver that runs, with its own token.
        write_private(token_file(settings), self.token)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ask(self, wanted: list[Asked]) -> None:
        """Let `retrain` run for each source that is not queued already; waits for none of it."""
        with self._queue_lock:
            further = [each for each in wanted if each not in self._queued]
            self._queued.update(further)
        for each in further:
            threading.Thread(target=self._retrain, args=(each,), daemon=True).start()

    def _retrain(self, asked: Asked) -> None:
        """Run `retrain` once the one before has ended; what it says goes to the log."""
        try:
            with self._one_at_a_time:
                of = f" of {asked.model}" if asked.model else ""
                step(f"an alert asks for a retraining{of}: {asked.source}")
                words = [sys.executable, "-m", self.settings.project.name, "retrain"]
                done = subprocess.run(
                    [*words, "--source", asked.source],
                    env={**os.environ, VARIABLE: asked.model},
                    cwd=self.settings.root,
                    stdin=subprocess.DEVNULL,
                    check=False,
                )
                ended = f"ended with exit code {done.returncode}"
                step(f"retrain --source {asked.source}{of} {ended}")
        finally:
            with self._queue_lock:
                self._queued.discard(asked)


class _Handler(BaseHTTPRequestHandler):
    server: AlertReceiver
    timeout = 10

    def do_GET(self) -> None:
        """Say that it is there."""
        self._answer(OK if self.path == "/ready" else NOT_FOUND)

    def do_POST(self) -> None:
        """Take a message of Alertmanager's; an undelivered one is sent again."""
        if refusal := self._refusal():
            self._answer(refusal)
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            message = json.loads(body)
            alerts = [each for each in message["alerts"] if each["status"] == "firing"]
            wanted = list(dict.fromkeys(filter(None, map(_asked_by, alerts))))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._answer(UNREADABLE)
            return
        if self.path == "/retrain":
            self.server.ask(wanted)
            self._answer(ACCEPTED)
        elif self.path == "/teams":
            card = teams_card(self.server.settings, message)
            self._answer(self._pass_on("teams_url", json.dumps(card).encode()))
        elif self.path == "/webhook":
            self._answer(self._pass_on("webhook_url", body))
        else:
            self._answer(NOT_FOUND)

    def _refusal(self) -> int | None:
        """The status that refuses a request by its head; None where it is Alertmanager's."""
        if "Origin" in self.headers:  # a page in a browser
            return FOREIGN
        shown = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(shown, f"Bearer {self.server.token}".encode()):
            return UNKNOWN
        if self.headers.get_content_type() != "application/json":
            return NO_JSON
        size = self.headers.get("Content-Length", "")
        plain = size.isascii() and size.isdigit() and len(size) <= MOST_DIGITS
        return None if plain and int(size) <= MOST_BYTES else LARGE

    def _pass_on(self, setting: str, body: bytes) -> int:
        url = getattr(self.server.settings.monitoring.alerts, setting).get_secret_value()
        if not url:
            step(f"monitoring.alerts.{setting} is empty: nobody is told; set it, in .env")
            return UNDELIVERED
        try:
            deliver(url, body, "")
        except MessageError as error:
            step(f"monitoring.alerts.{setting}: {error.message}")
            return UNDELIVERED
        return OK

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """What happened is said once, by `step`."""


def teams_card(settings: Settings, message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of Alertmanager's as Teams shows it."""
    alerts = settings.monitoring.alerts
    labels, common = message.get("groupLabels", {}), message.get("commonAnnotations", {})
    name, source = labels.get("alertname", ""), labels.get("source", "")
    severity = message.get("commonLabels", {}).get("severity", "alert")
    state = "Resolved" if message.get("status") == "resolved" else severity
    model = labels.get("model", "")
    title = f"{state}: {name}" + (f" of {model}" if model else "")
    title += f" ({source})" if source else ""
    facts = {
        "Runbook": runbook_link(alerts, common.get("runbook", "")),
        "Owner": alerts.owners.get(name, ""),
    }
    texts = [each.get("annotations", {}).get("summary", "") for each in message["alerts"]]
    blocks = [{"type": "TextBlock", "text": text, "wrap": True} for text in texts if text]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": title, "weight": "Bolder", "wrap": True},
            *blocks,
            {
                "type": "FactSet",
                "facts": [{"title": key, "value": value} for key, value in facts.items() if value],
            },
        ],
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def _asked_by(alert: Mapping[str, Any]) -> Asked | None:
    """The source and the model that an alert is about; None where no training follows from it."""
    labels = alert["labels"]
    if labels.get("alertname") not in RETRAINED_FOR:
        return None
    source = str(labels.get("source", "")) if labels["alertname"] == RETRAINED_FOR[0] else LABELS
    model = str(labels.get("model", ""))
    # Both become words of a command.
    if source not in SOURCES or (model and NAME.fullmatch(model) is None):
        return None
    return Asked(source, model)
