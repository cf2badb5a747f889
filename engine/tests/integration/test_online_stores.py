"""Every online store keeps the same promises: SQLite, Redis (a real server), DynamoDB (moto's)."""

import json
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldpath import Aggregate, Rows, window_feature
from goldpath.contract import Contract
from goldpath.features.learned import with_own_features
from goldpath.features.online.dynamodb import DynamoDbOnlineStore
from goldpath.features.online.open_store import open_online_store
from goldpath.features.online.redis import RedisOnlineStore
from goldpath.features.online.sqlite import SqliteOnlineStore
from goldpath.features.online.store import (
    OnlineRow,
    OnlineStore,
    OnlineStoreError,
    Value,
    microseconds,
)
from goldpath.features.window.exact import UNIT_BITS
from goldpath.features.window.learned import definitions_in, values_of_nobody
from goldpath.features.window.online import (
    TILES,
    TilesWritten,
    WindowReader,
    remember_views,
    view_of,
    written_views,
)
from goldpath.features.window.tiles import EntityTiles, values_at
from goldpath.project import Project
from goldpath.settings import load_settings
from goldpath.source_contract import SourceContract

from ..conftest import make_project
from ..ports import free_port

NOON = datetime(2026, 3, 1, 12)
SECOND = timedelta(seconds=1)
DAY = 86_400_000_000
VALUES: st.SearchStrategy[Value] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "redis-server did not start"
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        client.close()
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def dynamodb_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["sqlite", "redis", "dynamodb"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> OnlineStore:
    name = f"store-{uuid4().hex}"
    if request.param == "sqlite":
        return SqliteOnlineStore(tmp_path / "online.db")
    if request.param == "redis":
        return RedisOnlineStore(request.getfixturevalue("redis_url"), name)
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "emulated")
    url = request.getfixturevalue("dynamodb_url")
    keys = (("entity_key", "HASH"), ("feature_view", "RANGE"))
    boto3.client("dynamodb", region_name="us-east-1", endpoint_url=url).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
    )
    return DynamoDbOnlineStore(name, "us-east-1", url)


def row(entity: str = "ann", time: datetime = NOON, **values: Value) -> OnlineRow:
    return OnlineRow(entity, time, values)


def test_rows_come_back_in_the_order_of_the_keys(store: OnlineStore) -> None:
    ann, bob = row("ann", amount=1.5), row("bob", NOON + SECOND, amount=None)

    assert store.write_batch("view", [ann, bob]) == 2

    assert store.read("view", ["bob", "nobody", "ann", "bob"]) == [bob, None, ann, bob]
    assert store.read("view", ["ann"]) == [ann]
    assert store.read("view", []) == []


def test_every_value_and_key_comes_back_exactly(store: OnlineStore) -> None:
    keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)
    times = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
    numbers = iter(range(10_000))

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(entity=keys, time=times, values=st.lists(VALUES, max_size=8))
    def check(entity: str, time: datetime, values: list[Value]) -> None:
        view = f"view_{next(numbers)}"
        written = OnlineRow(entity, time, {f"field {i}": value for i, value in enumerate(values)})
        store.write_batch(view, [written])
        (found,) = store.read(view, [entity])
        assert found is not None
        assert (found.entity, found.event_time) == (entity, time)
        assert list(found.values) == list(written.values)
        for given_value, value in zip(values, found.values.values(), strict=True):
            assert type(value) is type(given_value)
            assert repr(value) == repr(given_value)  # -0.0 and NaN, too

    check()


def test_older_row_never_replaces_a_newer_one(store: OnlineStore) -> None:
    store.write_batch("view", [row(amount=2)])

    kept = store.write_batch("view", [row(time=NOON - timedelta(microseconds=1), amount=1)])

    assert kept == 0
    assert store.read("view", ["ann"]) == [row(amount=2)]


def test_row_of_the_same_time_corrects_the_one_before(store: OnlineStore) -> None:
    store.write_batch("view", [row(amount=2)])

    assert store.write_batch("view", [row(amount=3)]) == 1

    assert store.read("view", ["ann"]) == [row(amount=3)]


def test_rows_before_1970_are_older_than_rows_after(store: OnlineStore) -> None:
    store.write_batch("view", [row(time=datetime(1969, 1, 1), amount=1)])
    store.write_batch("view", [row(time=datetime(1970, 1, 2), amount=2)])
    store.write_batch("view", [row(time=datetime(1955, 1, 1), amount=3)])

    assert store.read("view", ["ann"]) == [row(time=datetime(1970, 1, 2), amount=2)]


def test_deleted_entity_is_gone_from_every_view_and_others_stay(store: OnlineStore) -> None:
    store.write_batch("one", [row("ann", a=1), row("bob", a=2)])
    store.write_batch("two", [row("ann", b=1)])

    assert store.delete("ann") == 2
    assert store.delete("ann") == 0

    assert store.read("one", ["ann", "bob"]) == [None, row("bob", a=2)]
    assert store.read("two", ["ann"]) == [None]
    assert (store.count("one"), store.count("two")) == (1, 0)


def test_entity_can_be_deleted_from_one_view(store: OnlineStore) -> None:
    store.write_batch("one", [row(a=1)])
    store.write_batch("two", [row(b=1)])

    assert store.delete("ann", "one") == 1

    assert (store.read("one", ["ann"]), store.read("two", ["ann"])) == ([None], [row(b=1)])


