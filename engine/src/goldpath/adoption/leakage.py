"""Features that give the target away: known only once the target is, so no model may see them.

Two shapes are looked for. A single feature that nearly determines the target, judged on rows that
its estimate has not seen. And numeric features whose linear combination is the target, such as two
counts that add up to the total that is to be predicted.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from goldpath.contract import Problem

MAXIMUM_ROWS = 20_000
MINIMUM_ROWS = 50
MINIMUM_CLASS_ROWS = 5
FOLDS = 5
BINS = 64  # few, so that an interval never singles out one subject's rows
PRIOR_ROWS = 1.0
ROWS_PER_COLUMN = 10
EXACT_R2 = 1 - 1e-6
EXACT_RESIDUAL = 0.01
EXACT_SHARE = 0.99
ROUNDED_R2 = 0.99
ROUNDED_RESIDUAL = 0.25
UNITS = [10.0**power for power in range(3, -7, -1)]
DENSE_SHARE = 0.9
MONOTONE_R2 = 0.9
COMMON_CLASSES = 6
SEED = 0

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Leak:
    """One or several features that give the target away together.

    Attributes:
        columns: The features.
        score: AUC (classification) or R² (regression) that they reach alone.
        reason: What was found, in words.
    """

    columns: tuple[str, ...]
    score: float
    reason: str


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def find_leaks(
    features: pd.DataFrame, target: pd.Series, problem: Problem, threshold: float
) -> list[Leak]:
    """Find features that determine the target.

    A sample of the rows is enough and keeps it fast; the same rows give the same answer. Fewer
    than 50 rows, or a class of fewer than 5, prove nothing: chance alone separates them.

    Args:
        features: One row an observation: float64 columns with NaN, or text with None.
        target: Labels, or values for a regression; rows without one are left out.
        problem: What the target is.
        threshold: The AUC or R² of a single feature from which it counts as a leak.

    Returns:
        Single features first, in the order of the columns, then combinations.
    """
    chosen = _sample(np.flatnonzero(target.notna().to_numpy()))
    rows = features.iloc[chosen]
    goals = _goals(target.iloc[chosen], problem)
    if len(chosen) < MINIMUM_ROWS or not goals:
        return []
    folds = np.random.default_rng(SEED).permutation(len(chosen)) % FOLDS
    metric = "AUC" if problem == "classification" else "R²"
    leaks = []
    for name in map(str, rows.columns):
        score = _feature_score(rows[name], goals, folds, problem)
        if score >= threshold:
            found = f"alone gives {target.name}: {metric} {score:.4f} on unseen rows"
            leaks.append(Leak((name,), score, f"{found} (limit {threshold:g})"))
    single = {column for leak in leaks for column in leak.columns}
    rest = rows[[name for name in rows.columns if name not in single and _is_number(rows[name])]]
    for label, goal in goals.items():
        what = f"{target.name}" if problem == "regression" else f"({target.name} is {label})"
        while combination := _exact_combination(rest, goal, what):
            leaks.append(combination)
            rest = rest.drop(columns=list(combination.columns))
    return leaks


def _sample(rows: Whole) -> Whole:
    if len(rows) <= MAXIMUM_ROWS:
        return rows
    return np.sort(np.random.default_rng(SEED).choice(rows, MAXIMUM_ROWS, replace=False))


def _goals(target: pd.Series, problem: Problem) -> dict[str, Floats]:
    """What is to be foretold: the values, or for each common class whether the row is of it."""
    if problem == "regression":
        values = target.to_numpy(dtype=np.float64)
        return {"": values} if np.isfinite(values).all() and np.ptp(values) > 0 else {}
    labels = target.astype(str)
    counts = labels.value_counts().iloc[:COMMON_CLASSES]
    common = [
        label
        for label, count in counts.items()
        if min(count, len(labels) - count) >= MINIMUM_CLASS_ROWS
    ]
    if len(counts) == 2:
        common = common[-1:]  # of two classes, one says the same as the other
    return {str(label): np.asarray(labels == label, dtype=np.float64) for label in common}


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


# ---- one feature


def _feature_score(
    column: pd.Series, goals: dict[str, Floats], folds: Whole, problem: Problem
) -> float:
    """The score on unseen rows; for several classes the mean over them, weighted by their rows."""
    groups = _groups(column)
    if groups.min() == groups.max():
        return 0.0
    ranks = None
    if _is_number(column) and np.isfinite(values := column.to_numpy(dtype=np.float64)).all():
        ranks = _ranks(values)
    if problem == "regression":
        (goal,) = goals.values()
        score = _r_squared(goal, _unseen_means(groups, goal, folds))
        if ranks is not None:
            monotone = _correlation(ranks, _ranks(goal)) ** 2
            score = max(score, monotone)
            # One outlier in both columns makes a straight line of any two; ranks are not fooled.
            if monotone >= MONOTONE_R2:
                score = max(score, _correlation(values, goal) ** 2)
        return score
    scores, weights = [], []
    for goal in goals.values():
        score = _auc(goal, _ranks(_unseen_means(groups, goal, folds)))
        if ranks is not None:
            direct = _auc(goal, ranks)
            score = max(score, direct, 1 - direct)
        scores.append(score)
        weights.append(goal.sum())
    return float(np.average(scores, weights=weights))


def _groups(column: pd.Series) -> Whole:
    """A number for each row's category or interval; a missing value is a group of its own."""
    if not _is_number(column):
        return np.asarray(pd.factorize(column, use_na_sentinel=True)[0] + 1, dtype=np.int64)
    values = column.to_numpy(dtype=np.float64)
    missing = np.isnan(values)
    levels, codes = np.unique(values[~missing], return_inverse=True)
    if len(levels) > BINS:
        edges = np.unique(np.quantile(values[~missing], np.linspace(0, 1, BINS + 1)[1:-1]))
        codes = np.searchsorted(edges, values[~missing], side="right")
    groups = np.zeros(len(values), dtype=np.int64)
    groups[~missing] = codes + 1
    return groups


