"""How far a window's counts lie from the reference's, and what chance alone would do.

Each column has up to three tests. `value`: for a number the Cramér-von Mises distance over the
reference's ranks, so that neither a unit nor an outlier of a million weighs on it; for a category
the Jensen-Shannon distance. `missing`: the share without a value. `unseen`: the share outside the
reference's range, or of unlisted categories. `(rejected rows)` is one test more.

All are squared distances whose law without drift is a weighted sum of chi-squares (the weights are
eigenvalues of the bins' covariance), so that one formula gives each its p-value.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import special, stats

from goldpath.drift.bins import Bins, Flags, Floats, Integers
from goldpath.drift.counts import Profile
from goldpath.drift.profile import MINIMUM_EXPECTED, REJECTED_ROWS

TestName = Literal["value", "missing", "unseen", "rejected"]

JENSEN_SHANNON = 1 / (8 * np.log(2))
"""The squared Jensen-Shannon distance is chi-square times (1/n + 1/m) times this, to 2nd order."""

GROUPS = 100
"""Bins are gathered into so many for the eigenvalues, which settle long before."""

SMALLEST_P = 1e-300
SMALLEST_QUANTILE_P = 1e-200
"""Below, the quantile of an estimated law is no longer a number."""

EXACTLY_KNOWN = 1e9
"""Degrees of freedom of what was not estimated; an F law with as many is a chi-square's."""


@dataclass(frozen=True)
class ShiftName:
    """What one test compares: a column's place among the bins, and what of it."""

    column: str
    place: int
    test: TestName


@dataclass(frozen=True, eq=False)
class Distances:
    """A window's distances from the reference, one entry a test, shape (tests,); NaN: undefined.

    Attributes:
        squared: Squared distances.
        effect: How large each shift is: for a number in standard deviations of a normal column
            whose ranks move as much, else the Jensen-Shannon distance (0 to 1).
        first: Largest eigenvalue of the law without drift.
        moments: Sums of the eigenvalues and of their second and third powers, shape (3, tests).
    """

    squared: Floats
    effect: Floats
    first: Floats
    moments: Floats


class Comparer:
    """Compares windows with a reference of the same bins.

    Args:
        reference: The counts of all training rows; the laws without drift follow from them.
    """

    def __init__(self, reference: Profile) -> None:
        self.reference = reference

    @cached_property
    def tests(self) -> tuple[ShiftName, ...]:
        """What is compared, in the order of every array."""
        return test_names(self.reference.bins)

    @cached_property
    def _laws(self) -> tuple[Floats, ...]:
        """Each number's eigenvalues for samples of one row; those of a category depend on sizes."""
        return tuple(
            rank_eigenvalues(self.reference.of(place)) if column.kind == "number" else np.empty(0)
            for place, column in enumerate(self.reference.bins.columns)
        )

    def compare(
        self, window: Profile, reference: Profile | None = None, known: Profile | None = None
    ) -> Distances:
        """The distances of a window.

        Args:
            window: Its counts.
            reference: What to compare it with: the part of the reference that is of the window's
                season; all of it where it is not given.
            known: What is not unseen: the range and the categories of these rows, all seasons'.
                All of the reference where it is not given; for one of the reference's own windows
                the others, or nothing of it would ever be unseen.
        """
        before, known = reference or self.reference, known or self.reference
        found = np.full((6, len(self.tests)), np.nan)
        for number, test in enumerate(self.tests):
            if test.test == "value":
                found[:, number] = self._value(test.place, before, window)
            elif test.test == "unseen":
                once = self._usually_unseen(test.place, before)
                is_unseen = self._is_unseen(test.place, known)
                counts, now = before.of(test.place), window.of(test.place)
                found[:, number] = _of_unseen(
                    int(counts[is_unseen].sum()),
                    int(counts.sum()),
                    int(now[is_unseen].sum()),
                    int(now.sum()),
                    once,
                )
            elif test.test == "rejected":
                # Refused rows have no time that could be trusted, so they have no season either.
                found[:, number] = _of_more(*_shares(test, self.reference), *_shares(test, window))
            else:
                found[:, number] = _of_shares(*_shares(test, before), *_shares(test, window))
        return Distances(found[0], found[1], found[2], found[3:])

    def _is_unseen(self, place: int, known: Profile) -> Flags:
        """The bins below the smallest and above the largest known value; the unknown names'."""
        counts = known.of(place)
        if self.reference.bins.columns[place].kind == "category":
            is_unseen: Flags = counts == 0
            is_unseen[-1] = True  # unlisted names, which a reference of very many has too
            return is_unseen
        held = np.flatnonzero(counts)
        places = np.arange(len(counts))
        return (places < held[0]) | (places > held[-1]) if len(held) else np.ones_like(counts, bool)

    def _usually_unseen(self, place: int, before: Profile) -> int:
        if self.reference.bins.columns[place].kind == "number":
            return 2  # the smallest and the largest value
        return int(np.sum(before.of(place)[:-1] == 1))

    def _value(self, place: int, before: Profile, window: Profile) -> Floats:
        counts, now = before.of(place), window.of(place)
        if counts.sum() == 0 or now.sum() == 0:
            return np.full(6, np.nan)
        if self.reference.bins.columns[place].kind == "category":
            return _of_categories(counts, now)
        return _of_numbers(counts, now, self._laws[place])


