"""The order in which configurations are tried: the portfolio, then a bandit over the families.

Before them, whether the position in time is a feature (`leave_position_out`).

Each family has its own Optuna study (TPE), which is told what the portfolio found. The next family
is drawn by how close its best configuration is to the best of all, and by how quick its fits are.
With a shared storage several processes work on the same studies: the portfolio's entries are dealt
out, and everybody learns from everybody's trials.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.automl.evaluation import Candidate, Evaluator, Split
from goldpath.automl.families.dense import BASELINE
from goldpath.automl.families.family import SearchFamily
from goldpath.automl.families.portfolio import portfolio
from goldpath.automl.selection import Selection, select_ensemble
from goldpath.automl.structure.findings import Finding
from goldpath.automl.structure.position import Position, position_of
from goldpath.automl.task import GREATER_IS_BETTER, Task

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage

FIRST_MARGIN = 0.2
PORTFOLIO_MARGIN = 0.06
SEARCH_MARGIN = 0.03
"""How much worse first folds may be, as a share of what the best gains over a constant: most for
a family's first configuration, which may be worth having for being unlike the others."""
WARMTH = 0.06
"""How far a family may be behind and still be drawn about a third as often."""
LONGEST_TRIAL = 0.3
"""Of the time that is left for the search."""
LEAST_FOR_A_TRIAL = 0.1
TOO_SHORT = 0.02
"""Of the whole budget: the latter is too little for a trial that is worth having."""
LEAST_FOR_A_FIRST_FOLD = 0.1
"""Seconds for each fold of the first model, also where the budget is over."""
LEAST_FOR_POSITION = 20.0
"""Seconds: a shorter budget is for the search alone."""
SHARE_FOR_POSITION = 0.04
"""Of the budget, for each of its four fits over the folds."""
BEST_KEPT = 12
KEPT_A_FAMILY = 3
PARAMETERS = "parameters"


