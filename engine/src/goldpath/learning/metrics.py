"""How good a model is: one main metric for each problem, with its interval.

Binary classification: area under the ROC curve. Several classes: its mean, one class against the
rest. Regression: R², the share of variance explained. For all three, more is better.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from goldpath.contract import Contract
from goldpath.learning.metric import Metric, probability_of
from goldpath.learning.predictions import BY_PAIRS, Predictions, counted

if TYPE_CHECKING:
    import pandas as pd


Figure = Annotated[float, BeforeValidator(lambda value: float("nan") if value is None else value)]
"""A metric's value: NaN where it is undefined, which is null in JSON."""

UNDEFINED = "undefined"
RESAMPLED_ROWS = 20_000
"""A resample of more rows has so many, and at least some of each class."""
RESAMPLED_OF_A_CLASS = 500

LESS_IS_BETTER = frozenset({"brier", "calibration_error", "log_loss", "mae", "rmse"})
"""The further metrics of which less is better."""
OF_PROBABILITY = frozenset({"brier", "calibration_error", "log_loss", "pr_auc"})
"""The further metrics that look at probabilities, not at decisions."""
_OF_CLASSES = ("accuracy", "balanced_accuracy", "f1_macro", "log_loss")
_OF_TWO_CLASSES = ("precision", "recall", "pr_auc", "brier", "calibration_error")


@dataclass(frozen=True)
class Score:
    """A metric on one set of rows.

    Attributes:
        metric: Its name.
        value: On all rows.
        interval: 95 % percentile bootstrap interval over rows (Efron & Tibshirani 1993, ch. 13).
    """

    metric: str
    value: Figure
    interval: tuple[Figure, Figure]


def four_digits(value: float) -> str:
    """A metric's value for people."""
    return f"{value:.4f}" if np.isfinite(value) else UNDEFINED


def between(interval: tuple[float, float]) -> str:
    """An interval for people; empty where it is undefined."""
    return f"{interval[0]:.4f} to {interval[1]:.4f}" if np.isfinite(interval).all() else ""


def main_metric(contract: Contract, own: Metric | None = None) -> str:
    """The name of the metric that the search maximises and the gate compares.

    Args:
        contract: Its problem decides where the project has no main metric of its own.
        own: The project's own main metric.
    """
    if own is not None:
        return own.name
    if contract.problem in (usual := {"regression": "r2", "clustering": "stability"}):
        return usual[contract.problem]
    return "roc_auc" if contract.is_binary else "roc_auc_ovr"


def further_names(contract: Contract) -> tuple[str, ...]:
    """The names of the engine's metrics beside the problem's usual one."""
    if contract.problem != "classification":
        return ("mae", "rmse") if contract.has_target else ("silhouette", "smallest_share")
    return (*_OF_CLASSES, *_OF_TWO_CLASSES) if contract.is_binary else _OF_CLASSES


def metric_value(
    contract: Contract,
    truth: np.ndarray,
    predictions: Predictions,
    own: Metric | None = None,
    rows: "pd.DataFrame | None" = None,
) -> float:
    """The main metric of predictions, shape (rows,), against the truth, shape (rows,).

    Args:
        contract: Names the problem.
        truth: The target, shape (rows,).
        predictions: What the model says.
        own: The project's own main metric.
        rows: The rows themselves, which a metric of one's own may look at.
    """
    return measured(contract, truth, predictions, own, rows)(slice(None))


def bootstrap_score(
    contract: Contract,
    truth: np.ndarray,
    predictions: Predictions,
    samples: int,
    seed: int,
    own: Metric | None = None,
    rows: "pd.DataFrame | None" = None,
) -> Score:
    """The main metric with its bootstrap interval; the last two as for `metric_value`."""
    metric = measured(contract, truth, predictions, own, rows)
    value, resamples = metric(slice(None)), _resamples(contract, truth, samples, seed)
    return Score(main_metric(contract, own), value, _interval(metric, resamples, value, truth))


