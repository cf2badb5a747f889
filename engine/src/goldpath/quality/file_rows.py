"""A file's rows, divided: typed rows that can be scored, and the others with the reason."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.lake.engine import connect_duckdb
from goldpath.lake.tables import REASONS, ROW_NUMBER
from goldpath.quality.checks import divide_rows, number_rows
from goldpath.quality.wide_rows import mark_rows_of
from goldpath.row_contract import RowContract

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

ROW = "row"
REFUSED = "refused"
SHOWN_REASONS = 5


@dataclass(frozen=True)
class FileRows:
    """Raw rows, divided by the contract.

    Attributes:
        typed: Accepted rows in the order entity, event time, features, target (where the file has
            it).
        refused: Of the other rows the number in the file from 1 and why, in the columns `row` and
            `refused`; nothing of a person, so that the table may be kept.
    """

    typed: "pa.Table"
    refused: "pa.Table"

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were refused for each reason, the commonest first."""
        return count_reasons(self.refused[REFUSED].to_pylist())


def divide_file(
    raw: "pa.Table",
    contract: Contract,
    prepare: "Callable[[ibis.Table], ibis.Table] | None" = None,
) -> FileRows:
    """Type the rows of a file that is scored; a label is not needed.

    Args:
        raw: Text columns as `sources.read_raw` gives them; with `_row_number` where rows were
            left out of the file already.
        contract: What a row must be.
        prepare: Applied to the raw rows before they are read.

    Raises:
        ContractError: If a column of the contract is not in the file.
    """
    import ibis

    numbered = raw if ROW_NUMBER in raw.column_names else number_rows(raw)
    engine = connect_duckdb()
    try:
        rows = ibis.memtable(numbered)
        if prepare is not None:
            rows = prepare(rows)
        checked = divide_rows(mark_rows_of(engine, rows, contract, require_target=False))
        typed = engine.to_pyarrow(checked.accepted.order_by(ROW_NUMBER).drop(ROW_NUMBER))
        rejected = checked.rejected.order_by(ROW_NUMBER)
        refused = engine.to_pyarrow(
            rejected.select(**{ROW: rejected[ROW_NUMBER], REFUSED: rejected[REASONS]})
        )
    finally:
        engine.disconnect()
    return FileRows(typed, refused)


def typed_frame(
    raw: "pa.Table",
    contract: RowContract,
    prepare: "Callable[[ibis.Table], ibis.Table] | None" = None,
) -> "pa.Table":
    """The accepted rows of a file that is scored or compared; a label is not needed.

    Args:
        raw: Text columns as `sources.read_raw` gives them.
        contract: What a row must be.
        prepare: Applied to the raw rows before they are read.

    Returns:
        Typed columns in the order entity, event time, features, target (where the file has it).

    Raises:
        ContractError: If a column of the contract is not in the file.
    """
    import ibis

    engine = connect_duckdb()
    rows = ibis.memtable(number_rows(raw))
    if prepare is not None:
        rows = prepare(rows)
    accepted = divide_rows(mark_rows_of(engine, rows, contract, require_target=False)).accepted
    table = engine.to_pyarrow(accepted.order_by(ROW_NUMBER).drop(ROW_NUMBER))
    engine.disconnect()
    return table


def count_reasons(refused: Iterable[str]) -> dict[str, int]:
    """How many rows were refused for each reason, the commonest first; values are left out.

    A row with several faults counts for each of them.
    """
    found = Counter(
        re.sub(r": '.*' is", ": is", reason, count=1)
        for reasons in refused
        for reason in dict.fromkeys(reasons.split("; "))
    )
    return dict(found.most_common())


def say_reasons(reasons: Mapping[str, int]) -> str:
    """The commonest reasons with their counts, as a part of a sentence."""
    said = "; ".join(f"{reason} ({rows:,})" for reason, rows in [*reasons.items()][:SHOWN_REASONS])
    return f"{said} …" if len(reasons) > SHOWN_REASONS else said
