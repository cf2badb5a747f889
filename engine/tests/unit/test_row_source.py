"""One row's function: no text of a document becomes code, and what it computes has plain types."""

from typing import Any

import pytest

from goldpath.features.row.document import MOST_DEEP, MOST_NODES, Definition, parse_expression
from goldpath.features.row.one_row import rows_evaluator, values_evaluator
from goldpath.features.row.row_source import RowSource

HOSTILE = (
    "x'); __import__('os').abort(); ('",
    'x"\n    raise SystemExit  # ',
    "\\",
    "{0} {value!r} %s",
    "nan",
    "values",
    "k1",
    "row.get",
    "None",
    "\u2028def evaluate(values): return 1",
)


def _definitions(column: str, word: str, name: str) -> list[Definition]:
    """Two features whose every text is one of the three."""
    documents = [
        [
            ["column", [], [column, "text"]],
            ["contains", [0], [word]],
            ["is_in", [0], [word, "other"]],
            ["literal", [], [word]],
            ["equal", [0, 3], []],
            ["map", [0], [[word], [word], word]],
            ["starts_with", [5], [word]],
            ["and", [1, 2], []],
            ["or", [4, 6], []],
            ["and", [7, 8], []],
            ["case", [9, 5, 3], []],
        ],
        [
            ["column", [], [name, "text"]],
            ["column", [], [column, "text"]],
            ["coalesce", [0, 1], []],
            ["ends_with", [2], [word]],
        ],
    ]
    first, second = map(parse_expression, documents)
    return [Definition(name, first), Definition(f"{name} again", second)]


def _source(definitions: list[Definition]) -> list[str]:
    source = RowSource(lambda source, name: f"row.get({source.name_of(name)})")
    for each in definitions:
        source.add(each)
        source.lines.append(source.as_found(each.name))
    return source.lines


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_document_is_in_the_source(text: str) -> None:
    plain = _source(_definitions("column", "word", "name"))

    assert _source(_definitions(text, f"{text}.", f"{text}!")) == plain


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_names(text: str) -> None:
    name = f"{text}!"
    definitions = _definitions(text, text, name)
    row = {text: text}

    by_name = rows_evaluator(definitions)
    by_place = values_evaluator(definitions, [text], [f"{name} again", text, name])

    assert by_name(row) == {text: text, name: text, f"{name} again": True}
    assert by_place((text,)) == (True, text, text)
    assert by_name({text: "else"}) == {text: "else", name: text, f"{name} again": True}


def test_the_function_reaches_no_builtin_but_those_that_it_uses() -> None:
    function: Any = rows_evaluator(_definitions("column", "word", "name"))

    assert function.__globals__["__builtins__"] == {}
    assert not {"eval", "exec", "open", "getattr", "__import__"} & {*function.__globals__}


def test_the_largest_expressions_are_compiled() -> None:
    pairs = MOST_NODES // 3 - 2
    wide: list[list[Any]] = [["column", [], ["x", "number"]]]
    inputs: list[int] = []
    for number in range(pairs):
        wide += [["literal", [], [number]], ["equal", [0, len(wide)], []]]
        inputs += [len(wide) - 1, len(wide) - 2]
    wide.append(["case", [*inputs, 0], []])
    deep: list[list[Any]] = [["column", [], ["wide", "number"]], ["literal", [], [1]]]
    while len(deep) < MOST_DEEP:
        deep.append(["add", [0, 1] if len(deep) == 2 else [len(deep) - 1, 1], []])
    definitions = [
        Definition("wide", parse_expression(wide)),
        Definition("deep", parse_expression(deep)),
    ]

    row = rows_evaluator(definitions)({"x": 3})

    assert (row["wide"], row["deep"]) == (3.0, 3.0 + MOST_DEEP - 2)


def test_a_feature_that_is_read_as_another_type_is_read_as_a_column_of_that_type() -> None:
    """As no function of a project traces it, but as a document may say."""
    whole = parse_expression([["column", [], ["x", "number"]], ["floor", [0], []]])
    as_truth = parse_expression([["column", [], ["whole", "boolean"]], ["not", [0], []]])
    as_text = parse_expression([["column", [], ["whole", "text"]], ["is_missing", [0], []]])
    as_number = parse_expression([["column", [], ["whole", "number"]]])
    evaluate = rows_evaluator(
        [
            Definition("whole", whole),
            Definition("truth", as_truth),
            Definition("text", as_text),
            Definition("number", as_number),
        ]
    )

    one, seven = evaluate({"x": 1.5}), evaluate({"x": 7.0})

    assert one == {"x": 1.5, "whole": 1, "truth": False, "text": True, "number": 1.0}
    assert seven == {"x": 7.0, "whole": 7, "truth": None, "text": True, "number": 7.0}
    assert type(seven["whole"]) is int
    assert type(seven["number"]) is float


def test_values_have_plain_types_and_missing_ones_are_none() -> None:
    whole = parse_expression([["column", [], ["x", "number"]], ["floor", [0], []]])
    definitions = [Definition("whole", whole)]
    evaluate = rows_evaluator(definitions)
    infinite = parse_expression([["column", [], ["x", "number"]], ["multiply", [0, 0], []]])
    squared = [Definition("squared", infinite)]

    assert type(evaluate({"x": 2.5})["whole"]) is int
    assert [evaluate(row)["whole"] for row in ({}, {"x": None}, {"x": float("nan")})] == [None] * 3
    assert rows_evaluator(squared)({"x": 1e200})["squared"] is None
    (found,) = values_evaluator(squared, ["x"], ["squared"])((1e200,))
    assert found != found


def test_columns_come_back_as_they_were_sent() -> None:
    whole = parse_expression([["column", [], ["x", "number"]], ["floor", [0], []]])
    evaluate = values_evaluator([Definition("whole", whole)], ["b", "x", "s"], ["whole", "s", "x"])

    assert evaluate((True, 3, "text")) == (3.0, "text", 3)
    assert type(evaluate((None, 3, None))[2]) is int
