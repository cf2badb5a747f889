"""The interval in which the score of new rows is expected."""

import math
from collections.abc import Callable, Sequence

import numpy as np

DRAWS = 20


def expected_scores(
    score: Callable[[np.ndarray], float],
    folds: Sequence[np.ndarray],
    units: np.ndarray | None,
    seed: int,
    classes: np.ndarray | None = None,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float] | None:
    """The 95 % interval in which the score of as many new rows as a fold judges is expected.

    Student's t interval for one more observation with the spread of parts of the judged rows.
    Blocks in the order of time are these parts themselves. Folds of rows or groups are dealt out
    evenly by the target and may differ less than new rows do: parts are drawn at random, too, and
    the wider interval counts.

    Args:
        score: Of the held-out predictions of some rows.
        folds: Numbers of the rows that each fold judges.
        units: What is drawn, a number for each row: the row itself or its group; None for blocks.
        seed: Of the draws.
        classes: Each row's class: parts are drawn within classes. None for regression.
        limits: The least and the greatest value that the score can have.

    Returns:
        None for a single fold, and where a part lacks a class: its score says little of the others.
    """
    if len(folds) < 2 or not _have_all(classes, folds):
        return None
    from scipy.stats import t

    scores = [score(judged) for judged in folds]
    half = float(t.ppf(0.975, len(folds) - 1)) * float(np.std(scores, ddof=1))
    if units is not None:
        judged = np.sort(np.concatenate(folds))
        different, first, numbers = np.unique(units[judged], return_index=True, return_inverse=True)
        random = np.random.default_rng(seed)
        spreads = []
        for _ in range(DRAWS):
            drawn_order = random.permutation(len(different))
            if classes is not None:
                # One class after the other, so that each is dealt out evenly.
                of_units = classes[judged[first]]
                drawn_order = drawn_order[np.argsort(of_units[drawn_order], kind="stable")]
            part = (np.argsort(drawn_order) % len(folds))[numbers]
            parts = [judged[part == k] for k in range(len(folds))]
            if not _have_all(classes, parts):
                return None
            spreads.append(np.var([score(rows) for rows in parts], ddof=1))
        drawn = math.sqrt(float(np.mean(spreads)))
        half = max(half, float(t.ppf(0.975, len(different) - 1)) * drawn)
    half *= math.sqrt(1 + 1 / len(folds))
    mean = float(np.mean(scores))
    return max(mean - half, limits[0]), min(mean + half, limits[1])


def _have_all(classes: np.ndarray | None, parts: Sequence[np.ndarray]) -> bool:
    if classes is None:
        return True
    count = len(np.unique(classes))
    return all(len(np.unique(classes[part])) == count for part in parts)
