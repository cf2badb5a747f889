"""An order in time: the columns that tell it, and whether the rows are in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from goldpath.automl.columns import Kind, as_time, column_kind

PARTS = (
    (r"(^|_)(year|yr|yyyy|ano)$", (-10_000, 10_000)),
    (r"(^|_)(month|mnth|mon|mth|mes)$", (1, 12)),
    (r"(^|_)(day|dom|day_of_month|dia)$", (1, 31)),
    (r"(^|_)(hour|hr|hora)$", (0, 23)),
    (r"(^|_)(minute|min)$", (0, 59)),
)
"""Columns that make up a time, the largest first, and the values that they may hold."""
TIME_WORD = re.compile(
    r"(^|_)(time|timestamp|date|datetime|epoch|ts|period|week|quarter|tick)(_|$)"
)
YEAR_OF_SOMETHING = re.compile(r"[a-z0-9]_(year|yr|yyyy|ano)$")
"""Such as birth_year: a year, but perhaps not that of the row."""
FEWEST_TIMES = 5
RISES = 0.99
MOST_MISSING = 0.05
EVENLY = 1e-6


@dataclass(frozen=True)
class Order:
    """A column, or several, that say when a row was.

    Attributes:
        column: Its name; the names of several, joined by commas.
        times: A number for each row that grows with the time.
        rows: Row numbers, oldest first.
        how: How the table's rows lie to it; empty where they are mixed.
        is_counter: Whether it only counts rows, and is no time by name or type.
        falls: Whether the table begins with the newest rows.
    """

    column: str
    times: np.ndarray
    rows: np.ndarray
    how: str
    is_counter: bool
    falls: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether it is a lone year of something, such as birth_year."""
        return bool(YEAR_OF_SOMETHING.search(spelled(self.column)))


def times_of(features: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """Columns of times, by type, text or name; and year, month, day and hour together.

    Returns:
        Names, joined by commas where several columns make up one time, and a number for each row
        that grows with the time.
    """
    found = []
    for name in features.columns:
        column = features[name]
        if pd.api.types.is_numeric_dtype(column):
            if TIME_WORD.search(spelled(name)) and (values := _whole(column)) is not None:
                found.append((str(name), values))
        elif column_kind(column) in (Kind.TIME, Kind.TIME_TEXT):
            # Few texts may stand for many rows, and reading one is slow.
            codes, different = pd.factorize(column)
            moments = as_time(pd.Series(different))
            days = (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)
            of_rows = pd.Series(np.append(days, np.nan)[codes])
            if of_rows.isna().mean() <= MOST_MISSING:
                found.append((str(name), of_rows.ffill().bfill().to_numpy()))
    parts = _parts(features)
    if parts:
        times = np.zeros(len(features))
        for numbers, (low, high) in parts.values():
            times = times * (high - low + 1) + numbers
        found.append((", ".join(parts), times))
    return found


def orders(
    features: pd.DataFrame,
    times: Sequence[tuple[str, np.ndarray]],
    keys: Sequence[tuple[str, np.ndarray]],
) -> list[Order]:
    """The orders that a table's columns tell, those that its rows are in first.

    Args:
        features: The table.
        times: See `times_of`.
        keys: Names and codes of columns whose values repeat: the rows may be in the order of time
            for each of their values.
    """
    found = [_order(name, values, keys, is_counter=False) for name, values in times]
    found += [_order(name, values, (), is_counter=True) for name, values in _counters(features)]
    return sorted(found, key=lambda order: (not order.how, order.is_counter))


def _order(
    name: str, times: np.ndarray, keys: Sequence[tuple[str, np.ndarray]], *, is_counter: bool
) -> Order:
    rows = np.argsort(times, kind="stable")
    how, falls = "", False
    if _rises(times):
        how = f"the rows rise with {name}"
    elif falls := _rises(times[::-1]):
        how = f"the rows fall with {name}, the newest first"
    else:
        for key, codes in keys:
            if key != name and _rises_within(times, codes):
                how = f"the rows of each {key} rise with {name}"
                break
    return Order(name, times, rows, how, is_counter, falls)


def _rises(times: np.ndarray) -> bool:
    steps = np.diff(times)
    if float((steps >= 0).mean()) < RISES or len(np.unique(times)) < FEWEST_TIMES:
        return False
    # Few steps back may still lead far, as where two tables were put one below the other.
    return float(np.mean(times[1:] >= np.maximum.accumulate(times)[:-1])) >= RISES


def _rises_within(times: np.ndarray, codes: np.ndarray) -> bool:
    order = np.argsort(codes, kind="stable")
    steps = np.diff(times[order])[np.diff(codes[order]) == 0]
    if len(steps) < len(times) / 2 or len(np.unique(times)) < FEWEST_TIMES:
        return False
    return float((steps >= 0).mean()) >= RISES and float((steps > 0).mean()) >= 0.5


def _parts(features: pd.DataFrame) -> dict[str, tuple[np.ndarray, tuple[int, int]]]:
    """The columns of a year and the parts below it, without a gap, by their names."""
    found: dict[str, tuple[np.ndarray, tuple[int, int]]] = {}
    for pattern, (low, high) in PARTS:
        named = [name for name in features.columns if re.search(pattern, spelled(name))]
        values = _whole(features[named[0]]) if named else None
        if values is None or values.min() < low or values.max() > high:
            # Without the day the hour tells no time.
            break
        found[str(named[0])] = (values, (low, high))
    return found


def _counters(features: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """Numbers that differ in each row and grow or fall from row to row, as if they counted."""
    found = []
    for name in features.columns:
        column = features[name]
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            continue
        if TIME_WORD.search(spelled(name)) or column.isna().any() or not column.is_unique:
            continue
        if column.is_monotonic_increasing or column.is_monotonic_decreasing:
            values = column.to_numpy(dtype=np.float64)
            steps = np.diff(values)
            if _whole(column) is not None or np.ptp(steps) <= EVENLY * abs(steps.mean()):
                found.append((str(name), values))
    return found


def _whole(column: "pd.Series[Any]") -> np.ndarray | None:
    """A column's whole numbers; None where it has others, or too few values."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return None
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(values).all() or not np.array_equal(values, np.floor(values)):
        return None
    return values


def spelled(name: Any) -> str:
    """`saleDate` and `Sale Date` as `sale_date`."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name))
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
