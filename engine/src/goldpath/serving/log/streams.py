"""Where the prediction log's lines may be sent: Kafka and Kinesis, behind one protocol."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from goldpath.errors import ProjectError
from goldpath.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

DELIVERY_SECONDS = 30.0
# What one call of PutRecords takes: records, and bytes with their keys.
KINESIS_RECORDS = 500
KINESIS_BYTES = 4 << 20
KINESIS_TRIES = 6


class StreamError(ProjectError):
    """The stream did not take records, or is not set up."""


@dataclass(frozen=True)
class Record:
    """A line of the prediction log.

    Attributes:
        key: The prediction's id; whoever reads the stream tells a record sent twice by it.
        value: The line, JSON without its end.
    """

    key: str
    value: bytes


class LogStream(Protocol):
    """Takes records durably, or says that it does not."""

    def deliver(self, records: Sequence[Record]) -> None:
        """Return when the stream has every record.

        Raises:
            StreamError: If it has not; some of them may have arrived.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class KafkaStream:
    """A topic of Kafka.

    Args:
        servers: Addresses of brokers, `host:port`, with commas between.
        topic: The topic.
        options: Further options of librdkafka, such as `sasl.password`.
        seconds: How long one delivery may take.
    """

    def __init__(
        self,
        servers: str,
        topic: str,
        options: Mapping[str, str] | None = None,
        seconds: float = DELIVERY_SECONDS,
    ) -> None:
        self._topic = topic
        self._seconds = seconds
        # All replicas have a record before it counts, and librdkafka's own retries double none.
        self._options = {
            "bootstrap.servers": servers,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "zstd",
            "linger.ms": 5,
            "delivery.timeout.ms": int(seconds * 1000),
            **(options or {}),
        }

    @cached_property
    def _producer(self) -> Any:
        try:
            from confluent_kafka import KafkaException, Producer
        except ImportError as error:
            raise StreamError(
                "prediction_log.stream is kafka, but confluent-kafka is not installed",
                'install the extra: uv pip install -e ".[kafka]"',
            ) from error
        try:
            # Its own log goes to standard error a line a second; failures come as errors, too.
            return Producer({"log_level": 2, **self._options})
        except KafkaException as error:
            raise StreamError(
                f"Kafka's options are wrong: {error}", "correct prediction_log.stream_options"
            ) from error

    def deliver(self, records: Sequence[Record]) -> None:
        """Return when every record is on all replicas.

        Raises:
            StreamError: If one is not.
        """
        failures: list[str] = []
        acknowledged = 0

        def on_delivery(error: "KafkaError | None", _: "Message") -> None:
            nonlocal acknowledged
            if error is None:
                acknowledged += 1
            else:
                failures.append(str(error))

        producer = self._producer
        try:
            for record in records:
                producer.produce(
                    self._topic, record.value, record.key.encode(), on_delivery=on_delivery
                )
                producer.poll(0)
            producer.flush(self._seconds + 1)
        except BufferError as error:
            failures.append(str(error))
        if acknowledged < len(records):
            producer.purge()
            producer.flush(1)
            reason = failures[0] if failures else f"no answer within {self._seconds:g} s"
            raise StreamError(
                f"Kafka took {acknowledged} of {len(records)} records: {reason}",
                "look at the brokers; the log keeps what is missing and sends it later",
            )

    def close(self) -> None:
        """Nothing waits: `deliver` returns after the last acknowledgement."""
        self.__dict__.pop("_producer", None)


class KinesisStream:
    """A stream of Kinesis; endpoints other than AWS's own come from AWS_ENDPOINT_URL_KINESIS.

    Args:
        name: The stream.
        region: AWS's region; boto3's own choice where not given.
    """

    def __init__(self, name: str, region: str | None = None) -> None:
        self._name = name
        self._region = region

    @cached_property
    def _client(self) -> Any:
        import boto3

        return boto3.client("kinesis", region_name=self._region)

    def deliver(self, records: Sequence[Record]) -> None:
        """Return when every record is in its shard.

        Raises:
            StreamError: If one is not.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            for call in _calls(records):
                self._put(call)
        except (BotoCoreError, ClientError) as error:
            raise StreamError(
                f"Kinesis did not take the records: {error}",
                "look at the stream and the permission kinesis:PutRecords; the log keeps what is "
                "missing and sends it later",
            ) from error

    def _put(self, records: Sequence[Record]) -> None:
        """Put records; a full shard refuses some of a call, and only those are sent again."""
        waiting = list(records)
        for attempt in range(KINESIS_TRIES):
            answer = self._client.put_records(
                StreamName=self._name,
                Records=[
                    {"Data": record.value + b"\n", "PartitionKey": record.key} for record in waiting
                ],
            )
            results = zip(waiting, answer["Records"], strict=True)
            refused = [(record, result) for record, result in results if "ErrorCode" in result]
            if not refused:
                return
            waiting = [record for record, _ in refused]
            time.sleep(0.1 * 2**attempt)
        reason = refused[0][1].get("ErrorMessage", refused[0][1]["ErrorCode"])
        raise StreamError(
            f"Kinesis refused {len(waiting)} records {KINESIS_TRIES} times: {reason}",
            "give the stream more shards; the log keeps what is missing and sends it later",
        )

    def close(self) -> None:
        """Let go of the connection."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()


def open_stream(settings: Settings) -> LogStream | None:
    """The stream of the settings; None where there is none."""
    chosen = settings.prediction_log
    if chosen.stream == "kafka":
        options = {key: value.get_secret_value() for key, value in chosen.stream_options.items()}
        return KafkaStream(chosen.kafka_servers, chosen.stream_name, options)
    if chosen.stream == "kinesis":
        return KinesisStream(chosen.stream_name, settings.aws.region if settings.aws else None)
    return None


def _calls(records: Sequence[Record]) -> list[list[Record]]:
    """The records in as many calls as the limits ask for."""
    calls: list[list[Record]] = [[]]
    size = 0
    for record in records:
        bytes_ = len(record.value) + len(record.key) + 1
        if calls[-1] and (len(calls[-1]) >= KINESIS_RECORDS or size + bytes_ > KINESIS_BYTES):
            calls.append([])
            size = 0
        calls[-1].append(record)
        size += bytes_
    return [call for call in calls if call]
