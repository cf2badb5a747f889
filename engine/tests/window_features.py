"""Window features for tests: a source, the rules by brute force, and every evaluator."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Any

import duckdb
import ibis
import pyarrow as pa

from goldpath.features.online.store import microseconds
from goldpath.features.row.document import Definition, Expression
from goldpath.features.row.one_row import rows_evaluator
from goldpath.features.row.operations import Type
from goldpath.features.window.definition import Output, WindowDefinition
from goldpath.features.window.feature import WindowFeature, trace_window
from goldpath.features.window.rows import Aggregate, Rows
from goldpath.features.window.sql import with_window_features
from goldpath.features.window.stored import tile_tables, tiles_of
from goldpath.features.window.tiles import EntityTiles, unknown, values_at
from goldpath.lake.athena.sql import TableReference, athena_sql

from .athena_functions import MACROS, parse_athena, to_duckdb

Row = dict[str, Any]
Found = dict[str, Any]

START = datetime(2026, 3, 1)
DAY = timedelta(days=1)
COLUMNS: dict[str, Type] = {
    "amount": "number",
    "pieces": "integer",
    "late": "boolean",
    "method": "text",
}
ROWS = pa.schema(
    {
        "customer": pa.string(),
        "event_time": pa.timestamp("us"),
        "amount": pa.float64(),
        "pieces": pa.int64(),
        "late": pa.bool_(),
        "method": pa.string(),
    }
)
QUESTIONS = pa.schema({"number": pa.int64(), "customer": pa.string(), "at": pa.timestamp("us")})


def traced(feature: WindowFeature) -> WindowDefinition:
    """A feature of the source above."""
    return trace_window(feature, entity="customer", columns=COLUMNS)


def asked(
    function: Callable[[Rows], Aggregate | dict[str, Aggregate]],
    over: str | tuple[str, ...] = "7d",
    *,
    tile: str | None = "1d",
    lag: str | None = None,
    including: bool = False,
) -> WindowDefinition:
    """A function of the source's rows as a definition."""
    over = (over,) if isinstance(over, str) else over
    return traced(WindowFeature("paid", function, "payments", over, tile, lag, including))


def complete(rows: Sequence[Row]) -> list[Row]:
    """Rows with every column: customer `a` at the start, where not said otherwise."""
    usual = {**dict.fromkeys(ROWS.names), "customer": "a", "event_time": START}
    return [usual | row for row in rows]


def questions(*pairs: tuple[str | None, datetime | None]) -> list[Row]:
    """Customers and times, numbered."""
    return [
        {"number": number, "customer": customer, "at": at}
        for number, (customer, at) in enumerate(pairs)
    ]


# ---- by brute force


@cache
def row_evaluator(expression: Expression) -> Callable[[Row], Any]:
    """A function from a row to the expression's value."""
    evaluate = rows_evaluator([Definition("value", expression)])
    return lambda row: evaluate(row)["value"]


def by_brute_force(definition: WindowDefinition, rows: Sequence[Row], question: Row) -> Found:
    """The rules, one question at a time, in whole numbers and fractions."""
    return {
        name: _aggregate(
            output, _in_window(definition, length, complete(rows), question), question["at"]
        )
        for name, (output, length) in definition.columns.items()
    }


def _in_window(
    definition: WindowDefinition, length: int, rows: Sequence[Row], question: Row
) -> list[Row]:
    at, own = question["at"], question["customer"]
    if at is None or own is None:
        return []
    tile = timedelta(seconds=definition.geometry.tile)
    known = at - timedelta(seconds=definition.geometry.lag)
    epoch = datetime(1970, 1, 1)
    end = epoch + (known - epoch) // tile * tile
    start = end - length * tile
    including = definition.geometry.including

    def counts(time: datetime | None) -> bool:
        if time is None:
            return False
        return bool(start < time <= end if including else start <= time < end)

    return [row for row in rows if row["customer"] == own and counts(row["event_time"])]


def _aggregate(output: Output, rows: list[Row], at: datetime | None) -> Any:
    def holds(expression: Any, row: Row) -> bool:
        return expression is None or bool(row_evaluator(expression)(row) is True)

    kept = [row for row in rows if holds(output.condition, row)]
    times = [row["event_time"] for row in kept]
    if output.aggregation == "share":
        held = sum(holds(output.value, row) for row in kept)
        return held / len(kept) if kept else None
    if output.aggregation in ("seconds_since_last", "days_since_last"):
        assert at is not None or not times
        seconds = (at - max(times)) // timedelta(microseconds=1) / 1e6 if at and times else None
        days = output.aggregation == "days_since_last"
        return None if seconds is None else seconds / 86_400 if days else seconds
    if output.value is None:
        return len(kept)
    value = row_evaluator(output.value)
    pairs = sorted((row["event_time"], found) for row in kept if (found := value(row)) is not None)
    return _of_values(output, [found for _, found in pairs])


