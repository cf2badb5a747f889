"""The search: Optuna over families and their parameters, judged on the training rows only."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.learning.decision.threshold import rule_of
from goldpath.learning.families import families_of, family_named
from goldpath.learning.family import Family
from goldpath.learning.folds import Fold, make_folds, shuffled_folds
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.metrics import metric_value
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.splitting import row_groups, split_rule
from goldpath.learning.text.sizes import USUAL_SIZES, TextSizes, sizes_of
from goldpath.learning.threads import sensible_threads
from goldpath.project import ENGINES_OWN, Model
from goldpath.settings import TrainingSettings

if TYPE_CHECKING:
    from optuna import Study
    from optuna import Trial as OptunaTrial
    from optuna.samplers import BaseSampler


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried.

    Attributes:
        number: From 0 on.
        family: A name of one of the families.
        parameters: What the pipeline was built with.
        drawn: The sampler's values, from which the trial can be told to another study.
        fold_scores: The main metric on each fold; fewer than the folds where it was pruned.
        pruned: Whether it was given up after a fold.
        seconds: What it cost.
    """

    number: int
    family: str
    parameters: Mapping[str, Any]
    drawn: Mapping[str, Any]
    fold_scores: tuple[float, ...]
    pruned: bool
    seconds: float

    @property
    def score(self) -> float:
        """Mean of the folds' scores."""
        return float(np.mean(self.fold_scores))


@dataclass(frozen=True)
class SearchResult:
    """The best configuration.

    Attributes:
        family: A name of one of the families.
        parameters: Its parameters.
        score: Mean of the main metric over the folds.
        fold_scores: The metric on each fold.
        trials: What was tried, in order.
    """

    family: str
    parameters: Mapping[str, Any]
    score: float
    fold_scores: tuple[float, ...]
    trials: tuple[Trial, ...]


def planned_trials(settings: TrainingSettings, definitions: Model) -> int:
    """How many trials a search makes: each family's defaults at least, whatever `trials` says."""
    return max(settings.trials, len(families_of(definitions, settings.families)))


def search(
    train: pd.DataFrame,
    contract: Contract,
    settings: TrainingSettings,
    on_trial: Callable[[Trial, float], None],
    known: Sequence[Trial] = (),
    definitions: Model = ENGINES_OWN,
) -> SearchResult:
    """Find the best family and parameters by cross-validation.

    The first trials are each family's defaults; another configuration wins only if it is better
    by more than the noise of the folds. A trial that is worse after a fold than half of the former
    ones were is pruned (Optuna's median rule). Each trial's draw depends on the seed, its number
    and the trials before it, so a search that goes on after a kill ends as if it had not stopped.

    Args:
        train: Training rows, oldest first where the contract has a time.
        contract: Names the columns and the metric.
        settings: Trials, time limit, folds, seed, and which families.
        on_trial: Called after each new trial with it and the best score so far.
        known: Trials that an earlier process finished; they are not run again.
        definitions: The project's families and its main metric.
    """
    families = families_of(definitions, settings.families)
    folds = make_folds(train, contract, settings)
    study = _new_study(settings, len(families))
    attempt = _Attempt(train, contract, settings, definitions, families, folds)
    trials: list[Trial] = []
    with sensible_threads(len(train)):
        for number in range(planned_trials(settings, definitions)):
            spent = sum(trial.seconds for trial in trials)
            if number >= len(families) and spent > settings.timeout_seconds:
                break
            study.sampler = _sampler(settings.seed + number)
            if number < len(known):
                trials.append(attempt.replay(study, known[number]))
            else:
                trials.append(attempt.try_next(study, number))
                on_trial(trials[-1], max(_rank(trial) for trial in trials if not trial.pruned))
    finished = [trial for trial in trials if not trial.pruned]
    best = max(finished, key=_rank)
    best = _worth_leaving_the_defaults(best, finished[: len(families)])
    return SearchResult(best.family, best.parameters, best.score, best.fold_scores, tuple(trials))


