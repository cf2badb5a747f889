"""What is computed of a customer's row; `docs features` lists the operations.

Each function runs once, on a row without values: what it does is written down, becomes a column of
gold, and is computed by the service of what a caller sends. Callers never send a row feature.
"""

from goldpath import Row, Value, case, row_feature


@row_feature
def charge_rate(row: Row) -> Value:
    """Dollars of the last invoice for each month of tenure; high where a customer is new."""
    return row.monthly_charges / (row.tenure_months + 1)


@row_feature
def unbound_tickets(row: Row) -> Value:
    """Tickets of customers whom no contract term holds, 0 for the others."""
    return case((row.contract == "month-to-month", row.support_tickets), otherwise=0)
