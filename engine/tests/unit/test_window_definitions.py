"""A window feature is written down as its function says, and refused where it cannot be."""

import json
import re
from collections.abc import Callable
from typing import Any, cast

import pytest

from goldpath.features.row.document import DocumentError
from goldpath.features.window.aggregates import AGGREGATIONS, STATES
from goldpath.features.window.definition import WindowDefinition, parse_window
from goldpath.features.window.feature import WindowFeature, trace_window, window_feature
from goldpath.features.window.geometry import WindowError, seconds_in, tile_width
from goldpath.features.window.rows import Aggregate, Rows
from goldpath.handed_over import ProjectDefinitionError

from ..window_features import COLUMNS, asked, traced


@window_feature(source="payments", over=("30d", "90d"))
def paid(payments: Rows) -> dict[str, Aggregate]:
    """What was paid.

    In dollars.
    """
    by_card = payments.where(payments.method == "card")
    return {"total": by_card.amount.sum(), "count": payments.count()}


def test_columns_are_named_by_feature_aggregate_and_window() -> None:
    definition = traced(paid)
    assert definition.types == {
        "paid_total_30d": "number",
        "paid_total_90d": "number",
        "paid_count_30d": "integer",
        "paid_count_90d": "integer",
    }
    assert definition.description == "What was paid."
    assert definition.read == {"amount": "number", "method": "text"}
    assert list(asked(lambda rows: rows.pieces.sum()).types.items()) == [("paid_7d", "integer")]


def test_a_document_says_everything_and_is_read_back() -> None:
    definition = traced(paid)
    text = json.dumps(definition.dump())
    assert parse_window(json.loads(text)) == definition
    assert parse_window(json.loads(text)).digest == definition.digest


def test_the_digest_is_of_the_meaning() -> None:
    same = WindowFeature("paid", paid.function, "payments", ("30d", "90d"), description="new")
    assert traced(same).digest == traced(paid).digest
    different: list[WindowDefinition] = [
        traced(WindowFeature("paid", paid.function, "payments", ("30d",))),
        traced(WindowFeature("paid", paid.function, "payments", ("30d", "90d"), tile="1h")),
        traced(WindowFeature("paid", paid.function, "payments", ("30d", "90d"), lag="1h")),
        traced(WindowFeature("paid", paid.function, "payments", ("30d", "90d"), including=True)),
        traced(WindowFeature("paid", lambda rows: rows.count(), "payments", ("30d", "90d"))),
    ]
    assert len({traced(paid).digest, *(each.digest for each in different)}) == 6


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tile": 7}, "is not made of whole tiles"),
        ({"tile": 0}, "it says"),
        ({"over": ["soon"]}, "no duration"),
        ({"outputs": []}, "it says"),
        ({"more": 1}, "it says"),
        ({"outputs": [{"name": "x"}]}, "an aggregate says"),
        (
            {"outputs": [{"name": "", "aggregation": "magic", "value": None, "condition": None}]},
            "is no aggregate: 'magic'",
        ),
        (
            {"outputs": [{"name": "", "aggregation": "sum", "value": None, "condition": None}]},
            "sum takes a column",
        ),
    ],
)
def test_a_document_that_is_none_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DocumentError, match=re.escape(problem)):
        parse_window({**traced(paid).dump(), **change})


def test_every_aggregate_has_its_states() -> None:
    assert set(STATES) == set(AGGREGATIONS)


@pytest.mark.parametrize(
    ("windows", "width"),
    [
        (("30d", "90d"), "1d"),
        (("7d",), "6h"),
        (("24h",), "1h"),
        (("24h", "30d"), "1h"),
        (("12h",), "30m"),
        (("90m",), "1m"),
        (("1h", "95s"), "1s"),
        (("2w",), "6h"),
    ],
)
def test_the_width_suits_the_shortest_window(windows: tuple[str, ...], width: str) -> None:
    assert tile_width(tuple(map(seconds_in, windows))) == seconds_in(width)


