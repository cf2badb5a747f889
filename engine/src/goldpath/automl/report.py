"""What a search found, for people: the values of the page that `report_page` writes.

The plots show the model on given rows: shuffled features (Breiman 2001), partial dependence
(Friedman 2001), SHAP's attributions where the `explain` extra is installed, and quality against
latency. All of it keeps to a time limit of its own, so a wide table gets fewer plots, not a late
report.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from goldpath.automl.result import AutoMLResult, HistoryPoint, LeaderboardEntry, Option
from goldpath.automl.structure.findings import SPOKEN_FOLDS, Finding
from goldpath.automl.task import Task

IMPORTANCE_ROWS = 500
REPEATS = 3
DEPENDENCE_ROWS = 150
DEPENDENCE_FEATURES = 4
GRID = 12
MOST_CURVES = 4
SHAP_ROWS, SHAP_BACKGROUND = 24, 16
SECONDS = 20.0
"""For everything that asks the model; SHAP has as much again."""


@dataclass(frozen=True)
class Importance:
    """How much the loss grows when a feature's values are shuffled."""

    feature: str
    loss: float
    deviation: float


@dataclass(frozen=True)
class Dependence:
    """The mean prediction when a feature has one value in all rows.

    Attributes:
        feature: The feature.
        values: The values, as text where they are categories.
        curves: The mean prediction at each value, by class, or by `prediction`.
    """

    feature: str
    values: tuple[float | str, ...]
    curves: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Point:
    """Quality and latency of a configuration, or of the ensemble.

    Attributes:
        name: Family and number, or `ensemble`.
        score: In the metric's units.
        microseconds: A prediction of one row in a batch.
        best: Whether no other is both better and faster (the Pareto front).
    """

    name: str
    score: float
    microseconds: float
    best: bool


@dataclass(frozen=True)
class Report:
    """Everything that the page shows."""

    title: str
    made_at: str
    problem: str
    metric: str
    greater_is_better: bool
    score: float
    best_single_score: float
    baseline_score: float
    seconds: float
    budget_seconds: float | None
    rows: int
    features: int
    folds: int
    seed: int
    leaderboard: tuple[LeaderboardEntry, ...]
    history: tuple[HistoryPoint, ...]
    left_out: Mapping[str, str]
    rows_seen: bool
    judged_rows: int
    importances: tuple[Importance, ...]
    features_not_judged: int
    attributions: Mapping[str, float]
    dependences: tuple[Dependence, ...]
    points: tuple[Point, ...]
    interval: tuple[float, float] | None = None
    judged_on: str = SPOKEN_FOLDS["random"]
    findings: tuple[Finding, ...] = ()
    options: tuple[Option, ...] = ()
    latency_ms: float | None = None


def make_report(
    result: AutoMLResult,
    features: pd.DataFrame,
    target: "np.ndarray | pd.Series[Any] | Sequence[Any]",
    *,
    title: str,
    budget_seconds: float | None,
    rows_seen: bool,
    explain: bool = False,
    seconds: float = SECONDS,
) -> Report:
    """Ask the model what it makes of its features.

    Args:
        result: What `find_model` returned.
        features: Rows to ask about.
        target: Their true values.
        title: Of the page.
        budget_seconds: What the search was given; None where only trials were counted.
        rows_seen: Whether the model learnt from these rows; the page says so.
        explain: Whether to add SHAP's attributions; the `explain` extra must be installed.
        seconds: Time limit for the questions, and again for SHAP.
    """
    deadline = time.monotonic() + seconds
    drawn = _draw(len(features), IMPORTANCE_ROWS, result.seed)
    rows = features.iloc[drawn].reset_index(drop=True)
    scorer = _Scorer(result, np.asarray(target)[drawn])
    microseconds = _microseconds(result.model, rows)
    importances = _importances(scorer, rows, deadline, result.seed)
    some = rows.iloc[:DEPENDENCE_ROWS]
    dependences = []
    for item in importances[:DEPENDENCE_FEATURES]:
        if time.monotonic() > deadline or item.loss <= 0:
            break
        dependences.append(_dependence(result, some, item.feature))
    return Report(
        title=title,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        problem=result.problem,
        metric=result.metric,
        greater_is_better=result.greater_is_better,
        score=result.score,
        best_single_score=result.best_single_score,
        baseline_score=result.baseline_score,
        seconds=result.seconds,
        budget_seconds=budget_seconds,
        rows=result.rows,
        features=features.shape[1],
        folds=result.folds,
        seed=result.seed,
        leaderboard=result.leaderboard,
        history=result.history,
        left_out=dict(result.left_out),
        rows_seen=rows_seen,
        judged_rows=len(rows),
        importances=tuple(importances),
        features_not_judged=features.shape[1] - len(importances),
        attributions=_attributions(result, rows, seconds) if explain else {},
        dependences=tuple(dependences),
        points=_points(result, microseconds),
        interval=result.interval,
        judged_on=SPOKEN_FOLDS[result.folds_by],
        findings=result.findings,
        options=result.options,
        latency_ms=result.latency_ms,
    )


