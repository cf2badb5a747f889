"""The online store in DynamoDB: one item for each entity and feature view.

`make init-aws` makes the table. Endpoints other than AWS's own come from boto3's variables, such as
AWS_ENDPOINT_URL_DYNAMODB.
"""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from goldpath.features.online.store import (
    OnlineRow,
    OnlineStoreError,
    dump_values,
    microseconds,
    moment,
    nothing_yet,
)

KEYS_AT_ONCE = 100
WRITERS = 16
ATTEMPTS = 8
MOST_BYTES = 400_000  # of an item, its keys and the names of its attributes included: 400 KB
# No view's name begins so.
STATE = "#state"


class DynamoDbOnlineStore:
    """Implements `OnlineStore`.

    Args:
        table: The table; its keys are `entity_key` and `feature_view`.
        region: AWS's region; boto3's own choice where not given.
        endpoint: Another address than AWS's.
    """

    def __init__(self, table: str, region: str | None = None, endpoint: str | None = None) -> None:
        self._table = table
        self._region = region
        self._endpoint = endpoint

    @cached_property
    def _client(self) -> Any:
        config = Config(
            max_pool_connections=WRITERS, retries={"mode": "standard", "max_attempts": ATTEMPTS}
        )
        return boto3.client(
            "dynamodb", region_name=self._region, endpoint_url=self._endpoint, config=config
        )

    def write_batch(self, view: str, rows: Sequence[OnlineRow]) -> int:
        """Keep rows, but where the store has a newer one.

        A batch of writes cannot carry conditions, so each row is a write of its own, several at a
        time.

        Raises:
            OnlineStoreError: If the store does not answer, or a row is longer than an item may be.
        """
        with self._errors():
            client = self._client

        def write(row: OnlineRow) -> int:
            text = dump_values(row.values)
            if (size := len(text.encode())) + len(row.entity.encode()) > MOST_BYTES:
                raise OnlineStoreError(
                    f"what {view} knows of one entity is {size} bytes long, and DynamoDB takes "
                    f"{MOST_BYTES}",
                    "of a window feature: shorter windows, wider tiles (tile=…) or no "
                    "distinct_count(); or features.online_store: redis",
                )
            try:
                client.put_item(
                    TableName=self._table,
                    Item={
                        **_key(row.entity, view),
                        "event_time": {"N": str(microseconds(row.event_time))},
                        "value": {"S": text},
                    },
                    ConditionExpression="attribute_not_exists(event_time) OR event_time <= :time",
                    ExpressionAttributeValues={":time": {"N": str(microseconds(row.event_time))}},
                )
            except client.exceptions.ConditionalCheckFailedException:
                return 0
            return 1

        with self._errors(), ThreadPoolExecutor(WRITERS) as pool:
            return sum(pool.map(write, rows))

    def read(self, view: str, entities: Sequence[str]) -> list[OnlineRow | None]:
        """The entities' rows, in the order of the keys."""
        with self._errors():
            if len(entities) == 1:
                answer = self._client.get_item(TableName=self._table, Key=_key(entities[0], view))
                items = [answer["Item"]] if "Item" in answer else []
            else:
                items = self._read_many(view, list(dict.fromkeys(entities)))
        rows = {row.entity: row for row in map(_row, items)}
        return [rows.get(entity) for entity in entities]

    def _read_many(self, view: str, entities: list[str]) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for start in range(0, len(entities), KEYS_AT_ONCE):
            keys = [_key(entity, view) for entity in entities[start : start + KEYS_AT_ONCE]]
            for attempt in range(ATTEMPTS):
                answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys}})
                items += answer["Responses"].get(self._table, [])
                keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
                if not keys:
                    break
                time.sleep(0.05 * 2**attempt)
            else:
                raise OnlineStoreError(
                    f"DynamoDB left {len(keys)} keys of {self._table} unread",
                    "the table is throttled: read fewer keys at once, or later",
                )
        return items

    def delete(self, entity: str, view: str | None = None) -> int:
        """Remove an entity from every view, or from one."""
        with self._errors():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="entity_key = :entity",
                ExpressionAttributeValues={":entity": {"S": entity}},
                ProjectionExpression="feature_view",
            )
            views = [item["feature_view"]["S"] for page in pages for item in page["Items"]]
            gone = [held for held in views if held != STATE and view in (None, held)]
            for held in gone:
                self._client.delete_item(TableName=self._table, Key=_key(entity, held))
        return len(gone)

    def count(self, view: str) -> int:
        """How many entities a view has; reads the whole table. 0 where the table is not there."""
        try:
            with self._errors():
                pages = self._client.get_paginator("scan").paginate(
                    TableName=self._table,
                    Select="COUNT",
                    FilterExpression="feature_view = :view",
                    ExpressionAttributeValues={":view": {"S": view}},
                )
                return sum(page["Count"] for page in pages)
        except OnlineStoreError as error:
            if isinstance(error.__cause__, self._client.exceptions.ResourceNotFoundException):
                return 0
            raise

    def read_state(self, view: str) -> str | None:
        """What `write_state` kept."""
        with self._errors():
            answer = self._client.get_item(TableName=self._table, Key=_key(view, STATE))
        return str(answer["Item"]["value"]["S"]) if "Item" in answer else None

    def write_state(self, view: str, state: str) -> None:
        """Remember what the view was written from."""
        with self._errors():
            self._client.put_item(
                TableName=self._table, Item={**_key(view, STATE), "value": {"S": state}}
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                missing = nothing_yet(f"there is no DynamoDB table {self._table}")
                missing.fix = "make init-aws, then make materialize"
                raise missing from error
            raise self._trouble(error) from error
        except BotoCoreError as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> OnlineStoreError:
        return OnlineStoreError(
            f"the online store in DynamoDB does not answer: {error}",
            "check the region, the role and config/aws_config.yaml",
        )


def _key(entity: str, view: str) -> dict[str, dict[str, str]]:
    return {"entity_key": {"S": entity}, "feature_view": {"S": view}}


def _row(item: dict[str, Any]) -> OnlineRow:
    return OnlineRow(
        item["entity_key"]["S"],
        moment(int(item["event_time"]["N"])),
        json.loads(item["value"]["S"]),
    )
