"""The profile that is born with a model: what its training rows looked like, window by window.

It holds the counts of all rows, those of each season, and the distances of the reference's own
windows from the others of their season: what a later window's distance is judged by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
import pyarrow as pa

from goldpath.drift.bins import Bins, Floats, Integers, choose_bins
from goldpath.drift.counts import Profile, count_rows, empty_profile
from goldpath.drift.distances import Comparer, Distances
from goldpath.drift.profile import DriftError
from goldpath.drift.texts import KnownWords
from goldpath.drift.windows import Times, require_season, season_classes, window_starts
from goldpath.settings.monitoring import Season, WindowLength

MOST_WINDOWS = 400
"""Windows whose distances are kept, spread evenly over the reference. All are counted."""

FEWEST_OF_A_SEASON = 3
"""A season with fewer windows is not told apart: they are compared with all of the reference."""


@dataclass(frozen=True, eq=False)
class ReferenceWindows:
    """The reference's own windows, each compared with the others of its season.

    Attributes:
        starts: When each began, shape (windows,).
        rows: How many rows each has.
        distances: Their distances, each array's last axes (windows, tests).
        inflation: By how much the variance between windows weighs in each distance: 1, and what
            the other windows, whose number is finite, add.
    """

    starts: Times
    rows: Integers
    distances: Distances
    inflation: Floats

    def __len__(self) -> int:
        """How many there are."""
        return len(self.starts)


@dataclass(frozen=True, eq=False)
class Reference:
    """What a model was trained on, as counts.

    Attributes:
        whole: The counts of all rows.
        window: How long a window is.
        season: How windows are told apart.
        seasons: The counts of each season that has enough windows, by class.
        season_windows: How many windows each of them has.
        windows: The distances among its windows; None where rows have no time.
        words: The words of its free texts, by column; see `texts`.
    """

    whole: Profile
    window: WindowLength
    season: Season
    seasons: Mapping[int, Profile]
    season_windows: Mapping[int, int]
    windows: ReferenceWindows | None
    words: Mapping[str, KnownWords] = field(default_factory=dict)

    @cached_property
    def comparer(self) -> Comparer:
        """Compares windows with it."""
        return Comparer(self.whole)

    def season_of(self, start: np.datetime64 | None) -> int | None:
        """The season's class of a window, or None where the reference knows no such season."""
        if start is None:
            return None
        found = int(season_classes(np.array([start], "M8[s]"), self.season)[0])
        return found if found in self.seasons else None


def build_reference(
    rows: pa.Table,
    times: Sequence[datetime] | Times | None,
    *,
    window: WindowLength = "1d",
    season: Season = "none",
    minimum_rows: int = 200,
    refused: int = 0,
) -> Reference:
    """The reference profile of a model's training rows.

    Args:
        rows: The columns to compare, with the model's `prediction` and score for each row.
        times: When each row happened; None where rows have no time, so that they have no windows.
        window: How long a window of production is.
        season: Which windows are alike.
        minimum_rows: A window with fewer rows says nothing about noise.
        refused: Rows beside them that broke the contract.

    Raises:
        DriftError: If there are no rows, not as many times as rows, or such windows have no such
            season.
    """
    require_season(window, season)
    bins = choose_bins(rows)
    if times is None:
        whole = count_rows(bins, rows, refused)
        return Reference(whole, window, season, {}, {}, None)
    if len(times) != rows.num_rows:
        raise DriftError(
            f"{rows.num_rows} rows of the reference have {len(times)} times",
            "give one event time for each row, or none at all",
        )
    starts = window_starts(times, window)
    order = np.argsort(starts, kind="stable")
    ordered, begins = rows.take(pa.array(order)), starts[order]
    first = np.flatnonzero(np.r_[True, begins[1:] != begins[:-1]])
    sizes = np.diff(np.r_[first, len(begins)])
    classes = season_classes(begins[first], season)
    large = np.flatnonzero(sizes >= minimum_rows)
    kept = set(
        large[np.linspace(0, len(large) - 1, min(len(large), MOST_WINDOWS)).round().astype(int)]
    )
    parts = {
        number: count_rows(bins, ordered.slice(int(first[number]), int(sizes[number])))
        for number in sorted(kept)
    }
    sums = _by_class(bins, ordered, parts, classes, sizes)
    whole = empty_profile(bins, refused)
    for profile in sums.values():
        whole += profile
    counts = {kind: int(np.sum(classes[large] == kind)) for kind in sums}
    known = {kind: found for kind, found in counts.items() if found >= FEWEST_OF_A_SEASON}
    seasons = {kind: sums[kind] for kind in known}
    plain = Reference(whole, window, season, seasons, known, None)
    distances = _among_windows(plain, parts, begins[first], len(large))
    return Reference(whole, window, season, seasons, known, distances)


def _by_class(
    bins: Bins,
    ordered: pa.Table,
    parts: Mapping[int, Profile],
    classes: Integers,
    sizes: Integers,
) -> dict[int, Profile]:
    """The counts of each season; windows whose own are not needed are counted together."""
    has_own = np.zeros(len(sizes), dtype=bool)
    has_own[list(parts)] = True
    of_rows, is_rest = np.repeat(classes, sizes), np.repeat(~has_own, sizes)
    sums = {}
    for kind in np.unique(classes).tolist():
        total = count_rows(bins, ordered.filter(pa.array(is_rest & (of_rows == kind))))
        for number, part in parts.items():
            if classes[number] == kind:
                total += part
        sums[kind] = total
    return sums


def _among_windows(
    reference: Reference, parts: Mapping[int, Profile], starts: Times, large: int
) -> ReferenceWindows | None:
    """Each window against the others of its season: as a new window would be."""
    if len(parts) < FEWEST_OF_A_SEASON:
        return None
    found, inflation = [], []
    for number, part in parts.items():
        kind = reference.season_of(starts[number])
        others = (reference.whole if kind is None else reference.seasons[kind]) - part
        windows = (large if kind is None else reference.season_windows[kind]) - 1
        distances = reference.comparer.compare(part, others, reference.whole - part)
        distances.squared[-1] = np.nan  # which window a refused row belonged to is not known
        found.append(distances)
        inflation.append(1 + 1 / windows)
    return ReferenceWindows(
        starts=starts[list(parts)],
        rows=np.array([part.rows for part in parts.values()], dtype=np.int64),
        distances=Distances(
            squared=np.array([each.squared for each in found]),
            effect=np.array([each.effect for each in found]),
            first=np.array([each.first for each in found]),
            moments=np.stack([each.moments for each in found], axis=1),
        ),
        inflation=np.array(inflation),
    )
