"""A small neural network in NumPy.

scikit-learn's own has no dropout, no learning-rate schedule and no deadline. This one plans its
epochs by the time that the first ones took, so that the schedule always ends where the time does,
and is stored as plain arrays.
"""

from typing import Any

import numpy as np

from goldpath.automl.budget import Deadline
from goldpath.automl.learners.learner import Parts
from goldpath.automl.task import Task

FEWEST_EPOCHS = 4
BETA_1, BETA_2, EPSILON = 0.9, 0.99, 1e-7


class NetworkModel:
    """Layers of rectified units, trained by AdamW (Loshchilov and Hutter 2019), cosine schedule.

    Args:
        parameters: `width`, `depth`, `learning_rate`, `weight_decay`, `dropout`, `batch`, `epochs`.
        task: Problem, classes and seed.
    """

    def __init__(self, parameters: dict[str, Any], task: Task) -> None:
        self.parameters = dict(parameters)
        self.classify = task.problem == "classification"
        self.outputs = task.outputs
        self.seed = task.seed
        self.rounds = int(parameters["epochs"])
        self.curve: list[float] = []

    def fit(self, parts: Parts, deadline: Deadline, rounds: int | None = None) -> "NetworkModel":
        """Train for the planned epochs, or as many as the time allows."""
        random = np.random.default_rng(self.seed)
        self.weights = self._start(parts.train.shape[1], random)
        moments = (np.zeros_like(self._flat), np.zeros_like(self._flat))
        rows, batch = len(parts.train), int(self.parameters["batch"])
        batches = max(1, rows // batch)
        epochs = rounds or self.rounds
        step, started, epoch = 0, deadline.stopwatch.elapsed(), 0
        goal = self._goal(parts)
        while epoch < epochs:
            order = random.permutation(rows)
            for chosen in np.array_split(order, batches):
                progress = step / (epochs * batches)
                rate = self.parameters["learning_rate"] * _schedule(progress)
                self._step(parts.train[chosen], goal[chosen], rate, moments, step, random)
                step += 1
            epoch += 1
            if np.isfinite(deadline.at) and epoch <= FEWEST_EPOCHS:
                # The schedule is planned anew: it must come to its end before the time does.
                each = (deadline.stopwatch.elapsed() - started) / epoch
                epochs = min(epochs, epoch + max(0, int(deadline.left() / max(each, 1e-9))))
            elif deadline.passed():
                break
        self.rounds = epoch
        # Predictions must not depend on the batch they are made in; float64 makes that 1e-15.
        self.weights = [weight.astype(np.float64) for weight in self.weights]
        del self._flat, self._decayed
        return self

    def use_rounds(self, rounds: int) -> None:
        """The schedule ends where the training does: there is no earlier state worth having."""

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities of shape (rows, classes), or values."""
        hidden: np.ndarray = matrix.astype(np.float64)
        for layer in range(0, len(self.weights) - 2, 2):
            hidden = np.maximum(hidden @ self.weights[layer] + self.weights[layer + 1], 0)
        raw = hidden @ self.weights[-2] + self.weights[-1]
        outputs: np.ndarray = _softmax(raw) if self.classify else raw[:, 0]
        return outputs

    def _goal(self, parts: Parts) -> np.ndarray:
        if not self.classify:
            return parts.target.astype(np.float32)[:, None]
        indicators: np.ndarray = np.eye(self.outputs, dtype=np.float32)[parts.target]
        return indicators

    def _start(self, inputs: int, random: np.random.Generator) -> list[np.ndarray]:
        """He's initialisation; the last layer starts small, so that the first guess is the mean."""
        sizes = [inputs, *[int(self.parameters["width"])] * int(self.parameters["depth"])]
        weights: list[np.ndarray] = []
        for before, after in zip(sizes, [*sizes[1:], self.outputs], strict=True):
            last = len(weights) == 2 * len(sizes) - 2
            deviation = (0.1 if last else 1.0) * np.sqrt(2 / max(1, before))
            weights.append((random.normal(size=(before, after)) * deviation).astype(np.float32))
            weights.append(np.zeros(after, dtype=np.float32))
        # All weights lie in one array, so that a step of the optimiser is a few calls, not dozens.
        self._flat = np.concatenate([weight.ravel() for weight in weights])
        self._decayed = np.concatenate(
            [np.full(weight.size, weight.ndim == 2, dtype=np.float32) for weight in weights]
        )
        ends = np.cumsum([weight.size for weight in weights])
        return [
            self._flat[end - weight.size : end].reshape(weight.shape)
            for weight, end in zip(weights, ends, strict=True)
        ]

    def _step(
        self,
        rows: np.ndarray,
        goal: np.ndarray,
        rate: float,
        moments: tuple[np.ndarray, np.ndarray],
        step: int,
        random: np.random.Generator,
    ) -> None:
        """One batch forth and back, and the change of the weights."""
        dropout = float(self.parameters["dropout"])
        activations, masks = [rows], []
        for layer in range(0, len(self.weights) - 2, 2):
            hidden = activations[-1] @ self.weights[layer] + self.weights[layer + 1]
            mask = (hidden > 0).astype(np.float32)
            if dropout:
                kept = random.random(hidden.shape, dtype=np.float32) >= dropout
                mask *= kept / np.float32(1 - dropout)
            masks.append(mask)
            activations.append(hidden * mask)
        raw = activations[-1] @ self.weights[-2] + self.weights[-1]
        error = ((_softmax(raw) if self.classify else raw) - goal) / np.float32(len(rows))
        gradients: list[np.ndarray] = []
        for layer in range(len(self.weights) - 2, -1, -2):
            gradients[:0] = [activations[layer // 2].T @ error, error.sum(axis=0)]
            if layer:
                error = (error @ self.weights[layer].T) * masks[layer // 2 - 1]
        gradient = np.concatenate([part.ravel() for part in gradients])
        mean, square = moments
        mean += np.float32(1 - BETA_1) * (gradient - mean)
        np.square(gradient, out=gradient)
        square += np.float32(1 - BETA_2) * (gradient - square)
        first, second = 1 - BETA_1 ** (step + 1), 1 - BETA_2 ** (step + 1)
        self._flat *= 1 - np.float32(rate * self.parameters["weight_decay"]) * self._decayed
        np.sqrt(square, out=gradient)
        gradient += np.float32(EPSILON)
        np.divide(mean, gradient, out=gradient)
        gradient *= np.float32(rate * np.sqrt(second) / first)
        self._flat -= gradient


def _schedule(progress: float) -> float:
    """A short rise, then half a cosine down to nothing."""
    rise = 0.05
    if progress < rise:
        return (progress + 0.005) / (rise + 0.005)
    return float(0.5 * (1 + np.cos(np.pi * (progress - rise) / (1 - rise))))


def _softmax(raw: np.ndarray) -> np.ndarray:
    shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
    result: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return result
