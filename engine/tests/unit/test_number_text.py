"""Numbers as people write them are read by adoption, by silver and from files in one meaning."""

import doctest
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goldpath.quality.number_text
from goldpath.adoption.column_inference import infer_feature
from goldpath.adoption.column_profile import ColumnProfile, profile_column
from goldpath.adoption.number_columns import read_numbers
from goldpath.adoption.thousands import find_thousands
from goldpath.contract import Contract
from goldpath.lake.engine import connect_duckdb
from goldpath.quality.file_rows import typed_frame
from goldpath.quality.number_text import plain_number_text, plain_text
from goldpath.quality.typed_rows import check_batch
from goldpath.raw_source import Source
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.number_marks import read_marks

ROWS = 400
NUMBERS = [f"{number:.2f}" for number in np.random.default_rng(3).normal(50, 9, ROWS)]


def profile(values: Sequence[str | None], name: str = "x") -> ColumnProfile:
    column = pa.chunked_array([pa.array(list(values), pa.string())])
    return read_numbers(profile_column(name, column))


def some(word: str, every: int = 16) -> list[str]:
    """Numbers with a word at one place of many."""
    return [word if place % every == 3 else number for place, number in enumerate(NUMBERS)]


# ---- words for a gap, and values of other forms


@pytest.mark.parametrize(
    "word",
    ["#N/A", "<NA>", "-", ".", "\\N", "#DIV/0!", "unknown", "Missing", "inf", "-inf", "(null)"],
)
def test_words_for_a_gap_among_numbers_are_missing_values(word: str) -> None:
    found = profile(some(word))
    feature = infer_feature(found).feature
    assert feature is not None
    assert (feature.type, feature.nullable) == ("number", True)
    assert feature.missing_words == (word,)
    assert repr(word) in infer_feature(found).reason


def test_a_few_ranges_units_and_decimal_commas_do_not_hide_numbers() -> None:
    values = [*NUMBERS, "10-20", "3 - 4.5", "12 kg", "<5", "1,5", "7+"]
    found = profile(values)
    feature = infer_feature(found).feature
    assert feature is not None
    assert feature.type == "number"
    assert set(feature.missing_words) == {"10-20", "3 - 4.5", "12 kg", "<5", "1,5", "7+"}
    assert "are no numbers and read as missing" in infer_feature(found).reason


def test_many_forms_make_what_is_unreadable_missing() -> None:
    ranges = [f"{number} - {number + 1}" for number in range(30)]
    feature = infer_feature(profile([*NUMBERS, *ranges])).feature
    assert feature is not None
    assert (feature.type, feature.unreadable, feature.nullable) == ("number", "missing", True)


@pytest.mark.parametrize(
    "values",
    [
        ["1", "2", "3", "4+"] * 50,  # few numbers: categories
        [*map(str, range(200, 400)), "V45", "E11", "V58"] * 2,  # codes
        ["1", "2", "unknown", "3"] * 50,
        [f"A{number}" for number in range(100)] * 2,  # codes, not amounts in A
        ["007", "012", "#N/A"] * 50,
    ],
)
def test_what_is_no_column_of_numbers_stays_as_it_is(values: list[str]) -> None:
    assert profile(values).missing_words == ()
    assert profile(values).unit == ""


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        (["$12.50", "$7", "-$3.25", "($4.00)"], "$"),
        (["67%", "100%", "5 %"], "%"),
        (["12.5 €", "7€"], "€"),
        (["R$ 5.50", "R$3"], "R$"),
        (["R$\u00a05.50", "R$\u00a03"], "R$"),
        (["Rs. 5.50", "Rs. 3"], "Rs."),
        (["-Fr. 5.50", "Fr. 3"], "Fr."),
        (["12.50\u00a0%", "5\u00a0%"], "%"),
        (["00%", "05%", "40%"], "%"),
    ],
)
def test_a_unit_is_kept_in_the_contract(texts: list[str], unit: str) -> None:
    found = profile(texts * 50)
    feature = infer_feature(found).feature
    assert feature is not None
    assert feature.unit == unit
    assert feature.is_numeric
    assert repr(unit) in infer_feature(found).reason


