"""The command line with five row features, for `bench-data`; `data_reference.py` has the same."""

from typing import Any

from goldpath import Project, case, row_feature, run

LINES = {"fiber": 2, "dsl": 1, "none": 0}


@row_feature
def charge_rate(row: Any) -> Any:
    """A ratio."""
    return row.monthly_charges / (row.tenure_months + 1)


@row_feature
def unbound_tickets(row: Any) -> Any:
    """A choice."""
    return case((row.contract == "month-to-month", row.support_tickets), otherwise=0)


@row_feature
def hours_a_dollar(row: Any) -> Any:
    """A ratio of what may be missing."""
    return row.usage_hours / row.monthly_charges


@row_feature
def known_late(row: Any) -> Any:
    """A filled gap."""
    return row.late_payments.coalesce(0)


@row_feature
def line(row: Any) -> Any:
    """A table."""
    return row.internet_service.map(LINES)


if __name__ == "__main__":
    features = [charge_rate, unbound_tickets, hours_a_dollar, known_late, line]
    run(Project(name="data", features=lambda: features))
