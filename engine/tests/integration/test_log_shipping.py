"""Every line reaches the stream at least once, though brokers and shippers come and go.

Kafka is librdkafka's own mock cluster, which speaks the protocol over TCP; Kinesis is moto's
server.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from goldpath.contract import load_contract
from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.jobs.upkeep.log_status import ship_log
from goldpath.serving.log.erasure import erase_lines
from goldpath.serving.log.segments import Rotation, segments
from goldpath.serving.log.shipping import (
    read_offsets,
    ship,
    shipping,
    shipping_lock,
    unshipped,
    waiting_bytes,
)
from goldpath.serving.log.streams import KafkaStream, KinesisStream, Record, StreamError
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.settings import Settings, SettingsError, load_settings

from ..ports import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    """Addresses of a mock cluster; it lives as long as the client that made it."""
    cluster = Producer(
        {"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 2, "log_level": 2}
    )
    found = cluster.list_topics(timeout=20).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in found)
    cluster.flush(1)


def topic_of(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)[:60].replace("[", "-").replace("]", "")


def read_topic(brokers: str, topic: str, least: int) -> list[tuple[str, dict[str, Any]]]:
    """Everything in a topic; waits until there is as much as is expected."""
    options = {"bootstrap.servers": brokers, "group.id": "tests", "log_level": 2}
    with closing(Consumer({**options, "enable.auto.commit": False})) as consumer:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, each, OFFSET_BEGINNING) for each in partitions])
        found: list[tuple[str, dict[str, Any]]] = []
        quiet = 0
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and (len(found) < least or quiet < 3):
            message = consumer.poll(0.3)
            if message is None or message.error():
                quiet += 1
                continue
            quiet = 0
            key, text = message.key(), message.value()
            assert isinstance(key, bytes)
            assert isinstance(text, bytes)
            found.append((key.decode(), json.loads(text)))
    return found


def entry(number: int, entity: str | None = None) -> LoggedPrediction:
    at = f"2026-11-01T00:00:{number % 60:02}.{number:06}+00:00"
    return LoggedPrediction(f"id-{number}", at, "1", {"x": number}, "yes", 0.5, entity)


def test_each_line_arrives_once_with_its_id_as_key(
    brokers: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    topic = topic_of(request)
    log = PredictionLog(tmp_path, rotation=Rotation(bytes=5_000))
    log.write([entry(number) for number in range(10)])
    stream = KafkaStream(brokers, topic)
    assert ship(tmp_path, stream).records == 10
    for number in range(10, 1300):
        log.write([entry(number)])  # several segments, the last one still written to
    shipped = ship(tmp_path, stream)
    assert (shipped.records, shipped.waiting) == (1290, 0)
    assert ship(tmp_path, stream).records == 0
    log.close()
    found = read_topic(brokers, topic, 1300)
    assert Counter(key for key, _ in found) == Counter(f"id-{number}" for number in range(1300))
    assert all(value["prediction_id"] == key for key, value in found)
    assert unshipped(tmp_path) == frozenset()


def test_nothing_is_lost_while_the_broker_is_away(
    brokers: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    topic = topic_of(request)
    log = PredictionLog(tmp_path)
    log.write([entry(number) for number in range(20)])
    away = KafkaStream(f"127.0.0.1:{free_port()}", topic, seconds=1)
    with pytest.raises(StreamError, match="0 of 20 records"):
        ship(tmp_path, away)
    away.close()
    log.write([entry(20)])
    assert waiting_bytes(tmp_path) == sum(file.stat().st_size for file in segments(tmp_path))
    assert ship(tmp_path, KafkaStream(brokers, topic)).records == 21
    log.close()
    assert {key for key, _ in read_topic(brokers, topic, 21)} == {f"id-{n}" for n in range(21)}


def test_torn_and_erased_lines_are_passed_over(
    brokers: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    topic = topic_of(request)
    log = PredictionLog(tmp_path)
    log.write([entry(1), entry(2, "ann"), entry(3)])
    log.close()
    (file,) = segments(tmp_path)
    with file.open("ab") as torn:
        torn.write(b'{"prediction_id": "half')
    assert erase_lines(tmp_path, "ann") == 1
    assert ship(tmp_path, KafkaStream(brokers, topic)).records == 2
    assert unshipped(tmp_path) == frozenset()
    assert {key for key, _ in read_topic(brokers, topic, 2)} == {"id-1", "id-3"}


def test_a_line_that_is_being_written_waits(brokers: str, tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.write([entry(1)])
    (file,) = segments(tmp_path)
    whole = file.stat().st_size
    with file.open("ab") as half:
        half.write(b'{"prediction_id": "id-2", ')
    stream = KafkaStream(brokers, "waiting")
    assert ship(tmp_path, stream).records == 1
    assert read_offsets(tmp_path) == {file.name: whole}
    with file.open("ab") as rest:
        rest.write(b'"at": "2026"}\n')
    assert ship(tmp_path, stream).records == 1
    log.close()


def ship_for_ever(folder: Path, brokers: str, topic: str) -> None:
    stream = KafkaStream(brokers, topic)
    with shipping_lock(folder) as is_ours:
        assert is_ours, "the lock of a killed process is free"
        while True:
            ship(folder, stream)


def test_a_killed_shipper_is_followed_by_one_that_goes_on(
    brokers: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    topic = topic_of(request)
    log = PredictionLog(tmp_path, rotation=Rotation(bytes=20_000))
    written = 0
    for _ in range(5):
        shipper = get_context("spawn").Process(
            target=ship_for_ever, args=(tmp_path, brokers, topic), daemon=True
        )
        shipper.start()
        before = sum(read_offsets(tmp_path).values())
        deadline = time.monotonic() + 30
        while sum(read_offsets(tmp_path).values()) == before and time.monotonic() < deadline:
            log.write([entry(number) for number in range(written, written + 50)])
            written += 50
        shipper.kill()
        shipper.join()
    assert ship(tmp_path, KafkaStream(brokers, topic)).waiting == 0
    log.close()
    keys = Counter(key for key, _ in read_topic(brokers, topic, written))
    assert set(keys) == {f"id-{number}" for number in range(written)}
    assert sum(keys.values()) - written <= 5 * 500  # at most one piece a kill is sent again


def test_one_process_ships_and_another_takes_over(
    brokers: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    topic = topic_of(request)
    log = PredictionLog(tmp_path)
    with shipping(tmp_path, KafkaStream(brokers, topic)):
        with shipping_lock(tmp_path) as is_ours:
            if is_ours:  # ours before the thread's; it waits for us
                log.write([entry(0)])
                time.sleep(1.5)
                assert read_offsets(tmp_path) == {}
        deadline = time.monotonic() + 20
        log.write([entry(1)])
        while waiting_bytes(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert waiting_bytes(tmp_path) == 0
    assert not [each for each in threading.enumerate() if each.name == "log-shipping"]
    log.close()


def test_segments_wait_in_the_log_until_the_stream_has_them(
    brokers: str,
    project: Settings,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    contract = load_contract(project.root)
    monkeypatch.setenv("MLOPS_PREDICTION_LOG__STREAM", "kafka")
    monkeypatch.setenv("MLOPS_PREDICTION_LOG__KAFKA_SERVERS", brokers)
    monkeypatch.setenv("MLOPS_PREDICTION_LOG__STREAM_NAME", topic_of(request))
    monkeypatch.setenv("MLOPS_PREDICTION_LOG__STREAM_OPTIONS", '{"client.id": "project"}')
    settings = load_settings(project.root)
    folder = settings.root / settings.serving.prediction_log
    log = PredictionLog(folder)
    log.write([entry(1), entry(2)])
    log.close()
    result = compact_logs(settings, contract)
    assert (result.segments, result.waiting_segments) == (0, 1)
    assert ship_log(settings, follow=False).records == 2
    result = compact_logs(settings, contract)
    assert (result.predictions, result.segments, result.waiting_segments) == (2, 1, 0)


def test_kafka_without_an_address_is_a_clear_error(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_PREDICTION_LOG__STREAM", "kafka")
    with pytest.raises(SettingsError, match="kafka_servers"):
        load_settings(project.root)
    with pytest.raises(StreamError, match=r"stream_options|options are wrong"):
        KafkaStream("127.0.0.1:1", "t", {"no.such.option": "1"}).deliver([Record("k", b"v")])


@pytest.fixture
def stream_name() -> str:
    """moto keeps its streams for the whole process, so each test takes one of its own."""
    return f"predictions-{uuid4().hex[:8]}"


@pytest.fixture
def kinesis(stream_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from moto.server import ThreadedMotoServer

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "emulated")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "emulated")
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", f"http://{host}:{port}")
        client = boto3.client("kinesis", region_name="us-east-1")
        client.create_stream(StreamName=stream_name, ShardCount=2)
        yield client
        client.close()
    finally:
        server.stop()


def records_of(kinesis: Any, name: str) -> list[dict[str, Any]]:
    found = []
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while True:
            page = kinesis.get_records(ShardIterator=iterator, Limit=1000)
            found += [json.loads(record["Data"]) for record in page["Records"]]
            iterator = page["NextShardIterator"]
            if not page["Records"]:
                break
    return found


def test_kinesis_has_each_line_once(kinesis: Any, stream_name: str, tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.write([entry(number) for number in range(1200)])
    stream = KinesisStream(stream_name, "us-east-1")
    assert ship(tmp_path, stream).records == 1200
    assert ship(tmp_path, stream).records == 0
    stream.close()
    log.close()
    keys = Counter(record["prediction_id"] for record in records_of(kinesis, stream_name))
    assert keys == Counter(f"id-{number}" for number in range(1200))


def test_a_kinesis_stream_that_is_not_there_keeps_the_lines(
    kinesis: Any, stream_name: str, tmp_path: Path
) -> None:
    log = PredictionLog(tmp_path)
    log.write([entry(1)])
    log.close()
    with pytest.raises(StreamError, match="Kinesis"):
        ship(tmp_path, KinesisStream("another", "us-east-1"))
    assert unshipped(tmp_path) == {file.name for file in segments(tmp_path)}
    assert ship(tmp_path, KinesisStream(stream_name, "us-east-1")).records == 1
    assert [record["prediction_id"] for record in records_of(kinesis, stream_name)] == ["id-1"]
