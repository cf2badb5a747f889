"""A relay for MLflow's webhooks: verified, and passed on as JSON, to Slack or to Teams.

Neither reads MLflow's own messages.

    MLflow server  --signed-->  this relay  --JSON, Slack or Teams-->  registry.webhook_url
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from goldpath.errors import ProjectError
from goldpath.presentation import step
from goldpath.registry.webhooks.announcement import (
    MessageError,
    deliver,
    event_of_mlflow,
    render,
    verify_message,
)
from goldpath.settings import Settings

MOST_BYTES = 1 << 20
LARGE, UNTRUSTED, UNREADABLE, UNDELIVERED, DONE = 413, 401, 400, 502, 204


class WebhookRelay(ThreadingHTTPServer):
    """Listens until it is shut down.

    Args:
        settings: Say where messages go, in which form, and the secret that both hops share.
        host: The address.
        port: The port; 0 for a free one.

    Raises:
        MessageError: If no receiver or no secret is set.
    """

    def __init__(self, settings: Settings, host: str = "127.0.0.1", port: int = 0) -> None:
        registry = settings.registry
        if not registry.webhook_url.get_secret_value():
            raise MessageError("there is nowhere to relay to", "set MLOPS_REGISTRY__WEBHOOK_URL")
        if not registry.webhook_secret.get_secret_value():
            raise MessageError(
                "without a secret anybody could send messages through the relay",
                "set MLOPS_REGISTRY__WEBHOOK_SECRET, here and in MLflow's webhook",
            )
        self.settings = settings
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Where MLflow shall send its messages."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: WebhookRelay
    timeout = 10

    def do_POST(self) -> None:
        """Verify a message, and pass it on."""
        size = self.headers.get("Content-Length", "")
        if not size.isdigit() or int(size) > MOST_BYTES:
            self._answer(LARGE)
            return
        body = self.rfile.read(int(size))
        secret = self.server.settings.registry.webhook_secret.get_secret_value()
        try:
            verify_message(dict(self.headers.items()), body, secret)
        except MessageError as error:
            step(f"relay: refused a message: {error.message}")
            self._answer(UNTRUSTED)
            return
        self._answer(self._pass_on(body, secret))

    def _pass_on(self, body: bytes, secret: str) -> int:
        registry = self.server.settings.registry
        try:
            event = event_of_mlflow(json.loads(body))
        except (ValueError, ProjectError):
            return UNREADABLE
        message = json.dumps(render(event, registry.webhook_format)).encode()
        try:
            deliver(registry.webhook_url.get_secret_value(), message, secret)
        except MessageError as error:
            step(f"relay: {event.sentence}: {error.message}")
            return UNDELIVERED
        step(f"relay: {event.sentence}")
        return DONE

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """What happened is said once, by `step`."""
