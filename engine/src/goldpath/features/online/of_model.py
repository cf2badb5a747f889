"""The rows of a further model in the online store that all models share."""

from collections.abc import Sequence

from goldpath.features.online.store import OnlineRow, OnlineStore


class ModelOnlineStore:
    """Implements `OnlineStore`: the names of views carry the model's, so that no two models mix.

    Args:
        store: Holds the rows of all models.
        model: The further model.
    """

    def __init__(self, store: OnlineStore, model: str) -> None:
        self._store, self._end = store, f"@{model}"

    def write_batch(self, view: str, rows: Sequence[OnlineRow]) -> int:
        """Keep rows, but where the store has a newer one."""
        return self._store.write_batch(view + self._end, rows)

    def read(self, view: str, entities: Sequence[str]) -> list[OnlineRow | None]:
        """The entities' rows, in the order of the keys."""
        return self._store.read(view + self._end, entities)

    def delete(self, entity: str, view: str | None = None) -> int:
        """Remove an entity from one view of the model; without a view, from those of all models."""
        return self._store.delete(entity, None if view is None else view + self._end)

    def count(self, view: str) -> int:
        """How many entities a view has."""
        return self._store.count(view + self._end)

    def read_state(self, view: str) -> str | None:
        """What `write_state` kept."""
        return self._store.read_state(view + self._end)

    def write_state(self, view: str, state: str) -> None:
        """Remember what the view was written from."""
        self._store.write_state(view + self._end, state)