def test_names(bins: Bins) -> tuple[ShiftName, ...]:
    """The tests of all columns, and last that of the rejected rows."""
    kinds: tuple[TestName, ...] = ("value", "missing", "unseen")
    of_columns = [
        ShiftName(column.name, place, kind)
        for place, column in enumerate(bins.columns)
        for kind in kinds
    ]
    return (*of_columns, ShiftName(REJECTED_ROWS, -1, "rejected"))


def _shares(test: ShiftName, profile: Profile) -> tuple[int, int]:
    """Rows that the test counts, and rows that it could have counted."""
    if test.test == "rejected":
        return profile.refused, profile.rows + profile.refused
    return int(profile.missing[test.place]), profile.rows


def _of_numbers(before: Integers, now: Integers, law: Floats) -> Floats:
    size, current = before.sum(), now.sum()
    shares = before / size
    gap = np.cumsum(now) / current - np.cumsum(shares)
    middle = (
        gap + np.concatenate([[0.0], gap[:-1]])
    ) / 2  # a value's rank is the middle of its tie
    squared = float(np.sum(shares * middle**2))
    moved = min(float(np.sum(shares * np.abs(middle))), 0.5 - 0.25 / (size + current))
    effect = float(np.sqrt(2) * special.ndtri(0.5 + moved))
    if len(law) == 0:  # one value only: what differs from it is unseen
        return np.full(6, np.nan)
    return _row(squared, effect, law * (1 / size + 1 / current))


def rank_eigenvalues(counts: Integers) -> Floats:
    """Weights of the chi-squares that the squared distance of two samples of one row each follows.

    They are the eigenvalues of the covariance of a Brownian bridge at the bins' middle ranks,
    weighted by the bins' shares; for a continuous column 1/(pi j)**2, and for two values one.

    Args:
        counts: The reference's, shape (bins,).
    """
    shares: Floats = counts[counts > 0].astype(np.float64) / max(int(counts.sum()), 1)
    ends: Floats = np.cumsum(shares)
    if len(shares) > GROUPS:
        group = np.minimum((ends - shares / 2) * GROUPS, GROUPS - 1).astype(np.int64)
        gathered: Floats = np.bincount(group, weights=shares).astype(np.float64)
        shares = gathered[gathered > 0]
        ends = np.cumsum(shares)
    if len(shares) < 2:
        return np.empty(0)
    starts, ends = ends - shares, np.minimum(ends, 1.0)
    middle = (starts + ends) / 2
    lower = np.minimum.outer(middle, middle)
    covariance = lower * (1 - np.maximum.outer(middle, middle))
    own = (starts * (1 - starts) + 2 * starts * (1 - ends) + ends * (1 - ends)) / 4
    np.fill_diagonal(covariance, own)
    weights = np.sqrt(shares)
    values: Floats = np.linalg.eigvalsh(covariance * np.outer(weights, weights))
    return values[values > 0][::-1]


def _of_categories(before: Integers, now: Integers) -> Floats:
    """Rare categories are merged, by the reference's counts alone: the window must not choose.

    The squared distance is the two-sample chi-square in the Jensen-Shannon distance's scale: its
    law holds from five expected rows on, where the divergence itself is still too large.
    """
    size, current = int(before.sum()), int(now.sum())
    order = np.argsort(-before, kind="stable")
    table = np.array([before[order], now[order]], dtype=np.float64)
    expected = table[0] / size * min(size, current)
    kept = int(np.sum(expected >= MINIMUM_EXPECTED))
    if expected[kept:].sum() < MINIMUM_EXPECTED:
        kept -= 1  # the rest is too small to stand alone; it joins the smallest that could
    if kept < 1:
        return np.full(6, np.nan)
    merged = np.hstack([table[:, :kept], table[:, kept:].sum(axis=1, keepdims=True)])
    merged = merged[:, merged.sum(axis=0) > 0]
    freedom = merged.shape[1] - 1
    if freedom == 0:
        return np.full(6, np.nan)
    shares = merged / [[size], [current]]
    pooled = merged.sum(axis=0) / (size + current)
    squared = JENSEN_SHANNON * float(np.sum((shares[0] - shares[1]) ** 2 / pooled))
    effect = float(np.sqrt(share_divergence(merged[0], merged[1])))
    scale = JENSEN_SHANNON * (1 / size + 1 / current)
    return np.array([squared, effect, scale, *(freedom * scale**power for power in (1, 2, 3))])


