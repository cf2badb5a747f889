"""A project's recipes change the tables they are for, and are refused where they cannot hold."""

from pathlib import Path

import ibis
import pytest

from goldpath.contract import Contract, load_contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.data.recipes import clean_file, recipes_digest
from goldpath.jobs.data.refresh import DataResult, refresh
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import bronze_table, gold_table
from goldpath.project import Data, Project
from goldpath.quality.file_rows import typed_frame
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.read import read_raw

ROWS = 2_000


def with_office(rows: ibis.Table) -> ibis.Table:
    return rows.mutate(office=rows["customer_id"].split("-")[0])


def lifetime_as_two_years(rows: ibis.Table) -> ibis.Table:
    contract = rows["contract"]
    return rows.mutate(contract=(contract == "lifetime").ifelse("two-year", contract))


def long_standing(rows: ibis.Table) -> ibis.Table:
    return rows.filter(rows["tenure_months"] >= 24)


def refreshed(settings: Settings, recipes: Data) -> DataResult:
    own = load_settings(settings.root, Project(data=lambda: recipes))
    return refresh(own, load_contract(settings.root))


@pytest.fixture
def sampled(project: Settings) -> Settings:
    source = load_contract(project.root).source.path
    write_sample(project.root / source, ROWS, 7, {})
    return project


def test_each_recipe_changes_its_table_and_a_changed_one_makes_the_intervals_anew(
    sampled: Settings,
) -> None:
    contract = load_contract(sampled.root)
    plain = refreshed(sampled, Data())
    assert plain.left_out_rows == 0
    assert any("lifetime" in reason or "contract" in reason for reason in plain.quarantine_reasons)

    silver = refreshed(sampled, Data(silver=lifetime_as_two_years))
    assert silver.recomputed == plain.recomputed
    assert silver.silver_rows > plain.silver_rows
    assert silver.quarantined_rows < plain.quarantined_rows
    assert refreshed(sampled, Data(silver=lifetime_as_two_years)).recomputed == ()

    gold = refreshed(sampled, Data(gold=long_standing))
    lakehouse = open_lakehouse(sampled)
    rows = lakehouse.collect(lakehouse.read(gold_table(contract)))
    assert min(rows["tenure_months"].to_pylist()) >= 24
    assert 0 < gold.left_out_rows == gold.silver_rows - rows.num_rows


def test_bronze_holds_what_its_recipe_adds(sampled: Settings) -> None:
    refreshed(sampled, Data(bronze=with_office))
    lakehouse = open_lakehouse(sampled)
    bronze = lakehouse.collect(lakehouse.read(bronze_table(load_contract(sampled.root))))
    assert set(bronze["office"].to_pylist()) <= {"C7", *bronze["customer_id"].to_pylist()}


def test_files_pass_through_the_recipes_of_bronze_and_silver(
    sampled: Settings, tmp_path: Path
) -> None:
    contract = load_contract(sampled.root)
    raw = read_raw(detect_dialect(sampled.root / contract.source.path), sampled.root)
    recipes = Data(bronze=with_office, silver=lifetime_as_two_years, gold=long_standing)
    plain = typed_frame(raw, contract)
    own = typed_frame(raw, contract, clean_file(contract, recipes))
    assert own.num_rows == plain.num_rows + raw["contract"].to_pylist().count("lifetime")


def drops_rows(rows: ibis.Table) -> ibis.Table:
    return rows.filter(rows["age"] != "")


def drops_the_target(rows: ibis.Table) -> ibis.Table:
    return rows.drop("churned")


def misspells(rows: ibis.Table) -> ibis.Table:
    return rows.mutate(age=rows["agee"])


def returns_nothing(rows: ibis.Table) -> None:
    return None


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (drops_rows, "uses Filter, and silver must keep each row"),
        (drops_the_target, "drops churned, which silver needs"),
        (misspells, "cannot be applied to silver's rows"),
        (returns_nothing, "returned a NoneType, not an Ibis table"),
    ],
)
def test_a_recipe_that_cannot_hold_is_named_before_any_row_is_read(
    project: Settings, recipe: object, said: str
) -> None:
    contract: Contract = load_contract(project.root)
    columns = {**dict.fromkeys(contract.raw_columns, "string"), "_row_number": "int64"}
    rows = ibis.table(columns, name="bronze")
    with pytest.raises(ProjectDefinitionError, match=said) as caught:
        recipes_digest(rows, contract, Data(silver=recipe))  # type: ignore[arg-type]
    assert f"{Path(__file__).name}:" in caught.value.message


def test_only_what_a_recipe_means_counts_for_its_digest(project: Settings) -> None:
    contract = load_contract(project.root)
    rows = ibis.table(dict.fromkeys(contract.raw_columns, "string"), name="bronze")

    def written_otherwise(table: ibis.Table) -> ibis.Table:
        term = table["contract"]
        return table.mutate(contract=(term == "lifetime").ifelse("two-year", term))

    first = recipes_digest(rows, contract, Data(silver=lifetime_as_two_years))
    assert first == recipes_digest(rows, contract, Data(silver=written_otherwise))
    assert first != recipes_digest(rows, contract, Data(gold=long_standing))
    assert recipes_digest(rows, contract, Data()) == ""
