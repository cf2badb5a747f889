"""What was known then, and what is known now, from one definition: offline equals online."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest

from goldpath.contract import Contract, load_contract
from goldpath.features.feature_store import FeatureStore
from goldpath.features.online.open_store import open_online_store
from goldpath.features.online.sqlite import SqliteOnlineStore
from goldpath.features.online.store import OnlineStoreError
from goldpath.features.serving import OnlineReader
from goldpath.features.views import FeatureError, load_views
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, TableName
from goldpath.lake.tables import INTERVAL, gold_table
from goldpath.settings import FeatureViewSettings, Settings, load_settings

from ..aws_emulation import emulated_aws
from ..conftest import Trained

MARCH = datetime(2026, 3, 1)
DAY = timedelta(days=1)
MakeStore = Callable[..., FeatureStore]


def with_views(settings: Settings, *views: dict[str, Any], **chosen: Any) -> Settings:
    parsed = tuple(FeatureViewSettings(**view) for view in views)
    features = settings.features.model_copy(update={"views": parsed, **chosen})
    return settings.model_copy(update={"features": features})


def gold_rows(contract: Contract, rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
    schema = pa.schema(
        {
            "customer_id": pa.string(),
            "event_time": pa.timestamp("us"),
            **{f.name: kinds.get(f.type, pa.string()) for f in contract.features},
            contract.target.column: pa.string(),
            INTERVAL: pa.string(),
        }
    )
    return pa.Table.from_pylist([{INTERVAL: "2026-03", **row} for row in rows], schema)


def row(entity: str, time: datetime, age: int | None) -> dict[str, Any]:
    return {"customer_id": entity, "event_time": time, "age": age}


@pytest.fixture
def lake(project: Settings) -> Lakehouse:
    return open_lakehouse(project)


@pytest.fixture
def contract(project: Settings) -> Contract:
    return load_contract(project.root)


@pytest.fixture
def make_store(project: Settings, contract: Contract, lake: Lakehouse) -> MakeStore:
    """A store whose gold table holds the rows that are given."""

    def make(rows: list[dict[str, Any]], **view: Any) -> FeatureStore:
        lake.overwrite(gold_table(contract), gold_rows(contract, rows))
        settings = with_views(project, {"name": "people", **view})
        return FeatureStore(settings, contract, lake)

    return make


def ages(store: FeatureStore, *keys: str, now: datetime = MARCH + 9 * DAY) -> list[Any]:
    return [answer.values["age"] for answer in store.get_online_features(keys, now=now)]


# ---- offline equals online


@pytest.mark.slow
def test_online_gives_what_offline_gives_for_the_samples_entities(
    trained: Trained, tmp_path: Path
) -> None:
    settings = with_views(trained.settings, {"name": "people", "ttl": "60d"})
    gold, online_store = open_lakehouse(settings), SqliteOnlineStore(tmp_path / "online.db")
    store = FeatureStore(settings, trained.contract, gold, online_store)
    table = gold.collect(gold.read(gold_table(trained.contract)))
    entities = sorted(set(table["customer_id"].to_pylist()))
    moments = sorted(random.Random(3).sample(table["event_time"].to_pylist(), 3))
    compared = 0

    for moment in moments:  # upwards: the online store never goes back
        store.materialize(end=moment)
        asked = pa.table({"customer_id": entities, "event_time": [moment] * len(entities)})
        offline = store.get_historical_features(asked).drop(["customer_id", "event_time"])
        online = [answer.values for answer in store.get_online_features(entities, now=moment)]
        assert online == offline.to_pylist()
        compared += sum(value is not None for answer in online for value in answer.values())

    assert len(entities) > 2000
    assert compared > 10_000


@pytest.mark.slow
def test_athena_gives_what_duckdb_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contract: Contract, project: Settings
) -> None:
    dice = random.Random(4)
    rows = [row(f"c{n % 40}", MARCH + n * DAY / 7, dice.choice((None, n % 90))) for n in range(300)]
    asked = pa.table(
        {
            "customer_id": [f"c{dice.randint(0, 45)}" for _ in range(200)],
            "event_time": [MARCH + dice.uniform(-1, 45) * DAY for _ in range(200)],
        }
    )
    answers = []
    with emulated_aws() as aws:
        for backend in ("local", "aws"):
            for name, value in aws.environment.items():
                if name.startswith("MLOPS_"):
                    monkeypatch.setenv(name, value)
            monkeypatch.setenv("MLOPS_LAKE__BACKEND", backend)
            settings = with_views(load_settings(project.root), {"name": "people", "ttl": "5d"})
            lake = open_lakehouse(settings)
            lake.overwrite(gold_table(contract), gold_rows(contract, rows))
            online = SqliteOnlineStore(tmp_path / f"{backend}.db")
            store = FeatureStore(settings, contract, lake, online)
            historical = store.get_historical_features(asked, ["age"]).to_pylist()
            written = [store.materialize().written for _ in range(2)]
            lake.overwrite(gold_table(contract), gold_rows(contract, rows[:-3]))
            result = store.materialize()
            known = ages(store, *(f"c{n}" for n in range(45)), now=MARCH + 40 * DAY)
            answers.append((historical, written, result.written, result.removed, known))

    local, athena = answers
    assert athena == local
    assert local[1] == [{"people": 40}, {"people": 0}]
    assert local[3] == {"people": 3}


# ---- historical features


def test_rows_come_back_in_their_order_with_all_their_columns(make_store: MakeStore) -> None:
    store = make_store(
        [row("ann", MARCH, 30), row("ann", MARCH + 2 * DAY, 31), row("bob", MARCH, 5)]
    )
    asked = pd.DataFrame(
        {
            "label": [1, 2, 3, 4],
            "customer_id": ["bob", "ann", "ann", "nobody"],
            "event_time": [MARCH + DAY, MARCH + 2 * DAY, MARCH + DAY, MARCH],
        }
    )

    found = store.get_historical_features(asked, ["people:age"])

    assert found.column_names == ["label", "customer_id", "event_time", "age"]
    assert found["label"].to_pylist() == [1, 2, 3, 4]
    assert found["age"].to_pylist() == [5, 31, 30, None]


def test_times_with_a_zone_are_converted(make_store: MakeStore) -> None:
    store = make_store([row("ann", MARCH, 30)])
    zone = pa.timestamp("us", "America/New_York")
    asked = pa.table(
        {
            "customer_id": ["ann", "ann"],
            "event_time": pa.array(
                [MARCH.replace(tzinfo=UTC), (MARCH - DAY).replace(tzinfo=UTC)], zone
            ),
        }
    )

    assert store.get_historical_features(asked, ["age"])["age"].to_pylist() == [30, None]


def test_an_expression_can_be_asked_with(make_store: MakeStore, lake: Lakehouse) -> None:
    store = make_store([row("ann", MARCH, 30)])
    with lake.staged(pa.table({"customer_id": ["ann"], "event_time": [MARCH]})) as staged:
        asked = staged.select("customer_id", event_time=ibis._.event_time.cast("timestamp(6)"))
        found = store.get_historical_features(asked, ["age"])

    assert found.to_pylist() == [{"customer_id": "ann", "event_time": MARCH, "age": 30}]


def test_snapshot_can_be_named(make_store: MakeStore, lake: Lakehouse, contract: Contract) -> None:
    store = make_store([row("ann", MARCH, 30)])
    before = lake.snapshot(gold_table(contract))
    lake.overwrite(gold_table(contract), gold_rows(contract, [row("ann", MARCH, 99)]))
    asked = pa.table({"customer_id": ["ann"], "event_time": [MARCH]})
    assert before is not None

    then = store.get_historical_features(asked, ["age"], snapshot_id=before.snapshot_id)

    assert then["age"].to_pylist() == [30]
    assert store.get_historical_features(asked, ["age"])["age"].to_pylist() == [99]


def test_views_of_other_tables_are_joined_each_by_its_own_rules(
    project: Settings, contract: Contract, lake: Lakehouse
) -> None:
    lake.overwrite(gold_table(contract), gold_rows(contract, [row("ann", MARCH, 30)]))
    visits = {
        "customer_id": ["ann"] * 3,
        "seen_at": [MARCH] * 3,
        "age": [1, 2, 3],
        "made": [MARCH, MARCH + 2 * DAY, MARCH + DAY],
    }
    lake.append(TableName("silver", "visits"), pa.table(visits))
    settings = with_views(
        project,
        {"name": "people"},
        {
            "name": "visits",
            "source": "silver.visits",
            "event_time": "seen_at",
            "created_column": "made",
            "features": ["age"],
            "ttl": "1d",
        },
    )
    store = FeatureStore(settings, contract, lake)
    asked = pa.table({"customer_id": ["ann"] * 2, "event_time": [MARCH + DAY, MARCH + 3 * DAY]})
    names = ["people:age", "visits:age"]

    with pytest.raises(FeatureError, match="both have a feature 'age'"):
        store.get_historical_features(asked, names)
    found = store.get_historical_features(asked, names, full_feature_names=True)

    assert found["people__age"].to_pylist() == [30, 30]
    assert found["visits__age"].to_pylist() == [2, None]


@pytest.mark.parametrize(
    ("columns", "features", "message"),
    [
        (["customer_id"], None, "entity rows lack event_time"),
        (["customer_id", "event_time", "age"], None, "twice in the result: age"),
        (["customer_id", "event_time"], ["shoe_size"], "no feature 'shoe_size'"),
        (["customer_id", "event_time"], ["other:age"], "no feature 'other:age'"),
    ],
)
def test_question_that_cannot_be_answered_says_why(
    make_store: MakeStore, columns: list[str], features: list[str] | None, message: str
) -> None:
    store = make_store([row("ann", MARCH, 30)])
    asked = pa.table({"customer_id": ["ann"], "event_time": [MARCH], "age": [1]}).select(columns)

    with pytest.raises(FeatureError, match=message):
        store.get_historical_features(asked, features)


def test_two_rows_where_gold_promises_one_are_refused(
    make_store: MakeStore,
) -> None:
    store = make_store([row("ann", MARCH, 30), row("ann", MARCH, 31)])
    asked = pa.table({"customer_id": ["ann"], "event_time": [MARCH]})

    with pytest.raises(FeatureError, match="1 entity rows became 2"):
        store.get_historical_features(asked)


# ---- materialize


def test_materialize_writes_the_newest_row_and_then_only_what_changed(
    make_store: MakeStore, lake: Lakehouse, contract: Contract
) -> None:
    rows = [row("ann", MARCH, 30), row("ann", MARCH + DAY, 31), row("bob", MARCH, 5)]
    store = make_store(rows)
    first = store.materialize()
    again = store.materialize()
    late = row("bob", MARCH - DAY, 4)  # older than what is known: changes nothing online
    lake.overwrite(gold_table(contract), gold_rows(contract, [*rows, late, row("cyd", MARCH, 7)]))

    third = store.materialize()

    counts = [result.written["people"] for result in (first, again, third)]
    assert counts == [2, 0, 1]
    assert ages(store, "ann", "bob", "cyd") == [31, 5, 7]


def test_corrected_withdrawn_and_forgotten_rows_reach_the_store(
    make_store: MakeStore, lake: Lakehouse, contract: Contract
) -> None:
    store = make_store(
        [
            row("ann", MARCH, 30),
            row("bob", MARCH, 5),
            row("bob", MARCH + DAY, 6),
            row("cyd", MARCH, 7),
        ]
    )
    store.materialize()
    corrected = [row("ann", MARCH, 40), row("bob", MARCH, 5)]
    lake.overwrite(gold_table(contract), gold_rows(contract, corrected))

    result = store.materialize()

    assert (result.written["people"], result.removed["people"]) == (2, 2)
    assert ages(store, "ann", "bob", "cyd") == [40, 5, None]
    assert [answer.found for answer in store.get_online_features(["bob", "cyd"])] == [True, False]


def test_materialize_up_to_a_day_knows_nothing_of_the_next(make_store: MakeStore) -> None:
    store = make_store([row("ann", MARCH, 30), row("ann", MARCH + DAY, 31)])

    store.materialize(end=MARCH + DAY / 2)
    before = ages(store, "ann")
    store.materialize(end=MARCH + DAY)
    store.materialize(end=MARCH)  # going back changes nothing

    assert before == [30]
    assert ages(store, "ann") == [31]


def test_materialize_from_a_day_leaves_older_rows_out(make_store: MakeStore) -> None:
    store = make_store([row("ann", MARCH, 30), row("bob", MARCH + DAY, 5)])

    result = store.materialize(start=MARCH + DAY)

    assert result.written["people"] == 1
    assert ages(store, "ann", "bob") == [None, 5]


def test_value_older_than_its_ttl_is_null_online(make_store: MakeStore) -> None:
    store = make_store([row("ann", MARCH, 30)], ttl="2d")
    store.materialize()
    store.get_online_features(["ann"])

    at_the_limit, beyond = (
        store.get_online_features(["ann"], ["age"], now=MARCH + 2 * DAY + extra)[0]
        for extra in (timedelta(0), timedelta(microseconds=1))
    )

    assert (at_the_limit.values, at_the_limit.expired) == ({"age": 30}, ())
    assert (beyond.found, beyond.values, beyond.expired) == (True, {"age": None}, ("age",))


def test_store_of_another_contract_is_filled_anew(
    make_store: MakeStore, project: Settings, contract: Contract, lake: Lakehouse
) -> None:
    make_store([row("ann", MARCH, 30)], features=["age"]).materialize()
    wider = with_views(project, {"name": "people"})

    with pytest.raises(OnlineStoreError, match="filled with another contract") as error:
        OnlineReader(wider, contract).get(["ann"])
    assert error.value.fix == "make materialize"

    result = FeatureStore(wider, contract, lake).materialize()
    assert result.written["people"] == 1
    assert OnlineReader(wider, contract).get(["ann"])[0].values["age"] == 30


def test_forgetting_a_person_online_needs_only_the_store(
    make_store: MakeStore, project: Settings
) -> None:
    store = make_store([row("ann", MARCH, 30)])
    store.materialize()

    assert open_online_store(project).delete("ann") == 1

    assert not store.get_online_features(["ann"])[0].found


# ---- the views


def test_shipped_file_names_no_column(project: Settings, contract: Contract) -> None:
    text = (project.root / "config" / "features.yaml").read_text(encoding="utf-8")
    (view,) = load_views(project, contract)

    assert not [name for name in contract.raw_columns if name in text]
    assert view.entity == contract.entity
    assert view.features == tuple(contract.feature_names)


@pytest.mark.parametrize("lacking", ["entity", "event_time"])
def test_contract_without_entity_or_time_has_no_view(
    project: Settings, contract: Contract, lacking: str
) -> None:
    bare = contract.model_copy(update={lacking: None})

    with pytest.raises(FeatureError, match=f"has no {lacking.replace('_', ' ')}"):
        load_views(project, bare)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"features": ["shoe_size"]}, "features that the contract lacks: shoe_size"),
        ({"source": "silver.x", "features": ["a", "a"]}, "a feature twice"),
        ({"source": "silver.x", "features": ["customer_id"]}, "customer_id as features"),
    ],
)
def test_wrong_view_is_named(
    project: Settings, contract: Contract, view: dict[str, Any], message: str
) -> None:
    with pytest.raises(FeatureError, match=message):
        load_views(with_views(project, {"name": "people", **view}), contract)
