"""What is learnt: the target as numbers, and the metric that is optimised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from goldpath.errors import NotEnoughDataError, ProjectError

Problem = Literal["classification", "regression"]
METRICS = {
    "classification": ("log_loss", "roc_auc", "accuracy"),
    "regression": ("rmse", "mae", "r2"),
}
GREATER_IS_BETTER = frozenset({"roc_auc", "accuracy", "r2"})
CLIP = 1e-15
SKEWED = 1.0


@dataclass(frozen=True)
class Task:
    """A target, made ready for learners.

    Attributes:
        problem: Classification or regression.
        metric: A name in `METRICS`.
        target: Class numbers (int64), or values in units of their standard deviation.
        classes: The labels by class number; empty for regression.
        shift: Subtracted from the values; 0 where they are counts or amounts.
        scale: Divides the values.
        counts: Whether the values are never negative and skewed, as counts and amounts are.
        threads: For the libraries that can use more than one.
        seed: Of everything random.
    """

    problem: Problem
    metric: str
    target: np.ndarray
    classes: np.ndarray
    shift: float
    scale: float
    counts: bool
    threads: int
    seed: int

    @property
    def outputs(self) -> int:
        """Columns of a prediction: the number of classes, 1 for regression."""
        return max(1, len(self.classes))

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest value of the metric."""
        least = -np.inf if self.metric == "r2" else 0.0
        return least, 1.0 if self.metric in GREATER_IS_BETTER else np.inf

    def loss(self, target: np.ndarray, predictions: np.ndarray) -> float:
        """The metric as a loss: less is better.

        Args:
            target: Part of `self.target`.
            predictions: Shape (rows, classes), or (rows,) for regression, in the target's units.
        """
        score = self.score(target, predictions)
        return -score if self.metric in GREATER_IS_BETTER else score

    def score(self, target: np.ndarray, predictions: np.ndarray) -> float:
        """The metric in its own units; see `loss`."""
        if self.metric == "log_loss":
            return log_loss(target, predictions)
        if self.metric == "accuracy":
            return float(np.mean(predictions.argmax(axis=1) == target))
        if self.metric == "roc_auc":
            return _roc_auc(target, predictions)
        residuals = target - predictions
        if self.metric == "mae":
            return float(np.mean(np.abs(residuals))) * self.scale
        if self.metric == "r2":
            return 1 - float(np.mean(residuals**2) / max(np.var(target), CLIP))
        return float(np.sqrt(np.mean(residuals**2))) * self.scale

    def baseline(self) -> float:
        """The loss of the best constant prediction."""
        if self.problem == "regression":
            middle = np.median(self.target) if self.metric == "mae" else self.target.mean()
            return self.loss(self.target, np.full(len(self.target), middle))
        shares = np.bincount(self.target, minlength=self.outputs) / len(self.target)
        return self.loss(self.target, np.tile(shares, (len(self.target), 1)))


def make_task(
    target: "np.ndarray | pd.Series[Any] | Sequence[Any]",
    problem: Problem,
    metric: str | None,
    threads: int,
    seed: int,
) -> Task:
    """Check a target and turn it into numbers.

    Raises:
        ProjectError: For an unknown problem or metric, missing values or text in a regression.
        NotEnoughDataError: If there is one class or one value only.
    """
    if problem not in METRICS:
        raise ProjectError(
            f"the problem is {problem!r}; expected 'classification' or 'regression'",
            "say problem='classification'; for clusters call find_clusters",
        )
    metric = metric or METRICS[problem][0]
    if metric not in METRICS[problem]:
        raise ProjectError(
            f"the metric is {metric!r}; {problem} knows {', '.join(METRICS[problem])}",
            f"say metric={METRICS[problem][0]!r}",
        )
    column = pd.Series(np.asarray(target, dtype=None)).reset_index(drop=True)
    if missing := int(column.isna().sum()):
        raise ProjectError(
            f"the target lacks a value in {missing} of {len(column)} rows",
            "leave those rows out: nothing can be learnt from them",
        )
    if problem == "classification":
        return _classes(column, metric, threads, seed)
    return _values(column, metric, threads, seed)


def log_loss(target: np.ndarray, predictions: np.ndarray) -> float:
    """Mean negative log of the probability of what came true."""
    chosen = predictions[np.arange(len(target)), target]
    return float(-np.mean(np.log(np.clip(chosen, CLIP, 1))))


def _classes(column: "pd.Series[Any]", metric: str, threads: int, seed: int) -> Task:
    try:
        labels, numbers = np.unique(column.to_numpy(), return_inverse=True)
    except TypeError as error:
        raise ProjectError(
            "the target mixes labels of several types, such as text and numbers",
            "make them one type, such as target.astype(str)",
        ) from error
    if labels.dtype == object:
        # Text is stored as numpy's own type, which skops reads without pickle.
        labels = labels.astype(str) if all(isinstance(label, str) for label in labels) else labels
    if len(labels) < 2:
        raise NotEnoughDataError(
            f"the target has one class only: {labels[0]!r}" if len(labels) else "no rows",
            "give rows of two classes or more",
        )
    if len(labels) > max(2, len(column) // 2):
        raise ProjectError(
            f"the target has {len(labels)} classes in {len(column)} rows",
            "say problem='regression' where the target is a number",
        )
    return Task(
        "classification", metric, numbers.astype(np.int64), labels, 0.0, 1.0, False, threads, seed
    )


def _values(column: "pd.Series[Any]", metric: str, threads: int, seed: int) -> Task:
    try:
        values = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProjectError(
            f"the target of a regression is not numeric: {error}",
            "say problem='classification', or give numbers",
        ) from error
    if not np.isfinite(values).all():
        raise ProjectError("the target holds infinite values", "leave those rows out")
    if not len(values) or values.min() == values.max():
        raise NotEnoughDataError("the target has one value only", "give rows whose target differs")
    centred = (values - values.mean()) / values.std()
    counts = bool(values.min() >= 0 and np.mean(centred**3) > SKEWED)
    shift, scale = 0.0 if counts else float(values.mean()), float(values.std())
    return Task(
        "regression",
        metric,
        (values - shift) / scale,
        np.empty(0, dtype=np.int64),
        shift,
        scale,
        counts,
        threads,
        seed,
    )


def _roc_auc(target: np.ndarray, predictions: np.ndarray) -> float:
    """Area under the curve; the mean of one class against the rest where there are several.

    By ranks (Mann and Whitney), which is many times faster than building the curve.
    """
    from scipy.stats import rankdata

    present = range(predictions.shape[1]) if predictions.shape[1] > 2 else (1,)
    areas = []
    for number in present:
        positive = target == number
        count = int(positive.sum())
        if 0 < count < len(target):
            ranks = rankdata(predictions[:, number])[positive].sum()
            areas.append((ranks - count * (count + 1) / 2) / (count * (len(target) - count)))
    return float(np.mean(areas)) if areas else 0.5
