"""The model's input and target, in the one form in which models see them.

Training, batch inference and the service all come through here, so that the same row gives the
same prediction everywhere.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldpath.contract import Contract

if TYPE_CHECKING:
    import pyarrow as pa

PLAIN_NUMBERS = [np.dtype(name) for name in ("float64", "int64", "bool")]
"""Columns that need no look at each value; on thousands of columns the look is what takes time."""


def model_frame(
    rows: "pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]", contract: Contract
) -> pd.DataFrame:
    """The features in the contract's order.

    Args:
        rows: Typed rows that hold at least the features; other columns are left out.
        contract: The contract that the model was trained with.

    Returns:
        Shape (rows, features): numbers and booleans as float64 with NaN for a missing value,
        categories as objects with NaN for a missing value.
    """
    frame = _as_pandas(rows)
    columns: dict[str, pd.Series[Any]] = {}
    for feature in contract.features:
        column = frame[feature.name]
        if feature.is_numeric and column.dtype in PLAIN_NUMBERS:
            columns[feature.name] = column.astype("float64")
        elif feature.is_numeric:
            columns[feature.name] = pd.to_numeric(
                column.astype(object).where(column.notna(), np.nan)
            ).astype("float64")
        else:
            text = column.astype(object)
            columns[feature.name] = text.where(column.notna(), np.nan)
    return pd.DataFrame(columns, columns=contract.feature_names)


def target_values(rows: "pa.Table | pd.DataFrame", contract: Contract) -> np.ndarray:
    """The target, shape (rows,): class labels as text, float64 values, or None of a clustering."""
    if not contract.has_target:
        return np.full(len(rows), None, dtype=object)
    column = _as_pandas(rows)[contract.target.column]
    if contract.problem == "regression":
        return column.to_numpy(dtype="float64")
    return column.astype(object).to_numpy()


def _as_pandas(rows: "pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]") -> pd.DataFrame:
    if isinstance(rows, pd.DataFrame):
        return rows
    if isinstance(rows, Sequence):
        return pd.DataFrame.from_records([dict(row) for row in rows])
    # Nullable integers and booleans would come as objects; one rule for all, in model_frame.
    frame: pd.DataFrame = rows.to_pandas()
    return frame