def test_padded_numbers_with_a_unit_are_read_by_silver() -> None:
    texts = [f"{place % 60:02}%" for place in range(ROWS)]
    feature = infer_feature(profile(texts)).feature
    assert feature is not None
    assert feature.is_numeric
    described = contract(**feature.model_dump(exclude={"name", "nullable"}))
    read = typed_frame(pa.table({"x": texts, "y": ["1"] * ROWS}), described)["x"].to_pylist()
    assert read == [place % 60 for place in range(ROWS)]


def test_a_word_with_a_point_before_few_numbers_is_a_code() -> None:
    assert profile([f"No. {number}" for number in range(1, 90)] * 4).unit == ""


@pytest.mark.parametrize("currency", ["Rs. ", "Fr. ", "kr ", "€"])
@pytest.mark.parametrize("mark", [",", "."])
def test_the_decimal_mark_is_found_behind_a_currency(
    tmp_path: Path, currency: str, mark: str
) -> None:
    amounts = [f"{currency}{place}{mark}{place % 90 + 10};a" for place in range(200)]
    (tmp_path / "rows.csv").write_text("\n".join(["x;y", *amounts]), encoding="utf-8")
    assert detect_dialect(tmp_path / "rows.csv").decimal == mark


def test_a_unit_of_letters_needs_many_numbers_before_it() -> None:
    assert profile([f"{number} kg" for number in range(10, 90)] * 2).unit == "kg"
    assert profile(["36 months", "60 months"] * 50).unit == ""


# ---- one meaning in Python, in the engine, and in typed files

TEXTS = st.one_of(
    st.text("$-+() .5kg%0\u00a0", max_size=8),
    st.sampled_from(["$5", "-$5.5", "$-5", "($ 5.00)", "5 kg", "5kg", "$", "NA", "-999", "$$5"]),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=40), st.sampled_from(["$", "kg", "%", ""]))
def test_the_engine_reads_what_python_reads(texts: list[str], unit: str) -> None:
    rows = ibis.memtable({"text": texts}, schema={"text": "string"})
    words = ("-999", "#N/A")
    engine = connect_duckdb()
    read = plain_number_text(rows["text"].strip(), unit, words)
    found = engine.to_pyarrow(rows.select(read=read))["read"].to_pylist()
    engine.disconnect()
    assert found == [plain_text(text, unit, words) for text in texts]


def test_the_examples_in_the_docstrings_hold() -> None:
    done = doctest.testmod(goldpath.quality.number_text)
    assert done.attempted
    assert not done.failed


def contract(**feature: Any) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "one",
            "problem": "regression",
            "source": {"path": "rows.csv"},
            "target": {"column": "y", "unit": "€"},
            "features": [{"name": "x", "type": "number", "nullable": True, **feature}],
        }
    )


def test_silver_and_a_batch_read_text_as_the_contract_says() -> None:
    raw = pa.table({"x": ["$1.5", "#N/A", "2", "-999", "about 3"], "y": ["1 €"] * 5})
    described = contract(unit="$", missing_words=["#N/A", "-999"])
    assert typed_frame(raw, described)["x"].to_pylist() == [1.5, None, 2.0, None]
    lenient = contract(unit="$", missing_words=["#N/A", "-999"], unreadable="missing")
    assert typed_frame(raw, lenient)["x"].to_pylist() == [1.5, None, 2.0, None, None]
    assert typed_frame(raw, lenient)["y"].to_pylist() == [1.0] * 5


def test_a_number_for_a_missing_value_is_one_in_a_typed_file_too() -> None:
    described = contract(missing_words=["-999", "inf", "#N/A"])
    batch = pa.record_batch({"x": [1.5, -999.0, float("inf")]})
    checked = check_batch(batch, described)
    assert not checked.problems
    np.testing.assert_array_equal(checked.numbers["x"], [1.5, np.nan, np.nan])


# ---- thousands


def marks(values: list[str], decimal: str = ".", **answers: str) -> tuple[dict[str, str], str]:
    found = find_thousands(pa.table({"x": values}), decimal, answers)
    return dict(found.marks), "; ".join(found.notes)


