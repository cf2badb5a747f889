"""The search: Optuna over families and their parameters, judged on the training rows only."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..contract import Contract
from ..settings import TrainingSettings
from .estimators import FAMILIES
from .frames import model_frame, target_values
from .metrics import metric_value
from .scoring import LoadedModel

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial


PARALLEL_ROWS = 100_000


@dataclass(frozen=True)
class SearchResult:
    """The best configuration.

    Attributes:
        family: A name in `FAMILIES`.
        parameters: Its parameters.
        score: Mean of the main metric over the folds.
        trials: One entry a finished trial, in order: family, score and parameters.
    """

    family: str
    parameters: Mapping[str, Any]
    score: float
    trials: tuple[Mapping[str, Any], ...]


def search(
    train: pd.DataFrame,
    contract: Contract,
    settings: TrainingSettings,
    on_trial: Callable[[int, float], None],
) -> SearchResult:
    """Find the best family and parameters by cross-validation.

    The first trials are each family's defaults; another configuration wins only if it is better
    by more than the noise of the folds. The sampler is Optuna's TPE with the settings' seed.

    Args:
        train: Training rows, oldest first where the contract has a time.
        contract: Names the columns and the metric.
        settings: Trials, time limit, folds and seed.
        on_trial: Called after each trial with its number and the best score so far.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    frame, target = model_frame(train, contract), target_values(train, contract)
    folds = make_folds(frame, target, contract, settings)

    def objective(trial: "Trial") -> float:
        family = FAMILIES[trial.suggest_categorical("family", list(FAMILIES))]
        parameters = family.suggest(trial)
        scores = _cross_validate(
            frame, target, folds, contract, family.name, parameters, settings.seed
        )
        trial.set_user_attr("parameters", parameters)
        trial.set_user_attr("fold_scores", scores)
        return float(np.mean(scores))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=settings.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for family in FAMILIES.values():
        study.enqueue_trial({"family": family.name, **family.defaults})
    with sensible_threads(len(train)):
        study.optimize(
            objective,
            n_trials=max(settings.trials, len(FAMILIES)),
            timeout=settings.timeout_seconds,
            callbacks=[lambda study, trial: on_trial(trial.number + 1, study.best_value)],
        )
    finished = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    best = _worth_leaving_the_defaults(study.best_trial, finished[: len(FAMILIES)])
    return SearchResult(
        family=best.params["family"],
        parameters=best.user_attrs["parameters"],
        score=float(np.mean(best.user_attrs["fold_scores"])),
        trials=tuple(
            {
                "family": trial.params["family"],
                "score": trial.value,
                "fold_scores": trial.user_attrs["fold_scores"],
                **trial.user_attrs["parameters"],
            }
            for trial in finished
        ),
    )


def _worth_leaving_the_defaults(
    best: "FrozenTrial", defaults: "Sequence[FrozenTrial]"
) -> "FrozenTrial":
    """The best trial, unless its gain over the best defaults could be the luck of the folds.

    The one-standard-error rule (Breiman et al. 1984, section 3.4.3) on the paired gains of the
    folds: of two configurations that cannot be told apart, the library's own is the safer one.
    """
    plain = max(defaults, key=lambda trial: trial.value or -np.inf)
    gains = np.subtract(best.user_attrs["fold_scores"], plain.user_attrs["fold_scores"])
    if len(gains) < 2:
        return best
    standard_error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    return best if np.mean(gains) > standard_error else plain


def make_folds(
    frame: pd.DataFrame, target: np.ndarray, contract: Contract, settings: TrainingSettings
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers of each fold's training and validation part.

    With an event time each fold validates on rows that are newer than those it learns from;
    otherwise folds are stratified by class, or shuffled for regression.
    """
    from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit

    if contract.has_time:
        # Blocks as long as the test set's share: with scikit-learn's default the first fold would
        # learn from a quarter of the history and choose parameters for a much smaller data set.
        block = max(1, int(len(target) * settings.test_fraction / 2))
        splitter = TimeSeriesSplit(n_splits=settings.cv_folds, test_size=block)
    elif contract.problem == "classification" and _smallest_class(target) >= settings.cv_folds:
        splitter = StratifiedKFold(settings.cv_folds, shuffle=True, random_state=settings.seed)
    else:
        splitter = KFold(settings.cv_folds, shuffle=True, random_state=settings.seed)
    folds = list(splitter.split(frame, target))
    if contract.problem == "classification":
        # A fold whose training part has one class only cannot be fitted.
        folds = [
            (train, test)
            for train, test in folds
            if len(set(target[train])) > 1 and len(set(target[test])) > 1
        ]
    return folds


def fit(
    train: pd.DataFrame, contract: Contract, family: str, parameters: Mapping[str, Any], seed: int
) -> LoadedModel:
    """Fit one configuration on rows."""
    pipeline = FAMILIES[family].build(contract, parameters, seed)
    with warnings.catch_warnings(), sensible_threads(len(train)):
        _ignore_convergence()
        pipeline.fit(model_frame(train, contract), target_values(train, contract))
    return LoadedModel(pipeline=pipeline, contract=contract)


@contextlib.contextmanager
def sensible_threads(rows: int) -> Iterator[None]:
    """One OpenMP thread for small data.

    Gradient boosting opens and closes thousands of parallel regions; on 16 000 rows and two cores
    that another process uses too, its spinning threads took ten times as long as one thread.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1 if rows < PARALLEL_ROWS else None):
        yield


def held_out_predictions(
    train: pd.DataFrame,
    contract: Contract,
    family: str,
    parameters: Mapping[str, Any],
    settings: TrainingSettings,
) -> pd.DataFrame:
    """Training rows with predictions by models that did not see them.

    A model knows the rows that it was fitted on better than new ones, so its predictions of them
    are no reference for drift: an overfitted model would alarm without any change.

    Returns:
        The rows in their order, with the column `prediction`: P(positive), the label where there
        are more classes than two, or the value.
    """
    from sklearn.model_selection import KFold

    many_classes = contract.problem == "classification" and not contract.is_binary
    column = pd.Series(index=train.index, dtype="object" if many_classes else "float64")
    folds = KFold(settings.cv_folds, shuffle=True, random_state=settings.seed)
    for learnt, held_out in folds.split(train):
        model = fit(train.iloc[learnt], contract, family, parameters, settings.seed)
        predictions = model.predict(train.iloc[held_out])
        column.iloc[held_out] = predictions.values if many_classes else predictions.scores
    return train.assign(prediction=column)


def _cross_validate(
    frame: pd.DataFrame,
    target: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
    contract: Contract,
    family: str,
    parameters: Mapping[str, Any],
    seed: int,
) -> list[float]:
    """The main metric on each fold's validation part."""
    scores = []
    for train, test in folds:
        pipeline = FAMILIES[family].build(contract, parameters, seed)
        with warnings.catch_warnings():
            _ignore_convergence()
            pipeline.fit(frame.iloc[train], target[train])
        predictions = LoadedModel(pipeline, contract).predict(frame.iloc[test])
        scores.append(metric_value(contract, target[test], predictions))
    return scores


def _ignore_convergence() -> None:
    """A trial that has not converged shows it by its score; warnings for each fold help nobody."""
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", UserWarning)


def _smallest_class(target: np.ndarray) -> int:
    return int(pd.Series(target).value_counts().min())
