"""The online store in Redis: one hash for each entity, one field for each feature view."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import redis

from goldpath.features.online.store import (
    OnlineRow,
    OnlineStoreError,
    dump_values,
    microseconds,
    moment,
)

WRITE_ROWS = 1_000
# Times are compared as texts of one length: Lua's numbers are floats and would round them.
OFFSET, DIGITS = 10**18, 19
# One field holds time and values, and a script runs alone, so the comparison cannot be overtaken.
WRITE_SCRIPT = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and string.sub(held, 1, 19) > string.sub(ARGV[2], 1, 19) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


class RedisOnlineStore:
    """Implements `OnlineStore`.

    Args:
        url: `redis://[user:password@]host:port/database`, or `rediss://` for TLS.
        prefix: What every key begins with.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._prefix = prefix
        with _errors():
            self._client: Any = redis.Redis.from_url(
                url, decode_responses=True, socket_timeout=10, socket_connect_timeout=5
            )
        self._write = self._client.register_script(WRITE_SCRIPT)

    def write_batch(self, view: str, rows: Sequence[OnlineRow]) -> int:
        """Keep rows, but where the store has a newer one."""
        kept = 0
        left = iter(rows)
        while chunk := list(islice(left, WRITE_ROWS)):
            with _errors(), self._client.pipeline(transaction=False) as pipeline:
                for row in chunk:
                    value = _stamp(row) + dump_values(row.values)
                    self._write([self._key(row.entity)], [view, value], client=pipeline)
                kept += sum(pipeline.execute())
        return kept

    def read(self, view: str, entities: Sequence[str]) -> list[OnlineRow | None]:
        """The entities' rows, in the order of the keys."""
        with _errors():
            if len(entities) == 1:
                found = [self._client.hget(self._key(entities[0]), view)]
            else:
                with self._client.pipeline(transaction=False) as pipeline:
                    for entity in entities:
                        pipeline.hget(self._key(entity), view)
                    found = pipeline.execute()
        return [
            _row(entity, text) if text else None
            for entity, text in zip(entities, found, strict=True)
        ]

    def delete(self, entity: str, view: str | None = None) -> int:
        """Remove an entity from every view, or from one."""
        with _errors():
            if view is not None:
                return int(self._client.hdel(self._key(entity), view))
            with self._client.pipeline() as pipeline:
                pipeline.hlen(self._key(entity)).delete(self._key(entity))
                return int(pipeline.execute()[0])

    def count(self, view: str) -> int:
        """How many entities a view has; reads every key."""
        total = 0
        with _errors():
            keys = self._client.scan_iter(match=f"{_literal(self._prefix)}:entity:*", count=1000)
            while chunk := list(islice(keys, WRITE_ROWS)):
                with self._client.pipeline(transaction=False) as pipeline:
                    for key in chunk:
                        pipeline.hexists(key, view)
                    total += sum(pipeline.execute())
        return total

    def read_state(self, view: str) -> str | None:
        """What `write_state` kept."""
        with _errors():
            state: str | None = self._client.hget(f"{self._prefix}:state", view)
        return state

    def write_state(self, view: str, state: str) -> None:
        """Remember what the view was written from."""
        with _errors():
            self._client.hset(f"{self._prefix}:state", view, state)

    def _key(self, entity: str) -> str:
        return f"{self._prefix}:entity:{entity}"


def _stamp(row: OnlineRow) -> str:
    return f"{microseconds(row.event_time) + OFFSET:0{DIGITS}d}"


def _row(entity: str, text: str) -> OnlineRow:
    time = moment(int(text[:DIGITS]) - OFFSET)
    return OnlineRow(entity, time, json.loads(text[DIGITS:]))


def _literal(text: str) -> str:
    """A text that Redis' patterns take for itself."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in text)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, ValueError) as error:
        # A message of the client may hold the URL with its password; its kind says enough.
        raise OnlineStoreError(
            f"the online store in Redis does not answer ({type(error).__name__})",
            "start Redis, or set MLOPS_FEATURES__URL or MLOPS_FEATURES__ONLINE_STORE",
        ) from error