@pytest.mark.parametrize(
    ("values", "decimal", "expected"),
    [
        (["636", "1.531", "913"], ",", "."),  # the file's commas are decimal
        (["1.531,5", "7,4"], ",", "."),
        (["1.234.567", "12"], ".", "."),  # can be read in one way only
        (["1,234.50", "12.00", "1,000,000"], ".", ","),
        (["$1,250", "$950"], ".", ","),
        (["1 234,5", "12,5"], ",", " "),
        (["1\u00a0234", "12"], ".", " "),
        (["1'234.5", "12.5"], ".", "'"),
        (["₹3,80,714", "₹950"], ".", ","),  # lakh
        (["756,17 €", "1.006 €"], ".", "."),  # the comma has the decimals
        (["1,23", "4,5", "1.5"], ".", None),
        (["756,17 €", "12,5 €", "(7,20 €)", "8 €"], ".", "."),
        (["756,17", "12,5", "7,20", "8"], ".", None),  # could be pairs
        (["1.531", "0.913", "2.5"], ",", None),  # decimal points in a file of decimal commas
        (["52.5200", "13.405"], ",", None),
        (["0,531", "1,250"], ".", None),
        (["12", "13.5"], ".", None),
        (["words, and more", "others"], ".", None),
        (["2024-01-31", "2024-02-28"], ".", None),
    ],
)
def test_a_mark_between_groups_is_found(
    values: list[str], decimal: str, expected: str | None
) -> None:
    assert marks(values, decimal)[0] == ({} if expected is None else {"x": expected})


def test_where_nothing_decides_the_column_is_asked_about() -> None:
    values = ["636", "1.531", "913", "2.250", "1.100"]
    found, note = marks(values)
    assert found == {}
    assert "question" in note
    assert "--as 'x=thousands'" in note
    assert marks(values, x="thousands")[0] == {"x": "."}
    assert marks(["1.531", "913"], ",", x="decimals")[0] == {}


def test_numbers_of_a_thousand_and_more_are_asked_about_too() -> None:
    found, note = marks(["1.000", "12.063", "7.420"])
    assert found == {}
    assert "x has 1.000, and only such. Is it 1000?" in note
    assert marks(["1.000", "12.063", "7.42"])[1] == ""


