"""The ensemble that is the best of those that answer for one row in time.

A full ensemble of a small table may hold a hundred models, and a service asks all of them for each
row. Smaller ensembles, and members of which fewer models are kept, are set beside it with their
score and their milliseconds; the best of those within the limit is taken.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import pandas as pd

from goldpath.automl.budget import Deadline
from goldpath.automl.columns import PlainColumns
from goldpath.automl.evaluation import Candidate, Evaluator
from goldpath.automl.learners.learner import Learner
from goldpath.automl.preparation import Form, Numbers
from goldpath.automl.result import Option
from goldpath.automl.selection import select_ensemble
from goldpath.automl.structure.findings import Finding

LATENCY_MS = 20.0
"""For one row, where the caller gives no limit and a clock decides anyway."""
TAKES = 5
COMPILED = frozenset({"lightgbm", "xgboost", "hist_boosting", "extra_trees", "random_forest"})
"""Families of which `compiled.compile_ensemble` makes a form without Python."""


Members = tuple[tuple[Candidate, float], ...]


@dataclass(frozen=True)
class Ensemble:
    """Members with their weights.

    Attributes:
        members: Candidates and weights, the heaviest first.
        most: How many models each member keeps at most; None for all.
        loss: On the held-out rows.
        models: How many are asked for one row.
        milliseconds: For one row.
    """

    members: Members
    most: int | None
    loss: float
    models: int
    milliseconds: float


class Chooser:
    """Knows what members cost.

    Args:
        evaluator: Has the folds and the preparations.
        members: Candidates and their weights: the ensemble without a limit.
        loss: Of it, on the held-out rows.
        refits: Models of all rows by the candidate's number.
        deadline: When no further ensemble is weighed; fewer models of each member cost no time.
        ordered: Whether a member without a refit keeps one fold's model only; see `assemble`.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        members: Sequence[tuple[Candidate, float]],
        loss: float,
        refits: Mapping[int, list[Learner]],
        deadline: Deadline,
        *,
        ordered: bool,
    ) -> None:
        self._evaluator, self._refits, self._ordered = evaluator, refits, ordered
        self._plain, self._encode, self._model = 0.0, dict[Form, float](), dict[int, float]()
        for one, _ in members:
            self._measure(one)
        # A held-out prediction is a mean over so many models: with as many the score still holds.
        repeats = max(len(one.rounds) for one, _ in members)
        self._bags = tuple(dict.fromkeys((None, repeats, 1)))
        self.options = self._with_bags(members, loss)
        for candidates in self._smaller(members):
            if deadline.passed():
                break
            self.options += self._with_bags(*self._weighed(candidates))

    def best(self, limit: float, took: float) -> Ensemble:
        """The whole ensemble within the limit, else the best option within it, or the quickest.

        Args:
            limit: Milliseconds for one row.
            took: What the whole ensemble took for one. Models that are asked again and again are
                quicker than many in turn, so all options are estimated in proportion to it.
        """
        factor = took / self.options[0].milliseconds
        self.options = [
            replace(one, milliseconds=factor * one.milliseconds) for one in self.options
        ]
        if self.options[0].milliseconds <= limit:
            return self.options[0]
        inside = [one for one in self.options if one.milliseconds <= limit]
        if not inside:
            return min(self.options, key=lambda one: (one.milliseconds, one.loss))
        return min(inside, key=lambda one: (one.loss, -one.models))

    def shown(self, chosen: Ensemble, sign: float) -> tuple[Option, ...]:
        """The options for people, the best first; `sign` turns a loss into the metric."""
        return tuple(
            Option(
                families=tuple(candidate.family for candidate, _ in one.members),
                models=one.models,
                score=sign * one.loss,
                milliseconds=one.milliseconds,
                can_be_compiled=_can_be_compiled(one.members),
                is_best=not any(_beats(other, one) for other in self.options),
                is_chosen=one is chosen,
            )
            for one in sorted(self.options, key=lambda one: (one.loss, one.milliseconds))
        )

    def _measure(self, candidate: Candidate) -> None:
        """Time a member's model, and its preparation unless one like it has been timed."""
        split, model = next(iter(candidate.models.items()))
        form = self._evaluator.families[candidate.family].form
        encoded = self._evaluator.parts(split, form).train[:1]
        self._model[candidate.number] = _milliseconds(lambda: model.predict(encoded))
        if form not in self._encode:
            preparation = self._evaluator.preparations[split, form]
            row = self._evaluator.features.iloc[[0]]
            known, shared = PlainColumns(row), Numbers()
            preparation.encode(known, shared)
            self._encode[form] = _milliseconds(lambda: preparation.encode(known, shared))
            fresh = _milliseconds(lambda: preparation.encode(PlainColumns(row)))
            self._plain = max(self._plain, fresh - self._encode[form])

    def _with_bags(self, members: Sequence[tuple[Candidate, float]], loss: float) -> list[Ensemble]:
        heaviest = tuple(sorted(members, key=lambda member: -member[1]))
        return [self._priced(heaviest, loss, most) for most in self._bags]

    def _priced(self, members: Members, loss: float, most: int | None) -> Ensemble:
        kept = {one.number: self._kept(one, most) for one, _ in members}
        encodings: dict[Form, int] = {}
        for one, _ in members:
            form = self._evaluator.families[one.family].form
            # Models of all rows share one preparation; each fold has its own.
            count = 1 if one.number in self._refits else kept[one.number]
            encodings[form] = max(encodings.get(form, 0), count)
        milliseconds = (
            self._plain
            + sum(count * self._encode[form] for form, count in encodings.items())
            + sum(count * self._model[number] for number, count in kept.items())
        )
        return Ensemble(members, most, loss, sum(kept.values()), milliseconds)

    def _kept(self, candidate: Candidate, most: int | None) -> int:
        fitted = len(self._refits.get(candidate.number, ()))
        fitted = fitted or (1 if self._ordered else len(candidate.models))
        return fitted if most is None else min(most, fitted)

    def _smaller(self, members: Sequence[tuple[Candidate, float]]) -> list[list[Candidate]]:
        """Members without those that cost the most for their weight; and the compiled ones."""
        worth = sorted(
            members,
            key=lambda member: (
                member[1] / max(self._kept(member[0], None) * self._model[member[0].number], 1e-9)
            ),
        )
        smaller = [[one for one, _ in worth[left_out:]] for left_out in range(1, len(worth))]
        compiled = [one for one, _ in members if one.family in COMPILED]
        if compiled and len(compiled) < len(members) and compiled not in smaller:
            smaller.append(compiled)
        return smaller

    def _weighed(self, candidates: Sequence[Candidate]) -> tuple[Members, float]:
        """Candidates with the weights that are best for these alone, and their loss."""
        task, rows = self._evaluator.task, self._evaluator.held_out_rows()
        predictions = [one.held_out(rows) for one in candidates]
        selection = select_ensemble(task, task.target[rows], predictions)
        members = ((candidates[number], weight) for number, weight in selection.weights.items())
        return tuple(members), selection.loss


