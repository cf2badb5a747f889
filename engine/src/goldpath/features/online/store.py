"""What every online store does, and how a row is written in all of them.

A row is written as one value, so nobody reads half of one, and never over a newer one. Values are
JSON, which gives every text, whole number, boolean and float64 back exactly.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from goldpath.errors import ProjectError

Value = bool | int | float | str | None

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  event times are UTC without saying so, as in the lake
MICROSECOND = timedelta(microseconds=1)


class OnlineStoreError(ProjectError):
    """The online store cannot be reached, or holds nothing yet."""


@dataclass(frozen=True)
class OnlineRow:
    """The features of one entity, and when they became true.

    Attributes:
        entity: The entity's key.
        event_time: UTC, without a zone.
        values: By feature.
    """

    entity: str
    event_time: datetime
    values: Mapping[str, Value]


class OnlineStore(Protocol):
    """Rows by feature view and entity. Reading is safe beside other readers and a writer."""

    def write_batch(self, view: str, rows: Sequence[OnlineRow]) -> int:
        """Keep rows, but where the store has a newer one; one of the same time is replaced.

        Returns:
            How many were kept.
        """
        ...

    def read(self, view: str, entities: Sequence[str]) -> list[OnlineRow | None]:
        """The entities' rows, in the order of the keys; None where there is none.

        Raises:
            OnlineStoreError: If there is no store yet, or it does not answer.
        """
        ...

    def delete(self, entity: str, view: str | None = None) -> int:
        """Remove an entity from every view, or from one.

        Returns:
            From how many.
        """
        ...

    def count(self, view: str) -> int:
        """How many entities a view has; 0 where there is no store yet."""
        ...

    def read_state(self, view: str) -> str | None:
        """What `write_state` kept."""
        ...

    def write_state(self, view: str, state: str) -> None:
        """Remember what the view was written from."""
        ...


def nothing_yet(message: str) -> OnlineStoreError:
    """Nothing was materialized."""
    return OnlineStoreError(message, "make materialize")


def microseconds(time: datetime) -> int:
    """A time as microseconds since 1970, in UTC."""
    if time.tzinfo is not None:
        time = time.astimezone(UTC).replace(tzinfo=None)
    return (time - EPOCH) // MICROSECOND


def moment(value: int) -> datetime:
    """The time that `microseconds` counted."""
    return EPOCH + timedelta(microseconds=value)


def dump_values(values: Mapping[str, Value]) -> str:
    """Features as text that `json.loads` gives back exactly."""
    return _encode(values)


_encode: Callable[[object], str] = json.JSONEncoder(separators=(",", ":")).encode