def _of_shares(count: int, size: int, now: int, current: int) -> Floats:
    if size == 0 or current == 0 or count + now == 0 or (count == size and now == current):
        return np.full(6, np.nan)
    before, after = np.array([count, size - count]), np.array([now, current - now])
    squared = share_divergence(before.astype(np.float64), after.astype(np.float64))
    law = np.array([JENSEN_SHANNON * (1 / size + 1 / current)])
    return _row(squared, float(np.sqrt(squared)), law)


def _of_unseen(count: int, size: int, now: int, current: int, usual: int) -> Floats:
    """Whether more is unseen than an open set of values explains.

    "Unseen" is defined by the reference, so its own share is no yardstick. The share of its rows
    whose value was seen once is (Good-Turing): so many would be unseen had they come later.
    """
    return _of_more(min(count + usual, size), size, now, current)


def _of_more(count: int, size: int, now: int, current: int) -> Floats:
    """A share that only counts where it has grown."""
    found = _of_shares(count, size, now, current)
    if now * size <= count * current:
        found[:2] = np.where(np.isnan(found[:2]), np.nan, 0.0)
    return found


def _row(squared: float, effect: float, law: Floats) -> Floats:
    return np.array([squared, effect, law[0], law.sum(), (law**2).sum(), (law**3).sum()])


def share_divergence(first: Floats, second: Floats) -> float:
    """The squared Jensen-Shannon distance (base 2: 0 to 1) of two sets of counts."""
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2
    middle[middle == 0] = 1.0
    total = special.xlogy(p, p / middle).sum() + special.xlogy(q, q / middle).sum()
    return float(np.clip(total / (2 * np.log(2)), 0.0, 1.0))


@dataclass(frozen=True, eq=False)
class TailLaw:
    """The law of squared distances without drift, one entry a test, shape (tests,) or (K, tests).

    Three moments of a weighted sum of chi-squares, matched by one chi-square (Pearson, 1959). Where
    a variance between windows was estimated, that chi-square is divided by another one, whose
    degrees of freedom say how well it is known (Satterthwaite, 1946): an F law.

    Attributes:
        first: Largest eigenvalue: how far the column moves as a whole.
        mean: Of the squared distance.
        freedom: Degrees of freedom of the chi-square.
        scale: What one of its units is in squared distance.
        known: Degrees of freedom of the estimate of its first eigenvalue.
    """

    first: Floats
    mean: Floats
    freedom: Floats
    scale: Floats
    known: Floats

    def p_values(self, squared: Floats) -> Floats:
        """The chance of so large a squared distance; NaN where it is undefined."""
        value = self.freedom + (squared - self.mean) / self.scale
        found: Floats = stats.f.sf(np.maximum(value, 0.0) / self.freedom, self.freedom, self.known)
        return np.maximum(found, SMALLEST_P)

    def quantile(self, p_value: float) -> Floats:
        """The squared distance that has this chance."""
        # By the beta law of 1 / (1 + F freedom / known): scipy's own isf of F asks for 1 - p, which
        # is 1 below 1e-16, and says infinity.
        chance = max(p_value, SMALLEST_QUANTILE_P)
        part: Floats = special.betaincinv(self.known / 2, self.freedom / 2, chance)
        return self.mean + (self.known * (1 - part) / part - self.freedom) * self.scale


def tail_law(distances: Distances, between: Floats, windows: int = 0) -> TailLaw:
    """The law without drift of windows that differ among each other more than chance explains.

    Args:
        distances: Where the laws of chance alone stand.
        between: Variance between windows beyond chance, one entry a test. It moves a column as a
            whole, so it widens the first eigenvalue.
        windows: How many windows it was estimated from.
    """
    first = distances.first + between
    added = np.array([first**power - distances.first**power for power in (1, 2, 3)])
    mean, second, third = distances.moments + added
    freedom = second**3 / third**2
    with np.errstate(divide="ignore", invalid="ignore"):
        known = np.fmin(max(windows - 1, 1) * (first / between) ** 2, EXACTLY_KNOWN)
    return TailLaw(first, mean, freedom, np.sqrt(second / freedom), known)
