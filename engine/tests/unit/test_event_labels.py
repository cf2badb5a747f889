"""Labels from events: the rules by brute force, in DuckDB and on Athena, emulated."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import ValidationError

from goldpath.adoption.target_role import parse_event
from goldpath.contract import Contract, ContractError, dump_contract, parse_contract
from goldpath.features.event_labels import (
    Events,
    after_an_event,
    describe_event,
    event_source,
    with_event_label,
)
from goldpath.lake.athena.sql import TableReference, athena_sql
from goldpath.learning.scoring import Predictions
from goldpath.learning.search import held_out_predictions, unseen_scores
from goldpath.settings import TrainingSettings
from goldpath.source_contract import SourceContract

from ..athena_functions import MACROS, parse_athena, to_duckdb

Row = dict[str, Any]

START = datetime(2026, 3, 1)
HOUR = timedelta(hours=1)
ROWS = pa.schema({"id": pa.string(), "event_time": pa.timestamp("us"), "number": pa.int64()})
EVENTS = pa.schema({"who": pa.string(), "event_time": pa.timestamp("us"), "kind": pa.string()})
CANCELLATIONS = SourceContract.model_validate(
    {
        "dataset": "cancellations",
        "source": {"path": "c.csv"},
        "entity": "who",
        "event_time": {"column": "at"},
        "columns": [
            {"name": "kind", "type": "category", "categories": ["left", "paused"], "closed": True},
            {"name": "amount", "type": "number", "nullable": True},
        ],
    }
)


def contract(target: dict[str, Any] | None = None, **changes: Any) -> Contract:
    values: dict[str, Any] = {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "in"},
        "entity": "id",
        "event_time": {"column": "day"},
        "target": {"event": "cancellations", "within": "6h", **(target or {})},
        "features": [{"name": "amount", "type": "number"}],
    }
    return Contract.model_validate(values | changes)


def by_brute_force(given: Contract, rows: list[Row], events: list[Row], until: datetime) -> Any:
    target, found = given.target, {}
    allowed = target.where.get("kind")
    for row in rows:
        own = [
            each["event_time"]
            for each in events
            if each["who"] == row["id"] and each["event_time"] is not None
            if allowed is None or each["kind"] == allowed
        ]
        at, end = row["event_time"], row["event_time"] + 6 * HOUR
        if target.exclude_after_event and any(each <= at for each in own):
            continue
        label = "yes" if any(at < each <= end for each in own) else "no"
        found[row["number"]] = label if end <= until else None
    return found


def in_the_lake(given: Contract, tables: dict[str, pa.Table], until: datetime) -> Any:
    rows, events = (ibis.memtable(tables[name]) for name in ("rows", "events"))
    labelled = with_event_label(rows, given, Events(events, "who", until))
    return _numbered(ibis.duckdb.connect().to_pyarrow(labelled), given)


def on_athena(given: Contract, tables: dict[str, pa.Table], until: datetime) -> Any:
    schemas = {"rows": ROWS, "events": EVENTS}
    held = {
        name: ibis.table(ibis.Schema.from_pyarrow(schema), name=TableReference(name, None, 0).name)
        for name, schema in schemas.items()
    }
    labelled = with_event_label(held["rows"], given, Events(held["events"], "who", until))
    connection = duckdb.connect()
    for macro in MACROS:
        connection.execute(macro)
    connection.execute("CREATE SCHEMA lake")
    for name, table in tables.items():
        connection.register("held", table)
        connection.execute(f"CREATE TABLE lake.{name} AS SELECT * FROM held")  # noqa: S608
        connection.unregister("held")
    sql = to_duckdb(parse_athena(athena_sql(labelled, "lake")))
    return _numbered(connection.sql(sql).to_arrow_table(), given)


def _numbered(table: pa.Table, given: Contract) -> dict[int, str | None]:
    rows = table.to_pylist()
    assert len({row["number"] for row in rows}) == len(rows)
    return {row["number"]: row[given.target.column] for row in rows}


def drawn(seed: int) -> tuple[list[Row], list[Row]]:
    """Rows and events of a few entities on few hours, so that times are often equal."""
    dice = Random(seed)
    times = [START + place * HOUR for place in range(40)]
    rows = [
        {"id": dice.choice("abc"), "event_time": dice.choice(times), "number": number}
        for number in range(60)
    ]
    events = [
        {
            "who": dice.choice("abz"),
            "event_time": dice.choice([*times, None]),
            "kind": dice.choice(["left", "paused"]),
        }
        for _ in range(25)
    ]
    return rows, events


def as_tables(rows: Sequence[Row], events: Sequence[Row]) -> dict[str, pa.Table]:
    return {
        "rows": pa.Table.from_pylist(list(rows), schema=ROWS),
        "events": pa.Table.from_pylist(list(events), schema=EVENTS),
    }


@pytest.mark.parametrize(
    "target",
    [{}, {"where": {"kind": "left"}}, {"exclude_after_event": True}],
    ids=["all events", "some of them", "rows after an event left out"],
)
def test_a_label_is_what_brute_force_says_in_duckdb_and_athena(target: dict[str, Any]) -> None:
    given = contract(target)
    until = START + 33 * HOUR
    for seed in range(2):
        rows, events = drawn(seed)
        tables = as_tables(rows, events)
        expected = by_brute_force(given, rows, events, until)

        assert in_the_lake(given, tables, until) == expected
        assert on_athena(given, tables, until) == expected
        assert {*expected.values()} == {"yes", "no", None}


def test_the_end_of_the_horizon_counts_and_its_beginning_does_not() -> None:
    rows = [{"id": "a", "event_time": START, "number": 0}]
    for after, label in ((0, "no"), (1, "yes"), (6, "yes"), (7, "no")):
        events = [{"who": "a", "event_time": START + after * HOUR, "kind": "left"}]

        found = in_the_lake(contract(), as_tables(rows, events), START + 6 * HOUR)

        assert found == {0: label}, after


def test_a_known_event_gives_no_label_before_the_horizon_is_over() -> None:
    """Else the newest rows would be positive, or have no label."""
    rows = [{"id": "a", "event_time": START, "number": 0}]
    events = [{"who": "a", "event_time": START + HOUR, "kind": "left"}]
    assert in_the_lake(contract(), as_tables(rows, events), START + 5 * HOUR) == {0: None}


def test_rows_after_an_event_are_found() -> None:
    rows, events = drawn(1)
    tables = as_tables(rows, events)
    held, known = (
        ibis.memtable(tables["rows"]),
        Events(ibis.memtable(tables["events"]), "who", None),
    )

    found = ibis.duckdb.connect().to_pyarrow(after_an_event(held, contract(), known))

    everybody = {row["number"] for row in rows}
    excluding = contract({"exclude_after_event": True})
    kept = by_brute_force(excluding, rows, events, START)
    assert {*found["number"].to_pylist()} == everybody - {*kept}
    assert 0 < found.num_rows < len(rows)


def test_a_contract_with_a_target_of_events_is_written_as_it_was_read() -> None:
    given = contract({"where": {"kind": ["left", "paused"]}, "observed_until": "2026-03-01"})
    text = dump_contract(given)

    assert parse_contract(text) == given
    assert "column: cancellations" not in text
    assert (given.target.column, given.horizon) == ("cancellations_within_6h", "6h")
    assert given.target.column not in given.raw_columns
    assert describe_event(given) == (
        "cancellations_within_6h is yes if cancellations has a row of the id where kind is left or "
        "paused within 6h after the row's time, else no"
    )
    own = contract({"column": "left_us", "classes": ["0", "1"]})
    assert parse_contract(dump_contract(own)).target.classes == ("0", "1")


@pytest.mark.parametrize(
    ("target", "changes", "message"),
    [
        ({"within": "0d"}, {}, "within: '0d' is no duration above zero; write a whole number"),
        ({"within": "a month"}, {}, "within: 'a month' is no duration"),
        ({"classes": ["a"]}, {}, "classes: .* are not two"),
        ({"unit": "$"}, {}, "unit is for a column"),
        ({"event": ""}, {}, "within is for a target of events: add event"),
        ({"column": "amount"}, {}, "the target 'amount' is among the features"),
        ({"column": "event_time"}, {}, "'event_time' is a column of gold already"),
        ({"event": "shop"}, {}, "'shop' is the main table"),
        ({}, {"entity": None}, "needs the entity of a row"),
        ({}, {"event_time": None}, "needs the event_time of a row"),
        ({}, {"problem": "regression"}, "so problem is classification, not regression"),
    ],
)
def test_a_target_that_cannot_be_made_names_key_and_value(
    target: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    if target.get("event") == "":
        target = {**target, "column": "x", "classes": ["no", "yes"]}
    with pytest.raises(ValidationError, match=message):
        contract(target, **changes)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"event": "leavers"}, "no source 'leavers'; config/sources holds: cancellations"),
        ({"where": {"sort": "left"}}, "cancellations.yaml has no column 'sort'; it has: kind, am"),
        ({"where": {"kind": "gone"}}, "'gone' is no value .*: kind is one of left, paused"),
        ({"where": {"amount": "much"}}, "'much' is no value .*: amount is a number"),
        ({"observed_until": "2999-01-01"}, "observed_until: 2999-01-01 00:00:00 is still to come"),
    ],
)
def test_events_that_do_not_fit_their_source_are_refused(
    target: dict[str, Any], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        event_source(contract(target), [CANCELLATIONS])
    assert event_source(contract(), [CANCELLATIONS]) is CANCELLATIONS


@pytest.mark.parametrize("text", ["[", "a: b: c", "2024-01-01", "{a: 1}", "null"])
def test_what_is_no_plain_value_is_text(text: str) -> None:
    target = parse_event("event:cancellations", "30d", [f"kind={text}", "open=true", "size=1.5"])

    assert target is not None
    assert target.where == {"kind": text, "open": True, "size": 1.5}


@pytest.mark.parametrize("most_learnt", [None, 200])
def test_rows_that_share_an_event_are_never_predicted_by_a_model_that_saw_one(
    most_learnt: int | None,
) -> None:
    rows = visits()
    seen = {"drawn": 0, "ahead": 0}

    def watched(part: pd.DataFrame, _: Contract, kind: str, *__: object) -> Watched:
        return Watched(part, kind, seen)

    given = contract()
    settings = TrainingSettings(cv_folds=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("goldpath.learning.search.fit", watched)
        drawn = held_out_predictions(rows, given, "drawn", {}, settings, most_learnt=most_learnt)[
            "prediction"
        ]
        ahead = unseen_scores(rows, given, "ahead", {}, settings)

    assert drawn.notna().all(), "the drift reference knows all rows"
    assert 0 < len(ahead) < len(rows)
    assert min(seen.values()) > 0


def visits() -> pd.DataFrame:
    """Forty people, each of whom comes every hour; many of their rows share an event."""
    hours = [START + HOUR * number for number in range(30)]
    values = [(str(who), at) for at in hours for who in range(40)]
    rows = pd.DataFrame(values, columns=["id", "event_time"])
    later = rows["event_time"] >= START + HOUR * 6
    shared = rows["id"].astype(int) % 3 == rows["event_time"].dt.hour // 6 % 3
    return rows.assign(
        amount=1.0, **{contract().target.column: np.where(later & shared, "yes", "no")}
    )


class Watched:
    """A model that no row may be given of whose event it has seen."""

    def __init__(self, part: pd.DataFrame, kind: str, seen: dict[str, int]) -> None:
        self.part, self.kind, self.seen = part, kind, seen

    def predict(self, part: pd.DataFrame) -> Predictions:
        both = part.merge(self.part, on="id", suffixes=("", "_seen"))
        near = (both["event_time"] - both["event_time_seen"]).abs() < 6 * HOUR
        assert not near.any()
        self.seen[self.kind] += len(part)
        return Predictions(["no"] * len(part), None, [0.5] * len(part))