class Search:
    """Tries configurations and keeps what they predict for held-out rows."""

    def __init__(
        self,
        task: Task,
        evaluator: Evaluator,
        families: Mapping[str, SearchFamily],
        *,
        storage: "BaseStorage | None",
        name: str,
        most_trials: int | None,
        seed: int,
    ) -> None:
        self.task, self.evaluator, self.families = task, evaluator, families
        self.candidates: list[Candidate] = []
        self.shapes = {name: evaluator.shape(family) for name, family in families.items()}
        self._most = most_trials
        self._seed, self._random = seed, np.random.default_rng(seed)
        self._storage, self._name = storage, name
        self._studies: dict[str, Study] = {}
        self._baseline = _proxy_baseline(task)
        self._tried_keys: set[str] = set()

    def finished(self) -> list[Candidate]:
        """Candidates with predictions for every held-out row, best first."""
        complete = [one for one in self.candidates if one.state == "complete"]
        return sorted(complete, key=lambda one: (one.loss, one.number))

    def select(self) -> tuple[list[Candidate], Selection]:
        """The ensemble of the best candidates so far."""
        best = self.pool()
        rows = self.evaluator.held_out_rows()
        predictions = [one.held_out(rows) for one in best]
        return best, select_ensemble(self.task, self.task.target[rows], predictions)

    def run(self, seconds_left: Callable[[], float], after: Callable[[], None]) -> None:
        """Try configurations until the time or the number of trials is over.

        Args:
            seconds_left: For the search; infinite without a limit.
            after: Called after each configuration.
        """
        entries = portfolio(self.families, self.shapes)
        # One model is better than none: until there is one, the clock does not end the portfolio.
        # Learners that grow then make their fewest steps; the others are skipped.
        while self._goes_on(seconds_left, until_one=True):
            number = self._claim()
            if number >= len(entries):
                break
            name, parameters = entries[number]
            candidate = self._new(name, parameters, in_portfolio=True)
            known = any(one.family == name and one.state == "complete" for one in self.candidates)
            self._try(candidate, seconds_left, PORTFOLIO_MARGIN if known else FIRST_MARGIN)
            self._tell_portfolio(candidate)
            after()
        while self._goes_on(seconds_left):
            family = self._next_family()
            study = self._study(family)
            trial = study.ask()
            parameters = self.families[family].suggest(trial, self.shapes[family])
            candidate = self._new(family, parameters, in_portfolio=False)
            self._try(candidate, seconds_left, SEARCH_MARGIN)
            self._tell(study, trial, candidate)
            after()

    def try_baseline(self) -> None:
        """Make a constant prediction the only finished candidate."""
        candidate = self._new(BASELINE.name, {}, in_portfolio=True)
        self.evaluator.evaluate(candidate, 0, math.inf)

    def adopt(self, seconds_left: Callable[[], float], after: Callable[[], None]) -> None:
        """Try here what other processes found to be better than anything found here."""
        if self._storage is None:
            return
        from optuna.trial import TrialState

        foreign = []
        for name in self.families:
            for trial in self._study(name).get_trials(states=[TrialState.COMPLETE]):
                parameters = trial.user_attrs.get(PARAMETERS)
                if parameters and _key(name, parameters) not in self._tried_keys:
                    foreign.append((float(trial.value or 0), name, parameters))
        best_here = min((one.loss for one in self.finished()), default=np.inf)
        better = [entry for entry in sorted(foreign, key=lambda e: e[0]) if entry[0] < best_here]
        for _, name, parameters in better[:3]:
            if seconds_left() <= 0:
                return
            candidate = self._new(name, dict(parameters), in_portfolio=False)
            self._try(candidate, seconds_left, PORTFOLIO_MARGIN)
            after()

    def _goes_on(self, seconds_left: Callable[[], float], *, until_one: bool = False) -> bool:
        tried = sum(one.state != "skipped" for one in self.candidates)
        if self._most is not None and tried >= self._most:
            return False
        if until_one and not self.finished():
            return True
        least = TOO_SHORT * self.evaluator.stopwatch.seconds if self.finished() else 0.0
        return seconds_left() > (least if np.isfinite(least) else 0.0)

    def _new(self, family: str, parameters: Mapping[str, Any], *, in_portfolio: bool) -> Candidate:
        candidate = Candidate(len(self.candidates), family, dict(parameters), in_portfolio)
        self.candidates.append(candidate)
        self._tried_keys.add(_key(family, parameters))
        return candidate

    def _try(self, candidate: Candidate, seconds_left: Callable[[], float], margin: float) -> None:
        bound, gain = self._bound()
        left = max(seconds_left(), 0.0)
        total = self.evaluator.stopwatch.seconds
        seconds = min(left, max(LONGEST_TRIAL * left, LEAST_FOR_A_TRIAL * total))
        least = 0.0 if self.finished() else LEAST_FOR_A_FIRST_FOLD
        self.evaluator.evaluate(candidate, 0, seconds, bound, margin * gain, least)
        kept = {one.number for one in self.pool()}
        for one in self.candidates:
            if one.number not in kept:
                one.models.clear()

    def pool(self) -> list[Candidate]:
        """Whom the ensemble is chosen from: the best of all, and the best few of each family."""
        taken: dict[str, int] = {}
        pool = []
        for place, one in enumerate(self.finished()):
            taken[one.family] = taken.get(one.family, 0) + 1
            if one.models and (place < BEST_KEPT or taken[one.family] <= KEPT_A_FAMILY):
                pool.append(one)
        return pool

    def _bound(self) -> tuple[dict[Split, float], float]:
        """The best candidate's losses by fold, and what it gains over a constant prediction."""
        complete = self.finished()
        if not complete:
            return {}, 0.0
        best = min(complete, key=lambda one: _mean_proxy(one))
        return (
            {split: value for split, value in best.proxies.items() if split[0] == 0},
            max(self._baseline - _mean_proxy(best), 1e-12),
        )

    def _next_family(self) -> str:
        """A draw: more often a family that is quick, and whose best is close to the best of all."""
        _, gain = self._bound()
        best = dict.fromkeys(self.families, np.inf)
        seconds = dict.fromkeys(self.families, 0.0)
        tried = dict.fromkeys(self.families, 0)
        for one in self.candidates:
            tried[one.family] += one.state != "skipped"
            seconds[one.family] += one.seconds
            if one.state == "complete":
                best[one.family] = min(best[one.family], _mean_proxy(one))
        top = min(best.values())
        names, weights = [], []
        for name in self.families:
            if not np.isfinite(best[name]):
                continue
            weight = np.exp(-(best[name] - top) / max(gain * WARMTH, 1e-12))
            if self.evaluator.stopwatch.timed and tried[name]:
                weight /= np.sqrt(max(seconds[name] / tried[name], 1e-2))
            names.append(name)
            weights.append(weight)
        if not names:
            return next(iter(self.families))
        return str(self._random.choice(names, p=np.array(weights) / np.sum(weights)))

    def _study(self, name: str) -> "Study":
        if name not in self._studies:
            import optuna

            optuna.logging.set_verbosity(optuna.logging.ERROR)
            self._studies[name] = optuna.create_study(
                storage=self._storage,
                study_name=f"{self._name}/{name}" if self._storage is not None else None,
                sampler=optuna.samplers.TPESampler(seed=self._seed, n_startup_trials=6),
                direction="minimize",
                load_if_exists=True,
            )
        return self._studies[name]

    def _claim(self) -> int:
        """The number of the next entry of the portfolio that no other process has taken."""
        if self._storage is None:
            return len(self.candidates)
        study = self._study("portfolio")
        trial = study.ask()
        study.tell(trial, 0.0)
        return int(trial.number)

    def _tell_portfolio(self, candidate: Candidate) -> None:
        """Give the family's study a portfolio entry, as far as its space knows the parameters."""
        if candidate.state != "complete":
            return
        import optuna

        recorder = _Recorder(candidate.parameters)
        self.families[candidate.family].suggest(recorder, self.shapes[candidate.family])
        self._study(candidate.family).add_trial(
            optuna.trial.create_trial(
                params=recorder.params,
                distributions=recorder.distributions,
                value=candidate.loss,
                user_attrs={PARAMETERS: dict(candidate.parameters)},
            )
        )

    def _tell(self, study: "Study", trial: "Trial", candidate: Candidate) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr(PARAMETERS, dict(candidate.parameters))
        if candidate.state == "complete":
            study.tell(trial, candidate.loss)
            return
        if candidate.state == "pruned" and candidate.proxies:
            trial.report(float(np.mean(list(candidate.proxies.values()))), 0)
        state = TrialState.PRUNED if candidate.state == "pruned" else TrialState.FAIL
        study.tell(trial, state=state)