def test_state_is_kept_apart_from_rows(store: OnlineStore) -> None:
    assert store.count("view") == 0
    store.write_batch("view", [row("view", a=1)])
    assert store.read_state("view") is None

    store.write_state("view", "snapshot 1")
    store.write_state("view", "snapshot 2")

    assert store.read_state("view") == "snapshot 2"
    assert store.delete("view") == 1
    assert (store.count("view"), store.read_state("view")) == (0, "snapshot 2")


def test_more_keys_than_one_request_takes(store: OnlineStore) -> None:
    rows = [row(f"e{n}", a=n) for n in range(230)]

    assert store.write_batch("view", rows) == 230

    assert store.read("view", [each.entity for each in rows]) == rows
    assert store.count("view") == 230


def test_readers_never_see_half_a_row(store: OnlineStore) -> None:
    store.write_batch("view", [row(a=0, b=0)])
    stop, torn, trouble = threading.Event(), [], []

    def read() -> None:
        try:
            while not stop.is_set():
                (found,) = store.read("view", ["ann"])
                if found is None or found.values["a"] != found.values["b"]:
                    torn.append(found)
        except Exception as error:  # noqa: BLE001  a thread's exception would vanish
            trouble.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(1, 60):
        store.write_batch("view", [row(time=NOON + number * SECOND, a=number, b=number)])
    stop.set()
    for reader in readers:
        reader.join(20)

    assert (torn, trouble) == ([], [])
    (found,) = store.read("view", ["ann"])
    assert found is not None
    assert found.values == {"a": 59, "b": 59}


@window_feature(source="payments", over=("30d", "90d"))
def paid(payments: Rows) -> dict[str, Aggregate]:
    return {
        "total": payments.amount.sum(),
        "last": payments.method.last(),
        "methods": payments.method.distinct_count(),
    }


def test_tiles_of_a_window_feature_give_the_same_in_every_store(store: OnlineStore) -> None:
    source = SourceContract.model_validate(
        {
            "dataset": "payments",
            "source": {"path": "payments.csv"},
            "entity": "payer",
            "event_time": {"column": "paid_at"},
            "columns": [
                {"name": "amount", "type": "number"},
                {"name": "method", "type": "category"},
            ],
        }
    )
    request = Contract.model_validate(
        {
            "dataset": "shop",
            "problem": "regression",
            "source": {"path": "in"},
            "entity": "customer",
            "event_time": {"column": "day"},
            "target": {"column": "spent"},
            "features": [{"name": "age", "type": "integer"}],
        }
    )
    contract = with_own_features(request, Project(features=lambda: [paid]), [source])
    (definition,) = definitions_in(contract)
    at = microseconds(NOON)
    tiles = EntityTiles(
        definition,
        {
            definition.geometry.tile_of(at - days * DAY): tuple(
                {
                    "total": (days << UNIT_BITS) + 1,
                    "last": (at - days * DAY, "Überweisung"),
                    "distinct": ("card", f"m{days}"),
                }[state.kind]
                for state in definition.states.values()
            )
            for days in (80, 12, 3)
        },
    )
    view = view_of(definition)
    remember_views(store, [view])
    store.write_batch(view, [OnlineRow("ann", NOON, {TILES: tiles.dump()})])
    store.write_state(view, TilesWritten(7, NOON, NOON, json.dumps(definition.dump())).dump())
    reader = WindowReader(lambda: store)

    assert reader.values(contract, "ann", NOON) == values_at(tiles, at)
    assert reader.values(contract, "ann", NOON)["paid_methods_90d"] == 4
    assert reader.values(contract, "bob", NOON) == values_of_nobody(contract)
    assert written_views(store) == [view]

    store.delete("ann")
    assert reader.values(contract, "ann", NOON) == values_of_nobody(contract)


def test_a_row_that_dynamodb_cannot_hold_is_refused_with_the_way_out(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "emulated")
    store = DynamoDbOnlineStore("any", "us-east-1", request.getfixturevalue("dynamodb_url"))

    with pytest.raises(OnlineStoreError, match="view knows of one entity is 400013") as refusal:
        store.write_batch("view", [row(a="x" * 400_005)])

    assert "online_store: redis" in refusal.value.fix


def test_deleted_person_leaves_no_bytes_in_sqlites_files(tmp_path: Path) -> None:
    store = SqliteOnlineStore(tmp_path / "online.db")
    store.write_batch("view", [row("ann-of-kent", secret="blue-eyes"), row("bob", secret="x")])

    store.delete("ann-of-kent")

    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"bob" in held
    assert b"ann-of-kent" not in held
    assert b"blue-eyes" not in held


def test_without_a_store_the_command_that_makes_it_is_named(tmp_path: Path) -> None:
    store = SqliteOnlineStore(tmp_path / "online.db")

    with pytest.raises(OnlineStoreError, match="no online store yet") as error:
        store.read("view", ["ann"])

    assert error.value.fix == "make materialize"
    assert store.count("view") == 0
    assert not (tmp_path / "online.db").exists()


def test_server_that_does_not_answer_is_said_without_its_password() -> None:
    store = RedisOnlineStore(f"redis://:pass-word@127.0.0.1:{free_port()}/0", "online")

    with pytest.raises(OnlineStoreError, match="Redis does not answer") as error:
        store.read("view", ["ann"])

    assert "pass-word" not in str(error.value)


def test_settings_choose_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path)
    chosen = {}
    for name in ("sqlite", "redis", "dynamodb"):
        monkeypatch.setenv("MLOPS_FEATURES__ONLINE_STORE", name)
        chosen[name] = type(open_online_store(load_settings(tmp_path)))

    assert chosen == {
        "sqlite": SqliteOnlineStore,
        "redis": RedisOnlineStore,
        "dynamodb": DynamoDbOnlineStore,
    }
