"""The page on a version's segments, and the same as values for scripts."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from goldpath.learning.segments.profile import Difference, SegmentProfile
from goldpath.learning.segments.quality import Figures
from goldpath.pages.charts import Bar, bars
from goldpath.pages.documents import render


@dataclass(frozen=True)
class ShownSegment:
    """A segment, and its differences as bars.

    Attributes:
        profile: The segment.
        bars: One for each of its differences.
    """

    profile: SegmentProfile
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class SegmentsPage:
    """What the page shows.

    Attributes:
        model: The registered model's name.
        profiles: The segments by number.
        figures: How stable and how far apart they are.
        rows: The training rows that the profiles are of.
        tried: Each number of segments that was tried: it, its stability, silhouette and smallest
            share.
        chosen: How many segments there are.
        notes: What became of the champion's segments.
        created: When.
    """

    model: str
    profiles: tuple[SegmentProfile, ...]
    figures: Figures
    rows: int
    tried: tuple[tuple[int, float, float, float], ...]
    chosen: int
    notes: tuple[str, ...]
    created: datetime

    def to_html(self) -> str:
        """The page: one file with nothing to load from elsewhere."""
        shown = [ShownSegment(each, _bars(each.differences)) for each in self.profiles]
        return render("segments.html", page=self, shown=shown)

    def to_values(self) -> dict[str, Any]:
        """The same for scripts."""
        return {**asdict(self), "created": self.created.isoformat()}


def segments_page(
    model: str,
    profiles: Sequence[SegmentProfile],
    figures: Figures,
    rows: int,
    tried: Sequence[tuple[int, float, float, float]],
    notes: Sequence[str],
) -> SegmentsPage:
    """The page of a training that is just done; the arguments are the page's attributes."""
    return SegmentsPage(
        model=model,
        profiles=tuple(profiles),
        figures=figures,
        rows=rows,
        tried=tuple(tried),
        chosen=len(profiles),
        notes=tuple(notes),
        created=datetime.now(UTC),
    )


def _bars(differences: Sequence[Difference]) -> tuple[Bar, ...]:
    return bars(
        [
            (
                f"{each.spoken}{_said(each)}",
                abs(each.size),
                f"{each.size:+.2f} sd",
            )
            for each in differences
        ]
    )


def _said(difference: Difference) -> str:
    """The figures of a difference: shares of a value, or means of a number."""
    inside, overall = difference.inside, difference.overall
    if inside is None or overall is None or not math.isfinite(inside):
        return ""
    if difference.value:
        return f": {inside:.0%} here, {overall:.0%} of all"
    return f": {inside:.4g} here, {overall:.4g} of all"
