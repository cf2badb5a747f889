"""Silver: raw rows as the contract reads them. Each row must stay, and is checked next."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis


def clean(rows: "ibis.Table") -> "ibis.Table":
    """Read lifetime contracts, which are no longer sold, as two-year ones."""
    contract = rows["contract"]
    return rows.mutate(contract=(contract == "lifetime").ifelse("two-year", contract))
