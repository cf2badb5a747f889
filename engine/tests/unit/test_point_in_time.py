"""No feature value comes from the future: the join against a brute-force reading of its rules."""

import random
from datetime import datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldpath.features.point_in_time import point_in_time_join
from goldpath.features.views import FeatureError
from goldpath.lake.athena.sql import athena_sql
from goldpath.lake.engine import connect_duckdb

from ..counts import examples

Row = dict[str, Any]

START = datetime(2026, 3, 1)
SECOND = timedelta(seconds=1)
FEATURES = pa.schema(
    {
        "who": pa.string(),
        "at": pa.timestamp("us"),
        "made": pa.timestamp("us"),
        "amount": pa.float64(),
        "kind": pa.string(),
        "seen": pa.bool_(),
    }
)
QUESTIONS = pa.schema({"number": pa.int64(), "who": pa.string(), "at": pa.timestamp("us")})
COLUMNS = ["amount", "kind", "seen"]
LOWEST: Row = {"made": START, "amount": 0.0, "kind": "", "seen": False}
NOTHING: Row = dict.fromkeys(COLUMNS)
ENTITIES = 100


def known_at(question: Row, rows: list[Row], ttl: timedelta | None, *, created: bool) -> Row:
    """The rules, one row at a time."""
    at = question["at"]
    past = [
        row
        for row in rows
        if question["who"] is not None
        and row["who"] == question["who"]
        and at is not None
        and row["at"] is not None
        and row["at"] <= at
    ]
    if not past:
        return NOTHING
    newest = max(row["at"] for row in past)
    if ttl is not None and newest + ttl < at:
        return NOTHING
    order = [*(["made"] if created else []), *COLUMNS]
    tied = [row for row in past if row["at"] == newest]
    best = max(tied, key=lambda row: [(row[n] is not None, row[n] or LOWEST[n]) for n in order])
    return {name: best[name] for name in COLUMNS}


def tables(
    engine: ibis.BaseBackend, questions: list[Row], rows: list[Row]
) -> tuple[ibis.Table, ibis.Table]:
    engine.con.register("q", pa.Table.from_pylist(questions, QUESTIONS))
    engine.con.register("f", pa.Table.from_pylist(rows, FEATURES))
    return engine.table("q"), engine.table("f")


def join(questions: list[Row], rows: list[Row], **options: Any) -> list[Row]:
    """The join's answers, in the order of the questions."""
    engine = connect_duckdb()
    asked, held = tables(engine, questions, rows)
    joined = point_in_time_join(
        asked, held, entity="who", event_time="at", columns=COLUMNS, **options
    )
    answers: list[Row] = engine.to_pyarrow(joined).to_pylist()
    return sorted(answers, key=lambda row: row["number"])


def question(at: datetime | None, who: str | None = "ann", number: int = 0) -> Row:
    return {"number": number, "who": who, "at": at}


def feature(at: datetime | None, amount: float | None, who: str | None = "ann", **more: Any) -> Row:
    return {"who": who, "at": at, "made": None, "amount": amount, "kind": "x", "seen": True, **more}


def amounts(answers: list[Row]) -> list[float | None]:
    return [row["amount"] for row in answers]


def random_case(dice: random.Random, *, ties: bool) -> tuple[list[Row], list[Row]]:
    """About a hundred entities, over so few moments that they often meet."""

    def moment() -> datetime | None:
        steps = dice.choice((1, 1, 1, 0.5, 0.000001))
        return None if dice.random() < 0.05 else START + dice.randint(-3, 6) * SECOND * steps

    names = [None if dice.random() < 0.03 else f"e{n}" for n in range(ENTITIES)]
    rows = [
        {
            "who": who,
            "at": moment(),
            "made": None if dice.random() < 0.2 else START + dice.randint(0, 2) * SECOND,
            "amount": dice.choice((None, -1.5, 0.0, 2.5, 1e300)),
            "kind": dice.choice((None, "", "a", "ä")),
            "seen": dice.choice((None, True, False)),
        }
        for who in names
        for _ in range(dice.randint(0, 6))
    ]
    if not ties:
        rows = list({(row["who"], row["at"]): row for row in rows}.values())
    dice.shuffle(rows)
    asked = [question(moment(), who) for who in names for _ in range(dice.randint(1, 3))]
    asked += dice.choices(asked, k=5)  # the same question twice stays two
    dice.shuffle(asked)
    return [{**row, "number": number} for number, row in enumerate(asked)], rows


@pytest.mark.soak
@settings(max_examples=examples(20, 100), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    ttl=st.sampled_from([None, SECOND, 3 * SECOND]),
    kind=st.sampled_from(["ties", "created", "one row per time"]),
)
def test_every_entity_gets_what_the_rules_say(seed: int, ttl: timedelta | None, kind: str) -> None:
    unique = kind == "one row per time"
    asked, rows = random_case(random.Random(seed), ties=not unique)
    created = "made" if kind == "created" else None

    answers = join(asked, rows, ttl=ttl, created=created, one_row_per_time=unique)

    expected = [{**row, **known_at(row, rows, ttl, created=created is not None)} for row in asked]
    assert answers == expected