def _unseen_means(groups: Whole, goal: Floats, folds: Whole) -> Floats:
    """Each row's estimate: its group's mean over the other folds, drawn towards the overall mean.

    A group that the other folds lack gets the overall mean, so that a column of unique names
    foretells nothing. Without the folds it would foretell everything.
    """
    size = groups.max() + 1
    cells = groups * FOLDS + folds
    counts = np.bincount(cells, minlength=size * FOLDS).reshape(size, FOLDS)
    sums = np.bincount(cells, weights=goal, minlength=size * FOLDS).reshape(size, FOLDS)
    other_counts = counts.sum(axis=1, keepdims=True) - counts
    other_sums = sums.sum(axis=1, keepdims=True) - sums
    # One overall mean for every fold: a fold's own would rank its rows by what it left out.
    means = (other_sums + PRIOR_ROWS * goal.mean()) / (other_counts + PRIOR_ROWS)
    return np.asarray(means[groups, folds], dtype=np.float64)


def _ranks(values: Floats) -> Floats:
    return np.asarray(pd.Series(values).rank().to_numpy(), dtype=np.float64)


def _auc(goal: Floats, ranks: Floats) -> float:
    """The chance that a row of the class ranks above one that is not of it; ties count half."""
    inside = goal.sum()
    outside = len(goal) - inside
    return float((ranks[goal == 1].sum() - inside * (inside + 1) / 2) / (inside * outside))


def _r_squared(goal: Floats, estimate: Floats) -> float:
    score = float(1 - ((goal - estimate) ** 2).sum() / ((goal - goal.mean()) ** 2).sum())
    return score if np.isfinite(score) else 0.0


def _correlation(left: Floats, right: Floats) -> float:
    left, right = left - left.mean(), right - right.mean()
    scale = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / scale if np.isfinite(scale) and scale > 0 else 0.0


# ---- several features