def bootstrap_difference(
    contract: Contract,
    truth: np.ndarray,
    candidate: Predictions,
    champion: Predictions,
    samples: int,
    seed: int,
    own: Metric | None = None,
    rows: "pd.DataFrame | None" = None,
    champion_contract: Contract | None = None,
) -> tuple[float, tuple[float, float]]:
    """Candidate minus champion on the same rows: the difference and its paired 95 % interval.

    Each is measured with its own contract, whose threshold, band or interval a metric may look at;
    both with `contract` where the champion's is not given.
    """
    ours = measured(contract, truth, candidate, own, rows)
    theirs = measured(champion_contract or contract, truth, champion, own, rows)

    def difference(chosen: np.ndarray | slice) -> float:
        return ours(chosen) - theirs(chosen)

    value, resamples = difference(slice(None)), _resamples(contract, truth, samples, seed)
    return value, _interval(difference, resamples, value, truth)


def other_scores(
    contract: Contract,
    truth: np.ndarray,
    predictions: Predictions,
    samples: int,
    seed: int,
    own: Sequence[Metric] = (),
    rows: "pd.DataFrame | None" = None,
    main: Metric | None = None,
) -> dict[str, Score]:
    """Further metrics with their bootstrap intervals, for people; the gate does not need them.

    Args:
        contract: Names the problem.
        truth: The target, shape (rows,).
        predictions: What the model says.
        samples: How many resamples.
        seed: Of the resamples.
        own: The project's own further metrics.
        rows: The rows themselves, which a metric of one's own may look at.
        main: The project's own main metric; the problem's usual one is then among the further.
    """
    metrics: dict[str, Callable[[Any], float]] = dict(
        built_in_metrics(contract, truth, predictions)
    )
    for each in own:
        metrics[each.name] = measured(contract, truth, predictions, each, rows)
    if main is not None:
        metrics[main_metric(contract)] = measured(contract, truth, predictions, None, rows)
        metrics.pop(main.name, None)
    resamples = _resamples(contract, truth, samples, seed) if samples else []
    scores = {}
    for name, metric in metrics.items():
        value = metric(np.arange(len(truth)))
        scores[name] = Score(name, value, _interval(metric, resamples, value, truth))
    return scores


def _interval(
    metric: Callable[[np.ndarray], float],
    resamples: Sequence[np.ndarray],
    value: float,
    truth: np.ndarray,
) -> tuple[float, float]:
    """The middle 95 % of the metric's values that are defined; NaN where none is.

    Resamples of fewer rows than there are spread more widely, by the square root of the ratio.
    """
    values = [metric(chosen) for chosen in resamples]
    defined = [each for each in values if np.isfinite(each)]
    if not defined:
        return float("nan"), float("nan")
    low, middle, high = np.percentile(defined, [2.5, 50, 97.5])
    if len(resamples[0]) < len(truth):
        narrowed = np.sqrt(len(resamples[0]) / len(truth))
        low, high = value + (low - middle) * narrowed, value + (high - middle) * narrowed
    return float(low), float(high)


