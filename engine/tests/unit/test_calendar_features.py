"""Cycles and holidays: plain tables, the same in every evaluator, and stored with a version."""

import doctest
import math
import sys
from functools import partial
from typing import Any

import ibis
import pytest

import goldpath.features.row.calendar
from goldpath.features.row.calendar import cyclic_cos, cyclic_sin, is_holiday
from goldpath.features.row.document import Definition, parse_expression
from goldpath.features.row.tracing import row_feature
from goldpath.handed_over import ProjectDefinitionError

from ..row_features import complete, in_batch, in_the_lake, one_by_one, traced

SOME_DAY: Any = "2024-12-25"
THREE: Any = 3


def _everywhere(definition: Definition, rows: list[dict[str, Any]]) -> list[Any]:
    """The feature's values, after all evaluators gave the same ones."""
    known = complete(rows)
    evaluators = (one_by_one, in_batch, partial(in_the_lake, connection=ibis.duckdb.connect()))
    found = [each([definition], known)["made"] for each in evaluators]
    assert found[0] == found[1] == found[2]
    return list(found[0])


def _made(function: Any) -> Definition:
    (definition,) = traced(row_feature(name="made")(function))
    return definition


def test_midnight_stands_beside_the_hour_before_it() -> None:
    rows: list[dict[str, Any]] = [{"i": hour} for hour in (0, 6, 23, 24, -1)] + [{}]

    sines = _everywhere(_made(lambda row: cyclic_sin(row.i, period=24)), rows)
    cosines = _everywhere(_made(lambda row: cyclic_cos(row.i, period=24)), rows)

    assert sines[:2] == [0.0, 1.0]
    assert cosines[:2] == [1.0, 0.0]
    assert sines[2] == pytest.approx(math.sin(-2 * math.pi / 24))
    assert (sines[3], sines[4]) == (sines[0], sines[2])
    assert sines[5] is None


def test_holidays_are_those_of_the_country_and_its_state() -> None:
    rows: list[dict[str, Any]] = [
        {"s": "2024-07-09"},
        {"s": "2024-12-25T23:59:59"},
        {"s": "2024-12-26"},
        {"s": "2036-12-25"},
        {"s": "no day"},
    ]

    brazil = _everywhere(_made(lambda row: is_holiday(row.s.to_time(), "BR")), rows)
    of_state = _everywhere(_made(lambda row: is_holiday(row.s.to_time(), "BR", "SP")), rows)

    assert brazil == [False, True, False, None, None]
    assert of_state == [True, True, False, None, None]


def test_a_stored_definition_holds_its_holidays(monkeypatch: pytest.MonkeyPatch) -> None:
    written = _made(lambda row: is_holiday(row.s.to_time(), "US")).expression.dump()
    monkeypatch.setitem(sys.modules, "holidays", None)

    stored = Definition("made", parse_expression(written))

    assert _everywhere(stored, [{"s": "2012-07-04"}, {"s": "2012-07-05"}]) == [True, False]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda row: is_holiday(row.s.to_time(), "XX"), "Country XX not available"),
        (lambda row: is_holiday(row.s.to_time(), "US", "ZZ"), "subdivision ZZ"),
        (lambda row: is_holiday(row.s.to_time(), "IN", years=(2001, 2060)), "2001 to 2035"),
        (lambda row: is_holiday(row.s.to_time(), "US", years=(2000, 3000)), "to 2100"),
        (lambda row: is_holiday(row.s.to_time(), "US", years=(2020, 2010)), "no first and last"),
        (lambda row: is_holiday(row.s, "US"), "text"),
        (lambda row: is_holiday(SOME_DAY, "US"), "takes a time of the row"),
        (lambda row: cyclic_sin(row.x, period=24), "takes a whole number, not a number"),
        (lambda row: cyclic_sin(row.i, period=1), "from 2 to 366"),
        (lambda row: cyclic_cos(THREE, period=24), "takes a value of the row"),
    ],
)
def test_what_cannot_be_written_down_is_refused_with_its_line(function: Any, said: str) -> None:
    with pytest.raises(ProjectDefinitionError, match=said) as refusal:
        _made(function)

    assert "test_calendar_features.py:" in refusal.value.message


def test_the_documented_examples_run() -> None:
    assert doctest.testmod(goldpath.features.row.calendar).failed == 0
