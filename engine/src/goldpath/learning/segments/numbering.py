"""The numbers and names of segments, which stay from one training to the next where they can."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DISSOLVED = 0.5
"""A former segment that shares no more than this (Jaccard) with a new one is gone (Hennig 2007)."""


@dataclass(frozen=True)
class Former:
    """What the champion says of the rows.

    Attributes:
        labels: Its label of each row, shape (rows,).
        segments: Its segments' names by their numbers.
    """

    labels: np.ndarray
    segments: Mapping[int, str]


@dataclass(frozen=True)
class Numbered:
    """The segments of a training.

    Attributes:
        labels: What they are called, the largest one first.
        segments: The same by their numbers, in the order of these.
        notes: What was kept, what is new and what is gone, a sentence each.
    """

    labels: tuple[str, ...]
    segments: Mapping[int, str]
    notes: tuple[str, ...]


def number_segments(
    places: np.ndarray,
    clusters: int,
    names: Mapping[int, str],
    former: Former | None = None,
    highest: int = 0,
) -> Numbered:
    """Number the segments by size, or as the champion's with which they share most rows.

    Each segment takes the number of at most one of the champion's, so that together they share as
    much as they can (the assignment of Kuhn 1955), where the two share more than half of their
    rows. What is new gets a number that no segment had before.

    Args:
        places: The segment of each row by its place, the largest one first; shape (rows,).
        clusters: How many there are.
        names: The owner's names by number.
        former: What the champion says of the same rows.
        highest: The highest number that was ever given.
    """
    kept = {} if former is None else _kept(places, clusters, former)
    used = set(former.segments) if former else set()
    numbers: list[int] = []
    for place in range(clusters):
        number = kept[place][0] if place in kept else max(highest, *used, 0) + 1
        used.add(number)
        numbers.append(number)
    labels = tuple(names.get(number, f"segment_{number}") for number in numbers)
    found = dict(zip(numbers, labels, strict=True))
    return Numbered(
        labels=labels,
        segments=dict(sorted(found.items())),
        notes=_notes(numbers, found, kept, names, former),
    )


def _kept(places: np.ndarray, clusters: int, former: Former) -> dict[int, tuple[int, float]]:
    """By place the champion's number, and how much the two share."""
    from scipy.optimize import linear_sum_assignment

    known = list(former.segments)
    shared = np.zeros((clusters, len(known)))
    for column, number in enumerate(known):
        theirs = former.labels == former.segments[number]
        for place in range(clusters):
            ours = places == place
            either = int((ours | theirs).sum())
            shared[place, column] = int((ours & theirs).sum()) / either if either else 0.0
    pairs = zip(*linear_sum_assignment(-shared), strict=True)
    return {
        int(place): (known[column], float(shared[place, column]))
        for place, column in pairs
        if shared[place, column] > DISSOLVED
    }


def _notes(
    numbers: Sequence[int],
    found: Mapping[int, str],
    kept: Mapping[int, tuple[int, float]],
    names: Mapping[int, str],
    former: Former | None,
) -> tuple[str, ...]:
    notes = []
    if former is not None:
        for number, share in sorted(kept.values()):
            notes.append(f"{found[number]} is the champion's number {number}: {share:.0%} shared")
        kept_numbers = {number for number, _ in kept.values()}
        notes += [f"{found[each]} is new" for each in numbers if each not in kept_numbers]
        notes += [
            f"{name} of the champion is gone"
            for number, name in former.segments.items()
            if number not in kept_numbers
        ]
    if strange := sorted(set(names) - set(numbers)):
        notes.append(
            f"training.segment_names names {', '.join(map(str, strange))}, and the segments are "
            f"{', '.join(map(str, sorted(numbers)))}: those names are not used"
        )
    return tuple(notes)
