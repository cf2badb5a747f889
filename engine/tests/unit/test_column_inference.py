"""What a column of text is taken for, and why."""

import math
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from goldpath.adoption.column_inference import Inference, infer_feature, sanity_range
from goldpath.adoption.column_profile import ColumnProfile, profile_column
from goldpath.contract import RESERVED, Feature
from goldpath.domain import NULL_WORDS


def profile(values: Sequence[str | None], name: str = "x") -> ColumnProfile:
    return profile_column(name, pa.chunked_array([pa.array(list(values), pa.string())]))


def infer(values: Sequence[str | None], name: str = "x") -> Inference:
    return infer_feature(profile(values, name))


def feature(values: Sequence[str | None], name: str = "x") -> Feature:
    inference = infer(values, name)
    assert inference.feature is not None, inference.reason
    return inference.feature


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2", "3", "3"], "integer"),
        ([" 41.0", "42.0 ", "7.5", "7.5"], "number"),
        (["1e3", ".5", "5.", "+2"], "number"),
        (["0", "1", "1", "0"], "boolean"),
        (["True", "false", "TRUE", "false"], "boolean"),
        (["Yes", "No", "No", "No"], "category"),
        (["red", "blue", "blue", "red"], "category"),
        (["007", "012", "012", "101"], "category"),
        (["1", "2", "many", "many"], "category"),
    ],
)
def test_the_type_is_read_from_all_values(values: Sequence[str | None], expected: str) -> None:
    assert feature(values).type == expected


@pytest.mark.parametrize("word", [*NULL_WORDS, " ", "NaN", "N/A", "None", None])
def test_words_for_missing_values_make_a_column_nullable(word: str | None) -> None:
    inferred = feature(["1", "2", word, "2"])
    assert (inferred.type, inferred.nullable) == ("integer", True)
    assert not feature(["1", "2", "3", "2"]).nullable


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["18", "65", "40", "40"], (0, 112)),
        (["0.02", "0.9", "0.5", "0.5"], (0, 1)),
        (["-124.35", "-114.31", "-120.0", "-120.0"], (-135, -104)),
        (["-5", "5", "0", "0"], (-15, 15)),
        (["2011", "2012", "2012", "2012"], (1900, 2100)),
        (["7", None, "7", "7"], (0, 14)),
    ],
)
def test_the_range_is_wider_than_what_was_seen(
    values: Sequence[str | None], expected: tuple[float, float]
) -> None:
    inferred = feature(values)
    assert (inferred.minimum, inferred.maximum) == expected
    assert "seen" in infer(values).reason


def test_a_few_bad_values_do_not_hide_a_number() -> None:
    inference = infer(["1.5"] * 200 + ["2.5"] * 200 + ["error"])
    assert inference.feature is not None
    assert inference.feature.type == "number"
    assert "'error' is no number" in inference.reason


def test_up_to_50_categories_are_listed_and_more_leave_the_set_open() -> None:
    listed = feature([f"c{i % 50:02}" for i in range(500)])
    assert listed.categories == tuple(f"c{i:02}" for i in range(50))
    opened = feature([f"c{i % 51}" for i in range(500)])
    assert (opened.type, opened.categories) == ("category", None)


@pytest.mark.parametrize(
    ("values", "asked", "longest"),
    [
        ([f"words and more {i}" for i in range(200)], None, 5_000),
        (["long " * 100, "text"] * 50, None, 5_000),
        (["long " * 1_000, "text"] * 50, None, 10_000),
        ([f"word{i} late" for i in range(200)], "text", 5_000),
    ],
)
def test_several_words_that_hardly_repeat_are_free_text(
    values: list[str], asked: str | None, longest: int
) -> None:
    inference = infer_feature(profile(values), asked)
    found = inference.feature
    assert found is not None
    assert (found.type, found.domain.longest) == ("text", longest)
    assert inference.reason.startswith("free text: ")
    assert "words and" in inference.reason
    assert isinstance(found.domain.accept(found.example), str)


def test_the_example_of_a_free_text_is_made_of_common_words_and_is_nobodys_own() -> None:
    values = [f"call me, number {i} name{i * 7919}" for i in range(200)]
    assert feature(values).example == "call me number"
    assert feature([f"a{i} b{i} c{i} d{i}" for i in range(200)]).example is None
    few = [f"a{i} b{i} {'secret' if i < 4 else 'shared'} {'x' * 4_000}" for i in range(200)]
    assert feature(few).example == "shared"