def test_value_of_the_same_time_counts_and_one_of_a_microsecond_later_does_not() -> None:
    rows = [feature(START, 1.0), feature(START + timedelta(microseconds=1), 2.0)]

    assert amounts(join([question(START)], rows)) == [1.0]


def test_of_rows_with_one_time_the_one_created_last_wins() -> None:
    rows = [
        feature(START, 9.0, made=START),
        feature(START, 1.0, made=START + SECOND),
        feature(START, 5.0, made=None),
    ]

    assert amounts(join([question(START)], rows, created="made")) == [1.0]


def test_rows_that_differ_in_nothing_else_are_chosen_the_same_way_each_time() -> None:
    rows = [feature(START, value) for value in (3.0, None, 7.0, 5.0)]

    answers = {amounts(join([question(START)], order))[0] for order in (rows, rows[::-1])}

    assert answers == {7.0}


def test_value_that_is_exactly_as_old_as_its_ttl_counts() -> None:
    asked = [question(START + 10 * SECOND), question(START + 10 * SECOND + SECOND / 1000, number=1)]

    assert amounts(join(asked, [feature(START, 1.0)], ttl=10 * SECOND)) == [1.0, None]


def test_expired_value_does_not_bring_back_an_older_one() -> None:
    rows = [feature(START, 1.0), feature(START + SECOND, 2.0)]

    assert amounts(join([question(START + 9 * SECOND)], rows, ttl=5 * SECOND)) == [None]


@pytest.mark.parametrize("unique", [True, False])
def test_null_is_a_value(unique: bool) -> None:
    rows = [feature(START, 1.0), feature(START + SECOND, None)]

    assert amounts(join([question(START + SECOND)], rows, one_row_per_time=unique)) == [None]


@pytest.mark.parametrize("unique", [True, False])
def test_entity_rows_stay_as_they_are(unique: bool) -> None:
    asked = [
        question(START, "ann", 1),
        question(START, "ann", 1),
        question(START, "nobody", 2),
        question(None, "ann", 3),
        question(START, None, 4),
    ]
    rows = [feature(START, 1.0), feature(None, 2.0), feature(START, 3.0, who=None)]

    answers = join(asked, rows, one_row_per_time=unique)

    assert [{k: row[k] for k in QUESTIONS.names} for row in answers] == asked
    assert amounts(answers) == [1.0, 1.0, None, None, None]


def test_several_views_are_joined_one_after_the_other() -> None:
    engine = connect_duckdb()
    asked, held = tables(engine, [question(START)], [feature(START, 1.0)])
    first = point_in_time_join(asked, held, entity="who", event_time="at", columns=["amount"])

    both = point_in_time_join(first, held, entity="who", event_time="at", columns=["kind"])

    assert engine.to_pyarrow(both).to_pylist() == [{**question(START), "amount": 1.0, "kind": "x"}]


def test_name_that_would_stand_twice_is_refused() -> None:
    asked = ibis.table({"who": "string", "at": "timestamp", "amount": "float64"}, name="q")
    held = ibis.table({"who": "string", "at": "timestamp", "amount": "float64"}, name="f")

    with pytest.raises(FeatureError, match="twice in the result: amount"):
        point_in_time_join(asked, held, entity="who", event_time="at", columns=["amount"])


def test_keys_that_cannot_be_compared_are_refused() -> None:
    asked = ibis.table({"who": "float64", "at": "timestamp"}, name="q")
    held = ibis.table({"who": "string", "at": "timestamp", "amount": "float64"}, name="f")

    with pytest.raises(FeatureError, match="'who' is float64 in the entity rows and string"):
        point_in_time_join(asked, held, entity="who", event_time="at", columns=["amount"])


@pytest.mark.parametrize(
    "options",
    [{"one_row_per_time": True}, {"created": "made", "ttl": 2 * SECOND}],
    ids=["gold", "ties and ttl"],
)
def test_athenas_statement_gives_what_duckdbs_gives(options: dict[str, Any]) -> None:
    asked, rows = random_case(random.Random(5), ties="created" in options)
    schemas = [ibis.Schema.from_pyarrow(schema) for schema in (QUESTIONS, FEATURES)]
    unbound = [ibis.table(s, name=f"{name}@#1") for s, name in zip(schemas, "qf", strict=True)]
    expression = point_in_time_join(
        *unbound, entity="who", event_time="at", columns=COLUMNS, **options
    )

    statement = athena_sql(expression, "lake")

    assert "ASOF" not in statement.upper()
    engine = connect_duckdb()
    tables(engine, asked, rows)
    engine.raw_sql("CREATE SCHEMA lake")
    for name in "qf":
        engine.raw_sql(f"CREATE TABLE lake.{name} AS FROM {name}")
    (duckdb_sql,) = sqlglot.transpile(statement, read="athena", write="duckdb")
    found = engine.con.sql(duckdb_sql).to_arrow_table().to_pylist()
    assert sorted(found, key=lambda row: row["number"]) == join(asked, rows, **options)
