"""What the recipes do to rows, and that each environment has a lake of its own."""

import ibis

from {{ cookiecutter.package_name }}.data import aws_integration
from {{ cookiecutter.package_name }}.pipelines.data_engineering import (
    bronze,
    gold,
    silver,
)

from conftest import Trained, Workplace


def test_bronze_notes_the_sales_office() -> None:
    rows = ibis.memtable({"customer_id": ["C7-000001", "C8-000002"]})
    assert bronze.store(rows).execute()["sales_office"].tolist() == ["C7", "C8"]


def test_a_lifetime_contract_is_read_as_a_two_year_one() -> None:
    rows = ibis.memtable({"contract": ["lifetime", "one-year", None]})
    cleaned = silver.clean(rows).to_pyarrow()["contract"].to_pylist()
    assert cleaned == ["two-year", "one-year", None]


def test_customers_without_an_invoice_are_left_out_of_gold() -> None:
    rows = ibis.memtable({"tenure_months": [0, 1, 30]})
    assert gold.choose(rows).execute()["tenure_months"].tolist() == [1, 30]


def test_every_row_is_accounted_for(trained: Trained) -> None:
    data = trained.data
    silver_rows = data["bronze_rows"] - data["quarantined_rows"] - data["duplicate_rows"]
    assert silver_rows == data["silver_rows"]
    assert trained.batch["rows"] == silver_rows - data["left_out_rows"]
    assert data["left_out_rows"] > 0
    assert not any("lifetime" in reason for reason in data["quarantine_reasons"])


def test_production_has_a_lake_of_its_own(workplace: Workplace) -> None:
    aws = workplace.settings.aws
    assert aws is not None
    assert aws_integration.names(aws, "development") == aws
    production = aws_integration.names(aws, "production")
    assert production.bucket == f"{aws.bucket}-production"
    assert production.glue_database == f"{aws.glue_database}_production"
