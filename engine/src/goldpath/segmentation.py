"""A table without a target: what its contract says in place of one.

A segmentation predicts nothing that anybody could check later: it says which group of similar rows
a row belongs to. Everything that answers, stores or compares labels treats these groups as classes;
everything that needs a true label asks `Contract.has_target` first.
"""

from collections.abc import Mapping
from typing import Any, Literal

from goldpath.forecast import Target

CLUSTERING: Literal["clustering"] = "clustering"
SEGMENT = "segment"
"""What answers call the label of a row; no table has a column of it."""


def with_segments(given: Any) -> Any:
    """A contract's values, with its segments in the place of a target.

    Args:
        given: What the contract is made from; of another problem it is returned as it is.

    Raises:
        ValueError: If a segmentation is given a target, or something that needs one.
    """
    if not isinstance(given, Mapping) or given.get("problem") != CLUSTERING:
        return given
    target = given.get("target")
    if target is not None and not (isinstance(target, Target) and target.column == SEGMENT):
        column = target.get("column", target) if isinstance(target, Mapping) else target
        raise ValueError(
            f"target: {column!r} is given, and problem: clustering has none: take the key target "
            "out, or write problem: classification or regression"
        )
    if groups := given.get("fairness_groups"):
        raise ValueError(
            f"fairness_groups: {list(groups)} are judged by true labels, and problem: clustering "
            "has none: take the key out"
        )
    segments = given.get("segments") or {}
    names = tuple(segments.values()) if isinstance(segments, Mapping) else ()
    return {**given, "target": Target(column=SEGMENT, classes=names)}


def check_segments(problem: str, segments: Mapping[int, str] | None, texts: list[str]) -> None:
    """Check what a version says of its segments.

    Args:
        problem: The contract's.
        segments: Their names by number; None where nothing was trained yet.
        texts: Features that are free text.

    Raises:
        ValueError: If another problem has segments, fewer than two are named, or two are called
            alike, or a feature is free text.
    """
    if problem != CLUSTERING:
        if segments is not None:
            raise ValueError(f"segments are of problem: clustering, not of {problem}")
        return
    if texts:
        raise ValueError(
            f"features: {', '.join(texts)} is free text, by which rows are not grouped: move it "
            "to `ignored`"
        )
    if segments is not None and len({*segments.values()}) < max(2, len(segments)):
        raise ValueError(f"segments: {segments} are not two or more different names")
