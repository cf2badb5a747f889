"""One search from its start to its result: the engine's parts in order, and the time of each."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldpath.automl.assembly import held_out_predictions
from goldpath.automl.budget import Budget, Deadline, Stopwatch, limited_threads
from goldpath.automl.evaluation import Candidate, Evaluator
from goldpath.automl.families.dense import BASELINE
from goldpath.automl.families.portfolio import usable_families
from goldpath.automl.folds import FEW_ROWS, Fold, RowNumbers, make_folds
from goldpath.automl.latency.build import build
from goldpath.automl.latency.choice import LATENCY_MS, Members, latency_finding
from goldpath.automl.learners.learner import Learner
from goldpath.automl.result import AutoMLResult, HistoryPoint
from goldpath.automl.search import Search, leave_position_out
from goldpath.automl.storage import open_storage
from goldpath.automl.structure.findings import Finding
from goldpath.automl.structure.interval import expected_scores
from goldpath.automl.structure.keys import never_come_back
from goldpath.automl.structure.position import Position
from goldpath.automl.structure.structure import Structure
from goldpath.automl.task import GREATER_IS_BETTER, Task
from goldpath.errors import NotEnoughDataError
from goldpath.presentation import step

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

MOST_REPEATS = 4
MOST_REFITS = 4
KEPT_FOR_THE_END = 0.02
LEAST_FOR_BAGS, KEPT_FOR_BAGS = 0.08, 0.35
MOST_FOR_REFITS = 0.35
LEAST_KEPT = 0.15
"""Shares of the budget."""


class Run:
    """One search from its start to its result."""

    def __init__(
        self,
        features: pd.DataFrame,
        task: Task,
        chosen: np.ndarray,
        budget: Budget,
        stopwatch: Stopwatch,
        families: Sequence[str] | None,
        on_progress: Callable[[HistoryPoint], None] | None,
        latency_ms: float | None,
    ) -> None:
        self.features, self.chosen = features, chosen
        self.budget, self.stopwatch = budget, stopwatch
        self.task = replace(task, target=task.target[chosen])
        self.families, self.left_out = usable_families(families, len(chosen))
        is_all = np.array_equal(chosen, np.arange(len(features)))
        some = features if is_all else features.iloc[chosen]
        # The baseline needs no rows, so it takes those that are encoded anyway.
        baseline = replace(BASELINE, form=next(iter(self.families.values())).form)
        known = {**self.families, BASELINE.name: baseline}
        self.evaluator = Evaluator(some, self.task, known, stopwatch, (features, task.target))
        self.history: list[HistoryPoint] = []
        self.on_progress = on_progress
        self._tell: Callable[[Finding], None] = lambda finding: step(finding.sentence)
        # Without seconds no decision depends on a clock, unless the caller wants it to.
        self.latency_ms = latency_ms or (LATENCY_MS if stopwatch.timed else np.inf)
        self._selected_at, self._selecting = 0.0, 0.0
        self._members: list[Candidate] = []
        self._ensemble_loss = np.inf

    def split(
        self,
        structure: Structure,
        folds: Iterable[tuple[RowNumbers, RowNumbers]] | None,
    ) -> None:
        """Make the folds; small tables without an order of their own may be split again later."""
        self.structure, self.findings = structure, list(structure.findings)
        ordered, groups = structure.order is not None, structure.groups
        if groups is not None and len(groups) == len(self.features):
            groups = groups[self.chosen]
        self.groups = groups
        made = make_folds(self.task, folds=folds, time_ordered=ordered, groups=groups)
        self.evaluator.add_repeat(0, made)
        self.evaluator.keys = self._keys(made)
        self.ordered = ordered or folds is not None
        self.repeats = 1
        if not self.ordered and len(self.task.target) < FEW_ROWS:
            self.repeats = MOST_REPEATS if self.stopwatch.timed else 2
        for repeat in range(1, self.repeats):
            again = make_folds(
                self.task, folds=None, time_ordered=False, groups=groups, repeat=repeat
            )
            self.evaluator.add_repeat(repeat, again)

    def try_without_position(self) -> Position:
        """Take the time's position for no feature where newer rows are judged better without."""
        if self.structure.folds != "time":
            return Position()
        with limited_threads(self.task.threads):
            position, *found = leave_position_out(self.evaluator, self.families)
        self.findings += filter(None, found)
        return position

    def say_findings(self, tell: Callable[[Finding], None] | None = None) -> None:
        """Tell what was found about the table, now and later; printed where nobody is told."""
        self._tell = tell or self._tell
        for finding in self.findings:
            self._tell(finding)

    def _say(self, *findings: Finding) -> None:
        self.findings += findings
        for finding in findings:
            self._tell(finding)

    def _keys(self, folds: list[Fold]) -> tuple[str, ...]:
        """Columns that are no features: the groups', and keys of which no value comes back."""
        keys = [self.structure.group_column] if self.structure.group_column else []
        for name in never_come_back(self.structure.repeating, self.chosen, folds):
            if name in keys:
                continue
            keys.append(name)
            self.findings.append(
                Finding(
                    "key",
                    name,
                    f"hardly a value of {name} in the judged rows is one that was learned",
                    f"{name} is no feature",
                )
            )
        return tuple(keys) if len(keys) < self.features.shape[1] else ()

    def search(
        self,
        storage: "str | Path | BaseStorage | None",
        study: str,
        seed: int,
        *,
        until: float = np.inf,
        adopt: bool = True,
        ends_here: bool = True,
    ) -> list[Candidate]:
        """Try configurations until what is left is needed for the end.

        Args:
            storage: Where it is shared; None for a search of this process alone.
            study: Its name there.
            seed: Of what is drawn; the folds follow the task's.
            until: Seconds since the start at which it stops at the latest.
            adopt: Whether to try here what others have found to be better.
            ends_here: Whether time is kept for `finish`.

        Returns:
            All candidates; those that an ensemble may be chosen from have models.
        """
        self.found = self._new_search(
            None if storage is None else open_storage(storage), study, seed
        )

        def seconds_left() -> float:
            left = self.stopwatch.left() - (self._reserve() if ends_here else 0.0)
            return min(left, until - self.stopwatch.elapsed())

        with limited_threads(self.task.threads):
            self.found.run(seconds_left, self._after_trial)
            if adopt:
                self.found.adopt(seconds_left, self._after_trial)
        useful = {one.number for one in self.found.pool()}
        for one in self.found.candidates:
            if one.number not in useful:
                one.sums = one.counts = None
        return self.found.candidates

    def take(self, candidates: Iterable[Candidate]) -> None:
        """Go on with what other processes found besides, on the same folds."""
        for candidate in candidates:
            candidate.number = len(self.found.candidates)
            self.found.candidates.append(candidate)
        self._after_trial()

    def _new_search(self, storage: "BaseStorage | None", study: str, seed: int) -> Search:
        return Search(
            self.task,
            self.evaluator,
            self.families,
            storage=storage,
            name=study,
            most_trials=self.budget.trials,
            seed=seed,
        )

    def finish(self) -> AutoMLResult:
        """Improve the ensemble's members with the time that is left, and put it together.

        Raises:
            NotEnoughDataError: If every configuration failed.
        """
        self._require_a_model()
        with limited_threads(self.task.threads):
            for repeat in range(1, self.repeats):
                self._bag_again(repeat)
            pool, selection = self.found.select()
            whole = [(pool[number], weight) for number, weight in selection.weights.items()]
            refits = self._refit(whole)
            built = build(
                self.evaluator,
                whole,
                selection.loss,
                refits,
                self.features,
                self.latency_ms,
                self._time_to_choose(),
                ordered=self.ordered,
            )
        model, chosen, members = built.model, built.ensemble, built.ensemble.members
        task, single = self.task, self.found.finished()[0].loss
        sign = -1.0 if task.metric in GREATER_IS_BETTER else 1.0
        self._say(
            *latency_finding(
                built.chooser, chosen, self.latency_ms, built.milliseconds, sign, task.metric
            )
        )
        weights = {one.number: weight for one, weight in members}
        board = [one.entry(weights.get(one.number, 0.0), sign) for one in self._ranked()]
        return AutoMLResult(
            model=model,
            problem=task.problem,
            metric=task.metric,
            greater_is_better=task.metric in GREATER_IS_BETTER,
            score=sign * chosen.loss,
            best_single_score=sign * single,
            baseline_score=sign * task.baseline(),
            leaderboard=tuple(board),
            history=tuple(self.history),
            left_out=dict(self.left_out),
            seconds=self.stopwatch.elapsed(),
            seed=task.seed,
            rows=len(self.features),
            folds=len(self.evaluator.splits[0]),
            held_out_rows=self.chosen[self.evaluator.held_out_rows()],
            interval=self._interval(members),
            folds_by=self.structure.folds,
            options=built.chooser.shown(chosen, sign),
            latency_ms=built.milliseconds,
            findings=tuple(self.findings),
            held_out_predictions=held_out_predictions(self.evaluator, members, model),
        )

    def _require_a_model(self) -> None:
        """See that there is one, if only a constant prediction, and say where time was short."""
        finished, tried = self.found.finished(), self.found.candidates
        seconds = self.stopwatch.seconds
        if not finished and tried and all(one.state == "failed" for one in tried):
            reasons = {one.family: one.reason for one in tried}
            raise NotEnoughDataError(
                f"no configuration could be fitted: {reasons}",
                "give more rows, or name other families",
            )
        if not finished:
            self.found.try_baseline()
            self._say_short("the model is a constant prediction")
            self._after_trial()
        elif self.history and self.history[0].elapsed > seconds:
            # What was cut short may be worse than a constant.
            self.found.try_baseline()
            self._say_short("the first model was cut short and finished all the same")

    def _say_short(self, done: str) -> None:
        over = f"the budget of {self.stopwatch.seconds:g} s was over before any model was fitted"
        self._say(Finding("budget", "", over, f"{done}; give more seconds"))

    def _time_to_choose(self) -> Deadline:
        """What is left, and half of what is kept for the end."""
        if not self.stopwatch.timed:
            return self.stopwatch.never()
        least = 0.5 * KEPT_FOR_THE_END * self.stopwatch.seconds
        left = max(self.stopwatch.left() - least, least)
        return Deadline(self.stopwatch, self.stopwatch.elapsed() + left)

    def _after_trial(self) -> None:
        """Select now and then, for the learning curve and the time that the end must have."""
        finished = self.found.finished()
        if not finished:
            return
        due = self._selected_at + 20 * self._selecting
        if self.stopwatch.elapsed() >= due or not self.stopwatch.timed:
            before = self.stopwatch.elapsed()
            chosen, selection = self.found.select()
            self._members = [chosen[number] for number in selection.weights]
            self._ensemble_loss = selection.loss
            self._selected_at = self.stopwatch.elapsed()
            self._selecting = self._selected_at - before
        sign = -1.0 if self.task.metric in GREATER_IS_BETTER else 1.0
        point = HistoryPoint(
            elapsed=self.stopwatch.elapsed(),
            tried=len(self.found.candidates),
            best_score=sign * finished[0].loss,
            ensemble_score=sign * min(self._ensemble_loss, finished[0].loss),
        )
        self.history.append(point)
        if self.on_progress is not None:
            self.on_progress(point)

    def _reserve(self) -> float:
        """Seconds that must be left when the search ends."""
        if not self.stopwatch.timed:
            return 0.0
        total = self.stopwatch.seconds
        end = KEPT_FOR_THE_END * total + 2 * self._selecting
        if self.repeats > 1:
            a_repeat = sum(one.seconds for one in self.found.finished()[:6])
            a_repeat += sum(one.seconds for one in self._members)
            needed = a_repeat * (self.repeats - 1)
            return end + float(np.clip(needed, LEAST_FOR_BAGS * total, KEPT_FOR_BAGS * total))
        needed = 2.2 * sum(self._refit_seconds(one) for one in self._members)
        return end + float(np.clip(needed, LEAST_KEPT * total, MOST_FOR_REFITS * total))

    def _refit_seconds(self, candidate: Candidate) -> float:
        """One fold's time, for as many rows as there are."""
        folds = self.evaluator.splits[0]
        learnt = sum(len(train) for train, _ in folds)
        return candidate.seconds * len(self.features) / max(learnt, 1)

    def _bag_again(self, repeat: int) -> None:
        """Evaluate the most useful candidates on another random split."""
        left = self.stopwatch.left() - KEPT_FOR_THE_END * self.stopwatch.seconds
        left -= 3 * self._selecting
        if self.stopwatch.timed and left <= 0:
            return
        chosen, selection = self.found.select()
        useful = [chosen[number] for number in selection.weights]
        useful += [one for one in chosen[:6] if one not in useful]
        for candidate in useful:
            expected = candidate.seconds / max(1, len(candidate.rounds))
            end = KEPT_FOR_THE_END * self.stopwatch.seconds + 3 * self._selecting
            left = self.stopwatch.left() - end if self.stopwatch.timed else np.inf
            form = self.evaluator.families[candidate.family].form
            if left < 1.1 * expected + self.evaluator.encoding_seconds(form, repeat):
                continue
            self.evaluator.evaluate(candidate, repeat, left)
            # Whatever came of it, what the first split found still holds.
            candidate.state = "complete"
        self.evaluator.forget(repeat)

    def _refit(self, members: list[tuple[Candidate, float]]) -> dict[int, list[Learner]]:
        """Members fitted on all rows, the heaviest first, as far as the time allows.

        Where there is time, they are fitted again with other seeds: the mean varies less.
        """
        if self.repeats > 1:
            return {}
        refits: dict[int, list[Learner]] = {}
        order = [one for one, _ in sorted(members, key=lambda member: -member[1])]
        for another in range(MOST_REFITS if self.stopwatch.timed else 1):
            for candidate in order:
                left = self.stopwatch.left() - 0.5 * KEPT_FOR_THE_END * self.stopwatch.seconds
                if self.stopwatch.timed:
                    expected = self._refit_seconds(candidate) * (1.1 if another else 1.0)
                    expected = max(expected, self.evaluator.expected_seconds(candidate, None))
                    expected += self.evaluator.encoding_seconds(
                        self.evaluator.families[candidate.family].form
                    )
                    if left < expected or (another and candidate.number not in refits):
                        continue
                if another and self.evaluator.families[candidate.family].exact:
                    continue
                with contextlib.suppress(Exception):
                    refits.setdefault(candidate.number, []).append(
                        self.evaluator.fit_all(
                            candidate, left if self.stopwatch.timed else np.inf, another
                        )
                    )
        return {number: learners for number, learners in refits.items() if learners}

    def _interval(self, members: Members) -> tuple[float, float] | None:
        """Where the score of new rows is expected; see `expected_scores`."""
        rows = len(self.task.target)
        mean = np.zeros((rows, self.task.outputs) if self.task.outputs > 1 else rows)
        held_out = self.evaluator.held_out_rows()
        mean[held_out] = sum(weight * one.held_out(held_out) for one, weight in members)
        units = None if self.ordered else np.arange(rows) if self.groups is None else self.groups
        return expected_scores(
            lambda judged: self.task.score(self.task.target[judged], mean[judged]),
            [judged for _, judged in self.evaluator.splits[0]],
            units,
            self.task.seed,
            None if self.task.problem == "regression" else self.task.target,
            self.task.limits,
        )

    def _ranked(self) -> list[Candidate]:
        return sorted(
            self.found.candidates, key=lambda o: (o.state != "complete", o.loss, o.number)
        )
