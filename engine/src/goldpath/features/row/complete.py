"""Rows with their row features, in the form that they came in.

Features that the rows bring along are replaced: a version computes its own, whatever the lake's
columns of the same name hold by now.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from goldpath.contract import Contract
from goldpath.features.row.batch import Array, known_numbers, known_texts, with_features
from goldpath.features.row.document import Definition
from goldpath.features.row.learned import definitions_of, evaluator_of
from goldpath.features.row.tracing import KINDS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def complete_rows(
    rows: "pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]", contract: Contract
) -> Any:
    """Rows with every feature that the contract's model takes.

    Args:
        rows: Typed rows that hold at least what a request sends.
        contract: The one that the model was trained with.

    Returns:
        The rows themselves where the contract has no row features; else a new table, frame or list.
    """
    definitions = definitions_of(contract)
    if not definitions:
        return rows
    if isinstance(rows, Sequence):
        return [*map(evaluator_of(contract), rows)]
    if hasattr(type(rows), "schema"):
        return _complete_table(rows, contract, definitions)
    return _complete_frame(rows, contract, definitions)


def columns_read(contract: Contract, definitions: Sequence[Definition]) -> dict[str, bool]:
    """The columns of the request that the features read, and whether each is a text."""
    sent = {feature.name: feature for feature in contract.features if not feature.expression}
    needed = dict.fromkeys(name for each in definitions for name in each.expression.columns)
    return {name: not sent[name].is_numeric for name in needed if name in sent}


def _complete_table(
    table: "pa.Table", contract: Contract, definitions: Sequence[Definition]
) -> "pa.Table":
    import pyarrow as pa

    columns: dict[str, Array] = {}
    for name, is_text in columns_read(contract, definitions).items():
        column = table.column(name)
        if is_text:
            columns[name] = known_texts(column.to_pylist())
        else:
            if pa.types.is_boolean(column.type):
                column = column.cast(pa.uint8())
            columns[name] = known_numbers(column.cast(pa.float64(), safe=False).to_numpy())
    found = with_features(definitions, columns, table.num_rows)
    kinds = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
    for each in definitions:
        if each.name in table.column_names:
            table = table.drop_columns([each.name])
        values = found[each.name]
        if each.expression.type == "text":
            made = pa.array(values.tolist(), pa.string())
        else:
            made = pa.array(values, pa.float64(), from_pandas=True)
            made = made.cast(kinds[KINDS[each.expression.type]])
        table = table.append_column(each.name, made)
    return table


def _complete_frame(
    frame: "pd.DataFrame", contract: Contract, definitions: Sequence[Definition]
) -> "pd.DataFrame":
    import numpy as np
    import pandas as pd

    columns: dict[str, Array] = {}
    for name, is_text in columns_read(contract, definitions).items():
        column = frame[name]
        if is_text:
            columns[name] = known_texts(column.tolist())
        else:
            plain = column.astype(object).where(column.notna(), np.nan)
            columns[name] = known_numbers(pd.to_numeric(plain).to_numpy(dtype="float64"))
    found = with_features(definitions, columns, len(frame))
    made = {each.name: pd.Series(found[each.name], index=frame.index) for each in definitions}
    return frame.assign(**made)
