"""Rows that sum up the others, such as the last one of a report: no observations."""

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.quality.plain_numbers import finite_numbers

TOTAL = re.compile(
    r"((grand|sub|over)?[ -]?(total|totals|totale|totaal|totali|totales)( general| général)?"
    r"|sum|summe|suma|somme|soma|gesamt|gesamtsumme|gesamtergebnis|insgesamt|zusammen|overall|all"
    r"|average|avg|mean|mittelwert|durchschnitt|media|moyenne) ?[:.]?",
    re.IGNORECASE,
)
EDGE = 3
"""Rows at the file's end that may sum up the others without saying so."""

SHOWN_ROWS = 3
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


@dataclass(frozen=True)
class _Others:
    """The finite values of a column in the other rows."""

    count: int
    total: float
    low: float
    high: float

    def are_summed_up_by(self, value: float) -> bool:
        """Whether the value is their sum or their mean."""
        scale = max(abs(value), abs(self.low), abs(self.high))
        goals = (self.total, self.total / self.count)
        return any(abs(value - goal) <= CLOSE * scale for goal in goals)


def find_summary_rows(raw: pa.Table, left_out: Collection[int] = ()) -> tuple[SummaryRow, ...]:
    """Rows that are called a total, and rows at the end whose numbers are the others' sums.

    A word alone is not enough: the row must also hold the sum or the mean of a column, or its
    largest value, or be the last.

    Args:
        raw: Text columns.
        left_out: Numbers of rows, from 1, that are not looked at.
    """
    place_of = np.delete(np.arange(raw.num_rows), [number - 1 for number in left_out])
    raw = without_rows(raw, left_out)
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
    numbers = {
        name: values for name, column in texts.items() if (values := _numbers(column)) is not None
    }
    others = _others(numbers, named)
    found: list[SummaryRow] = []
    for place in sorted({*named, *edge}):
        beside = others if place in named else _others(numbers, {*named, place})
        sums, largest = _evidence(numbers, place, beside)
        # Of many rows that are called so, one is near a mean, or the last, by chance.
        few = len(named) <= EDGE
        is_sum = len(sums) >= 2 or (sums and (few or _present(numbers, place) == 1))
        if place in named and (is_sum or largest or (few and place in edge)):
            found.append(SummaryRow(int(place_of[place]) + 1, named[place]))
        elif place in edge and len(sums) >= 2 and len(sums) == _present(numbers, place):
            found.append(SummaryRow(int(place_of[place]) + 1, f"{' and '.join(sums[:2])} are sums"))
    return tuple(found)


def without_rows(raw: pa.Table, rows: Collection[int]) -> pa.Table:
    """The other rows; numbers count from 1."""
    if not rows:
        return raw
    kept = np.ones(raw.num_rows, dtype=bool)
    kept[[number - 1 for number in rows]] = False
    return raw.filter(pa.array(kept))


def _rows_called_total(column: pa.ChunkedArray) -> list[int]:
    levels = pc.unique(column)
    words = levels.filter(pc.match_substring_regex(levels, "[A-Za-z]")).to_pylist()
    totals = [word for word in words if TOTAL.fullmatch(word)]
    if not totals or len(levels) < 3:  # a column of two levels, one of them "all", is a category
        return []
    called = pc.fill_null(pc.is_in(column, value_set=pa.array(totals)), False)
    return [int(place) for place in np.flatnonzero(np.asarray(called))]


def _numbers(column: pa.ChunkedArray) -> np.ndarray | None:
    """The column's numbers with NaN; None where most values are none."""
    encoded = pc.fill_null(column, "").combine_chunks().dictionary_encode()
    values = finite_numbers(encoded.dictionary)[np.asarray(encoded.indices)]
    return values if np.isfinite(values).mean() > 0.5 else None


def _others(numbers: dict[str, np.ndarray], left_out: Collection[int]) -> dict[str, _Others]:
    """Each column's values without those of some rows, where enough of them differ."""
    found = {}
    for name, values in numbers.items():
        others = np.delete(values, sorted(left_out))
        others = others[np.isfinite(others)]
        if len(others) >= EDGE and np.ptp(others) > 0:
            found[name] = _Others(
                len(others), float(others.sum()), float(others.min()), float(others.max())
            )
    return found


def _evidence(
    numbers: dict[str, np.ndarray], place: int, others: dict[str, _Others]
) -> tuple[list[str], bool]:
    """The columns whose sum or mean the row holds, and whether it is above every other row."""
    known = {name: value for name in others if np.isfinite(value := float(numbers[name][place]))}
    sums = [name for name, value in known.items() if others[name].are_summed_up_by(value)]
    return sums, any(value > 2 * others[name].high for name, value in known.items())


def _present(numbers: dict[str, np.ndarray], place: int) -> int:
    return sum(bool(np.isfinite(values[place])) for values in numbers.values())


def left_out_notes(
    headers: tuple[int, ...], summaries: tuple[SummaryRow, ...], *, refused: bool
) -> list[str]:
    """Which rows are no observations, and what becomes of them."""
    then = "silver will quarantine {}" if refused else "take {} out of the file: silver accepts {}"
    notes = []
    if headers:
        numbers = ", ".join(f"{number:,}" for number in headers[:SHOWN_ROWS])
        more = f" and {len(headers) - SHOWN_ROWS:,} more" * (len(headers) > SHOWN_ROWS)
        one = len(headers) == 1
        it = "it" if one else "them"
        notes.append(
            f"row{'s' * (not one)} {numbers}{more} repeat{'s' * one} the header, so nothing is "
            f"concluded from {it}; {then.format(it, it)}"
        )
    if summaries:
        named = ", ".join(f"row {row.number:,} ({row.said})" for row in summaries[:SHOWN_ROWS])
        notes.append(
            f"{named}: sums up other rows, so nothing is concluded from it; "
            f"{then.format('it', 'it')}"
        )
    return notes
