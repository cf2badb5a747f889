"""Row features: traced once, refused where no engine could compute them, kept as a document."""

import doctest
import json
import math
import sys
from typing import Any

import ibis
import numpy as np
import pytest

import goldpath.features.row.cases
import goldpath.features.row.tracing
import goldpath.features.row.values
from goldpath.features.row.cases import case
from goldpath.features.row.document import (
    Definition,
    DocumentError,
    parse_definition,
    parse_expression,
)
from goldpath.features.row.tracing import Row, row_feature
from goldpath.features.row.values import Value
from goldpath.handed_over import ProjectDefinitionError

from ..row_features import (
    complete,
    emulated_athena,
    from_values,
    in_batch,
    in_the_lake,
    on_athena,
    one_by_one,
    traced,
)

MISSING: dict[str, Any] = {}


def _traced(function: Any, **others: Any) -> Definition:
    features = [row_feature(name=name)(each) for name, each in others.items()]
    (made,) = [
        each
        for each in traced(row_feature(name="made")(function), *features)
        if each.name == "made"
    ]
    return made


@pytest.mark.parametrize(
    ("function", "row", "expected"),
    [
        (lambda row: row.x / row.y, {"x": 1.0, "y": 0.0}, None),
        (lambda row: row.x / row.y, {"x": 1.0}, None),
        (lambda row: row.x * row.y, {"x": 1e200, "y": 1e200}, None),
        (lambda row: row.i + row.j, {"i": 2**53 - 1, "j": 1}, None),
        (lambda row: row.i + row.j, {"i": 2**53 - 2, "j": 1}, 2**53 - 1),
        (lambda row: row.i // row.j, {"i": -7, "j": 2}, -4),
        (lambda row: row.i // row.j, {"i": -7, "j": 0}, None),
        (lambda row: row.i % row.j, {"i": -7, "j": 3}, 2),
        (lambda row: row.i / row.j, {"i": 7, "j": 2}, 3.5),
        (lambda row: 10 - row.i, {"i": 3}, 7),
        (lambda row: row.i**3, {"i": -3}, -27),
        (lambda row: row.x.round(), {"x": 2.5}, 3),
        (lambda row: row.x.round(), {"x": -0.5}, -1),
        (lambda row: row.x.round(), {"x": 0.49999999999999994}, 0),
        (lambda row: row.x.round(2), {"x": 1.256}, 1.26),
        (lambda row: row.x.floor(), {"x": 1e300}, None),
        (lambda row: row.x.sqrt(), {"x": -1.0}, None),
        (lambda row: row.x.log(), {"x": 0.0}, None),
        (lambda row: row.x.exp(), {"x": 1000.0}, None),
        (lambda row: row.x.clip(0, 10), {"x": 11.5}, 10.0),
        (lambda row: row.x.clip(low=0), {"x": -1.0}, 0.0),
        (lambda row: row.x.clip(0, 10), MISSING, None),
        (lambda row: row.x == 0.1, {"x": 0.1}, True),
        (lambda row: row.x == 0.1, MISSING, None),
        (lambda row: row.b & (row.x > 1), {"b": False}, False),
        (lambda row: row.b | (row.x > 1), {"b": True}, True),
        (lambda row: row.b & (row.x > 1), {"b": True}, None),
        (lambda row: row.x.is_missing(), MISSING, True),
        (lambda row: row.x.coalesce(row.y, -1), MISSING, -1.0),
        (lambda row: case((row.x > 1, "high"), otherwise="low"), MISSING, "low"),
        (lambda row: case((row.x > 1, "high")), {"x": 0.0}, None),
        (lambda row: row.s < row.t, {"s": "Z", "t": "a"}, True),
        (lambda row: row.s < row.t, {"s": "z", "t": "é"}, True),
        (lambda row: row.s < row.t, {"s": "\ufb00", "t": "🦆"}, True),
        (lambda row: row.s.lower(), {"s": "AÇÃO ΣЖ İ"}, "ação σж İ"),
        (lambda row: row.s.strip(), {"s": "\t a\u00a0\n"}, "a\u00a0"),
        (lambda row: row.s.length(), {"s": "🦆é"}, 2),
        (lambda row: row.s.contains("%"), {"s": "ab"}, False),
        (lambda row: row.s.extract(r"-(\d+)$"), {"s": "a-12"}, "12"),
        (lambda row: row.s.extract(r"-(\d+)$"), {"s": "a-12\n"}, None),
        (lambda row: row.s.extract(r"^a[(]b\\$"), {"s": "a(b\\"}, "a(b\\"),
        (lambda row: row.s.extract(r"a\$"), {"s": "a$b"}, "a$"),
        (lambda row: row.s.extract(r"\d+"), {"s": "٣ 4"}, "4"),
        (lambda row: row.s.is_in("a", "b"), {"s": "b"}, True),
        (lambda row: row.s.is_in("a", "b"), MISSING, None),
        (lambda row: row.s.map({"a": 1, "b": 2.5}, default=0), {"s": "c"}, 0.0),
        (lambda row: row.s.map({"a": 1}, default=0), MISSING, None),
        (lambda row: row.b.map({True: "yes", False: "no"}), {"b": False}, "no"),
        (lambda row: row.s.to_time().year(), {"s": "2025-01-01T01:00+02:00"}, 2024),
        (lambda row: row.s.to_time().weekday(), {"s": "2026-11-29"}, 6),
        (lambda row: row.s.to_time().hour(), {"s": "1969-12-31 22:05"}, 22),
        (lambda row: row.s.to_time().minute(), {"s": "1969-12-31 22:05:59"}, 5),
        (lambda row: row.s.to_time().year(), {"s": "2023-02-29"}, None),
        (lambda row: row.s.to_time().year(), {"s": "2023-2-9"}, None),
        (
            lambda row: row.s.to_time().days_since(row.t.to_time()),
            {"s": "2024-03-01 12:00", "t": "2024-02-28"},
            2.5,
        ),
        (lambda row: row.s.to_time().days_since("2024-02-28"), {"s": "2024-03-01 12:00"}, 2.5),
    ],
)
def test_an_operation_means_the_same_to_each_evaluator(
    function: Any, row: dict[str, Any], expected: Any
) -> None:
    definitions = (_traced(function),)
    each_row = complete([row])

    assert one_by_one(definitions, each_row) == {"made": [expected]}
    assert from_values(definitions, each_row) == {"made": [expected]}
    assert in_batch(definitions, each_row) == {"made": [expected]}
    assert in_the_lake(definitions, each_row, ibis.duckdb.connect()) == {"made": [expected]}
    assert on_athena(definitions, each_row, emulated_athena()) == {"made": [expected]}


def _branches(row: Row) -> Value:
    if row.x > 1:
        return row.x
    return row.y


@pytest.mark.parametrize(
    ("function", "problem", "fix"),
    [
        (_branches, "`if`", "case"),
        (lambda row: row.x if row.b else row.y, "`if`", "case"),
        (lambda row: 1 < row.x < 3, "chain such as a < b < c", "&"),
        (lambda row: row.s in ("a", "b"), "truth value", "case"),
        (lambda row: "a" in row.s, "`in`", "contains"),
        (lambda row: {"a": 1}[row.s], "looked up in a set or a dict", "map"),
        (lambda row: np.log(row.x), r"numpy\.log", "log()"),
        (lambda row: math.log(row.x), r"math\.log", "log()"),
        (lambda row: sum(row.x), "a loop", "operations of the value"),
        (lambda row: next(iter(row)), "a loop", "name the columns"),
        (lambda row: row.x.rolling(3), "no operation 'rolling'", "it has: abs"),
        (lambda row: row.s + 1, "add takes number or integer", ""),
        (lambda row: row.s == 1, "different types: integer, text", ""),
        (lambda row: row.x.lower(), "lower takes text values, not a number", ""),
        (lambda row: row.x**0.5, r"\*\* 0\.5", "sqrt"),
        (lambda row: row.x + float("nan"), "not finite", ""),
        (lambda row: row.x + 2**60, "above 9007199254740991", ""),
        (lambda row: row.s.extract("(a|b)"), "alike in every engine", ""),
        (lambda row: row.s.extract("(?i)a"), "alike in every engine", ""),
        (lambda row: row.s.extract("(a+)+"), "alike in every engine", ""),
        (lambda row: row.s.to_time(), "returns a time", "year"),
        (lambda row: row.s.to_time() - 1, "- of a time", "days_since"),
        (lambda row: row.s.to_time().days_since("2023-02-29"), "'2023-02-29' is no time", "write"),
        (lambda row: row.s.to_time().days_since(7), "7 is no time", "write"),
        (lambda row: 3, "returned a int", "return what is computed from the row"),
        (lambda row: None, "returned a NoneType", ""),
        (lambda row: row.rented, "made → rented: 'rented' is the target", "may read: x, y"),
        (lambda row: row.flat_id, "'flat_id' is the entity", ""),
        (lambda row: row.seen_at, "the row's time, which no request sends", ""),
        (lambda row: row.agent_note, "left out by config/project.yaml", ""),
        (lambda row: row.nope, "made → nope: 'nope' is no column", ""),
        (lambda row: 1 / 0, "failed in line", ""),
    ],
)
def test_what_no_engine_could_compute_is_refused_with_its_line(
    function: Any, problem: str, fix: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=problem) as refusal:
        _traced(function)

    assert f"{__file__}:" in refusal.value.message
    assert fix in refusal.value.fix


def test_the_line_of_an_if_is_named_and_not_that_of_its_function() -> None:
    with pytest.raises(ProjectDefinitionError) as refusal:
        _traced(_branches)

    line = _branches.__code__.co_firstlineno + 1
    assert refusal.value.message.startswith(f"{__file__}:{line}: ")


def test_a_circle_is_refused_with_its_path() -> None:
    with pytest.raises(ProjectDefinitionError, match="made → second → third → made"):
        _traced(
            lambda row: row.second, second=lambda row: row.third, third=lambda row: row.made + 1
        )


def test_a_target_behind_another_feature_is_refused_with_the_path() -> None:
    with pytest.raises(ProjectDefinitionError, match="made → second → rented"):
        _traced(lambda row: row.second, second=lambda row: row.rented)


@pytest.mark.parametrize("name", ["x", "rented", "prediction", "_own", "agent_note", "seen_at"])
def test_a_feature_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ProjectDefinitionError, match="cannot be called"):
        traced(row_feature(name=name)(lambda row: row.y))


def test_features_come_after_those_that_they_read() -> None:
    second = row_feature(name="second")(lambda row: row.first * 2)
    first = row_feature(name="first")(lambda row: row.x + 1)

    definitions = traced(second, first)

    assert [each.name for each in definitions] == ["first", "second"]
    assert one_by_one(definitions, complete([{"x": 2.0}])) == {"first": [3.0], "second": [6.0]}


def test_equal_parts_stand_once_in_the_document() -> None:
    made = _traced(lambda row: (row.x + 1) / (row.x + 1))

    assert [node.operation for node in made.expression.nodes] == [
        "column",
        "literal",
        "add",
        "divide",
    ]


def test_a_document_is_read_as_it_was_written() -> None:
    made = _traced(lambda row: case((row.s.is_in("a", "b"), row.s.map({"a": 1})), otherwise=2))

    again = parse_definition(json.loads(json.dumps(made.dump())))

    assert again == made
    assert again.digest == made.digest


def test_another_formula_has_another_digest_and_another_description_has_not() -> None:
    one, other = _traced(lambda row: row.x + 1), _traced(lambda row: row.x + 1.0)

    assert one.digest != other.digest
    assert one.digest == Definition("made", one.expression, "said otherwise").digest


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        [["launch", [], []]],
        [["add", [0, 0], []]],
        [["column", [], ["x", "number"]], ["add", [0, 1], []]],
        [["column", [], ["x", "number"]], ["lower", [0], []]],
        [["column", [], ["x", "number"]], ["map", [0], [1, 2]]],
        [["column", [], ["x", "matrix"]]],
        [["column", [], ["x", "number"]]] * 501,
        ["column"],
    ],
)
def test_a_document_that_no_evaluator_knows_is_refused(document: Any) -> None:
    with pytest.raises(DocumentError):
        parse_expression(document)


