"""The lake, the service and a brute-force reading give the same bits: drawn features on drawn rows.

Tiles come in two parts, as rows that were late bring them.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from goldpath.features.window.definition import WindowDefinition
from goldpath.features.window.rows import Aggregate, Rows
from goldpath.features.window.tiles import EntityTiles
from goldpath.lake.engine import connect_duckdb

from ..counts import examples
from ..window_features import (
    START,
    Row,
    asked,
    by_brute_force,
    complete,
    in_the_lake,
    in_the_service,
    on_athena,
    questions,
    stored,
)

HOUR = timedelta(hours=1)
AT_ONCE = 8
GEOMETRIES: tuple[dict[str, Any], ...] = (
    {"over": ("1d", "3d", "10d"), "tile": None},
    {"over": ("4h", "12h"), "tile": "4h", "lag": "90m"},
    {"over": ("6d", "2d"), "tile": "1d", "including": True},
    {"over": ("48h",), "tile": "48h", "lag": "1s"},
)

moments = st.one_of(
    st.integers(-24 * 9, 24 * 9).map(lambda hours: START + hours * HOUR),
    st.integers(-(10**12), 10**12).map(lambda micro: START + timedelta(microseconds=micro)),
)
customers = st.sampled_from(["a", "a", "b", "ä"])
amounts = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(-(10**6), 10**6).map(lambda cents: cents / 100),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 0.1, 2.0**43, 1e-18, -1e-18, 5e-324, 1e308, 12.34, -0.1]),
)
pieces = st.one_of(st.integers(-9, 9), st.integers(-(2**53) + 1, 2**53 - 1))
rows_drawn = st.lists(
    st.fixed_dictionaries(
        {
            "customer": customers,
            "event_time": moments,
            "amount": st.none() | amounts,
            "pieces": st.none() | pieces,
            "late": st.none() | st.booleans(),
            "method": st.none() | st.sampled_from(["card", "bank", "Ärger", "", "🦆"]),
        }
    ),
    max_size=24,
)
questions_drawn = st.lists(st.tuples(st.sampled_from(["a", "b", "ä", "c"]), moments), max_size=6)


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    """One engine for all examples."""
    engine = connect_duckdb()
    yield engine
    engine.disconnect()


def drawn_aggregate(draw: Any, rows: Rows) -> Aggregate:
    """An aggregate of rows that a filter may have left."""
    for _ in range(draw(st.integers(0, 2))):
        rows = rows.where(_condition(draw, rows))
    own = _one(draw, [rows.amount, rows.pieces, rows.amount * 0.1, rows.pieces * 2])
    anything = _one(draw, [own, rows.method, rows.late])
    ordered = _one(draw, [own, rows.method])
    asking: list[Callable[[], Aggregate]] = [
        *(rows.count, anything.count, own.sum, own.mean, own.std, ordered.min, ordered.max),
        *(anything.first, anything.last, anything.distinct_count),
        *(rows.seconds_since_last, rows.days_since_last),
        lambda: rows.share(_condition(draw, rows)),
    ]
    found: Aggregate = _one(draw, asking)()
    return found


def _one(draw: Any, of: Sequence[Any]) -> Any:
    """One of several values, which Hypothesis cannot look up."""
    return of[draw(st.integers(0, len(of) - 1))]


def _condition(draw: Any, rows: Rows) -> Any:
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return rows.late
    if kind == 1:
        return rows.amount > draw(st.integers(-3, 3))
    return rows.method == draw(st.sampled_from(["card", "bank"]))


@st.composite
def features(draw: Any) -> WindowDefinition:
    """A feature of several aggregates."""
    geometry = draw(st.sampled_from(GEOMETRIES))
    return asked(
        lambda rows: {str(number): drawn_aggregate(draw, rows) for number in range(AT_ONCE)},
        **geometry,
    )


@settings(
    max_examples=examples(8, 1_000),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(features(), rows_drawn, questions_drawn, st.integers(0, 24))
def test_the_lake_and_the_service_agree_with_the_rules(
    connection: Any,
    definition: WindowDefinition,
    rows: list[Row],
    pairs: list[Any],
    late: int,
) -> None:
    note(str(definition.dump()))
    given_rows = questions(*pairs)
    expected = [by_brute_force(definition, rows, question) for question in given_rows]
    assert in_the_lake([definition], rows, given_rows, connection) == expected
    held = stored(definition, rows[late:], connection)
    for entity, tiles in stored(definition, rows[:late], connection).items():
        before = held.get(entity, EntityTiles(definition, {}))
        held[entity] = before.with_rows(tiles.tiles)
    assert [in_the_service(definition, held, question) for question in given_rows] == expected


@settings(max_examples=examples(2, 100), suppress_health_check=[HealthCheck.too_slow])
@given(features(), rows_drawn, questions_drawn)
def test_athena_agrees_with_the_rules(
    definition: WindowDefinition, rows: list[Row], pairs: list[Any]
) -> None:
    note(str(definition.dump()))
    given_rows = questions(*pairs)
    expected = [by_brute_force(definition, complete(rows), question) for question in given_rows]
    assert on_athena([definition], rows, given_rows) == expected
