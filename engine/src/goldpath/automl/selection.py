"""What is done with held-out predictions: calibration, and the choice of an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from goldpath.automl.task import CLIP, Task

STEPS = 40
WITHOUT_PROGRESS = 8
MOST_MEMBERS = 8
LIGHTEST = 0.02
LOWEST, HIGHEST = 0.3, 5.0
BAGS = 16
BAGGED_BELOW = 20_000
SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities as if their logarithms were divided by a temperature (Guo et al. 2017)."""
    if temperature == 1:
        return probabilities
    logs = np.log(np.clip(probabilities, 1e-9, 1)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return result


def best_temperature(target: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the least log loss on held-out predictions; 1 where it hardly helps.

    As in Platt's scaling (1999) the labels count as slightly uncertain, by the number of rows: a
    few rows that are all predicted well are no evidence for certainty.
    """
    from scipy.optimize import minimize_scalar

    rows, classes = probabilities.shape
    doubt = classes / (rows + 2 * classes)
    logs = np.log(np.clip(probabilities, 1e-9, 1))

    def loss(log_temperature: float) -> float:
        scaled = logs / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        scaled -= np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        true = scaled[np.arange(rows), target]
        return float(-np.mean((1 - doubt) * true + doubt * scaled.mean(axis=1)))

    found = minimize_scalar(
        loss,
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 0.01, "maxiter": 25},
    )
    return float(np.exp(found.x)) if found.fun < loss(0.0) - 1e-6 else 1.0


@dataclass(frozen=True)
class Selection:
    """An ensemble: weights that sum to 1, by number of the candidate, and its held-out loss."""

    weights: dict[int, float]
    loss: float


def select_ensemble(task: Task, target: np.ndarray, predictions: Sequence[np.ndarray]) -> Selection:
    """Greedy selection with replacement, bagged (Caruana et al. 2004).

    Selecting on the very rows that are judged by overrates the lucky; so it is done on resampled
    rows, too, and the weights are averaged, as far as the mean stays at least as good as the best
    single candidate.

    Args:
        task: Gives the metric.
        target: Held-out rows' class numbers or values.
        predictions: Held-out predictions of each candidate, calibrated.
    """
    views = np.stack([_view(task, target, prediction) for prediction in predictions])
    losses = np.array([_loss(task, target, view) for view in views])
    greedy = _greedy(task, target, views)
    if len(target) >= BAGGED_BELOW or len(views) == 1:
        return _selection(task, target, views, greedy)
    random = np.random.default_rng(task.seed)
    bagged = np.zeros(len(views))
    for _ in range(BAGS):
        rows = random.integers(0, len(target), len(target))
        bagged += _greedy(task, target[rows], views[:, rows]) / BAGS
    bagged = _heaviest(bagged + 1e-3 * greedy)
    for share in SHARES:
        mixed = _heaviest(share * bagged + (1 - share) * greedy)
        selection = _selection(task, target, views, mixed)
        if selection.loss <= losses.min():
            break
    return selection


def _greedy(task: Task, target: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Weights of the candidates; the best single one is the first that is taken."""
    losses = np.array([_loss(task, target, view) for view in views])
    chosen, total = [int(np.argmin(losses))], views[np.argmin(losses)].copy()
    best, best_length = float(losses.min()), 1
    while len(chosen) < STEPS and len(chosen) - best_length < WITHOUT_PROGRESS:
        allowed: Sequence[int] = range(len(views))
        if len(set(chosen)) >= MOST_MEMBERS:
            allowed = sorted(set(chosen))
        trial = [_loss(task, target, (total + views[k]) / (len(chosen) + 1)) for k in allowed]
        step = int(np.argmin(trial))
        chosen.append(allowed[step])
        total += views[allowed[step]]
        if trial[step] < best - 1e-12:
            best, best_length = float(trial[step]), len(chosen)
    return np.bincount(chosen[:best_length], minlength=len(views)) / best_length


def _heaviest(weights: np.ndarray) -> np.ndarray:
    """The members with the largest weights, which then sum to 1."""
    kept = np.argsort(-weights, kind="stable")[:MOST_MEMBERS]
    kept = kept[weights[kept] > LIGHTEST]
    result = np.zeros_like(weights)
    result[kept] = weights[kept] / weights[kept].sum()
    return result


def _selection(task: Task, target: np.ndarray, views: np.ndarray, weights: np.ndarray) -> Selection:
    mean = np.tensordot(weights, views, axes=1)
    chosen = {int(k): float(weights[k]) for k in np.flatnonzero(weights)}
    return Selection(chosen, _loss(task, target, mean))


def _view(task: Task, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """As much of a prediction as the metric needs; a mean of views is the view of the mean."""
    if task.metric == "log_loss":
        chosen: np.ndarray = prediction[np.arange(len(target)), target]
        return chosen
    return prediction


def _loss(task: Task, target: np.ndarray, view: np.ndarray) -> float:
    if task.metric == "log_loss":
        return float(-np.mean(np.log(np.clip(view, CLIP, 1))))
    return task.loss(target, view)