def _of_values(output: Output, values: list[Any]) -> Any:
    match output.aggregation:
        case "count":
            return len(values)
        case "distinct_count":
            return len(set(values))
        case "first" | "last" if values:
            return values[0 if output.aggregation == "first" else -1]
        case "min" | "max" if values:
            return min(values) if output.aggregation == "min" else max(values)
        case "first" | "last" | "min" | "max":
            return None
    if any(abs(value) >= 2**43 for value in values):
        return None
    total = _rounded(sum((_cut(value) for value in values), Fraction(0)))
    if output.aggregation == "sum" or total is None:
        return int(total) if output.type == "integer" and total is not None else total
    if output.aggregation == "mean":
        return total / len(values) if values else None
    if len(values) < 2:
        return None
    squares = sum((_cut(float(value) * float(value)) for value in values), Fraction(0))
    high, low = divmod(math.floor(squares), 2**30)
    of_squares = float(high) * 2**30 + (float(low) + float(squares - math.floor(squares)))
    spread = of_squares - total * (total / len(values))
    return 0.0 if spread <= of_squares / 2**44 else math.sqrt(spread / (len(values) - 1))


def _cut(value: float) -> Fraction:
    """A value as a multiple of 2**-60, towards zero."""
    return Fraction(int(Fraction(value) * 2**60), 2**60)


def _rounded(total: Fraction) -> float | None:
    whole = math.floor(total)
    return float(whole) + float(total - whole) if abs(whole) < 2**53 else None


# ---- by the engine


def rows_table(rows: Sequence[Row]) -> pa.Table:
    """Rows of the source."""
    return pa.Table.from_pylist(complete(rows), schema=ROWS)


def in_the_lake(
    definitions: Sequence[WindowDefinition],
    rows: Sequence[Row],
    given: Sequence[Row],
    connection: "ibis.backends.duckdb.Backend",
) -> list[Found]:
    """What gold's columns hold."""
    expression = with_window_features(
        definitions,
        ibis.memtable(pa.Table.from_pylist(list(given), schema=QUESTIONS)),
        {"payments": ibis.memtable(rows_table(rows))},
        entity="customer",
        event_time="at",
    )
    return _in_order(connection.to_pyarrow(expression))


def on_athena(
    definitions: Sequence[WindowDefinition], rows: Sequence[Row], given: Sequence[Row]
) -> list[Found]:
    """What gold's columns hold on Athena, emulated."""
    tables = {
        name: ibis.table(ibis.Schema.from_pyarrow(schema), name=TableReference(name, None, 0).name)
        for name, schema in (("rows", ROWS), ("questions", QUESTIONS))
    }
    expression = with_window_features(
        definitions,
        tables["questions"],
        {"payments": tables["rows"]},
        entity="customer",
        event_time="at",
    )
    connection = duckdb.connect()
    for macro in MACROS:
        connection.execute(macro)
    connection.execute("CREATE SCHEMA lake")
    held = {
        "rows": rows_table(rows),
        "questions": pa.Table.from_pylist(list(given), schema=QUESTIONS),
    }
    for name, table in held.items():
        connection.register("held", table)
        connection.execute(f"CREATE TABLE lake.{name} AS SELECT * FROM held")  # noqa: S608
        connection.unregister("held")
    sql = to_duckdb(parse_athena(athena_sql(expression, "lake")))
    return _in_order(connection.sql(sql).to_arrow_table())


def _in_order(table: pa.Table) -> list[Found]:
    ordered = table.sort_by("number").to_pylist()
    return [
        {name: value for name, value in row.items() if name not in QUESTIONS.names}
        for row in ordered
    ]


def stored(
    definition: WindowDefinition,
    rows: Sequence[Row],
    connection: "ibis.backends.duckdb.Backend",
) -> dict[str, EntityTiles]:
    """What `materialize` keeps, by entity."""
    source = ibis.memtable(rows_table(rows))
    tables = [connection.to_pyarrow(each) for each in tile_tables(definition, source)]
    return {
        entity: EntityTiles(definition, {}).with_rows(tiles)
        for entity, tiles in tiles_of(definition, tables).items()
    }


def in_the_service(
    definition: WindowDefinition, held: dict[str, EntityTiles], question: Row
) -> Found:
    """What the service computes from the tiles that it has read."""
    at = question["at"]
    tiles = held.get(question["customer"], unknown(definition))
    read = EntityTiles.parse(definition, tiles.dump())
    return values_at(read, microseconds(at.replace(tzinfo=UTC)))
