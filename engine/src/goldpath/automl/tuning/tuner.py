"""`HyperparameterTuner`: better parameters for an estimator of one's own, by cross-validation."""

import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from goldpath.automl.result import LeaderboardEntry
from goldpath.automl.tuning.results import TuningResults
from goldpath.automl.tuning.spaces import (
    ITERATIONS,
    Dimension,
    TuningError,
    grid_of,
    kind_of,
    last_step,
    space_of,
)

if TYPE_CHECKING:
    from optuna import Study, Trial

Method = Literal["random_search", "grid_search", "tpe", "hyperband"]
METHODS = ("random_search", "grid_search", "tpe", "hyperband")
DEFAULT_TRIALS = 20
RUNGS, FACTOR = (1, 3, 9), 3
"""Hyperband judges with a ninth, a third and all of the iterations or rows."""
FEWEST_ITERATIONS = 5
FEWEST_ROWS = 30


class HyperparameterTuner:
    """Tunes estimators of scikit-learn, or of libraries that follow it.

    Args:
        seed: Of everything random.

    Example:
        >>> import numpy as np
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> from goldpath import HyperparameterTuner
        >>> area = np.linspace(20, 120, 200)[:, None]
        >>> results = HyperparameterTuner().auto_tune_model(
        ...     DecisionTreeRegressor(max_depth=1), X=area, y=12 * area[:, 0],
        ...     search_space={"max_depth": [4, 8]}, method="grid_search",
        ... )
        >>> results.metric, results.best_params
        ('r2', {'max_depth': 8})
        >>> results.best_score > results.default_score
        True
    """

    def __init__(self, seed: int = 42) -> None:
        self.seed = seed

    def auto_tune_model(
        self,
        model: Any,
        model_type: str | None = None,
        X: Any = None,  # noqa: N803  the name that users know
        y: Any = None,
        method: Method = "random_search",
        n_iter: int | None = None,
        cv: Any = 3,
        *,
        scoring: str | None = None,
        search_space: Mapping[str, Any] | None = None,
        budget_seconds: float | None = None,
    ) -> TuningResults:
        """Search parameters that are better than the estimator's own.

        The estimator as it is given is judged first, so the result is never worse than it.

        Args:
            model: An estimator, or a pipeline whose last step is tuned. It is not changed.
            model_type: Such as `random_forest_regressor` or `gradient_boosting`; found from the
                estimator where it is not known.
            X: Rows that the estimator takes.
            y: The target.
            method: `random_search`; `grid_search` (a small grid); `tpe` (Optuna's, which learns
                from its trials); `hyperband` (gives up early, after few iterations or rows).
            n_iter: Configurations beside the first; 20 where not given, of a grid all.
            cv: Number of folds, or a splitter of scikit-learn, such as `TimeSeriesSplit`.
            scoring: scikit-learn's name of a score; `r2` or `accuracy` where not given.
            search_space: One's own: by parameter a list of choices, or (smallest, largest).
            budget_seconds: No fit is begun after it; the last fit on all rows comes on top.

        Raises:
            TuningError: If the method, the model type or the space cannot be, the rows do not
                suit the estimator, or none of its configurations could be fitted.
        """
        if method not in METHODS:
            raise TuningError(
                f"the method is {method!r}; expected {', '.join(METHODS)}", 'say method="tpe"'
            )
        if X is None or y is None:
            raise TuningError("X or y is missing", "give rows and their target: X=…, y=…")
        if n_iter is not None and n_iter < 1:
            raise TuningError(f"n_iter is {n_iter}; expected 1 or more", "say n_iter=20")
        kind = None if search_space is not None else kind_of(model, model_type)
        space = space_of(model, kind, search_space)
        trial = _Tuning(model, kind, X, y, cv, scoring, self.seed, budget_seconds)
        with _quiet():
            return trial.run(method, space, n_iter, own=search_space is not None)


