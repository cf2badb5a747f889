"""Rows of many columns are read as all others are, and no column is asked about twice."""

import re
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldpath.adoption.row_check import check_file
from goldpath.adoption.thousands import find_thousands
from goldpath.contract import Contract
from goldpath.lake.tables import REASONS, ROW_NUMBER
from goldpath.quality import wide_rows
from goldpath.quality.checks import mark_rows, number_rows
from goldpath.quality.file_rows import divide_file, typed_frame
from goldpath.quality.wide_rows import ENGINE_FEATURES, ColumnRules, mark_table
from goldpath.raw_source import Source
from goldpath.sources import dialect

NUMBERS: dict[str, Any] = {"type": "number", "minimum": -3, "maximum": 1200.5}
CONTRACT = Contract.model_validate(
    {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "shop.csv"},
        "entity": "id",
        "event_time": {"column": "day", "hour_column": "hour"},
        "target": {"column": "bought", "classes": ["no", "none", "yes"], "aliases": {"NO": "no"}},
        "personal": ["income"],
        "features": [
            {"name": "age", "type": "integer", "minimum": 0, "maximum": 120},
            {"name": "income", **NUMBERS},
            {"name": "price", **NUMBERS, "nullable": True, "unit": "$", "missing_words": ["-1"]},
            {"name": "size", "type": "number", "nullable": True, "unreadable": "missing"},
            {"name": "kind", "type": "category", "categories": ["a.b", "none", "c d", "NO"]},
            {"name": "town", "type": "category", "nullable": True},
            {"name": "member", "type": "boolean"},
            {"name": "hour", "type": "integer", "minimum": 0, "maximum": 23},
        ],
    }
)
WORDS = [
    *("5", "-1", "+5", " 7 ", "1.50", "5.", ".5", "1e3", "1E400", "-0", "1e-7", "0x1", "1_000"),
    *("9007199254740993", "12345678901234567890123", "1200.5", "1200.51", "nan", "inf", "$ 5"),
    *("-$1.5", "($3)", "5 $", "a.b", "c d", "none", "None", "NO", "no", "yes", "true", "F", "?"),
    *("", " ", "\u00a05", "x" * 201, "ação", "2024-02-29", "2024-02-29 11:00", "24", "5\n", "\0"),
]
text = st.one_of(st.none(), st.sampled_from(WORDS), st.text(max_size=4))
ROWS = st.lists(
    st.fixed_dictionaries(dict.fromkeys(CONTRACT.raw_columns, text)), min_size=1, max_size=30
)


def table(rows: list[dict[str, str | None]]) -> pa.Table:
    columns = {name: [row[name] for row in rows] for name in CONTRACT.raw_columns}
    return number_rows(pa.table({n: pa.array(v, pa.string()) for n, v in columns.items()}))


