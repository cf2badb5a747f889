"""What the features compute: row features by every evaluator, and all of them in the gold table."""

import pytest
from goldpath import Contract
from goldpath.testing import assert_feature, tiny_lake

from {{ cookiecutter.package_name }}.features import customers, history
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


@pytest.mark.parametrize(("mean", "expected"), [(66.0, 1.1), (None, None)])
def test_payments_are_measured_by_the_usual_charge(
    mean: float | None, expected: float | None
) -> None:
    row = {"paid_mean_90d": mean, "monthly_charges": 60.0}
    assert_feature(history.paid_above, row=row, equals=expected, features=[history.paid])


def test_windows_take_the_last_90_days_before_the_row(contract: Contract) -> None:
    payments = [("2023-06-01", 10), ("2023-12-01", 50), ("2023-12-20", 54), ("2024-02-01", 99)]
    tickets = [("2023-12-01", "cancellation"), ("2023-12-02", "billing")]
    lake = tiny_lake(
        [{"monthly_charges": "50", "observed_at": "2024-01-01"}],
        project=project,
        contract=contract,
        sources={
            "payments": [
                {"customer_id": "row-1", "payment_id": day, "paid_at": day, "amount": amount}
                for day, amount in payments
            ],
            "tickets": [
                {"customer_id": "row-1", "ticket_id": day, "opened_at": day, "topic": topic}
                for day, topic in tickets
            ],
        },
    )
    (row,) = lake.rows("gold")
    assert (row["paid_mean_90d"], row["asked_cancellations_90d"]) == (52, 1)
    assert row["paid_above"] == pytest.approx(1.04)


def test_gold_has_the_features_that_the_project_hands_over(contract: Contract) -> None:
    given = [{"monthly_charges": "50", "tenure_months": "4", "contract": "lifetime"}]
    lake = tiny_lake(given, project=project, contract=contract)
    (row,) = lake.rows("gold")
    assert {each.name for each in project.row_features} <= set(row)
    assert (row["charge_rate"], row["unbound_tickets"]) == (10, 0)
