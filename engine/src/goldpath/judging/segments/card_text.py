"""What the model card says of a segmentation and of no other model."""

from collections.abc import Sequence

from goldpath.contract import Contract
from goldpath.learning.segments.profile import SegmentProfile
from goldpath.pages.markdown import plain, table

FIGURES = {
    "stability": "Stability: adjusted Rand index between fits on bootstrap samples",
    "silhouette": "Silhouette: nearer to the own segment than to the next, from -1 to 1",
    "smallest_share": "Share of the rows in the smallest segment",
}
LIMITS = (
    "There are no labels: figures say how stable the segments are and how far apart, not whether "
    "they are of use.",
    "The gate refuses segments no farther apart than those of even noise or of one Gaussian of the "
    "same covariance. It warns of segments no farther apart than those of the same columns drawn "
    "apart: these divide single columns.",
    "A membership says how clearly a row is of its segment; it is no calibrated probability.",
)


def purpose(contract: Contract) -> str:
    """What the model does, behind "it"."""
    names = ", ".join(map(plain, contract.target.classes))
    return f"tells which segment of similar rows a row belongs to: {names}"


def segments_table(profiles: Sequence[SegmentProfile]) -> str:
    """The segments, a line each; empty where there are none."""
    if not profiles:
        return ""
    rows = [
        (each.label, each.name, f"{each.rows:,}", f"{each.share:.1%}", f"{each.recovered:.2f}")
        for each in profiles
    ]
    return table(("segment", "what it is", "rows", "share", "found again"), rows)
