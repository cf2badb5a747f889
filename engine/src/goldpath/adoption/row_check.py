"""The rows of a file under its new contract: what silver will accept, and why not the others."""

from collections import Counter

import pandas as pd
import pyarrow as pa

from goldpath.adoption.column_profile import AdoptionError
from goldpath.lake.engine import connect_duckdb
from goldpath.lake.tables import REASONS, ROW_NUMBER
from goldpath.quality.checks import mark_rows, number_rows, typed_columns
from goldpath.quality.wide_rows import can_be_marked, mark_table
from goldpath.row_contract import RowContract

SHOWN_REASONS = 3


def check_file(raw: pa.Table, contract: RowContract) -> tuple[pd.DataFrame, Counter[str]]:
    """The rows that silver will accept, typed, and how often it will refuse others, by reason.

    Args:
        raw: The file's rows as text.
        contract: What a row must be.
    """
    import ibis

    rows = number_rows(raw.select(contract.raw_columns))
    if can_be_marked(rows.schema, contract, rows.num_rows):
        return _divided(mark_table(rows, contract, require_target=True))
    engine = connect_duckdb()
    try:
        marked = mark_rows(ibis.memtable(rows), contract, require_target=True)
        return _divided(engine.to_pyarrow(marked.order_by(ROW_NUMBER)))
    finally:
        engine.disconnect()


def _divided(marked: pa.Table) -> tuple[pd.DataFrame, Counter[str]]:
    reasons = marked[REASONS].to_pylist()
    accepted = pa.table(typed_columns(marked)).filter(pa.array([not reason for reason in reasons]))
    return accepted.to_pandas(), Counter(reason.removesuffix("; ") for reason in reasons if reason)


def row_notes(
    rows: int, accepted: pd.DataFrame, reasons: Counter[str], limit: float = 1.0
) -> list[str]:
    """What silver will say about the rows.

    Args:
        rows: How many the file has.
        accepted: Those that silver takes.
        reasons: Why it refuses the others, with how often.
        limit: No training where a larger share is refused.

    Raises:
        AdoptionError: If none is accepted; names the commonest reason.
    """
    if accepted.empty:
        raise AdoptionError(
            f"no row could be used; the commonest reason: {reasons.most_common(1)[0][0]}",
            "correct the file, or name other columns",
        )
    if not reasons:
        return []
    shown = "; ".join(
        f"{reason} ({count:,})" for reason, count in reasons.most_common(SHOWN_REASONS)
    )
    more = " …" if len(reasons) > SHOWN_REASONS else ""
    refused = sum(reasons.values())
    notes = [f"silver will quarantine {refused:,} of {rows:,} rows: {shown}{more}"]
    if refused / rows > limit:
        notes.append(
            f"that is {refused / rows:.0%}: training stops where more than {limit:.0%} are "
            "refused; correct the file or the answers above, or raise maximum_quarantine_share in "
            "config/training.yaml"
        )
    return notes