def row_losses(contract: Contract, truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    """What each row costs, shape (rows,): log loss of a class, absolute error of a value."""
    if contract.problem == "regression":
        return np.asarray(np.abs(np.asarray(predictions.values, dtype="float64") - truth))
    if predictions.probabilities is None:
        raise TypeError("a classifier's predictions carry probabilities")
    labels = np.asarray(contract.target.classes)
    column = (truth.astype(str)[:, None] == labels[None, :]).argmax(axis=1)
    chosen = predictions.probabilities[np.arange(len(truth)), column]
    return np.asarray(-np.log(np.clip(chosen, 1e-15, 1)))


def expected_calibration_error(positive: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean distance of the observed share from the predicted one, in ten groups of equal size.

    Naeini et al. 2015, with quantile groups.

    Args:
        positive: Booleans, shape (rows,).
        probabilities: Of the positive class, shape (rows,).
    """
    groups = np.array_split(np.argsort(probabilities, kind="stable"), 10)
    distances = [
        len(rows) * abs(float(positive[rows].mean()) - float(probabilities[rows].mean()))
        for rows in groups
        if len(rows)
    ]
    return sum(distances) / len(positive)


def built_in_metrics(
    contract: Contract, truth: np.ndarray, predictions: Predictions
) -> dict[str, Callable[[Any], float]]:
    """Each further metric as a function of row numbers, fast enough for hundreds of resamples.

    Args:
        contract: Names the problem.
        truth: The target, shape (rows,).
        predictions: What the model says; without probabilities (the log of several classes) there
            are the metrics of decisions alone.
    """
    if contract.problem == "regression":
        losses = row_losses(contract, truth, predictions)
        squares = losses**2
        return {
            "mae": lambda rows: float(losses[rows].mean()),
            "rmse": lambda rows: float(np.sqrt(squares[rows].mean())),
        }
    labels = np.asarray(contract.target.classes)
    one_hot = truth.astype(str)[:, None] == labels[None, :]
    true_class = one_hot.argmax(axis=1)
    predicted = (np.asarray(predictions.values, dtype=str)[:, None] == labels[None, :]).argmax(
        axis=1
    )

    def by_pairs(name: str) -> Callable[[Any], float]:
        of_pairs = BY_PAIRS[name]
        return lambda rows: of_pairs(counted(true_class[rows], predicted[rows], len(labels)))

    metrics = {name: by_pairs(name) for name in ("accuracy", "balanced_accuracy", "f1_macro")}
    if predictions.probabilities is None:
        return metrics
    losses = row_losses(contract, truth, predictions)
    metrics["log_loss"] = lambda rows: float(losses[rows].mean())
    if contract.is_binary:
        probabilities = predictions.probabilities[:, 1]
        positive = one_hot[:, 1]
        metrics |= {name: by_pairs(name) for name in ("precision", "recall")}
        metrics["pr_auc"] = lambda rows: average_precision(positive[rows], probabilities[rows])
        squares = (probabilities - one_hot[:, 1]) ** 2
        metrics["brier"] = lambda rows: float(squares[rows].mean())
        metrics["calibration_error"] = lambda rows: expected_calibration_error(
            one_hot[rows, 1], probabilities[rows]
        )
    return metrics


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


def average_precision(positive: np.ndarray, scores: np.ndarray) -> float:
    """The area under the precision-recall curve, as a sum over the distinct scores.

    Args:
        positive: Booleans, shape (rows,).
        scores: Shape (rows,).

    Returns:
        A value in [0, 1], or NaN without a positive row. Guessing gives the positives' share.
    """
    positives = int(positive.sum())
    if positives == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last_of_a_score = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[last_of_a_score]
    gained = np.diff(hits, prepend=0) / positives
    return float(np.sum(gained * hits / (last_of_a_score + 1)))


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


def measured(
    contract: Contract,
    truth: np.ndarray,
    predictions: Predictions,
    own: Metric | None,
    rows: "pd.DataFrame | None",
) -> Callable[[np.ndarray | slice], float]:
    """The main metric as a function of row numbers."""
    if own is not None:
        if rows is None and "rows" in own.inputs:
            raise TypeError(f"the metric {own.name} asks for rows, and there are none here")
        return own.on_rows(contract, truth, predictions, rows)
    metric, scores = _metric(contract), _scores(contract, predictions)
    return lambda chosen: metric(truth[chosen], scores[chosen])


def _scores(contract: Contract, predictions: Predictions) -> np.ndarray:
    """What the metric ranks or measures: P(positive), the matrix of probabilities, or values."""
    if contract.problem == "regression":
        return np.asarray(predictions.values, dtype="float64")
    return probability_of(contract, predictions)


def _r2(truth: np.ndarray, values: np.ndarray) -> float:
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return float("nan") if spread == 0 else 1 - float(np.sum((truth - values) ** 2)) / spread


def _resamples(contract: Contract, truth: np.ndarray, samples: int, seed: int) -> list[np.ndarray]:
    """Row numbers of the bootstrap's draws: as many as there are rows, or of many rows fewer.

    The m out of n bootstrap: Bickel, Götze & van Zwet 1997.
    """
    random, rows = np.random.default_rng(seed), len(truth)
    drawn = min(rows, RESAMPLED_ROWS)
    if drawn < rows and contract.problem == "classification":
        rarest = min(int((truth == label).sum()) or rows for label in contract.target.classes)
        drawn = min(rows, max(drawn, RESAMPLED_OF_A_CLASS * rows // rarest))
    return [random.integers(0, rows, drawn) for _ in range(samples)]
