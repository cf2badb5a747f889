"""How much the target of a row tells about the target of another one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from goldpath.automl.task import Task

SURE = 4.0
"""Standard errors from which chance is ruled out: one table in 30,000 passes without a reason."""
FEW_PAIRS = 10.0
"""Below so many expected pairs of a rare class, their number is not normal but Poisson's."""
FEWEST_OF_A_CLASS = 5
MOST_CLASSES = 12
SORTED = 0.999


@dataclass(frozen=True)
class Likeness:
    """How alike the targets of rows next to each other are.

    Attributes:
        correlation: Of a row's target with the next one's: 1 less half of von Neumann's ratio.
        trend: Correlation of the target with the row's place.
        is_certain: Whether one of the two is beyond chance.
    """

    correlation: float
    trend: float
    is_certain: bool

    @property
    def strength(self) -> float:
        """The stronger of the two."""
        return max(self.correlation, abs(self.trend))


def signals(task: Task) -> list[np.ndarray]:
    """The target as centred numbers: ranks of its values, or an indicator of each class."""
    if task.problem == "regression":
        from scipy.stats import rankdata

        ranks = rankdata(task.target)
        return [(ranks - ranks.mean()) / ranks.std()]
    counts = np.bincount(task.target)
    shown = [k for k in np.argsort(-counts)[:MOST_CLASSES] if counts[k] >= FEWEST_OF_A_CLASS]
    return [(task.target == k) - counts[k] / len(task.target) for k in shown[len(counts) == 2 :]]


def likeness(target: Sequence[np.ndarray], order: np.ndarray) -> Likeness:
    """Of neighbours in an order.

    Args:
        target: See `signals`.
        order: Row numbers.

    References:
        von Neumann, "Distribution of the ratio of the mean square successive difference to the
        variance" (1941).
    """
    found = [_likeness(signal[order]) for signal in target]
    best = max(found, key=lambda one: (one.is_certain, one.strength), default=None)
    return best or Likeness(0.0, 0.0, False)


def is_sorted_by_target(task: Task, order: np.ndarray) -> bool:
    """Whether the order is the target's own: rows sorted by value, or class after class."""
    steps = np.diff(task.target[order])
    if task.problem == "classification":
        return int((steps != 0).sum()) <= 2 * (task.outputs - 1)
    return max(float((steps >= 0).mean()), float((steps <= 0).mean())) >= SORTED


def _likeness(signal: np.ndarray) -> Likeness:
    rows, spread = len(signal), float(np.mean(signal**2))
    if spread <= 0:
        return Likeness(0.0, 0.0, False)
    correlation = 1 - float(np.mean(np.diff(signal) ** 2)) / (2 * spread)
    place = np.arange(rows) - (rows - 1) / 2
    trend = float(np.mean(signal * place)) / float(np.sqrt(spread * np.mean(place**2)))
    certain = correlation * np.sqrt(rows) > SURE and _pairs_are_many(signal)
    return Likeness(correlation, trend, bool(certain or abs(trend) * np.sqrt(rows - 1) > SURE))


def _pairs_are_many(signal: np.ndarray) -> bool:
    """Whether rows of a rare class lie side by side more often than chance has it."""
    rare = signal > 0
    expected = float(rare.sum()) ** 2 / len(rare)
    if expected >= FEW_PAIRS or len(np.unique(signal)) > 2:
        return True
    from scipy.stats import norm, poisson

    pairs = int((rare[1:] & rare[:-1]).sum())
    return bool(poisson.sf(pairs - 1, expected) < norm.sf(SURE))


def share_between(target: Sequence[np.ndarray], codes: np.ndarray) -> float:
    """Share of the target's variance that lies between groups; 0 where it may be chance.

    The intraclass correlation of the one-way analysis of variance, whose F test rules chance out.

    Args:
        target: See `signals`.
        codes: Group number of each row, shape (rows,), from 0.
    """
    from scipy.stats import f, norm

    rows, sizes = len(codes), np.bincount(codes).astype(np.float64)
    groups = len(sizes)
    usual = (rows - float(np.sum(sizes**2)) / rows) / (groups - 1)
    shares = [0.0]
    for signal in target:
        means = np.bincount(codes, weights=signal) / sizes
        between = float(np.sum(sizes * (means - signal.mean()) ** 2)) / (groups - 1)
        within = float(np.sum((signal - means[codes]) ** 2)) / (rows - groups)
        if f.sf(between / max(within, 1e-12), groups - 1, rows - groups) < norm.sf(SURE):
            shares.append((between - within) / max(between + (usual - 1) * within, 1e-12))
    return max(shares)
