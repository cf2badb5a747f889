"""What the recipes do to rows."""

from goldpath import Contract
from goldpath.testing import tiny_lake

from {{ cookiecutter.package_name }}.project import project

from conftest import Trained


def test_bronze_notes_the_sales_office(contract: Contract) -> None:
    given = [{"customer_id": "C7-000001"}, {"customer_id": "C8-000002"}]
    lake = tiny_lake(given, project=project, contract=contract)
    assert [row["sales_office"] for row in lake.rows("bronze")] == ["C7", "C8"]


def test_a_lifetime_contract_is_read_as_a_two_year_one(contract: Contract) -> None:
    terms = ("lifetime", "one-year", None)
    lake = tiny_lake([{"contract": term} for term in terms], project=project, contract=contract)
    assert [row["contract"] for row in lake.rows("silver")] == ["two-year", "one-year"]
    assert [row["_reasons"] for row in lake.rows("quarantine")] == ["contract: missing"]


def test_customers_without_an_invoice_are_left_out_of_gold(contract: Contract) -> None:
    given = [{"tenure_months": 0}, {"tenure_months": 1}, {"tenure_months": 30}]
    lake = tiny_lake(given, project=project, contract=contract)
    assert [row["tenure_months"] for row in lake.rows("gold")] == [1, 30]


def test_every_row_is_accounted_for(trained: Trained) -> None:
    data = trained.data
    silver_rows = data["bronze_rows"] - data["quarantined_rows"] - data["duplicate_rows"]
    assert silver_rows == data["silver_rows"]
    assert trained.batch["rows"] == silver_rows - data["left_out_rows"]
    assert data["left_out_rows"] > 0
    assert not any("lifetime" in reason for reason in data["quarantine_reasons"])
