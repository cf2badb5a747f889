"""What the rows of a segment have in common: how they differ from all rows, and a name of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from goldpath.contract import Contract, Feature

NOTABLE = 0.5
"""Standard deviations: a smaller difference gives no segment its name."""
NAMED = 2
RARELY = "rarely "
SHOWN = 8


@dataclass(frozen=True)
class Difference:
    """How a segment differs from all rows in one feature, or in one value of it.

    Attributes:
        feature: The feature.
        value: Of a category or a truth value the value that the figures are shares of.
        inside: The mean, or the share of the value, of the segment's rows; None of a personal one.
        overall: The same of all rows.
        size: Their difference in standard deviations of all rows.
        spoken: As a name says it: `high tenure_months`, `plan=basic`.
    """

    feature: str
    value: str
    inside: float | None
    overall: float | None
    size: float
    spoken: str


@dataclass(frozen=True)
class SegmentProfile:
    """One segment for people.

    Attributes:
        number: Its number.
        label: What answers call it.
        name: Made of its largest differences.
        rows: How many of the profiled rows are of it.
        share: Their share.
        recovered: The mean Jaccard index with its like in fits on bootstrap samples.
        differences: The largest first.
    """

    number: int
    label: str
    name: str
    rows: int
    share: float
    recovered: float
    differences: tuple[Difference, ...]


def profile_segments(
    frame: pd.DataFrame,
    labels: np.ndarray,
    contract: Contract,
    recovered: Mapping[str, float],
) -> tuple[SegmentProfile, ...]:
    """A profile of each segment, by number.

    Args:
        frame: Rows as a model sees them, before they are encoded.
        labels: The label of each, shape (rows,).
        contract: The version's; names features and segments.
        recovered: How stable each segment is, by label.
    """
    taken: set[str] = set()
    profiles = []
    for number, label in (contract.segments or {}).items():
        inside = labels == label
        differences = sorted(
            _differences(frame, inside, contract), key=lambda each: -abs(each.size)
        )
        name = _name(differences, taken, number)
        taken.add(name)
        profiles.append(
            SegmentProfile(
                number=number,
                label=label,
                name=name,
                rows=int(inside.sum()),
                share=float(inside.mean()),
                recovered=recovered.get(label, float("nan")),
                differences=tuple(differences[:SHOWN]),
            )
        )
    return tuple(profiles)


def _differences(
    frame: pd.DataFrame, inside: np.ndarray, contract: Contract
) -> Iterator[Difference]:
    if not inside.any():
        return
    for feature in contract.features:
        hidden = feature.name in contract.personal
        if feature.type in ("number", "integer"):
            yield from _of_number(feature, frame[feature.name], inside, hidden=hidden)
        elif not hidden:
            yield from _of_values(feature, frame[feature.name], inside)


def _of_number(
    feature: Feature, column: pd.Series, inside: np.ndarray, *, hidden: bool
) -> Iterator[Difference]:
    overall, within, spread = column.mean(), column[inside].mean(), column.std()
    size = float((within - overall) / spread) if spread else float("nan")
    if not np.isfinite(size):
        return
    spoken = f"{'high' if size > 0 else 'low'} {feature.name}"
    here, everywhere = (None, None) if hidden else (float(within), float(overall))
    yield Difference(feature.name, "", here, everywhere, size, spoken)


def _of_values(feature: Feature, column: pd.Series, inside: np.ndarray) -> Iterator[Difference]:
    texts = column.map(_text)
    overall, within = (each.value_counts(normalize=True) for each in (texts, texts[inside]))
    for value, share in overall.items():
        if share >= 1 or (feature.type == "boolean" and value == "no"):
            continue
        found = float(within.get(value, 0.0))
        size = (found - share) / float(np.sqrt(share * (1 - share)))
        spoken = f"{RARELY * (size < 0)}{feature.name}={value}"
        yield Difference(feature.name, str(value), found, float(share), float(size), spoken)


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "missing"
    if isinstance(value, bool | float):
        return {0.0: "no", 1.0: "yes"}.get(float(value), f"{value:g}")
    return str(value)


def _name(differences: Sequence[Difference], taken: set[str], number: int) -> str:
    """The largest differences, one a feature; more of them where another segment has that name."""
    notable: dict[str, str] = {}
    for each in differences:
        # That a value is rarer says less than which one is more frequent.
        if abs(each.size) >= NOTABLE and not each.spoken.startswith(RARELY):
            notable.setdefault(each.feature, each.spoken)
    spoken = list(notable.values())
    if not spoken:
        name = "average"
        return name if name not in taken else f"{name} ({number})"
    for count in range(NAMED, len(spoken) + 1):
        if (name := ", ".join(spoken[:count])) not in taken:
            return name
    name = ", ".join(spoken[:NAMED])
    return name if name not in taken else f"{name} ({number})"
