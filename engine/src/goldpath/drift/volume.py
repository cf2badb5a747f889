"""The number of rows of a window, against earlier windows of the same source.

A training table and a service have different traffic, so the reference says nothing about it.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from goldpath.drift.distances import SMALLEST_P

VOLUME = "(rows)"
"""Stands among the columns for the number of rows of a window."""

FEWEST_VOLUMES = 8
"""Earlier windows that a volume is compared with, at least."""

VOLUME_FLOOR = float(np.log(1.5))
"""A volume counts from half as many rows again, or a third less."""


def volume_shift(rows: int, usual: Sequence[int]) -> tuple[float, float] | None:
    """How far the logarithm of a window's rows lies from the usual, and the chance of it."""
    known = np.array([each for each in usual if each > 0], dtype=np.float64)
    if len(known) < FEWEST_VOLUMES:
        return None
    logs = np.log(known)
    middle = float(np.median(logs))
    variance = float(logs.var(ddof=1)) * (1 + 1 / len(logs)) + 1 / rows
    effect = abs(float(np.log(rows)) - middle)
    chance = 2 * float(stats.t.sf(effect / np.sqrt(variance), len(logs) - 1))
    return effect, max(chance, SMALLEST_P)
