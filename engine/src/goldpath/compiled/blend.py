"""The weighted mean of compiled forms: what AutoML's ensembles are.

A row's numbers are worked on one by one and added in the members' order, so that it has the same
bits alone and in any batch.
"""

from collections.abc import Callable, Sequence

import numpy as np

from goldpath.compiled.form import Blend

SMALLEST = 1e-9
"""Below it a probability's logarithm is cut; as `automl.selection.temper` does."""

Answers = Callable[[], np.ndarray]


def blend_answers(blend: Blend, answers: Sequence[Sequence[Answers]]) -> np.ndarray:
    """Mix the members' answers.

    Args:
        blend: Their weights, and what is done with the mean.
        answers: Calls that score with each member's forms, each of shape (rows, outputs).
    """
    total: np.ndarray | float = 0.0
    for member, of_it in zip(blend.members, answers, strict=True):
        outputs: np.ndarray | float = 0.0
        for score in of_it:
            outputs = outputs + score()
        mean = np.asarray(outputs) / len(of_it)
        total = total + member.weight * _temper(mean, member.temperature)
    mixed = _temper(np.asarray(total), blend.temperature) * blend.scale + blend.shift
    return mixed if blend.lowest is None else np.maximum(mixed, blend.lowest)


def _temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    if temperature == 1:
        return probabilities
    logs = np.log(np.clip(probabilities, SMALLEST, 1)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    total = np.zeros(len(powers))
    for column in powers.T:
        total += column
    tempered: np.ndarray = powers / total[:, None]
    return tempered