class _Recorder:
    """Stands in for a trial: notes the space, and answers with given parameters."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        from optuna.distributions import FloatDistribution

        # A forest's "sqrt" of the columns has no place on the scale: the lowest is the nearest.
        given = self._given.get(name, low)
        value = float(np.clip(given, low, high)) if isinstance(given, int | float) else low
        self._note(name, value, FloatDistribution(low, high, log=log))
        return value

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        from optuna.distributions import IntDistribution

        value = int(np.clip(self._given.get(name, low), low, high))
        self._note(name, value, IntDistribution(low, high, log=log))
        return value

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        from optuna.distributions import CategoricalDistribution

        value = self._given.get(name, choices[0])
        value = value if value in choices else choices[0]
        self._note(name, value, CategoricalDistribution(choices))
        return value

    def _note(self, name: str, value: Any, distribution: Any) -> None:
        self.params[name], self.distributions[name] = value, distribution


def _mean_proxy(candidate: Candidate) -> float:
    return float(np.mean([value for split, value in candidate.proxies.items() if split[0] == 0]))


def _proxy_baseline(task: Task) -> float:
    """Log loss of the class shares, or the standard deviation."""
    if task.problem == "regression":
        return float(task.target.std())
    shares = np.bincount(task.target) / len(task.target)
    return float(-np.sum(shares * np.log(shares)))


def _key(family: str, parameters: Mapping[str, Any]) -> str:
    return family + json.dumps(dict(parameters), sort_keys=True)


def leave_position_out(
    evaluator: Evaluator, families: Mapping[str, SearchFamily]
) -> tuple[Position, Finding | None]:
    """Try a simple model of each form with and without the position, and keep what judges better.

    Args:
        evaluator: With folds by time; it goes on without the position where that is better.
        families: What the search chooses from.

    Returns:
        What is left out, and the sentence about it; nothing and None where the position stays.
    """
    position = position_of(evaluator.features, evaluator.keys)
    is_short = evaluator.stopwatch.seconds < LEAST_FOR_POSITION
    names = [*position.counted, *position.dated]
    others = len(evaluator.features.columns) - len(evaluator.keys) - len(names)
    if not position or is_short or others < 1:
        return Position(), None
    known = _least_loss(evaluator, families)
    evaluator.leave_out(position.counted, position.dated)
    without = _least_loss(evaluator, families)
    # Infinite is what no model could be fitted for in time, which says nothing.
    if not without < known < np.inf:
        evaluator.leave_out((), ())
        return Position(), None
    sign = -1.0 if evaluator.task.metric in GREATER_IS_BETTER else 1.0
    return position, Finding(
        "position",
        ", ".join(names),
        f"simple models predict newer rows better without the position in time that "
        f"{', '.join(names)} {'tells' if len(names) == 1 else 'tell'} "
        f"({evaluator.task.metric} {sign * without:.4g} against {sign * known:.4g})",
        "it is no feature; parts of a date that come round again, such as the weekday, still are",
    )


def _least_loss(evaluator: Evaluator, families: Mapping[str, SearchFamily]) -> float:
    """Of the portfolio's first configuration of each form, on the folds."""
    shapes = {name: evaluator.shape(family) for name, family in families.items()}
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, parameters in portfolio(families, shapes):
        first.setdefault(families[name].form, (name, parameters))
    losses = []
    for name, parameters in first.values():
        candidate = Candidate(0, name, parameters, in_portfolio=True)
        evaluator.evaluate(candidate, 0, SHARE_FOR_POSITION * evaluator.stopwatch.seconds)
        losses.append(candidate.loss)
    return min(losses)