@pytest.mark.parametrize("text", ["30", "d", "0d", "-1d", "1.5h", "30 d", "1y", ""])
def test_durations_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(WindowError, match="is no duration"):
        seconds_in(text)


REFUSED: list[tuple[Callable[[Rows], Any], str]] = [
    (lambda rows: rows.amount, "returned a RowsValue that is no aggregate"),
    (lambda rows: {}, "returned a dict that is no aggregate"),
    (lambda rows: {"x": 3}, "returned a int as 'x', which is no aggregate"),
    (lambda rows: rows.price.sum(), "paid: 'price' is no column of payments"),
    (lambda rows: rows.customer.last(), "paid: 'customer' is the entity"),
    (lambda rows: rows.event_time.last(), "paid: 'event_time' is the rows' time"),
    (lambda rows: rows.method.sum(), "sum takes numbers, not a text"),
    (lambda rows: rows.late.mean(), "count the rows that fulfil it, or take their share"),
    (lambda rows: rows.late.max(), "max takes numbers or texts, not a boolean"),
    (lambda rows: rows.method.to_time().last(), "last takes no time"),
    (lambda rows: rows.share(rows.amount), "share takes a condition on the rows, not a number"),
    (lambda rows: rows.where(cast("Any", True)), "where takes a condition on the rows, not a bool"),
    (lambda rows: rows.count() + 1, "an aggregate is computed with"),
    (lambda rows: rows.count() == 1, "an aggregate is computed with"),
    (lambda rows: rows.count().log(), "an aggregate has no operation 'log'"),
    (lambda rows: 1 if rows.count() else 2, "asks an aggregate for a truth value"),
    (lambda rows: rows.amount.median(), "a value of rows has no operation 'median'"),
    (lambda rows: len(rows), "use payments.count()"),
    (lambda rows: list(cast("Any", rows)), "a loop goes over the rows"),
    (
        lambda rows: (rows.where(rows.late).amount - rows.amount).sum(),
        "values of rows with different filters stand in one expression",
    ),
    (lambda rows: 1 / 0, "failed in line"),
]


@pytest.mark.parametrize(("function", "problem"), REFUSED, ids=map(str, range(len(REFUSED))))
def test_what_cannot_be_written_down_is_refused_with_its_line(
    function: Callable[[Rows], Any], problem: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=re.escape(problem)) as refused:
        asked(function)
    assert "test_window_definitions.py:" in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"over": ()}, "it has no window"),
        ({"over": ("30x",)}, "'30x' is no duration"),
        ({"over": ("24h", "1d")}, "two windows are equally long"),
        ({"over": ("30d",), "tile": "7d"}, "is not made of whole tiles of 604800 seconds"),
        ({"over": ("30d",), "tile": "1s"}, "10000 are allowed"),
        ({"over": ("10s",)}, "fewer than 24 tiles"),
        ({"over": ("30d",), "lag": "soon"}, "'soon' is no duration"),
        ({"over": ("30d",), "name": "_paid"}, "a column cannot be called '_paid_30d'"),
    ],
)
def test_windows_that_cannot_be_used_are_refused(settings: dict[str, Any], problem: str) -> None:
    feature = window_feature(source="payments", **settings)(lambda rows: rows.count())
    with pytest.raises(ProjectDefinitionError, match=re.escape(problem)) as refused:
        trace_window(feature, entity="customer", columns=COLUMNS)
    assert "test_window_definitions.py:" in str(refused.value)


def test_an_expression_of_a_row_stands_inside_an_aggregate() -> None:
    definition = asked(lambda rows: (2 * rows.amount.clip(0, 100) + rows.pieces).mean())
    assert definition.read == {"amount": "number", "pieces": "integer"}
    assert definition.types == {"paid_7d": "number"}


def test_aggregates_share_what_tiles_hold() -> None:
    definition = asked(
        lambda rows: {
            "mean": rows.amount.mean(),
            "std": rows.amount.std(),
            "sum": rows.amount.sum(),
            "count": rows.amount.count(),
        }
    )
    assert [each.kind for each in definition.states.values()] == ["known", "total", "squares"]
