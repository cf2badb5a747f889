"""The contract that a model learns with: a request's features, and row features of them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from goldpath.contract import (
    Contract,
    ContractError,
    dump_contract,
    load_contract,
    parse_contract,
)
from goldpath.features.learned import changed_features, with_own_features
from goldpath.features.row.cases import case
from goldpath.features.row.complete import complete_rows
from goldpath.features.row.document import DocumentError
from goldpath.features.row.learned import definitions_of
from goldpath.features.row.tracing import Row, RowFeature, row_feature
from goldpath.features.row.values import Value
from goldpath.handed_over import ProjectDefinitionError
from goldpath.lake.run_log import fingerprint
from goldpath.learning.frames import model_frame
from goldpath.project import Project
from goldpath.registry.contract_change import contract_change

from ..row_features import CONTRACT


@row_feature
def rate(row: Row) -> Value:
    """Dollars for each room."""
    return row.x / row.i


@row_feature
def size(row: Row) -> Value:
    return case((row.rate > 10, "large"), (row.rate <= 10, "small"))


@row_feature
def is_cheap(row: Row) -> Value:
    return (row.rate < 5) & row.b


@row_feature
def rooms(row: Row) -> Value:
    return row.i + row.j


FEATURES = (size, rate, is_cheap, rooms)


def learned_with(*features: RowFeature, contract: Contract = CONTRACT) -> Contract:
    return with_own_features(contract, Project(features=lambda: features))


LEARNED = learned_with(*FEATURES)
ROWS: list[dict[str, Any]] = [
    {"x": 40.0, "y": 1.0, "i": 2, "j": 1, "b": True, "s": "a", "t": "b", "plan": "Basic"},
    {"x": 4.0, "y": None, "i": 2, "j": None, "b": True, "s": None, "t": "b", "plan": None},
    {"x": 4.0, "y": None, "i": 0, "j": 1, "b": None, "s": None, "t": "b", "plan": None},
]
EXPECTED = {
    "rate": [20.0, 2.0, None],
    "size": ["large", "small", None],
    "is_cheap": [False, True, None],
    "rooms": [3, None, 1],
}


def test_row_features_stand_behind_those_of_the_request_with_their_types() -> None:
    own = {each.name: (each.type, each.categories, each.nullable) for each in LEARNED.row_features}

    assert LEARNED.feature_names == [*CONTRACT.feature_names, "rate", "size", "is_cheap", "rooms"]
    assert own == {
        "rate": ("number", None, True),
        "size": ("category", ("large", "small"), True),
        "is_cheap": ("boolean", None, True),
        "rooms": ("integer", None, True),
    }
    assert LEARNED.by_name["rate"].description == "Dollars for each room."


def test_a_request_and_a_file_know_nothing_of_them() -> None:
    assert LEARNED.request == CONTRACT
    assert LEARNED.raw_columns == CONTRACT.raw_columns
    assert CONTRACT.request is CONTRACT


def test_a_project_without_features_has_the_contract_that_it_had() -> None:
    assert with_own_features(CONTRACT, Project()) is CONTRACT


def test_features_for_another_dataset_are_not_used() -> None:
    project = Project(dataset="houses", features=lambda: FEATURES)

    assert with_own_features(CONTRACT, project) is CONTRACT


def test_tracing_a_learned_contract_again_changes_nothing() -> None:
    assert learned_with(*FEATURES, contract=LEARNED) == LEARNED


def test_the_definitions_are_stored_with_the_contract() -> None:
    again = parse_contract(dump_contract(LEARNED))

    assert again == LEARNED
    assert [each.digest for each in definitions_of(again)] == [
        each.digest for each in definitions_of(LEARNED)
    ]


def test_what_is_computed_of_personal_columns_is_personal() -> None:
    contract = CONTRACT.with_features(CONTRACT.features, ["x"])

    learned = learned_with(*FEATURES, contract=contract)

    assert learned.personal == ("x", "rate", "size", "is_cheap")
    assert learned.request.personal == ("x",)


def test_rows_are_completed_in_the_form_that_they_have() -> None:
    def plain(values: list[Any]) -> list[Any]:
        return [None if value is None or value != value else value for value in values]

    types = {"j": pa.int64(), "y": pa.float64(), "b": pa.bool_(), "i": pa.int64()}
    table = pa.table(
        {name: pa.array([row[name] for row in ROWS], types.get(name)) for name in ROWS[0]}
    )

    listed = complete_rows(ROWS, LEARNED)
    as_table = complete_rows(table, LEARNED)
    as_frame = complete_rows(pd.DataFrame(ROWS), LEARNED)

    for name, expected in EXPECTED.items():
        assert [row[name] for row in listed] == expected
        assert as_table[name].to_pylist() == expected
        assert plain(as_frame[name].tolist()) == expected
    assert as_table["rooms"].type == pa.int64()
    assert as_table["is_cheap"].type == pa.bool_()


def test_a_frame_for_the_model_is_the_same_from_each_form() -> None:
    frames = [
        model_frame(complete_rows(rows, LEARNED), LEARNED)
        for rows in (ROWS, pd.DataFrame(ROWS), pa.Table.from_pandas(pd.DataFrame(ROWS)))
    ]

    assert list(frames[0].columns) == LEARNED.feature_names
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0])


def test_columns_of_a_later_definition_do_not_reach_the_model() -> None:
    stale = [{**row, "rate": -1.0, "size": "small"} for row in ROWS]

    found = complete_rows(stale, LEARNED)
    in_table = complete_rows(pa.Table.from_pandas(pd.DataFrame(stale)), LEARNED)

    assert [row["rate"] for row in found] == EXPECTED["rate"]
    assert in_table["size"].to_pylist() == EXPECTED["size"]


def test_without_row_features_rows_are_passed_on_untouched() -> None:
    assert complete_rows(ROWS, CONTRACT) is ROWS


def test_a_changed_formula_is_named_and_breaks_nobody() -> None:
    other = learned_with(row_feature(name="rate")(lambda row: row.x / (row.i + 1)), rooms)

    assert set(changed_features(LEARNED, other)) == {
        "size is gone",
        "is_cheap is gone",
        "rate has another formula",
    }
    change = contract_change(LEARNED, other)
    assert not change.breaking
    assert "computed feature rate has another formula" in change.other


def test_intervals_are_made_anew_when_a_formula_changes_and_not_without_features() -> None:
    other = learned_with(row_feature(name="rate")(lambda row: row.x / (row.i + 1)))
    same = learned_with(*FEATURES)

    assert fingerprint(LEARNED, 3, None) == fingerprint(same, 3, None)
    assert fingerprint(LEARNED, 3, None) != fingerprint(other, 3, None)
    assert fingerprint(LEARNED.request, 3, None) == fingerprint(CONTRACT, 3, None)


def test_an_expression_is_not_written_in_yaml(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "project.yaml").write_text(dump_contract(LEARNED), encoding="utf-8")

    with pytest.raises(ContractError, match="feature rate has an expression") as refusal:
        load_contract(tmp_path)

    assert "@row_feature" in refusal.value.fix


def test_a_stored_feature_that_reads_a_later_one_is_refused() -> None:
    broken = LEARNED.with_features([*CONTRACT.features, *reversed(LEARNED.row_features)], [])

    with pytest.raises(DocumentError, match="stands not before it"):
        definitions_of(broken)


def test_a_features_function_that_fails_is_named_with_its_line() -> None:
    def features() -> list[RowFeature]:
        raise KeyError("payments")

    with pytest.raises(ProjectDefinitionError, match=f"{__file__}:.*the features of project.py"):
        with_own_features(CONTRACT, Project(features=features))


def test_something_else_among_the_features_is_refused() -> None:
    def plain(row: Row) -> Value:
        return row.x

    with pytest.raises(ProjectDefinitionError, match="among the features is a function") as refusal:
        with_own_features(CONTRACT, Project(features=lambda: [plain]))  # type: ignore[list-item]

    assert "@row_feature" in refusal.value.fix
