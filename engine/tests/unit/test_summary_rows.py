"""Rows that sum up the others, and numbers that stand for a gap, are found before training."""

import time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from goldpath.adoption.column_profile import profile_column
from goldpath.adoption.infer import AdoptionRequest, Inferred, infer_contract
from goldpath.adoption.sentinels import find_sentinel
from goldpath.adoption.summary_rows import find_summary_rows
from goldpath.adoption.target_role import decide_target
from goldpath.quality.file_rows import divide_file
from goldpath.raw_source import Source

ROWS = 300


def shops(rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(6)
    visits = random.integers(100, 500, rows)
    spend = random.normal(50, 9, rows).round(1)
    return pd.DataFrame(
        {
            "region": random.choice(["north", "south", "east"], rows),
            "visits": visits,
            "spend": spend,
            "revenue": (2 * visits + spend * random.normal(3, 0.5, rows)).round(2),
        }
    )


def text(frame: pd.DataFrame) -> pa.Table:
    return pa.table(
        {
            name: pa.array([None if pd.isna(v) else str(v) for v in frame[name]], pa.string())
            for name in frame.columns
        }
    )


def with_row(frame: pd.DataFrame, **row: Any) -> pd.DataFrame:
    values: dict[str, Any] = {name: [*frame[name]] for name in frame.columns}
    for name, column in values.items():
        is_number = pd.api.types.is_numeric_dtype(frame[name])
        column.append(row.get(name, round(float(frame[name].sum()), 2) if is_number else None))
    return pd.DataFrame(values)


def adopted(raw: pa.Table, target: str = "revenue") -> Inferred:
    return infer_contract(raw, Source(path="d.csv"), "d", AdoptionRequest(target), 0.995)


@pytest.mark.parametrize("word", ["GRAND TOTAL", "Total:", "Gesamtergebnis"])
def test_a_total_row_is_refused_and_the_honest_features_stay(word: str) -> None:
    raw = text(with_row(shops(), region=word))
    found = adopted(raw)
    assert found.contract.feature_names == ["region", "visits", "spend"]
    assert word not in (found.contract.by_name["region"].categories or ())
    assert not any("leak" in note for note in found.notes)
    (note,) = [note for note in found.notes if "sums up other rows" in note]
    assert "row 301" in note
    assert "silver will quarantine it" in note
    assert divide_file(raw, found.contract).refused["row"].to_pylist() == [ROWS + 1]


def test_a_row_of_sums_needs_no_word() -> None:
    (row,) = find_summary_rows(text(with_row(shops(), region=None)))
    assert row.number == ROWS + 1
    numbers = ("visits", "spend", "revenue")
    means = {name: float(shops()[name].mean()) for name in numbers}
    (row,) = find_summary_rows(text(with_row(shops(), region="Average", **means)))
    assert row.number == ROWS + 1


def test_rows_that_are_like_the_others_sum_up_nothing() -> None:
    assert find_summary_rows(text(shops())) == ()
    scope = shops().assign(scope=["all", "some", "none"] * (ROWS // 3))
    assert find_summary_rows(text(scope)) == ()
    named = shops()
    named.loc[40, "region"] = "sum"  # neither a sum, nor larger than the others, nor the last
    assert find_summary_rows(text(named)) == ()


@pytest.mark.parametrize("target", ["revenue", "region"])
def test_a_repeated_header_is_refused_and_nothing_is_concluded_from_it(target: str) -> None:
    frame = shops()
    header = pd.DataFrame([list(frame.columns)], columns=frame.columns)
    halves = [frame[: ROWS // 2], frame[ROWS // 2 :]]
    raw = text(pd.concat([halves[0], *[header] * 6, halves[1]], ignore_index=True))
    found = adopted(raw, target)
    assert found.contract.by_name["visits"].type == "integer"
    assert not found.contract.by_name["visits"].missing_words
    assert target not in found.contract.target.classes
    assert not any("looks like a row of data" in note for note in found.notes)
    (note,) = [note for note in found.notes if "repeat the header" in note]
    assert note.startswith("rows 151, 152, 153 and 3 more repeat the header")
    assert "silver will quarantine them" in note
    assert divide_file(raw, found.contract).refused["row"].to_pylist() == [*range(151, 157)]
    plain = adopted(text(frame), target).contract
    assert found.contract == plain


def test_the_total_row_behind_a_repeated_header_has_its_number() -> None:
    frame = with_row(shops(), region="Total")
    header = pd.DataFrame([list(frame.columns)], columns=frame.columns)
    (note,) = [
        note
        for note in adopted(text(pd.concat([header, frame], ignore_index=True))).notes
        if "sums up" in note
    ]
    assert "row 302" in note


def test_a_level_called_all_does_not_make_the_search_slow() -> None:
    rows = 20_000
    values = np.random.default_rng(3).integers(0, 900, (rows, 40))
    raw = pa.table(
        {f"x{at}": pa.array([str(value) for value in values[:, at]]) for at in range(40)}
        | {"scope": ["all" if (rows - at) % 60 == 1 else f"s{at % 7}" for at in range(rows)]}
    )
    before = time.perf_counter()
    assert find_summary_rows(raw) == ()
    assert time.perf_counter() - before < 3  # summing up each column for each row takes ten times


def profile(values: list[Any]) -> Any:
    return profile_column("y", pa.chunked_array([pa.array([str(v) for v in values])]))


def test_a_code_far_from_all_values_is_named_with_what_to_do() -> None:
    random = np.random.default_rng(1)
    gas = np.where(random.random(ROWS) < 0.18, -200.0, random.gamma(2, 1, ROWS).round(1))
    (note,) = decide_target(profile(list(gas)), None).notes
    assert "-200.0 in" in note
    assert "missing_words: ['-200.0']" in note
    assert find_sentinel(profile([*[-1] * 9, *range(200)])) == ("-1", 9)
    assert find_sentinel(profile([*[9999] * 9, *range(200)])) == ("9999", 9)


def test_values_that_are_only_rare_or_zero_are_no_codes() -> None:
    random = np.random.default_rng(2)
    assert find_sentinel(profile([0] * 60 + list(random.gamma(2, 1, 200).round(2)))) is None
    assert find_sentinel(profile([*[-1] * 9, *range(-100, 100)])) is None
    assert find_sentinel(profile([5000, *range(200)])) is None
