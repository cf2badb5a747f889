"""The search goes on after a kill as if it had not stopped, and keeps to its rows."""

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import Contract
from goldpath.learning.families import families_of
from goldpath.learning.search import Trial, planned_trials, search
from goldpath.project import ENGINES_OWN
from goldpath.settings import TrainingSettings

pytestmark = pytest.mark.slow

CONTRACT = Contract.model_validate(
    {
        "dataset": "d",
        "problem": "classification",
        "source": {"path": "d.csv"},
        "target": {"column": "y", "classes": ["no", "yes"]},
        "features": [{"name": name, "type": "number"} for name in "abcdef"],
    }
)
SETTINGS = TrainingSettings(trials=9, timeout_seconds=600)


def rows() -> pd.DataFrame:
    random = np.random.default_rng(5)
    frame = pd.DataFrame(random.normal(size=(400, 6)), columns=list("abcdef"))
    signal = frame["a"] + frame["b"] ** 2 + random.normal(size=400)
    return frame.assign(y=np.where(signal > 0.7, "yes", "no"), row_id=range(400))


def outcome(trials: tuple[Trial, ...]) -> list[tuple[str, dict[str, object], tuple[float, ...]]]:
    return [(trial.family, dict(trial.parameters), trial.fold_scores) for trial in trials]


@pytest.mark.parametrize("known", [1, 4, 8, 9])
def test_a_search_that_goes_on_ends_as_one_that_never_stopped(known: int) -> None:
    frame = rows()
    whole = search(frame, CONTRACT, SETTINGS, lambda trial, best: None)
    ran: list[int] = []
    again = search(
        frame,
        CONTRACT,
        SETTINGS,
        lambda trial, best: ran.append(trial.number),
        whole.trials[:known],
    )
    assert ran == list(range(known, 9))
    assert outcome(again.trials) == outcome(whole.trials)
    assert (again.family, again.parameters, again.score) == (
        whole.family,
        whole.parameters,
        whole.score,
    )


def test_bad_configurations_are_pruned_and_never_win() -> None:
    result = search(
        rows(), CONTRACT, TrainingSettings(trials=25, cv_folds=4), lambda trial, best: None
    )
    pruned = [trial for trial in result.trials if trial.pruned]
    assert pruned
    assert all(len(trial.fold_scores) < 4 for trial in pruned)
    assert not any(trial.pruned for trial in result.trials[:2])
    assert len(result.fold_scores) == 4


def test_the_time_limit_stops_the_search_but_never_the_defaults() -> None:
    limits = TrainingSettings(trials=50, timeout_seconds=1e-9)
    result = search(rows(), CONTRACT, limits, lambda trial, best: None)
    assert [trial.family for trial in result.trials] == ["boosting", "linear"]


def test_each_family_has_its_trial_whatever_the_setting() -> None:
    few = TrainingSettings(trials=1, timeout_seconds=600)
    assert planned_trials(few, ENGINES_OWN) == len(families_of(ENGINES_OWN)) > 1
    assert planned_trials(SETTINGS, ENGINES_OWN) == SETTINGS.trials