@dataclass(frozen=True)
class _Attempt:
    """What every trial of a search shares."""

    train: pd.DataFrame
    contract: Contract
    settings: TrainingSettings
    definitions: Model
    families: Mapping[str, Family]
    folds: list[tuple[np.ndarray, np.ndarray]]

    def try_next(self, study: "Study", number: int) -> Trial:
        """Draw a configuration and judge it fold by fold, until it is pruned or done."""
        started = time.monotonic()
        if number < len(self.families):
            default = list(self.families.values())[number]
            study.enqueue_trial({"family": default.name, **default.defaults_in_study()})
        asked = study.ask()
        family, parameters = self._draw(asked)
        scores: list[float] = []
        pruned = False
        for score in self._fold_scores(family, parameters):
            scores.append(score)
            asked.report(score, len(scores) - 1)
            pruned = len(scores) < len(self.folds) and bool(asked.should_prune())
            if pruned:
                break
        trial = Trial(
            number=number,
            family=family.name,
            parameters=parameters,
            drawn=dict(asked.params),
            fold_scores=tuple(scores),
            pruned=pruned,
            seconds=time.monotonic() - started,
        )
        _tell(study, asked, trial)
        return trial

    def replay(self, study: "Study", trial: Trial) -> Trial:
        """Tell a study what an earlier process found, as if it had been found here."""
        study.enqueue_trial(dict(trial.drawn))
        asked = study.ask()
        self._draw(asked)
        for fold, score in enumerate(trial.fold_scores):
            asked.report(score, fold)
        _tell(study, asked, trial)
        return trial

    def _draw(self, asked: "OptunaTrial") -> tuple[Family, dict[str, Any]]:
        family = self.families[asked.suggest_categorical("family", list(self.families))]
        return family, family.suggest_in_study(asked, self.contract)

    def _fold_scores(self, family: Family, parameters: Mapping[str, Any]) -> Iterator[float]:
        """The main metric on each fold's validation part, one after the other."""
        frame = model_frame(self.train, self.contract)
        target = target_values(self.train, self.contract)
        for learnt, held_out in self.folds:
            pipeline = family.build(
                self.contract, parameters, self.settings.seed, sizes_of(self.settings)
            )
            with warnings.catch_warnings():
                _ignore_convergence()
                pipeline.fit(frame.iloc[learnt], target[learnt])
            predictions = LoadedModel(pipeline, self.contract).predict(frame.iloc[held_out])
            yield metric_value(
                self.contract,
                target[held_out],
                predictions,
                self.definitions.metric,
                self.train.iloc[held_out],
            )


def _tell(study: "Study", asked: "OptunaTrial", trial: Trial) -> None:
    from optuna.trial import TrialState

    if trial.pruned:
        study.tell(asked, state=TrialState.PRUNED)
    elif not np.isfinite(trial.score):
        study.tell(asked, state=TrialState.FAIL)
    else:
        study.tell(asked, trial.score)


def _rank(trial: Trial) -> float:
    """The score, by which trials are compared; one that is undefined is the least."""
    return trial.score if np.isfinite(trial.score) else -np.inf


def _new_study(settings: TrainingSettings, families: int) -> "Study":
    """An empty study; the families' defaults, its first trials, are never pruned."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=families + 2)
    return optuna.create_study(direction="maximize", sampler=_sampler(settings.seed), pruner=pruner)


def _sampler(seed: int) -> "BaseSampler":
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed)


def _worth_leaving_the_defaults(best: Trial, defaults: Sequence[Trial]) -> Trial:
    """The best trial, unless its gain over the best defaults could be the luck of the folds.

    The one-standard-error rule (Breiman et al. 1984, section 3.4.3) on the paired gains of the
    folds: of two configurations that cannot be told apart, the library's own is the safer one.
    """
    plain = max(defaults, key=_rank)
    gains = np.subtract(best.fold_scores, plain.fold_scores)
    if len(gains) < 2:
        return best
    standard_error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    return best if np.mean(gains) > standard_error else plain


def fit(
    train: pd.DataFrame,
    contract: Contract,
    family: str,
    parameters: Mapping[str, Any],
    seed: int,
    definitions: Model = ENGINES_OWN,
    text_sizes: TextSizes = USUAL_SIZES,
) -> LoadedModel:
    """Fit one configuration of one of the project's families on rows."""
    pipeline = family_named(definitions, family).build(contract, parameters, seed, text_sizes)
    with warnings.catch_warnings(), sensible_threads(len(train)):
        _ignore_convergence()
        pipeline.fit(model_frame(train, contract), target_values(train, contract))
    return LoadedModel(pipeline=pipeline, contract=contract)