def wide(columns: int, rows: int = 40) -> tuple[pa.Table, Contract]:
    """Numbers, words and a label, and a contract that refuses the first row."""
    names = [f"x{number}" for number in range(columns)]
    values: dict[str, list[str]] = {
        name: [f"{row + place / 1000:.3f}" for row in range(rows)]
        if place % 4
        else ["red", "green"] * (rows // 2)
        for place, name in enumerate(names)
    }
    values["x1"][0] = "many"
    features = [
        {"name": name, "type": "number" if place % 4 else "category"}
        for place, name in enumerate(names)
    ]
    parts = {name: getattr(CONTRACT, name) for name in ("dataset", "problem", "source", "target")}
    contract = Contract.model_validate({**parts, "features": features})
    return pa.table({**values, "bought": ["yes", "no"] * (rows // 2)}), contract


def test_each_word_is_read_as_the_engine_reads_it() -> None:
    words: list[str | None] = [None, *WORDS]
    rows: list[dict[str, str | None]] = [
        dict.fromkeys(CONTRACT.raw_columns, word) for word in words
    ]
    for require_target in (True, False):
        _assert_same(rows, require_target)


@given(ROWS, st.booleans())
@settings(deadline=None, max_examples=20)
def test_columns_are_read_as_the_engine_reads_them(
    rows: list[dict[str, str | None]], require_target: bool
) -> None:
    _assert_same(rows, require_target)


def _assert_same(rows: list[dict[str, str | None]], require_target: bool) -> None:
    raw = table(rows)
    marked = mark_rows(ibis.memtable(raw), CONTRACT, require_target=require_target).to_pyarrow()
    expected = sorted(marked.to_pylist(), key=itemgetter(ROW_NUMBER))

    found = mark_table(raw, CONTRACT, require_target=require_target)

    assert found.column_names == marked.column_names
    assert found.schema.types == marked.schema.types
    assert found.to_pylist() == expected


def test_a_batch_without_labels_and_entities_is_read_too() -> None:
    contract = CONTRACT.model_copy(update={"entity": None, "event_time": None})
    raw = table([dict.fromkeys(CONTRACT.raw_columns, "5")]).drop_columns(["bought", "id", "day"])
    (row,) = mark_table(raw, contract, require_target=False).to_pylist()
    assert row["__value row_id"] == "1"
    assert row[REASONS].startswith("kind: '5' is not one of its categories; member: '5' is not")


def test_silver_a_batch_and_adoption_read_many_columns_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw, contract = wide(ENGINE_FEATURES + 1)
    found, counted = check_file(raw, contract)
    divided, typed = divide_file(raw, contract), typed_frame(raw, contract)
    assert counted == {"x1: 'many' is not a finite number": 1}
    assert divided.refused.to_pylist() == [
        {"row": 1, "refused": "x1: 'many' is not a finite number"}
    ]

    monkeypatch.setattr(wide_rows, "ENGINE_FEATURES", 1_000)
    by_engine = divide_file(raw, contract)
    assert divided.typed.equals(by_engine.typed)
    assert typed.equals(by_engine.typed)
    assert len(found) == by_engine.typed.num_rows == raw.num_rows - 1


def test_an_engine_plans_no_column_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its plan grew with the square of the columns: 200 took ten seconds, 2 000 did not end.
    planned: list[int] = []

    def counting(rows: Any, contract: Contract, **options: Any) -> Any:
        planned.append(len(contract.features))
        return mark_rows(rows, contract, **options)

    monkeypatch.setattr(wide_rows, "mark_rows", counting)
    raw, contract = wide(300)
    check_file(raw, contract)
    divide_file(raw, contract)
    assert planned == [0, 0]


def test_each_different_text_is_read_once_and_plain_numbers_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    original = ColumnRules.read

    def counting(self: ColumnRules, value: str | None) -> Any:
        read.append(self.name)
        return original(self, value)

    monkeypatch.setattr(ColumnRules, "read", counting)
    columns, rows = 100, 400
    raw, contract = wide(columns, rows)
    check_file(raw, contract)
    # Of each column of words and of the label two texts and the missing one; "many" besides.
    assert len(read) == 3 * (columns // 4 + 1) + 2


def test_plain_columns_are_not_searched_for_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = wide(40)[0].drop_columns(["x1"])
    searched: list[int] = []

    def counting(values: list[str]) -> list[str]:
        searched.append(len(values))
        return []

    monkeypatch.setattr("goldpath.adoption.thousands._cores", counting)
    found = find_thousands(raw, ".", {})
    assert (found.marks, found.notes) == ({}, ())
    assert searched == []


def test_the_decimal_mark_of_many_numbers_is_found_at_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "wide.csv"
    lines = [",".join(f"x{number}" for number in range(50)), *[",".join(["1.5"] * 50)] * 40]
    file.write_text("\n".join(lines))
    asked = 0

    class Counting:
        def __init__(self, pattern: str) -> None:
            self._pattern = pattern

        def fullmatch(self, value: str) -> bool:
            nonlocal asked
            asked += 1
            return True

    monkeypatch.setattr(dialect, "re", SimpleNamespace(compile=Counting, escape=re.escape))
    assert dialect._detect_decimal(file, Source(path=str(file)), None) == "."
    assert asked == 1
