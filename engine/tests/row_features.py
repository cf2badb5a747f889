"""Row features for tests: a contract, rows, and the same features by every evaluator."""

from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa

from goldpath.contract import Contract
from goldpath.features.row.batch import known_numbers, known_texts, with_features
from goldpath.features.row.document import Definition
from goldpath.features.row.one_row import rows_evaluator, values_evaluator
from goldpath.features.row.sql import with_sql_features
from goldpath.features.row.tracing import Row, RowFeature, row_feature, trace_features
from goldpath.features.row.values import Value
from goldpath.lake.athena.sql import TableReference, athena_sql

from .athena_functions import MACROS, parse_athena, to_duckdb

SCHEMA = pa.schema(
    {
        "x": pa.float64(),
        "y": pa.float64(),
        "i": pa.int64(),
        "j": pa.int64(),
        "b": pa.bool_(),
        "s": pa.string(),
        "t": pa.string(),
        "plan": pa.string(),
    }
)
CONTRACT = Contract.model_validate(
    {
        "dataset": "flats",
        "problem": "classification",
        "source": {"path": "flats.csv"},
        "entity": "flat_id",
        "event_time": {"column": "seen_at"},
        "target": {"column": "rented", "classes": ["no", "yes"]},
        "ignored": {"agent_note": "written after the decision"},
        "features": [
            *({"name": name, "type": "number", "nullable": True} for name in "xy"),
            *({"name": name, "type": "integer", "nullable": True} for name in "ij"),
            {"name": "b", "type": "boolean", "nullable": True},
            *({"name": name, "type": "category", "nullable": True} for name in "st"),
            {
                "name": "plan",
                "type": "category",
                "nullable": True,
                "categories": ["Basic", "Plus"],
                "closed": True,
            },
        ],
    }
)
Found = list[Any]


def traced(*functions: Callable[[Row], Value] | RowFeature) -> tuple[Definition, ...]:
    """Functions as features of the contract above."""
    features = [each if isinstance(each, RowFeature) else row_feature(each) for each in functions]
    return trace_features(features, CONTRACT)


def complete(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with every column; what is not given is missing."""
    return [dict.fromkeys(SCHEMA.names) | row for row in rows]


def one_by_one(
    definitions: Sequence[Definition], rows: Sequence[dict[str, Any]]
) -> dict[str, Found]:
    """What the service's app computes."""
    evaluate = rows_evaluator(definitions)
    found = [evaluate(row) for row in rows]
    return {each.name: [row[each.name] for row in found] for each in definitions}


def from_values(
    definitions: Sequence[Definition], rows: Sequence[dict[str, Any]]
) -> dict[str, Found]:
    """What the service's fast lane computes."""
    names = [each.name for each in definitions]
    evaluate = values_evaluator(definitions, SCHEMA.names, names)
    found = [evaluate(tuple(row[name] for name in SCHEMA.names)) for row in rows]
    return {
        name: [None if value != value else value for value in values]
        for name, values in zip(names, zip(*found, strict=True), strict=True)
    }


def in_batch(definitions: Sequence[Definition], rows: Sequence[dict[str, Any]]) -> dict[str, Found]:
    """What a batch computes."""
    texts = [name for name in SCHEMA.names if pa.types.is_string(SCHEMA.field(name).type)]
    columns = {
        name: known_texts([row[name] for row in rows])
        if name in texts
        else known_numbers(np.array([row[name] for row in rows]))
        for name in SCHEMA.names
    }
    found = with_features(definitions, columns, len(rows))
    return {
        each.name: [
            None if value is None or value != value else value
            for value in found[each.name].tolist()
        ]
        for each in definitions
    }


def in_the_lake(
    definitions: Sequence[Definition],
    rows: Sequence[dict[str, Any]],
    connection: "ibis.backends.duckdb.Backend",
) -> dict[str, Found]:
    """What gold's columns hold."""
    table = ibis.memtable(pa.Table.from_pylist(list(rows), schema=SCHEMA))
    found = connection.to_pyarrow(with_sql_features(definitions, table))
    return {each.name: found[each.name].to_pylist() for each in definitions}


def on_athena(
    definitions: Sequence[Definition],
    rows: Sequence[dict[str, Any]],
    connection: duckdb.DuckDBPyConnection,
) -> dict[str, Found]:
    """What gold's columns hold on Athena, emulated."""
    lake = ibis.table(ibis.Schema.from_pyarrow(SCHEMA), name=TableReference("rows", None, 0).name)
    features = with_sql_features(definitions, lake).select(*(each.name for each in definitions))
    given = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    connection.register("given", given)
    connection.execute("CREATE OR REPLACE TABLE lake.rows AS SELECT * FROM given")
    asked = to_duckdb(parse_athena(athena_sql(features, "lake")))
    found = connection.sql(asked).to_arrow_table()
    return {each.name: found[each.name].to_pylist() for each in definitions}


def emulated_athena() -> duckdb.DuckDBPyConnection:
    """A connection that `on_athena` takes."""
    connection = duckdb.connect(config={"threads": 1})
    for macro in MACROS:
        connection.execute(macro)
    connection.execute("CREATE SCHEMA lake")
    return connection
