"""What changed, in words: of one test, and why a column could not be compared."""

import numpy as np

from goldpath.drift.counts import Profile
from goldpath.drift.distances import Distances, ShiftName


def describe_change(test: ShiftName, before: Profile, window: Profile) -> str:
    """What changed of a test, from the reference to the window, for people."""
    if test.test == "rejected":
        return f"{_share(before.refused, before.rows + before.refused)} -> " + (
            f"{_share(window.refused, window.rows + window.refused)} of the rows break the contract"
        )
    place, column = test.place, before.bins.columns[test.place]
    counts, now = before.of(place), window.of(place)
    if test.test == "missing":
        return (
            f"{_share(before.missing[place], before.rows)} -> "
            f"{_share(window.missing[place], window.rows)} missing"
        )
    if test.test == "unseen":
        edge = 1 if column.kind == "number" and len(counts) > 1 else 0
        outside = [int(each[-1] + (each[0] if edge else 0)) for each in (counts, now)]
        names = ", ".join(repr(name) for name in list(window.examples.get(column.name, {}))[:3])
        what = "beyond the reference's range" if edge else f"in unseen categories ({names})"
        return f"{_share(outside[0], counts.sum())} -> {_share(outside[1], now.sum())} {what}"
    if column.kind == "number":
        means = [
            float(each.sums[place]) / max(int(each.of(place).sum()), 1) for each in (before, window)
        ]
        return f"mean {means[0]:.4g} -> {means[1]:.4g}"
    shares = counts / max(int(counts.sum()), 1), now / max(int(now.sum()), 1)
    moved = int(np.argmax(np.abs(shares[1] - shares[0])))
    name = repr(column.names[moved]) if moved < len(column.names) else "unlisted categories"
    return f"{name} {shares[0][moved]:.1%} -> {shares[1][moved]:.1%}"


def _share(count: int, size: int) -> str:
    return f"{count / size:.1%}" if size else "none"


def untested_columns(
    tests: tuple[ShiftName, ...], found: Distances, before: Profile, window: Profile
) -> tuple[tuple[str, str], ...]:
    """Columns whose values could not be compared, and why."""
    reasons = []
    for number, test in enumerate(tests):
        if test.test != "value" or not np.isnan(found.squared[number]):
            continue
        sizes = int(before.of(test.place).sum()), int(window.of(test.place).sum())
        if sizes == (0, 0):
            reason = "no value on either side"
        elif min(sizes) == 0:
            reason = f"no value {'in the reference' if sizes[0] == 0 else 'in this window'}"
        else:
            reason = "one and the same value in the reference"
        reasons.append((test.column, reason))
    return tuple(reasons)
