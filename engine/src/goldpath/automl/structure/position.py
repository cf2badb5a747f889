"""Whether the time's position is a feature: what a model learns of it may not hold later.

A day's number, a year or a counter rises from row to row, so that no newer row has a value that was
learned. A trend may go on, and then it helps; where a level only wanders, a model that takes its
last turn for a trend is worse than one that knows no time. Which it is shows on the folds, whose
judged rows are newer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from goldpath.automl.columns import Kind, as_number, as_time, column_kind

RISES = 0.99
"""Share of the steps from row to row that do not fall, in a column that tells the position."""
FEWEST = 20


@dataclass(frozen=True)
class Position:
    """Columns that say how far the time has gone.

    Attributes:
        counted: Numbers that rise from row to row; without the position they are no features.
        dated: Times that do; without it, only their parts that return are.
    """

    counted: tuple[str, ...] = ()
    dated: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.counted or self.dated)


def position_of(features: pd.DataFrame, left_out: Sequence[str]) -> Position:
    """The columns that tell the position of rows that lie in the order of time.

    Args:
        features: The rows, the oldest first.
        left_out: Columns that are no features anyway.
    """
    counted, dated = [], []
    for name in features.columns:
        kind = column_kind(features[name])
        if str(name) in left_out:
            continue
        if kind in (Kind.TIME, Kind.TIME_TEXT):
            moments = as_time(features[name]) - pd.Timestamp(0, tz="UTC")
            if _rises(moments.dt.total_seconds().to_numpy(np.float64)):
                dated.append(str(name))
        elif kind in (Kind.NUMBER, Kind.NUMBER_TEXT) and _rises(as_number(features[name])):
            counted.append(str(name))
    return Position(tuple(counted), tuple(dated))


def _rises(values: np.ndarray) -> bool:
    """Whether nearly no step falls, and the last tenth lies above the first half, as no month does.

    Gaps are passed over.
    """
    known = values[np.isfinite(values)]
    if len(known) < FEWEST or np.mean(np.diff(known) >= 0) < RISES or known[0] == known[-1]:
        return False
    newest, oldest = known[-(len(known) // 10) :], known[: len(known) // 2]
    return bool(newest.min() >= oldest.max())
