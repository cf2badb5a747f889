"""Synthetic columns for the drift benchmarks: 20 numbers and 5 categories that move as told."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special

NUMBERS, LEVELS = 20, (2, 5, 10, 50, 200)
COLUMNS = NUMBERS + len(LEVELS)
SPREADS = (1.0, 0.6924, 2**0.5, 28.87, 0.1597)
"""Standard deviations of the five kinds of numbers."""


def draw(
    random: np.random.Generator, rows: int, shift: npt.NDArray[np.float64] | None = None
) -> pa.Table:
    """Rows of 25 columns.

    Args:
        random: Where they come from.
        rows: How many.
        shift: By how many standard deviations each column is moved, shape (25,); a category is a
            normal variable in classes, of which that variable is moved.
    """
    moved = np.zeros(COLUMNS) if shift is None else shift
    columns: dict[str, object] = {}
    for number in range(NUMBERS):
        kind = number % 5
        values = _numbers(random, kind, rows) + moved[number] * SPREADS[kind]
        if kind == 3:  # stays whole numbers, moved on average by as much
            values = np.floor(values + random.random(rows))
        columns[f"number_{number}"] = values
    for number, levels in enumerate(LEVELS):
        shares = 1 / np.arange(1, levels + 1)
        edges = special.ndtri(np.cumsum(shares / shares.sum())[:-1])
        codes = np.searchsorted(edges, random.normal(size=rows) + moved[NUMBERS + number])
        names = pa.array([f"level {level}" for level in range(levels)])
        columns[f"category_{levels}"] = pa.DictionaryArray.from_arrays(
            pa.array(codes.astype(np.int32)), names
        ).cast(pa.string())
    return pa.table(columns)


def _numbers(random: np.random.Generator, kind: int, rows: int) -> npt.NDArray[np.float64]:
    if kind == 0:
        return random.normal(size=rows)
    if kind == 1:
        return random.lognormal(sigma=0.6, size=rows) * (0.6924 / 0.7863)
    if kind == 2:
        return random.gamma(2.0, size=rows)
    if kind == 3:
        return random.integers(0, 100, rows).astype(np.float64)
    return random.beta(2.0, 5.0, size=rows)