class _Tuning:
    """One call of `auto_tune_model`."""

    def __init__(
        self,
        model: Any,
        kind: str | None,
        rows: Any,
        target: Any,
        cv: Any,
        scoring: str | None,
        seed: int,
        seconds: float | None,
    ) -> None:
        from sklearn.base import is_classifier
        from sklearn.metrics import get_scorer
        from sklearn.model_selection import check_cv

        self.model, self.kind, self.rows = model, kind, rows
        self.target, self.seed, self.seconds = np.asarray(target), seed, seconds
        self.started = time.monotonic()
        self.classify = bool(is_classifier(model))
        self.scoring = scoring or ("accuracy" if self.classify else "r2")
        try:
            self.scorer = get_scorer(self.scoring)
            splitter = _shuffled(cv, self.classify, seed)
            splitter = check_cv(splitter, self.target, classifier=self.classify)
            self.folds = list(splitter.split(rows, self.target))
        except ValueError as error:
            raise TuningError(str(error), "correct scoring=, cv= or the number of rows") from error
        self.entries: list[LeaderboardEntry] = []

    def run(
        self, method: str, space: Mapping[str, Dimension], n_iter: int | None, *, own: bool
    ) -> TuningResults:
        first = self._judge({}, 0, None, "")
        if first.score is None:
            raise TuningError(
                f"{type(self.model).__name__} cannot be fitted on these rows: {first.reason}",
                "give the rows as the estimator takes them, or a pipeline that prepares them",
            )
        resource = self._resource() if method == "hyperband" else ""
        searched = {name: item for name, item in space.items() if name != resource}
        study, trials = self._study(method, searched, n_iter, own=own)
        grid = grid_of(searched, own=own) if method == "grid_search" else None
        for number in range(1, trials + 1):
            if self._over():
                break
            asked = study.ask()
            parameters = (
                {
                    name: asked.suggest_categorical(name, list(range(len(grid[name]))))
                    for name in grid
                }
                if grid is not None
                else {name: item.suggest(asked, name) for name, item in searched.items()}
            )
            if grid is not None:
                parameters = {name: grid[name][place] for name, place in parameters.items()}
            entry = self._judge(parameters, number, asked if resource else None, resource)
            self._tell(study, asked, entry)
        return self._results(method, resource)

    def _study(
        self, method: str, space: Mapping[str, Dimension], n_iter: int | None, *, own: bool
    ) -> tuple["Study", int]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        samplers, pruner = optuna.samplers, optuna.pruners.NopPruner()
        trials = n_iter or DEFAULT_TRIALS
        if method == "grid_search":
            grid = grid_of(space, own=own)
            size = int(np.prod([len(values) for values in grid.values()])) if grid else 0
            if not size:
                raise TuningError(
                    f"there is no grid for {self.kind}", 'say method="tpe", or give search_space=…'
                )
            numbered = {name: list(range(len(values))) for name, values in grid.items()}
            sampler = samplers.GridSampler(numbered, seed=self.seed)
            trials = min(n_iter or size, size)
        elif method == "random_search":
            sampler = samplers.RandomSampler(seed=self.seed)
        else:
            sampler = samplers.TPESampler(seed=self.seed)
        if method == "hyperband":
            pruner = optuna.pruners.HyperbandPruner(
                min_resource=RUNGS[0], max_resource=RUNGS[-1], reduction_factor=FACTOR
            )
        study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        return study, trials

    def _resource(self) -> str:
        """What Hyperband saves: the parameter of the iterations, or rows where there is none."""
        prefix, known = last_step(self.model)[1], self.model.get_params()
        for name in ITERATIONS.get(self.kind or "", ()):
            value = known.get(f"{prefix}{name}")
            if isinstance(value, int) and value >= FEWEST_ITERATIONS:
                return f"{prefix}{name}"
        return "rows"

    def _judge(
        self, parameters: dict[str, Any], number: int, trial: "Trial | None", resource: str
    ) -> LeaderboardEntry:
        """Cross-validate one configuration, rung by rung where Hyperband may give it up."""
        began = time.monotonic()
        state, reason, scores = "complete", "", list[float]()
        latency = 0.0
        try:
            for rung in RUNGS if trial is not None else RUNGS[-1:]:
                scores, latency = self._scores(parameters, rung / RUNGS[-1], resource)
                if trial is not None:
                    trial.report(float(np.mean(scores)), rung)
                    if rung != RUNGS[-1] and (trial.should_prune() or self._over()):
                        state = "pruned"
                        break
        except TimeoutError:
            state, reason = "skipped", "no time for it"
        except Exception as error:  # noqa: BLE001  estimators raise anything; the search goes on
            state, reason = "failed", f"{type(error).__name__}: {error}"[:300]
        complete = state == "complete" and bool(np.isfinite(scores).all())
        if state == "complete" and not complete:
            state, reason = "failed", "its score is not finite"
        entry = LeaderboardEntry(
            number=number,
            family=self.kind or type(self.model).__name__,
            parameters=parameters,
            state=state,
            score=float(np.mean(scores)) if complete else None,
            fold_scores=tuple(scores) if complete else (),
            seconds=time.monotonic() - began,
            predict_microseconds=latency,
            in_portfolio=number == 0,
            weight=0.0,
            reason=reason,
        )
        self.entries.append(entry)
        return entry

    def _scores(
        self, parameters: Mapping[str, Any], share: float, resource: str
    ) -> tuple[list[float], float]:
        from sklearn.base import clone
        from sklearn.utils import _safe_indexing

        scores: list[float] = []
        spent = 0.0
        settings = dict(parameters)
        if share < 1 and resource != "rows":
            whole = self.model.get_params()[resource]
            settings[resource] = max(FEWEST_ITERATIONS, round(whole * share))
        for train, validation in self.folds:
            # The estimator as it was given is judged whatever it takes.
            if scores and self.entries and self._over():
                raise TimeoutError
            learnt = train
            if share < 1 and resource == "rows":
                learnt = self._some(train, share)
            fitted = clone(self.model).set_params(**settings)
            fitted.fit(_safe_indexing(self.rows, learnt), self.target[learnt])
            judged = _safe_indexing(self.rows, validation)
            before = time.perf_counter()
            scores.append(float(self.scorer(fitted, judged, self.target[validation])))
            spent += (time.perf_counter() - before) / len(validation)
        return scores, 1e6 * spent / len(self.folds)

    def _some(self, train: np.ndarray, share: float) -> np.ndarray:
        """A part of the training rows with all classes; order is kept."""
        from sklearn.model_selection import train_test_split

        count = max(FEWEST_ROWS, round(len(train) * share))
        if count >= len(train) - 1:
            return train
        try:
            part, _ = train_test_split(
                train,
                train_size=count,
                random_state=self.seed,
                stratify=self.target[train] if self.classify else None,
            )
        except ValueError:  # a class too rare to be divided
            return train
        return np.sort(part)

    def _tell(self, study: "Study", trial: "Trial", entry: LeaderboardEntry) -> None:
        from optuna.trial import TrialState

        if entry.score is not None:
            # After a grid's last point its sampler asks a running `optimize` to stop.
            with suppress(RuntimeError):
                study.tell(trial, entry.score)
        else:
            study.tell(
                trial, state=TrialState.PRUNED if entry.state == "pruned" else TrialState.FAIL
            )

    def _results(self, method: str, resource: str) -> TuningResults:
        from sklearn.base import clone

        ranked = sorted(
            self.entries,
            key=lambda e: (e.score is None, -(e.score if e.score is not None else 0), e.number),
        )
        best, default = ranked[0], self.entries[0]
        model = clone(self.model).set_params(**best.parameters).fit(self.rows, self.target)
        best_score, default_score = float(best.score or 0.0), float(default.score or 0.0)
        return TuningResults(
            run_id=uuid.uuid4().hex,
            model_type=self.kind or "own",
            method=method,
            problem_type="classification" if self.classify else "regression",
            metric=self.scoring,
            best_params=dict(best.parameters),
            best_score=best_score,
            default_score=default_score,
            metrics={self.scoring: best_score, f"default_{self.scoring}": default_score},
            trials=tuple(self.entries),
            leaderboard=tuple(ranked),
            resource=resource,
            folds=len(self.folds),
            seconds=time.monotonic() - self.started,
            budget_seconds=self.seconds,
            seed=self.seed,
            best_model=model,
        )

    def _over(self) -> bool:
        return self.seconds is not None and time.monotonic() - self.started >= self.seconds


def _shuffled(cv: Any, classify: bool, seed: int) -> Any:
    """A number of folds means shuffled folds: rows often come sorted by their target."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if not isinstance(cv, int):
        return cv
    kind = StratifiedKFold if classify else KFold
    return kind(cv, shuffle=True, random_state=seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, since that a fit did not converge shows in its score; one thread of OpenMP.

    Estimators that ask for several processes or threads themselves (`n_jobs`) still get them.
    """
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield
