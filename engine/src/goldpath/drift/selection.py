"""A reference of fewer columns: those that the rows to judge have.

The prediction log does not hold personal columns, and a project may leave columns out after the
training. What was counted of the other columns stays right, so no new training is needed.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from goldpath.drift.bins import Bins
from goldpath.drift.counts import Profile
from goldpath.drift.distances import Distances
from goldpath.drift.profile import DriftError
from goldpath.drift.reference import Reference

TESTS = 3
"""Tests of each column, in the order of `distances.test_names`."""


def select_columns(reference: Reference, names: Collection[str]) -> Reference:
    """The reference of these of its columns, as if it had been built of them alone.

    Raises:
        DriftError: If it has none of them.
    """
    columns = reference.whole.bins.columns
    kept = [place for place, column in enumerate(columns) if column.name in names]
    if len(kept) == len(columns):
        return reference
    if not kept:
        raise DriftError(
            f"the rows have {', '.join(sorted(names)) or 'no column'}, none of the reference's: "
            f"{', '.join(column.name for column in columns)}",
            "leave some of them to be compared, or train again: make train-local",
        )
    bins = Bins(tuple(columns[place] for place in kept))
    windows = reference.windows
    if windows is not None:
        windows = replace(windows, distances=_distances(windows.distances, kept))
    return replace(
        reference,
        whole=_profile(reference.whole, bins, kept),
        seasons={kind: _profile(each, bins, kept) for kind, each in reference.seasons.items()},
        windows=windows,
    )


def _profile(profile: Profile, bins: Bins, kept: Sequence[int]) -> Profile:
    return replace(
        profile,
        bins=bins,
        counts=np.concatenate([profile.of(place) for place in kept]),
        missing=profile.missing[kept],
        sums=profile.sums[kept],
    )


def _distances(distances: Distances, kept: Sequence[int]) -> Distances:
    tests = [TESTS * place + test for place in kept for test in range(TESTS)]
    tests.append(distances.squared.shape[-1] - 1)  # the refused rows
    return Distances(
        squared=distances.squared[..., tests],
        effect=distances.effect[..., tests],
        first=distances.first[..., tests],
        moments=distances.moments[..., tests],
    )
