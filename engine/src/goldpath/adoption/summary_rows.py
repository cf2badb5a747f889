"""Rows that sum up the others, such as the last one of a report: no observations."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.domain import NUMBER

TOTAL = re.compile(
    r"(grand|sub|over)?[ -]?(total|totals|totale|totaal|totali|totales)( general| général)?"
    r"|sum|summe|suma|somme|soma|gesamt|gesamtsumme|insgesamt|zusammen|overall|all|average|avg|mean"
    r"|mittelwert|durchschnitt|media|moyenne",
    re.IGNORECASE,
)
EDGE = 3
"""Rows at the file's end that may sum up the others without saying so."""

MOST = 0.02
CLOSE = 1e-4


@dataclass(frozen=True)
class SummaryRow:
    """A row that sums up others.

    Attributes:
        number: Its number in the file, from 1.
        said: What shows it, for people.
    """

    number: int
    said: str


def find_summary_rows(raw: pa.Table) -> tuple[SummaryRow, ...]:
    """Rows that are called a total, and rows at the end whose numbers are the others' sums.

    A word alone is not enough: the row must also hold the sum or the mean of a column, or its
    largest value, or be the last.

    Args:
        raw: Text columns.
    """
    if raw.num_rows < 2 * EDGE:
        return ()
    texts = {
        name: pc.ascii_trim_whitespace(raw[name].cast(pa.string())) for name in raw.column_names
    }
    named: dict[int, str] = {}
    for name, column in texts.items():
        for place in _rows_called_total(column):
            named.setdefault(place, f"{name} is {column[place].as_py()!r}")
    if len(named) > max(1, MOST * raw.num_rows):
        return ()
    edge = range(raw.num_rows - EDGE, raw.num_rows)
    suspected = sorted({*named, *edge})
    numbers = {
        name: values for name, column in texts.items() if (values := _numbers(column)) is not None
    }
    found: list[SummaryRow] = []
    for place in suspected:
        sums, largest = _evidence(numbers, place, {*named, place})
        if place in named and (sums or largest or place in edge):
            found.append(SummaryRow(place + 1, named[place]))
        elif place in edge and len(sums) >= 2 and len(sums) == _present(numbers, place):
            found.append(SummaryRow(place + 1, f"{' and '.join(sums[:2])} are sums"))
    return tuple(found)


def without_rows(raw: pa.Table, rows: tuple[SummaryRow, ...]) -> pa.Table:
    """The other rows."""
    if not rows:
        return raw
    kept = np.ones(raw.num_rows, dtype=bool)
    kept[[row.number - 1 for row in rows]] = False
    return raw.filter(pa.array(kept))


def _rows_called_total(column: pa.ChunkedArray) -> list[int]:
    levels = pc.unique(column).to_pylist()
    totals = [level for level in levels if level is not None and TOTAL.fullmatch(level)]
    if not totals or len(levels) < 3:  # a column of two levels, one of them "all", is a category
        return []
    called = pc.fill_null(pc.is_in(column, value_set=pa.array(totals)), False)
    return [int(place) for place in np.flatnonzero(np.asarray(called))]


def _numbers(column: pa.ChunkedArray) -> np.ndarray | None:
    """The column's numbers with NaN; None where most values are none."""
    values = np.array(
        [
            float(text) if text is not None and NUMBER.fullmatch(text) else np.nan
            for text in column.to_pylist()
        ]
    )
    return values if np.isfinite(values).mean() > 0.5 else None


def _evidence(
    numbers: dict[str, np.ndarray], place: int, left_out: set[int]
) -> tuple[list[str], bool]:
    """The columns whose sum or mean the row holds, and whether it is above every other row."""
    sums, largest = [], False
    for name, values in numbers.items():
        others = np.delete(values, sorted(left_out))
        others = others[np.isfinite(others)]
        value = values[place]
        if not np.isfinite(value) or len(others) < EDGE or np.ptp(others) == 0:
            continue
        scale = max(abs(value), float(np.abs(others).max()))
        goals = (float(others.sum()), float(others.mean()))
        if any(abs(value - goal) <= CLOSE * scale for goal in goals):
            sums.append(name)
        largest |= bool(value > 2 * others.max())
    return sums, largest


def _present(numbers: dict[str, np.ndarray], place: int) -> int:
    return sum(bool(np.isfinite(values[place])) for values in numbers.values())
