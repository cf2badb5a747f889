"""Chooses the way to the registry.

Three ways, the lightest that works is taken: HTTP to a server and SQLite's file without MLflow,
whose import costs seconds, and MLflow's own client for everything else.
"""

from goldpath.registry.stores.mlflow import MlflowStore
from goldpath.registry.stores.rest import RestStore
from goldpath.registry.stores.sqlite import SqliteStore
from goldpath.registry.stores.store import SQLITE, RegistryStore
from goldpath.settings import Settings


def open_store(settings: Settings) -> RegistryStore:
    """The lightest way to the registry that works.

    Raises:
        RegistryError: If the tracking URI is none.
    """
    uri = settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        return RestStore(uri) if RestStore.can_reach(uri) else MlflowStore(uri)
    if uri.startswith(SQLITE):
        return SqliteStore(uri) if SqliteStore.knows(uri) else MlflowStore(uri)
    return MlflowStore(uri)
