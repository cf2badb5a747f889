"""What projects test their own features and recipes with."""

import subprocess
import sys
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.csv as csv
import pytest

from goldpath import testing
from goldpath.contract import Contract, load_contract
from goldpath.features.row.tracing import Row, RowFeature, row_feature
from goldpath.features.row.values import Value
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.data.refresh import refresh
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import gold_table, quarantine_table, silver_table
from goldpath.project import Data, Project
from goldpath.settings import Settings, load_settings
from goldpath.testing import RowTestError, assert_feature, feature_values, tiny_lake

from ..row_features import CONTRACT
from .test_public_api import run_examples_of


@row_feature
def ratio(row: Row) -> Value:
    return row.x / row.y


@row_feature
def twice(row: Row) -> Value:
    return row.ratio * 2


@row_feature
def rounded(row: Row) -> Value:
    return row.twice.round()


@row_feature
def is_basic(row: Row) -> Value:
    return row.plan == "Basic"


@row_feature
def first_word(row: Row) -> Value:
    return row.s.extract("^[a-z]+")


@row_feature
def grown(row: Row) -> Value:
    return row.x.exp()


def test_a_value_is_right_or_missing_by_every_evaluator() -> None:
    assert_feature(ratio, row={"x": 1.0, "y": 3.0}, equals=1 / 3, contract=CONTRACT)
    assert_feature(ratio, row={"x": 1.0, "y": 0.0}, equals=None, contract=CONTRACT)
    assert_feature(ratio, row={"x": None, "y": 2.0}, equals=None, contract=CONTRACT)
    assert_feature(is_basic, row={"plan": "Basic"}, equals=True, contract=CONTRACT)
    assert_feature(first_word, row={"s": "ab-1"}, equals="ab", contract=CONTRACT)
    assert_feature(grown, row={"x": 1.0}, equals=2.718281828459045, contract=CONTRACT)
    assert_feature(grown, row={"x": 1.0}, equals=2.7, tolerance=0.01, contract=CONTRACT)


def test_features_that_it_reads_are_handed_over() -> None:
    row = {"x": 5.0, "y": 4.0}
    assert_feature(rounded, row=row, equals=3, features=[rounded, twice, ratio], contract=CONTRACT)
    with pytest.raises(ProjectDefinitionError, match="'twice' is no column") as raised:
        assert_feature(rounded, row=row, equals=3, contract=CONTRACT)
    assert "features=[" in raised.value.fix


def test_those_of_the_running_project_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Project(features=lambda: [ratio, twice])
    monkeypatch.setattr("goldpath.project._running", own)
    assert_feature(twice, row={"x": 5.0, "y": 4.0}, equals=2.5, contract=CONTRACT)


@pytest.mark.parametrize(
    ("feature", "row", "equals"),
    [
        (ratio, {"x": 1.0, "y": 4.0}, 0.26),
        (ratio, {"x": 1.0, "y": 4.0}, None),
        (ratio, {"x": 1.0, "y": 0.0}, 0.0),
        (is_basic, {"plan": "Plus"}, 0),
        (is_basic, {"plan": "Basic"}, 1),
        (first_word, {"s": "ab"}, "AB"),
    ],
)
def test_another_value_fails_and_names_feature_row_expected_and_got(
    feature: RowFeature, row: dict[str, float | str | None], equals: object
) -> None:
    with pytest.raises(AssertionError) as raised:
        assert_feature(feature, row=row, equals=equals, contract=CONTRACT)  # type: ignore[arg-type]
    said = str(raised.value)
    assert said.startswith(f"{feature.name}: expected {equals!r}, got ")
    assert "by plain Python, NumPy, DuckDB's SQL" in said
    assert f"of the row {row}" in said
    assert "those of the contract that was given" in said


def test_an_evaluator_that_disagrees_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(feature_values.EVALUATORS, "NumPy", lambda row, _: {"ratio": 0.5})
    with pytest.raises(AssertionError) as raised:
        assert_feature(ratio, row={"x": 1.0, "y": 4.0}, equals=0.25, contract=CONTRACT)
    assert "got 0.5\n  by NumPy" in str(raised.value)
    assert "as expected by plain Python, DuckDB's SQL" in str(raised.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"x": 1.0, "y": 1.0, "z": 1.0}, "column 'z' that no request sends"),
        ({"x": 1.0, "y": 1.0, "rented": "no"}, "column 'rented' that no request sends"),
        ({"x": 1.0}, "the row lacks y"),
        ({"x": "one", "y": 1.0}, "x='one' is refused"),
        ({"x": float("nan"), "y": 1.0}, "x=nan is no value"),
        ({"x": 1.0, "y": 1.0, "plan": "Basik"}, "plan='Basik' is refused"),
        ({"x": 1.0, "y": 1.0, "ratio": 1.0}, "'ratio', which is computed"),
    ],
)
def test_a_row_that_cannot_be_is_refused(row: dict[str, float | str | None], said: str) -> None:
    with pytest.raises(RowTestError, match=said):
        assert_feature(ratio, row=row, equals=1.0, contract=CONTRACT)