def test_a_definition_with_more_than_it_may_say_is_refused() -> None:
    made = _traced(lambda row: row.x + 1).dump()

    with pytest.raises(DocumentError):
        parse_definition({**made, "code": "import os"})


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda row: case((row.x > 1, "high"), otherwise="low"), ("high", "low")),
        (lambda row: row.plan.lower().coalesce("none"), ("basic", "none", "plus")),
        (lambda row: row.s.coalesce("none"), None),
        (lambda row: row.plan.map({"Basic": "b"}, default="other"), ("b", "other")),
    ],
)
def test_the_texts_that_a_feature_can_be_are_known_where_it_tells(
    function: Any, expected: Any
) -> None:
    assert _traced(function).categories == expected


def test_a_deep_expression_is_computed_and_a_deeper_one_refused() -> None:
    def chain(length: int) -> Any:
        def function(row: Row) -> Value:
            value = row.x
            for _ in range(length):
                value = (value * value).sqrt()
            return value

        return function

    definitions = (_traced(chain(49)),)

    assert in_the_lake(definitions, complete([{"x": 3.0}]), ibis.duckdb.connect()) == {
        "made": [3.0]
    }
    with pytest.raises(ProjectDefinitionError, match="101 operations inside each other"):
        _traced(chain(50))


def test_row_features_are_computed_without_ibis_or_pyarrow() -> None:
    import subprocess

    code = (
        "import sys, goldpath.features.row.batch, goldpath.features.row.tracing; "
        "print([x for x in ('ibis', 'duckdb', 'pyarrow', 'pandas') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_examples_hold() -> None:
    for module in (
        goldpath.features.row.cases,
        goldpath.features.row.tracing,
        goldpath.features.row.values,
    ):
        assert doctest.testmod(module).failed == 0
