"""One search from its start to its result: the engine's parts in order, and the time of each."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldpath.automl.assembly import assemble, held_out_predictions
from goldpath.automl.budget import Budget, Stopwatch
from goldpath.automl.evaluation import Candidate, Evaluator
from goldpath.automl.families.portfolio import usable_families
from goldpath.automl.folds import FEW_ROWS, RowNumbers, make_folds
from goldpath.automl.learners.learner import Learner
from goldpath.automl.result import AutoMLResult, HistoryPoint, LeaderboardEntry
from goldpath.automl.search import Search
from goldpath.automl.storage import open_storage
from goldpath.automl.task import GREATER_IS_BETTER, Task
from goldpath.errors import NotEnoughDataError

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
    ) -> None:
        self.features, self.chosen, self.budget, self.stopwatch = (
            features,
            chosen,
            budget,
            stopwatch,
        )
        self.task = replace(task, target=task.target[chosen])
        self.families, self.left_out = usable_families(families, len(chosen))
        some = features if len(chosen) == len(features) else features.iloc[chosen]
        self.evaluator = Evaluator(
            some, self.task, self.families, stopwatch, whole=(features, task.target)
        )
        self.history: list[HistoryPoint] = []
        self.on_progress = on_progress
        self._selected_at, self._selecting = 0.0, 0.0
        self._members: list[Candidate] = []
        self._ensemble_loss = np.inf

    def split(
        self,
        *,
        folds: Iterable[tuple[RowNumbers, RowNumbers]] | None,
        time_ordered: bool,
        groups: Sequence[Any] | np.ndarray | None,
    ) -> None:
        """Make the folds; small tables without an order of their own may be split again later."""
        made = make_folds(self.task, folds=folds, time_ordered=time_ordered, groups=groups)
        self.evaluator.add_repeat(0, made)
        self.ordered = time_ordered or folds is not None
        self.repeats = 1
        if not self.ordered and len(self.task.target) < FEW_ROWS:
            self.repeats = MOST_REPEATS if self.stopwatch.timed else 2
        for repeat in range(1, self.repeats):
            again = make_folds(
                self.task, folds=None, time_ordered=False, groups=groups, repeat=repeat
            )
            self.evaluator.add_repeat(repeat, again)

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
            NotEnoughDataError: If no configuration could be fitted.
        """
        if not self.found.finished():
            reasons = {one.family: one.reason or one.state for one in self.found.candidates}
            raise NotEnoughDataError(
                f"no configuration could be fitted: {reasons}",
                "give more seconds or more rows, or name other families",
            )
        with limited_threads(self.task.threads):
            for repeat in range(1, self.repeats):
                self._bag_again(repeat)
            chosen, selection = self.found.select()
            members = [(chosen[number], weight) for number, weight in selection.weights.items()]
            model = assemble(
                self.evaluator,
                members,
                self._refit(members),
                list(self.features.columns),
                ordered=self.ordered,
            )
        task, single = self.task, self.found.finished()[0].loss
        sign = -1.0 if task.metric in GREATER_IS_BETTER else 1.0
        weights = {one.number: weight for one, weight in members}
        board = [self._entry(one, weights.get(one.number, 0.0), sign) for one in self._ranked()]
        return AutoMLResult(
            model=model,
            problem=task.problem,
            metric=task.metric,
            greater_is_better=task.metric in GREATER_IS_BETTER,
            score=sign * selection.loss,
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
            held_out_predictions=held_out_predictions(self.evaluator, members, model),
        )

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
            form = self.families[candidate.family].form
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
                        self.families[candidate.family].form
                    )
                    if left < expected or (another and candidate.number not in refits):
                        continue
                if another and self.families[candidate.family].exact:
                    continue
                with contextlib.suppress(Exception):
                    refits.setdefault(candidate.number, []).append(
                        self.evaluator.fit_all(
                            candidate, left if self.stopwatch.timed else np.inf, another
                        )
                    )
        return {number: learners for number, learners in refits.items() if learners}

    def _ranked(self) -> list[Candidate]:
        return sorted(
            self.found.candidates, key=lambda o: (o.state != "complete", o.loss, o.number)
        )

    def _entry(self, candidate: Candidate, weight: float, sign: float) -> LeaderboardEntry:
        complete = candidate.state == "complete"
        return LeaderboardEntry(
            number=candidate.number,
            family=candidate.family,
            parameters=candidate.parameters,
            state=candidate.state,
            score=sign * candidate.loss if complete else None,
            fold_scores=tuple(
                sign * candidate.fold_losses[s] for s in sorted(candidate.fold_losses)
            ),
            seconds=candidate.seconds,
            predict_microseconds=candidate.microseconds * max(1, len(candidate.models)),
            in_portfolio=candidate.in_portfolio,
            weight=weight,
            reason=candidate.reason,
        )


@contextlib.contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """At most so many threads in the libraries below."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        yield
