"""Drift monitoring: which columns are compared with what the champion was trained on."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def compared(rows: "pa.Table") -> "pa.Table":
    """Leave out `tenure_months`: it grows by one each month, for every customer who stays."""
    return rows.drop_columns(["tenure_months"]) if "tenure_months" in rows.column_names else rows
