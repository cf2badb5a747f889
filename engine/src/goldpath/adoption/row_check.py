"""The rows of a file under its new contract: what silver will accept, and why not the others."""

from collections import Counter

import pandas as pd
import pyarrow as pa

from goldpath.contract import Contract
from goldpath.lake.engine import connect_duckdb
from goldpath.lake.tables import REASONS, ROW_NUMBER
from goldpath.quality.checks import mark_rows, number_rows, typed_columns

# The engine's time to plan a query grows faster than its columns; of blocks it does not.
BLOCK_FEATURES = 60


def check_file(raw: pa.Table, contract: Contract) -> tuple[pd.DataFrame, Counter[str]]:
    """The rows that silver will accept, typed, and how often it will refuse others, by reason.

    Args:
        raw: The file's rows as text.
        contract: What a row must be.
    """
    features = contract.features
    blocks = [features[i : i + BLOCK_FEATURES] for i in range(0, len(features), BLOCK_FEATURES)]
    typed: dict[str, pa.ChunkedArray] = {}
    reasons = [""] * raw.num_rows
    for place, block in enumerate(blocks):
        part = contract.model_copy(update={"features": block})
        if place:
            # Entity, time and target are the first block's.
            part = part.model_copy(update={"entity": None, "event_time": None})
        marked = _marked(raw, part, is_first=place == 0)
        columns = typed_columns(marked)
        names = columns if place == 0 else [feature.name for feature in block]
        typed |= {name: columns[name] for name in names}
        found = marked[REASONS].to_pylist()
        reasons = [before + after for before, after in zip(reasons, found, strict=True)]
    accepted = pa.table(typed).filter(pa.array([not reason for reason in reasons]))
    return accepted.to_pandas(), Counter(reason.removesuffix("; ") for reason in reasons if reason)


def _marked(raw: pa.Table, contract: Contract, *, is_first: bool) -> pa.Table:
    import ibis

    columns = contract.raw_columns if is_first else contract.feature_names
    engine = connect_duckdb()
    try:
        rows = ibis.memtable(number_rows(raw.select(columns)))
        marked = mark_rows(rows, contract, require_target=is_first)
        return engine.to_pyarrow(marked.order_by(ROW_NUMBER))
    finally:
        engine.disconnect()
