"""Gold: the rows of silver that models learn from and that the batch scores."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis


def choose(rows: "ibis.Table") -> "ibis.Table":
    """Leave out customers without a first invoice: nobody can call them yet."""
    return rows.filter(rows["tenure_months"] >= 1)
