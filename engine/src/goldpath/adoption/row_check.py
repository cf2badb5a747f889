"""The rows of a file under its new contract: what silver will accept, and why not the others."""

from collections import Counter

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import Feature
from goldpath.domain import MISSING, PADDING, Refusal, Value
from goldpath.lake.engine import connect_duckdb
from goldpath.lake.tables import REASONS, ROW_NUMBER
from goldpath.quality.checks import mark_rows, number_rows, typed_columns
from goldpath.quality.number_text import plain_text
from goldpath.row_contract import RowContract

# The engine takes a tenth of a second for each column of a query, however few the rows are. Of a
# file of few rows and many columns, the columns beyond are read by the domain itself.
ENGINE_FEATURES = 60
TYPES = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
}


def check_file(raw: pa.Table, contract: RowContract) -> tuple[pd.DataFrame, Counter[str]]:
    """The rows that silver will accept, typed, and how often it will refuse others, by reason.

    Args:
        raw: The file's rows as text.
        contract: What a row must be.
    """
    first, others = contract.features[:ENGINE_FEATURES], contract.features[ENGINE_FEATURES:]
    marked = _marked(raw, contract.model_copy(update={"features": first}))
    typed = typed_columns(marked)
    reasons = marked[REASONS].to_pylist()
    for feature in others:
        typed[feature.name], refused = _read_column(raw[feature.name], feature)
        for row, reason in refused.items():
            reasons[row] += reason
    accepted = pa.table(typed).filter(pa.array([not reason for reason in reasons]))
    return accepted.to_pandas(), Counter(reason.removesuffix("; ") for reason in reasons if reason)


def _read_column(column: pa.ChunkedArray, feature: Feature) -> tuple[pa.Array, dict[int, str]]:
    """The values, and the reasons of the rows that are refused, as `quality.checks` gives them."""
    domain = feature.domain
    values: list[Value] = []
    refusals: dict[int, str] = {}
    encoded = pc.fill_null(column, "").combine_chunks().dictionary_encode()
    for place, text in enumerate(encoded.dictionary.to_pylist()):
        trimmed = text.strip(PADDING)
        read = domain.accept_text(plain_text(trimmed, feature.unit, feature.missing_words))
        if not isinstance(read, Refusal):
            values.append(read)
            continue
        values.append(None)
        if read.reason == MISSING:
            refusals[place] = f"{feature.name}: {MISSING}; "
        elif read.reason != domain.unreadable or feature.unreadable == "refused":
            refusals[place] = f"{feature.name}: '{trimmed[:40]}' {read.reason}; "
    typed = pc.take(pa.array(values, TYPES[feature.type]), encoded.indices)
    if not refusals:
        return typed, {}
    places = enumerate(encoded.indices.to_pylist())
    return typed, {row: refusals[place] for row, place in places if place in refusals}


def _marked(raw: pa.Table, contract: RowContract) -> pa.Table:
    import ibis

    engine = connect_duckdb()
    try:
        rows = ibis.memtable(number_rows(raw.select(contract.raw_columns)))
        marked = mark_rows(rows, contract, require_target=True)
        return engine.to_pyarrow(marked.order_by(ROW_NUMBER))
    finally:
        engine.disconnect()
