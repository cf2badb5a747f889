"""Opens the online store that the project names.

The service imports this module; it needs the standard library alone, and Redis or DynamoDB only
where they are chosen.
"""

from goldpath.features.online.of_model import ModelOnlineStore
from goldpath.features.online.sqlite import SqliteOnlineStore
from goldpath.features.online.store import OnlineStore, OnlineStoreError
from goldpath.settings import Settings

DEFAULT_FILE = "lake/online.db"


def open_online_store(settings: Settings, patience: float = 30) -> OnlineStore:
    """The store that `config/features.yaml` names; nothing is created before the first write.

    A further model's rows lie in the same store, under names of their own.

    Args:
        settings: Name it.
        patience: How many seconds SQLite waits for who writes, or repairs the file.

    Raises:
        OnlineStoreError: If its client library is not installed.
    """
    return as_model(settings, _open(settings, patience))


def as_model(settings: Settings, store: OnlineStore) -> OnlineStore:
    """A store as the settings' model sees it: a further one's rows have names of their own."""
    return ModelOnlineStore(store, settings.model) if settings.model else store


def _open(settings: Settings, patience: float) -> OnlineStore:
    chosen = settings.features
    url = chosen.url.get_secret_value()
    if chosen.online_store == "sqlite":
        return SqliteOnlineStore(settings.root / (url or DEFAULT_FILE), patience)
    try:
        if chosen.online_store == "redis":
            from goldpath.features.online.redis import RedisOnlineStore

            return RedisOnlineStore(url or "redis://127.0.0.1:6379/0", chosen.table or "online")
        from goldpath.features.online.dynamodb import DynamoDbOnlineStore
    except ImportError as error:
        extra = "servers" if chosen.online_store == "redis" else "aws"
        raise OnlineStoreError(
            f"the online store is {chosen.online_store}, but {error.name} is not installed",
            f"install the project's extra `{extra}`, or set MLOPS_FEATURES__ONLINE_STORE=sqlite",
        ) from error
    aws = settings.aws
    table = chosen.table or (aws.online_table if aws else "mlops-online")
    return DynamoDbOnlineStore(table, aws.region if aws else None, url or None)
