"""What the row features compute: of one row by every evaluator, and in the gold table."""

import pytest
from goldpath import Contract
from goldpath.testing import assert_feature, tiny_lake

from {{ cookiecutter.package_name }}.features import customers
from {{ cookiecutter.package_name }}.project import project


def test_the_charge_rate_is_high_where_a_customer_is_new(contract: Contract) -> None:
    new = {"monthly_charges": 60.0, "tenure_months": 2}
    assert_feature(customers.charge_rate, row=new, equals=20, contract=contract)
    old = {"monthly_charges": 60.0, "tenure_months": 119}
    assert_feature(customers.charge_rate, row=old, equals=0.5, contract=contract)


@pytest.mark.parametrize(
    ("term", "expected"), [("month-to-month", 4), ("one-year", 0), ("two-year", 0)]
)
def test_tickets_count_where_no_contract_term_holds(
    contract: Contract, term: str, expected: int
) -> None:
    row: dict[str, str | int] = {"contract": term, "support_tickets": 4}
    assert_feature(customers.unbound_tickets, row=row, equals=expected, contract=contract)


def test_gold_has_the_features_that_the_project_hands_over(contract: Contract) -> None:
    given = [{"monthly_charges": "50", "tenure_months": "4", "contract": "lifetime"}]
    lake = tiny_lake(given, project=project, contract=contract)
    (row,) = lake.rows("gold")
    assert {each.name for each in project.row_features} <= set(row)
    assert (row["charge_rate"], row["unbound_tickets"]) == (10, 0)
