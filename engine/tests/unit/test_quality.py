"""Every raw row is accepted with types or rejected with reasons; none is lost."""

from operator import add
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldpath.contract import Contract, ContractError
from goldpath.lake.tables import REASONS
from goldpath.quality.checks import CheckedRows, check_rows, number_rows
from goldpath.quality.conditions import joined
from goldpath.quality.file_rows import typed_frame

CONTRACT = Contract.model_validate(
    {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "shop.csv"},
        "entity": "id",
        "event_time": {"column": "day", "format": "%m/%d/%y", "hour_column": "hour"},
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [
            {"name": "age", "type": "integer", "minimum": 0, "maximum": 120},
            {"name": "income", "type": "number", "nullable": True},
            {"name": "kind", "type": "category", "categories": ["a.b", "none", "c d"]},
            {"name": "member", "type": "boolean", "nullable": True},
            {"name": "hour", "type": "integer", "minimum": 0, "maximum": 23},
        ],
    }
)
GOOD = {
    "id": " 7 ", "day": "2/29/24", "hour": "13", "age": "41", "income": "1e3", "kind": "none",
    "member": "Yes", "bought": "yes",
}  # fmt: skip


def raw(*rows: dict[str, str | None]) -> pa.Table:
    columns = {name: [row[name] for row in rows] for name in GOOD}
    return number_rows(pa.table({n: pa.array(v, pa.string()) for n, v in columns.items()}))


def checked(table: pa.Table, *, require_target: bool = True) -> tuple[pa.Table, pa.Table]:
    import ibis

    found: CheckedRows = check_rows(ibis.memtable(table), CONTRACT, require_target=require_target)
    return found.accepted.to_pyarrow(), found.rejected.to_pyarrow()


def test_good_row_is_typed() -> None:
    accepted, rejected = checked(raw(dict(GOOD)))

    row = accepted.to_pylist()[0]
    assert rejected.num_rows == 0
    assert row["id"] == "7"
    assert row["event_time"].isoformat() == "2024-02-29T13:00:00"
    assert (row["age"], row["income"], row["kind"], row["member"]) == (41, 1000.0, "none", True)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("age", "abc", "age: 'abc' is not a whole number"),
        ("age", "1.5", "age: '1.5' is not a whole number"),
        ("age", "-1", "age: '-1' is below 0"),
        ("age", "121", "age: '121' is above 120"),
        ("age", "", "age: missing"),
        ("income", "inf", "income: 'inf' is not a finite number"),
        ("income", "1e400", "income: '1e400' is not a finite number"),
        ("kind", "axb", "kind: 'axb' is not one of its categories"),
        ("kind", None, "kind: missing"),
        ("member", "perhaps", "member: 'perhaps' is not true or false"),
        ("bought", "maybe", "bought: 'maybe' is not one of its classes"),
        ("bought", "", "bought: missing"),
        ("id", "", "id: missing"),
        ("day", "13/45/24", "day: '13/45/24' is not a time"),
        ("day", None, "day: '' is not a time"),
        ("hour", "24", "day: '2/29/24' is not a time; hour: '24' is above 23"),
    ],
)
def test_bad_value_is_rejected_with_its_reason(column: str, value: str | None, reason: str) -> None:
    accepted, rejected = checked(raw({**GOOD, column: value}))

    assert accepted.num_rows == 0
    assert rejected[REASONS].to_pylist() == [reason]
    assert rejected[column].to_pylist() == [value]


def test_row_with_several_faults_names_them_all() -> None:
    _, rejected = checked(raw({**GOOD, "age": "x", "kind": "y"}))
    assert rejected[REASONS].to_pylist()[0].count(";") == 1


def test_nullable_columns_may_be_empty() -> None:
    accepted, _ = checked(raw({**GOOD, "income": " NA ", "member": None}))
    assert accepted.select(["income", "member"]).to_pylist() == [{"income": None, "member": None}]


def test_scoring_needs_no_label() -> None:
    rows = raw({**GOOD, "bought": ""}).drop_columns(["bought"])
    assert typed_frame(rows.drop_columns(["_row_number"]), CONTRACT).num_rows == 1


def test_hundreds_of_conditions_are_joined() -> None:
    # One after the other they were deeper than Python's recursion from 105 number columns on.
    row = ibis.memtable({"x": ["a"]})
    texts = [row["x"] + str(number) for number in range(600)]
    assert len(ibis.to_sql(joined(add, texts, ibis.literal("")))) > 600


def test_missing_column_is_named() -> None:
    with pytest.raises(ContractError, match="lacks columns of the contract: age"):
        checked(raw(dict(GOOD)).drop_columns(["age"]))


text = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["yes", "no", "none", "a.b", "1/1/24", "NaN", "é", "\n", "'; --"]),
)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(GOOD, text)), min_size=1, max_size=40))
def test_no_row_is_lost_and_accepted_rows_lie_in_the_domain(rows: list[dict[str, Any]]) -> None:
    accepted, rejected = checked(raw(*rows))

    assert accepted.num_rows + rejected.num_rows == len(rows)
    numbers = accepted["_row_number"].to_pylist() + rejected["_row_number"].to_pylist()
    assert sorted(numbers) == list(range(1, len(rows) + 1))
    assert all(reasons for reasons in rejected[REASONS].to_pylist())
    for row in accepted.to_pylist():
        assert 0 <= row["age"] <= 120
        assert row["kind"] in ("a.b", "none", "c d")
        assert row["bought"] in ("no", "yes")
        assert row["event_time"] is not None
