"""What customers paid and asked before: windows over the sources of `config/sources/`.

A window feature is computed as of a row's time: in gold from the lake, in the service from what
`make materialize` has written, by `customer_id`. Row features may read its columns.
"""

from goldpath import Aggregate, Row, Rows, Value, row_feature, window_feature


@window_feature(source="payments", over=("90d",))
def paid(payments: Rows) -> dict[str, Aggregate]:
    """What the customer paid; the column is `paid_mean_90d`."""
    return {"mean": payments.amount.mean()}


@row_feature
def paid_above(row: Row) -> Value:
    """Mean payment beside the usual charge; missing where nothing was paid."""
    return row.paid_mean_90d / row.monthly_charges


@window_feature(source="tickets", over=("90d",))
def asked(tickets: Rows) -> dict[str, Aggregate]:
    """How often the customer spoke of leaving; the column is `asked_cancellations_90d`."""
    return {"cancellations": tickets.where(tickets.topic == "cancellation").count()}