def plain(value: Any) -> Any:
    """A value as JSON can say it: numpy's numbers as Python's, what is not finite as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) or value is None else str(value)


def plain_fields(result: Any) -> dict[str, Any]:
    """A dataclass's fields as JSON can say them, without fitted models and folders' contents."""
    values = {item.name: getattr(result, item.name) for item in fields(result) if item.repr}
    return {name: plain(value) for name, value in values.items()}


class _Scorer:
    """The search's metric as a loss, on rows of one's own."""

    def __init__(self, result: AutoMLResult, target: np.ndarray) -> None:
        self.model = result.model
        classify = result.problem == "classification"
        labels = list(map(str, result.model.classes_)) if classify else []
        self._task = Task(
            problem="classification" if classify else "regression",
            metric=result.metric,
            target=np.array([labels.index(str(label)) for label in target])
            if classify
            else np.asarray(target, dtype=np.float64),
            classes=np.asarray(labels),
            shift=0.0,
            scale=1.0,
            counts=False,
            threads=1,
            seed=result.seed,
        )

    def loss(self, rows: pd.DataFrame) -> float:
        return self._task.loss(self._task.target, outputs(self.model, rows))


def outputs(model: Any, rows: pd.DataFrame) -> np.ndarray:
    """Probabilities of shape (rows, classes), or values of shape (rows,)."""
    answer = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
    return np.asarray(answer, dtype=np.float64)


def _importances(
    scorer: _Scorer, rows: pd.DataFrame, deadline: float, seed: int
) -> list[Importance]:
    random = np.random.default_rng(seed)
    whole = scorer.loss(rows)
    found = []
    for name in rows.columns:
        if time.monotonic() > deadline:
            break
        shuffled, losses = rows.copy(), []
        for _ in range(REPEATS):
            # `take` keeps the column's type, which a detour over numpy would lose.
            order = random.permutation(len(rows))
            shuffled[name] = rows[name].take(order).set_axis(rows.index)
            losses.append(scorer.loss(shuffled) - whole)
        found.append(Importance(str(name), float(np.mean(losses)), float(np.std(losses))))
    return sorted(found, key=lambda item: -item.loss)


def _dependence(result: AutoMLResult, rows: pd.DataFrame, feature: str) -> Dependence:
    name = next(column for column in rows.columns if str(column) == feature)
    column = rows[name]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        quantiles = column.dropna().astype("float64").quantile(np.linspace(0.02, 0.98, GRID))
        grid = [float(value) for value in quantiles.unique()]
        shown: list[float | str] = list(grid)
    else:
        grid = list(column.dropna().value_counts().index[:GRID])
        shown = [str(value) for value in grid]
    means = []
    for value in grid:
        fixed = rows.copy()
        fixed[name] = pd.Series([value] * len(rows), index=rows.index).astype(
            column.dtype, errors="ignore"
        )
        means.append(outputs(result.model, fixed).mean(axis=0))
    return Dependence(feature, tuple(shown), _curves(result, np.asarray(means)))


def _curves(result: AutoMLResult, means: np.ndarray) -> dict[str, tuple[float, ...]]:
    if means.ndim == 1:
        return {"prediction": tuple(map(float, means))}
    labels = [f"P({label})" for label in result.model.classes_]
    # Of two classes one curve says everything; of many the ones that move most are shown.
    numbers = [1] if len(labels) == 2 else np.argsort(-np.ptp(means, axis=0))[:MOST_CURVES]
    return {labels[number]: tuple(map(float, means[:, number])) for number in numbers}


def _attributions(result: AutoMLResult, rows: pd.DataFrame, seconds: float) -> dict[str, float]:
    """Mean absolute SHAP value of each feature, largest first; empty without the extra.

    Categories go through SHAP as numbers, and come back as categories before the model sees them.
    """
    try:
        import shap
    except (ImportError, OSError):
        return {}
    codes, levels = pd.DataFrame(index=rows.index), {}
    for name in rows.columns:
        if pd.api.types.is_numeric_dtype(rows[name]):
            codes[name] = rows[name].astype("float64")
        else:
            numbers, uniques = pd.factorize(rows[name])
            codes[name], levels[name] = numbers.astype("float64"), uniques

    def ask(matrix: np.ndarray) -> np.ndarray:
        frame = pd.DataFrame(matrix, columns=rows.columns)
        for name, uniques in levels.items():
            numbers = frame[name].to_numpy().astype(int)
            frame[name] = pd.Series(uniques.take(np.maximum(numbers, 0))).where(numbers >= 0)
        answer = outputs(result.model, frame)
        return answer[:, 1] if answer.ndim == 2 and answer.shape[1] == 2 else answer

    matrix = codes.to_numpy()
    features = matrix.shape[1]
    evaluations = 2 * features + 1
    started = time.monotonic()
    ask(np.repeat(matrix[:SHAP_BACKGROUND], 8, axis=0))
    per_row = (time.monotonic() - started) / (8 * SHAP_BACKGROUND)
    affordable = int(seconds / max(per_row * evaluations * SHAP_BACKGROUND, 1e-9))
    if affordable < 1:
        return {}
    masker = shap.maskers.Independent(matrix[-SHAP_BACKGROUND:], max_samples=SHAP_BACKGROUND)
    explainer = shap.explainers.Permutation(ask, masker, seed=result.seed)
    explained = explainer(matrix[: min(SHAP_ROWS, affordable)], max_evals=evaluations, silent=True)
    values = np.abs(np.asarray(explained.values))
    mean = values.mean(axis=(0, 2)) if values.ndim == 3 else values.mean(axis=0)
    pairs = zip(map(str, rows.columns), map(float, mean), strict=True)
    return dict(sorted(pairs, key=lambda pair: -pair[1]))


def _points(result: AutoMLResult, microseconds: float) -> tuple[Point, ...]:
    found = [
        (f"{entry.family} #{entry.number}", entry.score, entry.predict_microseconds)
        for entry in result.leaderboard
        if entry.score is not None and entry.predict_microseconds > 0
    ]
    found.append(("ensemble", result.score, microseconds))
    sign = 1 if result.greater_is_better else -1

    def beaten(score: float, cost: float) -> bool:
        return any(
            (sign * other >= sign * score and paid <= cost)
            and (sign * other > sign * score or paid < cost)
            for _, other, paid in found
        )

    return tuple(Point(name, s, cost, not beaten(s, cost)) for name, s, cost in found)


def _microseconds(model: Any, rows: pd.DataFrame) -> float:
    outputs(model, rows.iloc[:1])
    started = time.perf_counter()
    outputs(model, rows)
    return 1e6 * (time.perf_counter() - started) / len(rows)


def _draw(rows: int, most: int, seed: int) -> np.ndarray:
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