def _exact_combination(features: pd.DataFrame, goal: Floats, what: str) -> Leak | None:
    """The fewest numeric features whose weighted sum is the goal, or None."""
    names, rows, y = _complete_rows(features, goal)
    if not names or len(rows) < max(MINIMUM_ROWS, ROWS_PER_COLUMN * len(names)) or np.ptp(y) == 0:
        return None
    means, scales = rows.mean(axis=0), rows.std(axis=0)
    scaled = np.column_stack([(rows - means) / scales, y - y.mean()])
    if not np.isfinite(scaled).all():
        return None
    # One QR of the rows: every subset of columns is then solved on a matrix of columns by columns.
    reduced: Floats = np.asarray(np.linalg.qr(scaled, mode="r"), dtype=np.float64)
    columns, right = reduced[:, :-1], reduced[:, -1]
    kept = list(range(len(names)))
    weights, r2 = _solve(columns, right, kept)
    if r2 < ROUNDED_R2:
        return None
    spread = _typical_spread(y)
    units = np.array([_unit(values) for values in rows.T]) / scales
    rounding = _unit(y)

    def is_sum(chosen: list[int]) -> bool:
        found, score = _solve(columns, right, chosen)
        residual = np.abs(scaled[:, -1] - scaled[:, chosen] @ found)
        if score >= EXACT_R2 and np.mean(residual <= EXACT_RESIDUAL * spread) >= EXACT_SHARE:
            return True
        # Half a unit of the target and of each part. A part in larger steps was not rounded.
        parts = np.minimum(np.abs(found) * units[chosen], 2 * rounding)
        most = (rounding + float(parts.sum())) / 2 * (1 + 1e-6)
        return most <= ROUNDED_RESIDUAL * spread and bool(np.mean(residual <= most) >= EXACT_SHARE)

    if not is_sum(kept):
        return None
    for column in [kept[place] for place in np.argsort(np.abs(weights))]:
        fewer = [other for other in kept if other != column]
        if fewer and is_sum(fewer):
            kept = fewer
    weights, r2 = _solve(columns, right, kept)
    slopes = weights / scales[kept]
    chosen = [names[place] for place in kept]
    is_exact = r2 >= EXACT_R2
    least = 1e-6 * float(y.std()) if is_exact else rounding
    constant = float(y.mean() - slopes @ means[kept])
    formula = _formula(slopes, chosen, constant, least, digits=4 if is_exact else 3)
    kind = "an exact sum" if is_exact else "a sum but for rounding"
    return Leak(tuple(chosen), r2, f"{what} = {formula}: {kind} (R² {r2:.6f})")


def _complete_rows(features: pd.DataFrame, goal: Floats) -> tuple[list[str], Floats, Floats]:
    """Columns that vary and the rows without a gap in them; a column full of gaps is left out."""
    dense = features.loc[:, features.notna().mean() > DENSE_SHARE]
    table = dense.to_numpy(dtype=np.float64)
    complete = np.isfinite(table).all(axis=1)
    rows = table[complete]
    if not rows.size:
        return [], rows, goal[complete]
    varied = np.ptp(rows, axis=0) > 0
    names = [str(name) for name, varies in zip(dense.columns, varied, strict=True) if varies]
    return names, rows[:, varied], goal[complete]


def _typical_spread(values: Floats) -> float:
    """How far values lie from the middle, outliers not counted; R² counts little else."""
    distances = np.abs(values - np.median(values))
    return float(np.median(distances) or distances.mean())


def _unit(values: Floats) -> float:
    """What the values are rounded to: a power of ten, or 0 where they have too many digits."""
    for unit in UNITS:
        steps = values / unit
        if np.mean(np.abs(steps - np.round(steps)) <= 1e-6 + 1e-9 * np.abs(steps)) >= 0.999:
            return unit
    return 0.0


def _solve(columns: Floats, right: Floats, kept: list[int]) -> tuple[Floats, float]:
    weights = np.asarray(np.linalg.lstsq(columns[:, kept], right, rcond=None)[0], dtype=np.float64)
    rest = right - columns[:, kept] @ weights
    return weights, float(1 - (rest @ rest) / (right @ right))


def _formula(slopes: Floats, names: list[str], constant: float, least: float, digits: int) -> str:
    text = ""
    for slope, name in zip(slopes, names, strict=True):
        size = f"{abs(slope):.{digits}g}"
        text += (" - " if slope < 0 else " + ") + (name if size == "1" else f"{size}*{name}")
    if abs(constant) > least:
        text += f" {'-' if constant < 0 else '+'} {abs(constant):.4g}"
    return text.removeprefix(" + ").strip()
