"""Webhooks of the MLflow server, which sends them itself: a version made, an alias moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldpath.registry.connection import RegistryConnection


@dataclass(frozen=True)
class ServerWebhooks:
    """Makes, lists, tries and removes them.

    Attributes:
        connection: The registry; a database sends nothing.
    """

    connection: RegistryConnection

    def create(self, name: str, url: str, events: Sequence[str], secret: str | None) -> Any:
        """Let the server call a URL on events such as model_version_alias.created.

        Raises:
            RegistryError: If there is no server, or it refuses URL or event.
        """
        self.connection.require_server("webhooks")
        with self.connection.translate("creating the webhook"):
            return self.connection.client.create_webhook(name, url, list(events), secret=secret)

    def all(self) -> list[Any]:
        """The server's webhooks."""
        self.connection.require_server("webhooks")
        with self.connection.translate("listing the webhooks"):
            return list(self.connection.client.list_webhooks())

    def attempt(self, webhook_id: str) -> Any:
        """Let the server send a trial message; the answer says what the receiver said."""
        with self.connection.translate("trying the webhook"):
            return self.connection.client.test_webhook(webhook_id)

    def delete(self, webhook_id: str) -> None:
        """Remove a webhook."""
        with self.connection.translate("deleting the webhook"):
            self.connection.client.delete_webhook(webhook_id)
