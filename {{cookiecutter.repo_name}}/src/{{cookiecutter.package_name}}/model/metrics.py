"""How good a model is: one main metric for each problem, with its interval.

Binary classification: area under the ROC curve. Several classes: its mean, one class against the
rest. Regression: R², the share of variance explained. For all three, more is better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..contract import Contract

if TYPE_CHECKING:
    from .scoring import Predictions


@dataclass(frozen=True)
class Score:
    """A metric on one set of rows.

    Attributes:
        metric: Its name.
        value: On all rows.
        interval: 95 % percentile bootstrap interval over rows (Efron & Tibshirani 1993, ch. 13).
    """

    metric: str
    value: float
    interval: tuple[float, float]


def main_metric(contract: Contract) -> str:
    """The metric that the search maximises and the gate compares."""
    if contract.problem == "regression":
        return "r2"
    return "roc_auc" if contract.is_binary else "roc_auc_ovr"


def metric_value(contract: Contract, truth: np.ndarray, predictions: "Predictions") -> float:
    """The main metric of predictions, shape (rows,), against the truth, shape (rows,)."""
    return _metric(contract)(truth, _scores(contract, predictions))


def bootstrap_score(
    contract: Contract, truth: np.ndarray, predictions: "Predictions", samples: int, seed: int
) -> Score:
    """The main metric with its bootstrap interval."""
    metric, scores = _metric(contract), _scores(contract, predictions)
    values = [metric(truth[rows], scores[rows]) for rows in _resamples(len(truth), samples, seed)]
    finite = [value for value in values if np.isfinite(value)]
    low, high = np.percentile(finite, [2.5, 97.5]) if finite else (float("nan"), float("nan"))
    return Score(main_metric(contract), metric(truth, scores), (float(low), float(high)))


def bootstrap_difference(
    contract: Contract,
    truth: np.ndarray,
    candidate: "Predictions",
    champion: "Predictions",
    samples: int,
    seed: int,
) -> tuple[float, tuple[float, float]]:
    """Candidate minus champion on the same rows: the difference and its paired 95 % interval."""
    metric = _metric(contract)
    ours, theirs = _scores(contract, candidate), _scores(contract, champion)
    differences = [
        metric(truth[rows], ours[rows]) - metric(truth[rows], theirs[rows])
        for rows in _resamples(len(truth), samples, seed)
    ]
    low, high = np.nanpercentile(differences, [2.5, 97.5])
    return metric(truth, ours) - metric(truth, theirs), (float(low), float(high))


def other_metrics(
    contract: Contract, truth: np.ndarray, predictions: "Predictions"
) -> dict[str, float]:
    """Further metrics, for people; the gate does not look at them."""
    from sklearn import metrics

    if contract.problem == "regression":
        values = np.asarray(predictions.values, dtype="float64")
        return {
            "mae": float(metrics.mean_absolute_error(truth, values)),
            "rmse": float(metrics.root_mean_squared_error(truth, values)),
        }
    labels = list(contract.target.classes)
    truth_labels, predicted = truth.astype(str), np.asarray(predictions.values, dtype=str)
    found = {
        "accuracy": float(metrics.accuracy_score(truth_labels, predicted)),
        "f1_macro": float(
            metrics.f1_score(
                truth_labels, predicted, average="macro", labels=labels, zero_division=0
            )
        ),
    }
    if predictions.probabilities is not None:
        one_hot = truth_labels[:, None] == np.asarray(labels)[None, :]
        clipped = np.clip(predictions.probabilities, 1e-15, 1)
        found["log_loss"] = float(-np.mean(np.sum(one_hot * np.log(clipped), axis=1)))
        if contract.is_binary:
            found["brier"] = float(np.mean((predictions.probabilities[:, 1] - one_hot[:, 1]) ** 2))
    return found


def area_under_roc(positive: np.ndarray, scores: np.ndarray) -> float:
    """The probability that a positive row scores above a negative one (ties count half).

    The Mann-Whitney form: Hanley & McNeil 1982. A tenth of the time of scikit-learn's, which
    matters for a thousand bootstrap samples.

    Args:
        positive: Booleans, shape (rows,).
        scores: Shape (rows,).

    Returns:
        A value in [0, 1], or NaN where either class is absent.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    upper = np.cumsum(counts)
    mean_rank = upper - (counts - 1) / 2
    rank_sum = float(mean_rank[inverse][positive].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def _metric(contract: Contract) -> Callable[[np.ndarray, np.ndarray], float]:
    if contract.problem == "regression":
        return _r2
    labels = np.asarray(contract.target.classes)
    if contract.is_binary:
        return lambda truth, scores: area_under_roc(truth == labels[1], scores)

    def one_against_rest(truth: np.ndarray, scores: np.ndarray) -> float:
        areas = [area_under_roc(truth == label, scores[:, i]) for i, label in enumerate(labels)]
        defined = [area for area in areas if np.isfinite(area)]
        return float(np.mean(defined)) if defined else float("nan")

    return one_against_rest


def _scores(contract: Contract, predictions: "Predictions") -> np.ndarray:
    """What the metric ranks or measures: P(positive), the matrix of probabilities, or values."""
    if contract.problem == "regression":
        return np.asarray(predictions.values, dtype="float64")
    if predictions.probabilities is None:
        raise TypeError("a classifier's predictions carry probabilities")
    return predictions.probabilities[:, 1] if contract.is_binary else predictions.probabilities


def _r2(truth: np.ndarray, values: np.ndarray) -> float:
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return float("nan") if spread == 0 else 1 - float(np.sum((truth - values) ** 2)) / spread


def _resamples(rows: int, samples: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, rows, rows) for _ in range(samples)]
