"""From candidates and weights to the one model that is returned."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goldpath.automl.ensemble import EnsembleClassifier, EnsembleRegressor, Member
from goldpath.automl.evaluation import Candidate, Evaluator
from goldpath.automl.learners.learner import Learner
from goldpath.automl.selection import best_temperature, temper


def assemble(
    evaluator: Evaluator,
    members: Sequence[tuple[Candidate, float]],
    refits: Mapping[int, list[Learner]],
    columns: list[Any],
    *,
    ordered: bool,
    most: int | None = None,
) -> EnsembleClassifier | EnsembleRegressor:
    """Put an ensemble together.

    Args:
        evaluator: Has the preparations that the models were fitted behind.
        members: Candidates and their weights.
        refits: Models of all rows, by the candidate's number; the folds' models for the others.
        columns: Names of the table's columns.
        ordered: Whether the folds differ in how much, or how new, they learnt.
        most: Models of a member that are kept at most; all where not given.
    """
    task = evaluator.task
    keys: list[Any] = []

    def numbered(key: Any) -> int:
        if key not in keys:
            keys.append(key)
        return keys.index(key)

    made = []
    for candidate, weight in members:
        form = evaluator.families[candidate.family].form
        models: list[tuple[Any, Learner]] = []
        if candidate.number in refits:
            models = [((None, form), one) for one in refits[candidate.number]]
        elif ordered:
            # No time for all rows: the fold that learnt from the most is the next best.
            split = max(candidate.models, key=lambda s: (len(evaluator.splits[0][s[1]][0]), s))
            models = [((split, form), candidate.models[split])]
        else:
            models = [((split, form), learner) for split, learner in candidate.models.items()]
        kept = [(numbered(key), learner) for key, learner in models[:most]]
        for number in {number for number, _ in kept}:
            # A process that found the model kept its preparation; it is made again here.
            evaluator.parts(*keys[number])
        made.append(Member(candidate.family, weight, candidate.temperature, kept))
    shared: dict[str, Any] = {
        "members": made,
        "preparations": [evaluator.preparations[key] for key in keys],
        "feature_names": columns,
    }
    if task.problem == "classification":
        rows = evaluator.held_out_rows()
        mean = np.sum([weight * one.held_out(rows) for one, weight in members], axis=0)
        return EnsembleClassifier(
            **shared,
            classes=task.classes,
            temperature=best_temperature(task.target[rows], mean),
        )
    return EnsembleRegressor(
        **shared,
        shift=task.shift,
        scale=task.scale,
        lowest=0.0 if task.counts else None,
    )


def held_out_predictions(
    evaluator: Evaluator,
    members: Sequence[tuple[Candidate, float]],
    model: EnsembleClassifier | EnsembleRegressor,
) -> np.ndarray:
    """The ensemble's predictions of the rows that the folds judged on, in the target's unit."""
    rows = evaluator.held_out_rows()
    mean = np.asarray(sum(weight * one.held_out(rows) for one, weight in members))
    if isinstance(model, EnsembleClassifier):
        return temper(mean, model.temperature)
    values = mean * model.scale + model.shift
    return values if model.lowest is None else np.maximum(values, model.lowest)