def row_milliseconds(model: Any, row: pd.DataFrame) -> float:
    """Processor time of a model for one row: the median of a few, whoever else is busy."""
    ask = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    ask(row)
    return _milliseconds(lambda: ask(row))


def latency_finding(
    chooser: Chooser, chosen: Ensemble, limit: float, took: float, sign: float, metric: str
) -> list[Finding]:
    """What the limit has changed, or that no ensemble is within it; nothing if neither."""
    whole = chooser.options[0]
    if chosen.milliseconds > limit:
        evidence = f"the quickest ensemble takes {took:.3g} ms for one row; the limit is {limit:g}"
        return [Finding("latency", "", evidence, "it is the model")]
    if chosen is whole:
        return []
    return [
        Finding(
            "latency",
            "",
            f"the best ensemble takes {whole.milliseconds:.3g} ms for one row ({whole.models} "
            f"models, {metric} {sign * whole.loss:.5g}); the limit is {limit:g}",
            f"the model takes {took:.3g} ms ({chosen.models} models, {metric} "
            f"{sign * chosen.loss:.5g})",
            option=f"latency_ms={math.ceil(whole.milliseconds * 1.2)} where quality counts more",
        )
    ]


def _can_be_compiled(members: Members) -> bool:
    return all(candidate.family in COMPILED for candidate, _ in members)


def _beats(other: Ensemble, one: Ensemble) -> bool:
    """Whether another ensemble is better and no slower, or faster and no worse."""
    if other.loss > one.loss or other.milliseconds > one.milliseconds:
        return False
    return (other.loss, other.milliseconds) != (one.loss, one.milliseconds)


def _milliseconds(ask: Callable[[], Any]) -> float:
    times = []
    for _ in range(TAKES):
        started = time.process_time()
        ask()
        times.append(time.process_time() - started)
    return 1000 * median(times)
