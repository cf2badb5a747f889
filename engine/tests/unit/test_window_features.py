"""Each aggregate of a window feature, worked by hand: in the lake, on Athena, in the service.

Planning a query costs more than answering it, so each asks for much at once.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from goldpath.features.row.document import DocumentError
from goldpath.features.views import FeatureError
from goldpath.features.window.definition import WindowDefinition
from goldpath.features.window.rows import Aggregate, Rows
from goldpath.features.window.tiles import EntityTiles, unknown, values_at
from goldpath.lake.engine import connect_duckdb

from ..window_features import (
    DAY,
    START,
    Row,
    asked,
    by_brute_force,
    in_the_lake,
    in_the_service,
    on_athena,
    questions,
    stored,
)

SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
AT = START + 10 * DAY

Function = Callable[[Rows], Aggregate]


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    """One engine for all tests here."""
    engine = connect_duckdb()
    yield engine
    engine.disconnect()


def everywhere(
    definition: WindowDefinition, rows: list[Row], given: Sequence[Row], connection: Any
) -> list[dict[str, Any]]:
    """The answers, which are the same from all evaluators."""
    found = in_the_lake([definition], rows, given, connection)
    assert on_athena([definition], rows, given) == found
    assert [by_brute_force(definition, rows, question) for question in given] == found
    held = stored(definition, rows, connection)
    assert [in_the_service(definition, held, question) for question in given] == found
    return found


ROWS: list[Row] = [
    {"event_time": START + 4 * DAY, "amount": 0.1, "pieces": 2, "late": True, "method": "card"},
    {"event_time": START + 5 * DAY, "amount": 0.2, "pieces": 3, "late": False, "method": "bank"},
    {"event_time": START + 6 * DAY, "amount": None, "pieces": None, "late": None, "method": "card"},
    {"event_time": START + 7 * DAY, "amount": 0.3, "pieces": 3, "late": True, "method": None},
    {"event_time": START + 7 * DAY, "amount": -1.5, "pieces": 7, "late": True, "method": "Ärger"},
    {"event_time": START + 7 * DAY, "amount": 9.0, "customer": "b", "late": True},
    {"event_time": START - 90 * DAY, "amount": 5.0, "customer": "long ago", "late": True},
]
CASES: dict[str, tuple[Function, Any, Any]] = {
    "count": (lambda rows: rows.count(), 5, 0),
    "known": (lambda rows: rows.amount.count(), 4, 0),
    "sum": (lambda rows: rows.amount.sum(), -0.9, 0.0),
    "sum_of_integers": (lambda rows: rows.pieces.sum(), 15, 0),
    "mean": (lambda rows: rows.amount.mean(), -0.225, None),
    "mean_of_integers": (lambda rows: rows.pieces.mean(), 3.75, None),
    "std": (lambda rows: rows.amount.std(), 0.8539125638299665, None),
    "std_of_integers": (lambda rows: rows.pieces.std(), 2.217355782608345, None),
    "min": (lambda rows: rows.amount.min(), -1.5, None),
    "max": (lambda rows: rows.amount.max(), 0.3, None),
    "min_of_texts": (lambda rows: rows.method.min(), "bank", None),
    "max_of_texts": (lambda rows: rows.method.max(), "Ärger", None),
    "first": (lambda rows: rows.amount.first(), 0.1, None),
    "first_text": (lambda rows: rows.method.first(), "card", None),
    # The largest of the two values at that time.
    "last": (lambda rows: rows.amount.last(), 0.3, None),
    "last_boolean": (lambda rows: rows.late.last(), True, None),
    "distinct": (lambda rows: rows.pieces.distinct_count(), 3, 0),
    "distinct_texts": (lambda rows: rows.method.distinct_count(), 3, 0),
    "share": (lambda rows: rows.share(rows.late), 0.6, None),
    "seconds": (lambda rows: rows.seconds_since_last(), 3 * 86_400.0, None),
    "days": (lambda rows: rows.days_since_last(), 3.0, None),
    "filtered": (lambda rows: rows.where(rows.method == "card").count(), 2, 0),
    "filtered_sum": (lambda rows: rows.where(rows.method == "card").amount.sum(), 0.1, 0.0),
    "filtered_twice": (
        lambda rows: rows.where(rows.late).where(rows.amount > 0).pieces.sum(),
        5,
        0,
    ),
    "filtered_share": (lambda rows: rows.where(rows.late).share(rows.amount > 0), 2 / 3, None),
    "filtered_days": (lambda rows: rows.where(rows.method == "bank").days_since_last(), 5.0, None),
    "expression": (lambda rows: (1 - rows.amount).abs().max(), 2.5, None),
    "of_texts": (lambda rows: rows.method.lower().starts_with("b").first(), False, None),
}


@pytest.fixture(scope="module")
def answers(connection: Any) -> list[dict[str, Any]]:
    """All cases for three customers, who have rows, none in the window, and none at all."""
    definition = asked(lambda rows: {name: ask(rows) for name, (ask, _, _) in CASES.items()})
    given = questions(*((customer, AT) for customer in ("a", "long ago", "nobody")))
    return everywhere(definition, ROWS, given, connection)


@pytest.mark.parametrize("name", CASES)
def test_aggregates(name: str, answers: list[dict[str, Any]]) -> None:
    _, expected, without_rows = CASES[name]
    assert [each[f"paid_{name}_7d"] for each in answers] == [expected, without_rows, without_rows]


def test_a_question_without_a_customer_or_a_time_gets_what_nobody_has(connection: Any) -> None:
    definition = asked(lambda rows: {"n": rows.count(), "last": rows.amount.last()})
    given = questions((None, AT), ("a", None))
    rows = [*ROWS, {"customer": None, "event_time": START + 7 * DAY, "amount": 1.0}]
    nothing = {"paid_n_7d": 0, "paid_last_7d": None}
    assert in_the_lake([definition], rows, given, connection) == [nothing] * 2
    assert on_athena([definition], rows, given) == [nothing] * 2


BOUNDARIES = (
    (AT + MICROSECOND, False, False),
    (AT, False, True),
    (AT - MICROSECOND, True, True),
    (AT - 7 * DAY + MICROSECOND, True, True),
    (AT - 7 * DAY, True, False),
    (AT - 7 * DAY - MICROSECOND, False, False),
)


@pytest.mark.parametrize("including", [False, True])
def test_which_end_of_a_window_belongs_to_it(connection: Any, *, including: bool) -> None:
    definition = asked(lambda rows: rows.count(), including=including)
    rows: list[Row] = [
        {"customer": str(number), "event_time": time}
        for number, (time, *_) in enumerate(BOUNDARIES)
    ]
    given = questions(*((str(number), AT) for number in range(len(rows))))
    found = everywhere(definition, rows, given, connection)
    assert [each["paid_7d"] for each in found] == [each[1 + including] for each in BOUNDARIES]


def test_a_window_ends_with_the_last_whole_tile_that_the_lag_leaves(connection: Any) -> None:
    rows = [{"event_time": AT + SECOND}, {"event_time": AT - SECOND}, {"event_time": AT - 7 * DAY}]
    given = questions(*(("a", AT + hours * 3600 * SECOND) for hours in (-1, 0, 1, 2, 24, 26)))
    at_once = everywhere(asked(lambda rows: rows.count()), rows, given, connection)
    assert [each["paid_7d"] for each in at_once] == [1, 2, 2, 2, 2, 2]
    lagging = everywhere(asked(lambda rows: rows.count(), lag="2h"), rows, given, connection)
    assert [each["paid_7d"] for each in lagging] == [1, 1, 1, 2, 2, 2]


VALUES: tuple[tuple[list[float], Any, Any, Any], ...] = (
    ([2.0**43, 1.0], None, None, 2.0**43),
    ([-(2.0**43)], None, None, -(2.0**43)),
    ([2.0**43, -(2.0**43)], None, None, 2.0**43),
    ([0.1] * 7, 0.7000000000000001, 0.0, 0.1),  # as math.fsum has it
    ([1e9 + 0.1] * 7, 7_000_000_000.7, 0.0, 1e9 + 0.1),
    ([-12.34] * 5, -61.7, 0.0, -12.34),
    ([1e12, 0.25, -1e12, 0.5], 0.75, 816496580927.7261, 1e12),
    ([-0.0], 0.0, None, 0.0),
)


def test_sums_depend_on_no_order_and_equal_values_do_not_deviate(connection: Any) -> None:
    definition = asked(
        lambda rows: {
            "sum": rows.amount.sum(),
            "mean": rows.amount.mean(),
            "std": rows.amount.std(),
            "max": rows.amount.max(),
        }
    )
    rows = [
        {"customer": str(number), "event_time": AT - DAY, "amount": value}
        for number, (values, *_) in enumerate(VALUES)
        for value in values
    ]
    given = questions(*((str(number), AT) for number in range(len(VALUES))))
    found = everywhere(definition, rows, given, connection)
    assert [(each["paid_sum_7d"], each["paid_std_7d"], each["paid_max_7d"]) for each in found] == [
        (total, deviation, most) for _, total, deviation, most in VALUES
    ]
    assert [each["paid_mean_7d"] for each in found] == [
        None if total is None else total / len(values) for values, total, _, _ in VALUES
    ]
    assert in_the_lake([definition], rows[::-1], given, connection) == found


def test_nan_and_infinity_are_missing(connection: Any) -> None:
    definition = asked(lambda rows: {"n": rows.amount.count(), "s": rows.amount.sum()})
    bad = [float("nan"), float("inf"), -float("inf"), 1.0]
    rows = [{"event_time": AT - DAY, "amount": value} for value in bad]
    given = questions(("a", AT))
    assert in_the_lake([definition], rows, given, connection) == [{"paid_n_7d": 1, "paid_s_7d": 1}]


def test_no_row_after_the_question_changes_an_answer(connection: Any) -> None:
    definition = asked(
        lambda rows: {"n": rows.count(), "l": rows.amount.last(), "d": rows.days_since_last()},
        ("7d", "30d"),
    )
    times = [AT + hours * SECOND * 3600 for hours in (0, 7, 24)]
    rows = [{**row, "customer": str(number)} for number in range(len(times)) for row in ROWS]
    later = [
        {"customer": str(number), "event_time": at + step * 5_000 * SECOND, "amount": 99.0}
        for number, at in enumerate(times)
        for step in range(30)
    ]
    given = questions(*((str(number), at) for number, at in enumerate(times)))
    before = in_the_lake([definition], rows, given, connection)
    assert before[0]["paid_n_7d"] == 6
    assert in_the_lake([definition], [*rows, *later], given, connection) == before


def test_late_rows_change_the_stored_tiles_as_if_they_had_come_in_time(connection: Any) -> None:
    definition = asked(
        lambda rows: {
            "sum": rows.amount.sum(),
            "first": rows.amount.first(),
            "kinds": rows.method.distinct_count(),
        }
    )
    whole = stored(definition, ROWS, connection)["a"]
    early = stored(definition, [*ROWS[2:4], ROWS[5]], connection)["a"]
    late = stored(definition, [*ROWS[:2], ROWS[4]], connection)["a"]
    assert early.with_rows(late.tiles).dump() == whole.dump()
    assert early.replaced(whole.tiles) == whole
    gone = whole.replaced(dict.fromkeys(late.tiles))
    assert gone.tiles.keys() == early.tiles.keys() - late.tiles.keys()


def test_tiles_that_no_window_reaches_are_dropped(connection: Any) -> None:
    definition = asked(lambda rows: rows.count())
    held = stored(definition, ROWS, connection)["a"]
    at = (AT + 2 * DAY - datetime(1970, 1, 1)) // MICROSECOND
    kept = held.since(at)
    assert (len(held.tiles), len(kept.tiles)) == (4, 3)
    assert values_at(kept, at) == values_at(held, at)
    assert EntityTiles.parse(definition, kept.dump()) == kept


def test_tiles_of_another_definition_are_refused() -> None:
    text = unknown(asked(lambda rows: rows.count())).dump()
    with pytest.raises(DocumentError, match="'paid' were made by another definition"):
        EntityTiles.parse(asked(lambda rows: rows.amount.sum()), text)


def test_features_of_one_source_are_asked_together(connection: Any) -> None:
    first = asked(lambda rows: {"n": rows.count()}, ("7d", "3d"))
    second = asked(lambda rows: {"kinds": rows.method.distinct_count()}, "30d")
    third = asked(lambda rows: {"slow": rows.amount.max()}, "2d", tile="2d", lag="1d")
    given = questions(("a", AT), ("b", AT), ("a", AT), (None, AT), ("a", AT + DAY))
    found = in_the_lake([first, second, third], ROWS, given, connection)
    for each in (first, second, third):
        expected = [by_brute_force(each, ROWS, question) for question in given]
        assert [{name: row[name] for name in each.columns} for row in found] == expected


def test_what_cannot_be_asked_is_refused(connection: Any) -> None:
    definition = asked(lambda rows: rows.amount.sum())
    with pytest.raises(FeatureError, match="would stand twice in the result: paid_7d"):
        in_the_lake([definition, definition], ROWS, questions(("a", AT)), connection)
