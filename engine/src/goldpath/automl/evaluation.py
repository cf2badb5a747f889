"""One configuration on the folds: fitted, judged, and stopped where it is hopeless or slow."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from goldpath.automl.budget import Stopwatch
from goldpath.automl.families.family import SearchFamily, Shape
from goldpath.automl.folds import Fold
from goldpath.automl.learners.learner import Learner, Parts
from goldpath.automl.preparation import Form, TablePreparation
from goldpath.automl.result import LeaderboardEntry
from goldpath.automl.selection import best_temperature, temper
from goldpath.automl.task import Task, log_loss
from goldpath.learning.text.sizes import USUAL_SIZES

Split = tuple[int, int]
"""Number of the repeat and of the fold."""
FIRST_RATE = 3e-10
"""Seconds per unit of work, before anything was measured."""


@dataclass
class Candidate:
    """A configuration and what is known of it so far.

    Attributes:
        number: Order in which it was tried.
        family: Its family's name.
        parameters: Its parameters.
        in_portfolio: Whether it was tried without a search.
        state: `complete` has predictions for all held-out rows.
        proxies: Log loss or RMSE on each split, for pruning.
        fold_losses: The metric as a loss on each split.
        models: The fitted learners.
        rounds: Steps that were chosen, by repeat.
        sums: Held-out predictions, summed over the repeats; None until a repeat is complete.
        counts: How many held-out predictions each row has.
        temperature: Calibration on the held-out predictions.
        seconds: Spent on it.
        microseconds: To predict one row with one model.
        reason: Why it failed or was skipped.
    """

    number: int
    family: str
    parameters: Mapping[str, Any]
    in_portfolio: bool
    state: Literal["complete", "pruned", "failed", "skipped"] = "skipped"
    proxies: dict[Split, float] = field(default_factory=dict)
    fold_losses: dict[Split, float] = field(default_factory=dict)
    models: dict[Split, Learner] = field(default_factory=dict)
    rounds: list[int] = field(default_factory=list)
    sums: np.ndarray | None = None
    counts: np.ndarray | None = None
    temperature: float = 1.0
    loss: float = np.inf
    seconds: float = 0.0
    microseconds: float = 0.0
    reason: str = ""

    def held_out(self, rows: np.ndarray) -> np.ndarray:
        """Calibrated held-out predictions of some rows: the mean over repeats."""
        if self.sums is None or self.counts is None:
            raise LookupError(f"configuration {self.number} has no held-out predictions")
        counts = self.counts[rows]
        mean = self.sums[rows] / (counts[:, None] if self.sums.ndim == 2 else counts)
        return temper(mean, self.temperature) if self.temperature != 1 else mean

    def entry(self, weight: float, sign: float) -> LeaderboardEntry:
        """For the leaderboard; `sign` turns a loss into the metric."""
        complete = self.state == "complete"
        return LeaderboardEntry(
            number=self.number,
            family=self.family,
            parameters=self.parameters,
            state=self.state,
            score=sign * self.loss if complete else None,
            fold_scores=tuple(sign * self.fold_losses[s] for s in sorted(self.fold_losses)),
            seconds=self.seconds,
            predict_microseconds=self.microseconds * max(1, len(self.models)),
            in_portfolio=self.in_portfolio,
            weight=weight,
            reason=self.reason,
        )


class Evaluator:
    """Fits candidates on folds; remembers encoded rows and how long families take.

    Attributes:
        splits: The folds of each repeat.
        keys: Columns that are no features; known before anything is encoded.
        undated: Times of which only the parts that return are features.
        texts: Columns that are said to be free text.
        text_sizes: How much a model sees of a text.
    """

    def __init__(
        self,
        features: pd.DataFrame,
        task: Task,
        families: Mapping[str, SearchFamily],
        stopwatch: Stopwatch,
        whole: tuple[pd.DataFrame, np.ndarray],
    ) -> None:
        self.features, self.task, self._whole = features, task, whole
        self.families, self.stopwatch = families, stopwatch
        self.splits: dict[int, list[Fold]] = {}
        self.keys: tuple[str, ...] = ()
        self.undated: tuple[str, ...] = ()
        self._more_keys: tuple[str, ...] = ()
        self.texts: tuple[str, ...] = ()
        self.text_sizes = USUAL_SIZES
        self.preparations: dict[tuple[Split | None, Form], TablePreparation] = {}
        self._parts: dict[tuple[Split | None, Form], Parts] = {}
        self._rates: dict[str, float] = {}
        self._encoding: dict[Form, float] = {}

    def add_repeat(self, repeat: int, folds: list[Fold]) -> None:
        """Make the folds of a repeat known."""
        self.splits[repeat] = folds

    def leave_out(self, keys: tuple[str, ...], undated: tuple[str, ...]) -> None:
        """Take these as no features, too, in place of those that were said here before."""
        self._more_keys, self.undated = keys, undated
        self._parts.clear()
        self.preparations.clear()

    def held_out_rows(self) -> np.ndarray:
        """Rows that the first repeat judges on, in order."""
        return np.unique(np.concatenate([validation for _, validation in self.splits[0]]))

    def parts(self, split: Split | None, form: Form) -> Parts:
        """A split's rows, encoded by a preparation that saw its training rows only.

        Args:
            split: Repeat and fold; None for all rows, also those that the search left out.
            form: What the learner takes.
        """
        key = (split, form)
        if key not in self._parts:
            preparation = TablePreparation(
                form,
                self.task.outputs,
                self.task.seed,
                (*self.keys, *self._more_keys),
                self.texts,
                self.text_sizes.terms,
                self.text_sizes.axes,
                self.undated,
            )
            before = self.stopwatch.elapsed()
            judged, encoded_judged = None, None
            if split is None:
                rows, target = self._whole
            else:
                train, validation = self.splits[split[0]][split[1]]
                rows, target = self.features.iloc[train], self.task.target[train]
                judged = self.task.target[validation]
            encoded = preparation.fit_transform(rows, target)
            if split is not None:
                encoded_judged = preparation.transform(self.features.iloc[validation])
            self._parts[key] = Parts(
                train=encoded,
                target=target,
                validation=encoded_judged,
                validation_target=judged,
                categorical=tuple(preparation.categorical_) if form == "trees" else (),
                proxy_loss=_Proxy(self.task, judged),
            )
            self.preparations[key] = preparation
            self._encoding[form] = (self.stopwatch.elapsed() - before) / len(rows)
        return self._parts[key]

    def encoding_seconds(self, form: Form, repeat: int | None = None) -> float:
        """How long it is going to take to encode a repeat's folds, or all rows.

        What is encoded already takes no time.
        """
        if repeat is None:
            rows = 0 if (None, form) in self._parts else len(self._whole[0])
        else:
            rows = sum(
                len(train)
                for number, (train, _) in enumerate(self.splits[repeat])
                if ((repeat, number), form) not in self._parts
            )
        return self._encoding.get(form, 0.0) * rows

    def forget(self, repeat: int) -> None:
        """Drop a repeat's encoded rows; its preparations stay."""
        for split, form in list(self._parts):
            if split is not None and split[0] == repeat:
                del self._parts[split, form]

    def shape(self, family: SearchFamily, split: Split | None = (0, 0)) -> Shape:
        """What a family's configurations may depend on."""
        parts = self.parts(split, family.form)
        rows, columns = parts.train.shape
        return Shape(rows, columns, self.task.outputs, bool(parts.categorical), self.task.counts)

    def expected_seconds(self, candidate: Candidate, split: Split | None = (0, 0)) -> float:
        """How long one fit is going to take, where it cannot be stopped; else 0."""
        family = self.families[candidate.family]
        if family.units is None or not self.stopwatch.timed:
            return 0.0
        units = family.units(dict(candidate.parameters), self.shape(family, split))
        return units * self._rates.get(family.name, FIRST_RATE)

    def evaluate(
        self,
        candidate: Candidate,
        repeat: int,
        seconds: float,
        bound: Mapping[Split, float] | None = None,
        margin: float = np.inf,
        least: float = 0.0,
    ) -> None:
        """Fit a candidate on each fold of a repeat and keep its held-out predictions.

        Args:
            candidate: Is changed: state, losses, models and predictions.
            repeat: One that `add_repeat` made known.
            seconds: That it may take at most.
            bound: The best candidate's proxies; the fit of further folds ends where the mean of
                this one's is worse by more than the margin.
            margin: See `bound`.
            least: Seconds that each fold may take also where fewer are left.
        """
        started = self.stopwatch.elapsed()
        deadline = self.stopwatch.deadline(seconds)
        folds = self.splits[repeat]
        try:
            with warnings.catch_warnings():
                # That a fit did not converge shows in its score.
                warnings.simplefilter("ignore")
                for number in range(len(folds)):
                    split = (repeat, number)
                    share = deadline.left() / (len(folds) - number)
                    if self.expected_seconds(candidate, split) > max(share, least):
                        candidate.state, candidate.reason = "skipped", "no time for it"
                        candidate.models.pop(split, None)
                        return
                    self._fit(candidate, split, share)
                    if bound and self._hopeless(candidate, repeat, bound, margin):
                        candidate.state = "pruned"
                        return
                self._finish(candidate, repeat)
                candidate.state = "complete"
        except Exception as error:  # noqa: BLE001  libraries raise anything; the search goes on
            candidate.state = "failed"
            candidate.reason = f"{type(error).__name__}: {error}"
        finally:
            candidate.seconds += self.stopwatch.elapsed() - started
            if candidate.state != "complete":
                candidate.models = {
                    split: model for split, model in candidate.models.items() if split[0] < repeat
                }

    def fit_all(self, candidate: Candidate, seconds: float, another: int = 0) -> Learner:
        """Fit a candidate on all rows, with as many rounds as the folds found best.

        Args:
            candidate: A complete one.
            seconds: That it may take at most.
            another: Added to the seed.
        """
        family = self.families[candidate.family]
        parts = self.parts(None, family.form)
        task = replace(self.task, seed=self.task.seed + another)
        learner = family.build(dict(candidate.parameters), task)
        rounds = round(float(np.mean(candidate.rounds)) * 1.1) if self._staged(candidate) else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return learner.fit(parts, self.stopwatch.deadline(seconds), rounds)

    def _staged(self, candidate: Candidate) -> bool:
        return "rounds" in candidate.parameters and "kind" not in candidate.parameters

    def _fit(self, candidate: Candidate, split: Split, seconds: float) -> None:
        family = self.families[candidate.family]
        parts = self.parts(split, family.form)
        before = self.stopwatch.elapsed()
        learner = family.build(dict(candidate.parameters), self.task)
        learner.fit(parts, self.stopwatch.deadline(seconds))
        candidate.models[split] = learner
        if learner.curve:
            candidate.proxies[split] = min(learner.curve)
        else:
            judged, _ = parts.held_out()
            candidate.proxies[split] = parts.proxy_loss(learner.predict(judged))
        if family.units is not None:
            took = self.stopwatch.elapsed() - before
            units = family.units(dict(candidate.parameters), self.shape(family, split))
            self._rates[family.name] = max(took / max(units, 1.0), 1e-12)

    def _hopeless(
        self, candidate: Candidate, repeat: int, bound: Mapping[Split, float], margin: float
    ) -> bool:
        done = [split for split in candidate.proxies if split[0] == repeat and split in bound]
        if not done or len(done) == len(self.splits[repeat]):
            return False
        gap = np.mean([candidate.proxies[split] - bound[split] for split in done])
        return bool(gap > margin)

    def _finish(self, candidate: Candidate, repeat: int) -> None:
        """Choose the rounds over all folds together; predict, calibrate and score."""
        family, task = self.families[candidate.family], self.task
        splits = [(repeat, number) for number in range(len(self.splits[repeat]))]
        learners = [candidate.models[split] for split in splits]
        curves = [learner.curve for learner in learners]
        if all(curves):
            rounds = _best_rounds(curves)
            for learner in learners:
                learner.use_rounds(rounds)
        candidate.rounds.append(round(float(np.mean([learner.rounds for learner in learners]))))
        shape = (
            (len(task.target), task.outputs)
            if task.problem == "classification"
            else (len(task.target),)
        )
        if candidate.sums is None or candidate.counts is None:
            candidate.sums, candidate.counts = np.zeros(shape), np.zeros(shape[0])
        predicted, before = 0, self.stopwatch.elapsed()
        for split, learner in zip(splits, learners, strict=True):
            parts = self.parts(split, family.form)
            validation = self.splits[repeat][split[1]][1]
            judged, _ = parts.held_out()
            outputs = learner.predict(judged)
            if not np.isfinite(outputs).all():
                raise FloatingPointError("its predictions are not finite")
            candidate.sums[validation] += outputs
            candidate.counts[validation] += 1
            predicted += len(validation)
            candidate.fold_losses[split] = task.loss(task.target[validation], outputs)
        took = self.stopwatch.elapsed() - before
        candidate.microseconds = 1e6 * took / predicted
        self.judge(candidate)

    def judge(self, candidate: Candidate) -> None:
        """Calibrate a candidate on its held-out predictions, and take its loss on them."""
        rows, task = self.held_out_rows(), self.task
        candidate.temperature = 1.0
        if task.problem == "classification":
            candidate.temperature = best_temperature(task.target[rows], candidate.held_out(rows))
        candidate.loss = task.loss(task.target[rows], candidate.held_out(rows))


class _Proxy:
    """Log loss after calibration, or RMSE: comparable over families, whatever the metric."""

    def __init__(self, task: Task, target: np.ndarray | None) -> None:
        self._classify, self._target = task.problem == "classification", target

    def __call__(self, predictions: np.ndarray) -> float:
        if self._target is None:
            raise LookupError("all rows are learnt; none are held out")
        if not self._classify:
            return float(np.sqrt(np.mean((self._target - predictions) ** 2)))
        temperature = best_temperature(self._target, predictions)
        return log_loss(self._target, temper(predictions, temperature))


def _best_rounds(curves: list[list[float]]) -> int:
    """Where the mean of the folds' curves is lowest; a curve that ended stays at its last value."""
    longest = max(map(len, curves))
    padded = [np.pad(curve, (0, longest - len(curve)), mode="edge") for curve in curves]
    return int(np.argmin(np.mean(padded, axis=0))) + 1