def test_a_column_beside_it_with_decimals_answers_for_three_throughout() -> None:
    # A wide file of measurements was asked about column by column.
    lengths, shares = ["1.000", "12.063", "7.420"], ["0.5", "1.25", "3.125"]
    for names in (("x", "share"), ("share", "x")):
        columns = dict(zip(("x", "share"), (lengths, shares), strict=True))
        found = find_thousands(pa.table({name: columns[name] for name in names}), ".", {})
        assert found.marks == {}
        (note,) = found.notes
        assert note.startswith("x: three decimals throughout, such as 1.000, read as 1.000, since")
        assert "since share (0.5) has decimals (--as 'x=thousands' if not)" in note
    mixed = pa.table({"x": ["636", "1.531", "2.250", "1.100"], "share": ["0.5", "1.2", "3", "4"]})
    assert "question: x has 1.100, beside" in find_thousands(mixed, ".", {}).notes[0]
    commas = pa.table({"x": ["1,000", "12,063", "7,420"], "share": ["0,5", "1,25", "3"]})
    assert "x: three decimals throughout" in find_thousands(commas, ",", {}).notes[0]
    many = {f"x{place}": lengths for place in range(5)}
    (note,) = find_thousands(pa.table({**many, "share": shares}), ".", {}).notes
    assert note.startswith("x0, x1, x2 and 2 more: three decimals throughout")


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("1.531,5", {"decimal": ",", "thousands": {"x": "."}}, "1531.5"),
        ("913", {"decimal": ",", "thousands": {"x": "."}}, "913"),
        ("7,4", {"decimal": ","}, "7.4"),
        ("12,50 €", {"decimal": ","}, "12.50 €"),
        ("R$ 1.250,50", {"decimal": ",", "thousands": {"x": "."}}, "R$ 1250.50"),
        ("$1,250,000.5", {"thousands": {"x": ","}}, "$1250000.5"),
        ("1 234,5", {"decimal": ",", "thousands": {"x": " "}}, "1234.5"),
        ("a, b", {"decimal": ","}, "a, b"),
        ("1,23,4", {"thousands": {"x": ","}}, "1,23,4"),
        ("₹3,80,714", {"thousands": {"x": ","}}, "₹380714"),
        ("1.006,86 €", {"thousands": {"x": "."}}, "1006.86 €"),
        ("756,17 €", {"thousands": {"x": "."}}, "756.17 €"),
        ("550,29 zł", {"decimal": ","}, "550.29 zł"),
        ("1.014,51 zł", {"decimal": ",", "thousands": {"x": "."}}, "1014.51 zł"),
        ("595,34\u00a0€", {"decimal": ","}, "595.34\u00a0€"),
        ("595,34\u202f€", {"decimal": ","}, "595.34\u202f€"),
        ("-€595,34", {"decimal": ","}, "-€595.34"),
        ("€-595,34", {"decimal": ","}, "€-595.34"),
        ("EUR 196,11", {"decimal": ","}, "EUR 196.11"),
        ("CHF 12,50", {"decimal": ","}, "CHF 12.50"),
        ("856,17 ₽", {"decimal": ","}, "856.17 ₽"),
        ("(12,50 €)", {"decimal": ","}, "(12.50 €)"),
        ("(€ 12,50)", {"decimal": ","}, "(€ 12.50)"),
        ("12,50 Kč", {"decimal": ","}, "12.50 Kč"),
        ("₺12,50", {"decimal": ","}, "₺12.50"),
        ("R$\u00a012,50", {"decimal": ","}, "R$\u00a012.50"),
        ("12,50\u00a0%", {"decimal": ","}, "12.50\u00a0%"),
        ("kr 12,50", {"decimal": ","}, "kr 12.50"),
        ("-,5", {"decimal": ","}, "-.5"),
        ("Room 5,3", {"decimal": ","}, "Room 5,3"),
        ("(1,2)", {"decimal": ","}, "(1,2)"),
        ("(1,2]", {"decimal": ","}, "(1,2]"),
        ("1,5, 2,5", {"decimal": ","}, "1,5, 2,5"),
    ],
)
def test_marks_are_taken_off_as_the_source_says(
    text: str, source: dict[str, Any], expected: str
) -> None:
    rows = pa.record_batch({"x": [text, None]})
    read = read_marks(rows, Source(path="x.csv", **source), is_csv=True)
    assert read["x"].to_pylist() == [expected, None]


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("{} zł", "zł"),
        ("{}\u00a0€", "€"),
        ("-€{}", "€"),
        ("EUR {}", "EUR"),
        ("CHF {}", "CHF"),
        ("({} €)", "€"),
        ("{} Kč", "Kč"),
        ("₺{}", "₺"),
        ("R$\u00a0{}", "R$"),
        ("{}\u00a0%", "%"),
        ("{} ₽", "₽"),
        ("Rs. {}", "Rs."),
        ("Fr.\u00a0{}", "Fr."),
    ],
)
@pytest.mark.parametrize("decimal", [",", "."])
def test_decimal_commas_with_a_currency_are_numbers(written: str, unit: str, decimal: str) -> None:
    amounts = [f"{number * 13 // 100},{number * 13 % 100:02}" for number in range(700, 1200)]
    amounts += [f"1.{number:03},5" for number in range(50)]
    raw = pa.table({"x": [written.format(amount) for amount in amounts]})
    source = Source(path="x.csv", decimal=decimal, thousands=find_thousands(raw, decimal, {}).marks)
    (rows,) = raw.to_batches()
    found = profile(read_marks(rows, source, is_csv=True)["x"].to_pylist())
    assert (found.unit, found.not_numbers, found.missing) == (unit, 0, 0)
    assert np.abs(found.numbers).max() == 1049.5


def test_a_typed_number_is_never_taken_for_thousands() -> None:
    rows = pa.record_batch({"x": ["1.531"]})
    source = Source(path="x.parquet", decimal=",", thousands={"x": "."})
    assert read_marks(rows, source, is_csv=False)["x"].to_pylist() == ["1.531"]