def held_out_predictions(
    train: pd.DataFrame,
    contract: Contract,
    family: str,
    parameters: Mapping[str, Any],
    settings: TrainingSettings,
    definitions: Model = ENGINES_OWN,
    *,
    most_learnt: int | None = None,
    folds: Sequence[Fold] | None = None,
) -> pd.DataFrame:
    """Training rows with predictions by models that did not see them.

    A model knows the rows that it was fitted on better than new ones, so its predictions of them
    are no reference for drift: an overfitted model would alarm without any change.

    Args:
        train: The training rows.
        contract: Names the columns.
        family: The family of the models.
        parameters: Their parameters.
        settings: Number of folds, and the seed.
        definitions: The project's families.
        most_learnt: Divide so many rows, drawn at random, into folds to learn from, so that many
            rows cost no more fits of many rows. The others are predicted by one of the folds'
            models: that of the fold which held out their group, where rows stay together.
        folds: In place of shuffled ones; a row that none of them holds out has no prediction.

    Returns:
        The rows in their order, with the column `prediction`: P(positive), the label where there
        are more classes than two, or the value.
    """
    classes = contract.target.classes
    folds = folds or _drawn_folds(train, contract, settings, most_learnt)
    found = _held_out(train, contract, family, parameters, settings, definitions, folds)
    if len(classes) < 3:
        return train.assign(prediction=found[:, 0])
    labels = np.array(classes, dtype=object)[rule_of(contract).labels(found)]
    return train.assign(prediction=labels)


def _held_out(
    train: pd.DataFrame,
    contract: Contract,
    family: str,
    parameters: Mapping[str, Any],
    settings: TrainingSettings,
    definitions: Model,
    folds: Sequence[Fold],
) -> np.ndarray:
    """P(positive), the probabilities of several classes, or the value: shape (rows, …).

    NaN of a row that no fold holds out.
    """
    classes, several = contract.target.classes, len(contract.target.classes) > 2
    seed, sizes = settings.seed, sizes_of(settings)
    answers = np.full((len(train), len(classes) if several else 1), np.nan)
    for learnt, held_out in folds:
        part = train.iloc[learnt]
        labels = part[contract.target.column].unique()
        if classes and len(labels) == 1:  # nothing to be learned
            known = classes if several else (contract.target.positive,)
            answers[held_out] = [float(str(labels[0]) == name) for name in known]
            continue
        model = fit(part, contract, family, parameters, seed, definitions, sizes)
        predictions = model.predict(train.iloc[held_out])
        scores = np.array(predictions.scores)[:, None]
        answers[held_out] = predictions.probabilities if several else scores
    return answers


def unseen_scores(
    train: pd.DataFrame,
    contract: Contract,
    family: str,
    parameters: Mapping[str, Any],
    settings: TrainingSettings,
    definitions: Model = ENGINES_OWN,
) -> "pd.Series[Any] | pd.DataFrame":
    """P(positive), probabilities of several classes, or the value, by models that saw no such row.

    Of a number that is split by time, and of what is known a horizon later, only of the rows that
    are newer than what a fold's model learned from: errors ahead in time are larger than those
    between known rows, and rows of one entity within a horizon share an event. The arguments are
    those of `held_out_predictions`.
    """
    is_later = contract.problem == "regression" or bool(contract.horizon)
    ahead = is_later and split_rule(train, contract, settings) == "time"
    folds = make_folds(train, contract, settings) if ahead else None
    drawn = folds or _drawn_folds(train, contract, settings, None)
    scores = _held_out(train, contract, family, parameters, settings, definitions, drawn)
    table = pd.DataFrame(scores, index=train.index)
    found = table[0] if scores.shape[1] == 1 else table
    if folds is None:
        return found
    # The others have no prediction. One that was made and is no number stays: it must be heard of.
    return found.iloc[np.unique(np.concatenate([held_out for _, held_out in folds]))]


def _drawn_folds(
    train: pd.DataFrame, contract: Contract, settings: TrainingSettings, most_learnt: int | None
) -> list[Fold]:
    """Folds of a draw of the rows; the rows that were not drawn are held out once each."""
    if most_learnt is None or len(train) <= most_learnt:
        return shuffled_folds(train, contract, settings)
    random = np.random.default_rng(settings.seed)
    drawn = np.sort(random.choice(len(train), most_learnt, replace=False))
    folds = shuffled_folds(train.iloc[drawn], contract, settings)
    numbers = np.arange(len(train)) % len(folds)
    groups = row_groups(train, contract, settings)
    if groups is not None:
        fold_of_group = np.full(int(groups.max()) + 1, -1)
        for number, (_, held_out) in enumerate(folds):
            fold_of_group[groups[drawn[held_out]]] = number
        known = fold_of_group[groups]
        numbers = np.where(known >= 0, known, numbers)
    others = np.ones(len(train), dtype=bool)
    others[drawn] = False
    return [
        (
            drawn[learnt],
            np.concatenate([drawn[held_out], np.flatnonzero(others & (numbers == number))]),
        )
        for number, (learnt, held_out) in enumerate(folds)
    ]


def _ignore_convergence() -> None:
    """A trial that has not converged shows it by its score; warnings for each fold help nobody."""
    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", UserWarning)