def test_without_a_contract_the_types_are_those_of_the_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_feature(ratio, row={"x": 1, "y": 4}, equals=0.25)
    with pytest.raises(AssertionError, match="inferred from the row's values"):
        assert_feature(ratio, row={"x": 1, "y": 4}, equals=4)
    with pytest.raises(RowTestError, match="does not follow from None"):
        assert_feature(ratio, row={"x": None, "y": 4}, equals=None)
    with pytest.raises(RowTestError, match="did you mean 'y'"):
        assert_feature(ratio, row={"x": 1, "y": 4, "yy": 2}, equals=0.25)
    with pytest.raises(ProjectDefinitionError, match="'y' is no column"):
        assert_feature(ratio, row={"x": 1}, equals=0.25)


def test_what_is_no_feature_and_what_none_ever_is_are_refused() -> None:
    with pytest.raises(RowTestError, match="not a row feature"):
        assert_feature(ratio.function, row={"x": 1}, equals=1)  # type: ignore[arg-type]
    with pytest.raises(RowTestError, match="no feature is ever inf"):
        assert_feature(ratio, row={"x": 1}, equals=float("inf"))


def without_the_new(rows: ibis.Table) -> ibis.Table:
    return rows.filter(rows["tenure_months"] >= 1)


def lifetime_as_two_years(rows: ibis.Table) -> ibis.Table:
    contract = rows["contract"]
    return rows.mutate(contract=(contract == "lifetime").ifelse("two-year", contract))


def with_office(rows: ibis.Table) -> ibis.Table:
    return rows.mutate(office=rows["customer_id"].split("-")[0])


@row_feature
def charge_rate(row: Row) -> Value:
    return row.monthly_charges / (row.tenure_months + 1)


OWN = Project(
    data=lambda: Data(bronze=with_office, silver=lifetime_as_two_years, gold=without_the_new),
    features=lambda: [charge_rate],
)
GIVEN: list[dict[str, object]] = [
    {"customer_id": "C1-1", "tenure_months": 0},
    {"customer_id": "C1-2", "contract": "lifetime", "monthly_charges": 50.0, "tenure_months": 4},
    {"contract": "weekly"},
    {"customer_id": "C1-2", "observed_at": "2024-01-02", "monthly_charges": 60.0},
]


def test_a_tiny_lake_holds_what_data_would_have_written(project: Settings) -> None:
    contract = load_contract(project.root)
    lake = tiny_lake(GIVEN, project=OWN, contract=contract)
    raw = pa.Table.from_pylist([dict(each) for each in lake.given])
    file = project.root / contract.source.path
    file.parent.mkdir(parents=True)
    csv.write_csv(raw, file)
    refresh(load_settings(project.root, OWN), contract)
    lakehouse = open_lakehouse(project)

    for layer, table in (
        ("silver", silver_table(contract)),
        ("gold", gold_table(contract)),
        ("quarantine", quarantine_table(contract)),
    ):
        held = lakehouse.collect(lakehouse.read(table)).to_pylist()
        where_from = ("_source_file", "_batch_id", "_ingested_at")
        written = sorted(
            ({name: each[name] for name in each if name not in where_from} for each in held),
            key=str,
        )
        mine = sorted(
            (
                {name: each[name] for name in written[0]}
                for each in lake.rows(layer)  # type: ignore[arg-type]
            ),
            key=str,
        )
        assert mine == written, layer


def test_a_tiny_lake_goes_through_the_projects_recipes_and_features(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    lake = tiny_lake(GIVEN, project=OWN)

    assert [row["office"] for row in lake.rows("bronze")] == ["C1", "C1", "row", "C1"]
    assert [row["contract"] for row in lake.rows("silver")] == ["month-to-month"] * 2
    assert [row["customer_id"] for row in lake.rows("quarantine")] == ["row-3"]
    (gold,) = lake.rows("gold")
    assert gold["charge_rate"] == 60.0 / 15
    assert lake.frame("gold")["charge_rate"].tolist() == [60.0 / 15]
    assert lake.given[0]["observed_at"] == "2024-01-01"
    with pytest.raises(RowTestError, match="no layer 'golden'"):
        lake.rows("golden")  # type: ignore[arg-type]


def test_rows_that_no_source_of_the_contract_has_are_refused(project: Settings) -> None:
    contract = load_contract(project.root)
    with pytest.raises(RowTestError, match="did you mean 'tenure_months'"):
        tiny_lake([{"tenure_month": 3}], contract=contract)
    with pytest.raises(RowTestError, match="without a row"):
        tiny_lake([], contract=contract)


@pytest.mark.parametrize(
    "event_time",
    [
        {"column": "seen"},
        {"column": "seen", "format": "%d/%m/%Y %H:%M"},
        {"column": "seen", "format": "%s%f"},
        {"column": "year", "more_columns": ["month", "day"], "format": "%Y %m %d"},
        {"column": "seen", "format": "%Y-%m-%d", "hour_column": "hour"},
    ],
)
def test_a_time_that_is_filled_in_is_in_the_contracts_format(
    event_time: dict[str, object],
) -> None:
    parts = {name: getattr(CONTRACT, name) for name in Contract.model_fields}
    contract = Contract.model_validate(parts | {"event_time": event_time})
    lake = tiny_lake([{}, {"x": 2}], contract=contract, project=Project())
    days = [row["event_time"].strftime("%Y-%m-%d") for row in lake.rows("silver")]
    assert days == ["2024-01-01", "2024-01-02"]


@pytest.mark.parametrize("name", ["assert_feature", "tiny_lake"])
def test_the_example_runs(name: str, project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    run_examples_of(getattr(testing, name), monkeypatch)


def test_nothing_of_it_needs_pytest() -> None:
    code = "import goldpath.testing, sys; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
