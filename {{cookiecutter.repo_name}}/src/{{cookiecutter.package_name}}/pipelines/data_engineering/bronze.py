"""Bronze: raw rows as they are stored, every column text. Each row must stay."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis


def store(rows: "ibis.Table") -> "ibis.Table":
    """Note the sales office, the part of a customer's id before the hyphen."""
    return rows.mutate(sales_office=rows["customer_id"].split("-")[0])