@pytest.mark.parametrize(
    ("values", "name", "reason"),
    [
        ([None, "", "NA", "?"], "x", "no row has a value"),
        (["a"] * 30, "x", "constant"),
        (["5"] * 30, "x", "constant"),
        ([f"level {i % 10_000}" for i in range(20_000)], "x", "10,000 categories"),
        (["long " * 20_001, "text"] * 50, "x", "free text: values of more than 100,000"),
        ([f"Anna Maria Schmidt {i}" for i in range(200)], "name", "names or addresses"),
        ([f"code{i * 7919}x" for i in range(200)], "x", "--as 'x=text'"),
        (
            [f"{i:064}" * 4 + "=" for i in range(200)],
            "x",
            "up to 257 characters, of fewer than 3 words",
        ),
        ([str(i) for i in range(1, 101)], "x", "an identifier"),
        ([str(i * 7919 % 1000) for i in range(200)], "customerID", "an identifier"),
        ([f"2024-01-{i % 28 + 1:02}" for i in range(100)], "x", "a date"),
        (["1,234.50", "12.00", "1,000,000"] * 30, "x", "separators"),
        (["1.5", "2"] * 30, "_hidden", "rename"),
        (["1.5", "2"] * 30, "Prediction", "rename"),
    ],
)
def test_what_cannot_be_learned_from_is_left_out_with_the_reason(
    values: Sequence[str | None], name: str, reason: str
) -> None:
    inference = infer(values, name)
    assert inference.feature is None
    assert reason in inference.reason


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2", "2", "9"], 2),
        (["0.5", "1.5", "1.5", "99.5"], 1.5),
        (["0", "1", "1", "1"], True),
        (["red", "blue", "blue", None], "blue"),
    ],
)
def test_the_example_is_a_typical_value(values: Sequence[str | None], expected: object) -> None:
    example = feature(values).example
    assert (type(example), example) == (type(expected), expected)


def test_one_value_or_none_is_not_constant() -> None:
    assert feature(["yes", None, "yes", None]).categories == ("yes",)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60)


@example(low=-5e-324, high=0.0)
@given(
    low=st.floats(allow_nan=False, allow_infinity=False),
    high=st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_sanity_range_holds_what_was_seen(low: float, high: float) -> None:
    low, high = sorted((low, high))
    minimum, maximum = sanity_range(low, high, whole=False)
    assert minimum is None or (minimum <= low and math.isfinite(minimum))
    assert maximum is None or (maximum >= high and math.isfinite(maximum))
    if low >= 0 and minimum is not None:
        assert minimum >= 0


@given(
    values=st.lists(NUMBERS.map(str), min_size=2)
    | st.lists(st.text(max_size=6), min_size=2)
    | st.lists(st.sampled_from(["a", "b", "", "1", "0", "NA", " 3", "2.5"]), min_size=2)
)
def test_every_value_lies_in_the_inferred_domain(values: list[str]) -> None:
    column = profile(values)
    inferred = infer_feature(column).feature
    if inferred is None:
        return
    assert inferred.nullable == (column.missing > 0)
    for level in column.levels:
        if inferred.type == "category":
            assert inferred.categories is None or level in inferred.categories
        elif inferred.type == "boolean":
            assert level.lower() in ("true", "false", "0", "1", "0.0", "1.0")
        elif not math.isnan(number := dict(zip(column.levels, column.numbers, strict=True))[level]):
            assert inferred.minimum is None or inferred.minimum <= number
            assert inferred.maximum is None or inferred.maximum >= number
            assert inferred.type == "number" or number == int(number)


def test_a_set_with_a_text_that_sql_cannot_write_is_left_open() -> None:
    inference = infer_feature(profile(["a", "b\0", "a"] * 10))
    assert inference.feature is not None
    assert inference.feature.categories is None
    assert "NUL" in inference.reason


@pytest.mark.parametrize("name", [*RESERVED, "Score", "MODEL_VERSION"])
def test_a_column_named_as_one_of_the_lake_is_left_out(name: str) -> None:
    inferred = infer(["1.5", "2.25", "3.5", "3.5"], name)
    assert inferred.feature is None
    assert "rename the column" in inferred.reason
