"""The tuner: each method on estimators of several kinds, within its limits."""

import time
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from goldpath.automl.tuning.results import TuningResults
from goldpath.automl.tuning.spaces import TuningError
from goldpath.automl.tuning.tuner import METHODS, HyperparameterTuner

ROWS = 150
_random = np.random.default_rng(0)
X = _random.normal(size=(ROWS, 4))
VALUES = 2 * X[:, 0] + _random.normal(size=ROWS)
CLASSES = np.where(VALUES > 0, "yes", "no")


def tune(model: Any, model_type: str | None = None, **arguments: Any) -> TuningResults:
    target = arguments.pop("y", CLASSES)
    return HyperparameterTuner(seed=1).auto_tune_model(
        model=model, model_type=model_type, X=X, y=target, **arguments
    )


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_never_worse_than_the_estimator_it_was_given(method: Any) -> None:
    result = tune(LogisticRegression(C=1e-3), "logistic_regression", method=method, n_iter=4)
    assert result.best_score >= result.default_score
    assert result.best_score == max(e.score for e in result.trials if e.score is not None)
    assert result.leaderboard[0].parameters == result.best_params
    assert result.best_model.predict(X[:2]).shape == (2,)
    assert len(result.trials) <= 5


def test_a_grid_is_tried_point_by_point_and_no_point_twice() -> None:
    result = tune(Ridge(), "ridge", y=VALUES, method="grid_search")
    tried = [entry.parameters["alpha"] for entry in result.trials[1:]]
    assert sorted(tried) == [0.01, 0.1, 1, 10, 100]


def test_hyperband_saves_trees_where_there_are_and_rows_elsewhere() -> None:
    forest = RandomForestClassifier(n_estimators=30, random_state=0)
    trees = tune(forest, method="hyperband", n_iter=5)
    assert trees.resource == "n_estimators"
    assert "n_estimators" not in trees.best_params
    rows = tune(make_pipeline(StandardScaler(), SVC()), method="hyperband", n_iter=5)
    assert rows.resource == "rows"
    assert all(name.startswith("svc__") for name in rows.best_params)
    assert {entry.state for entry in trees.trials} <= {"complete", "pruned"}


def test_the_same_seed_gives_the_same_result() -> None:
    model = RandomForestClassifier(n_estimators=5, random_state=0)
    first, second = (tune(model, method="tpe", n_iter=3) for _ in range(2))
    assert first.best_params == second.best_params
    assert [e.score for e in first.trials] == [e.score for e in second.trials]


def test_a_budget_ends_the_search() -> None:
    started = time.monotonic()
    model = GradientBoostingClassifier(n_estimators=50, random_state=0)
    result = tune(model, n_iter=10_000, budget_seconds=1.0)
    assert time.monotonic() - started < 5
    assert 1 <= len(result.trials) < 10_000
    assert result.budget_seconds == 1.0


def test_own_space_score_and_folds_are_used() -> None:
    result = tune(
        LogisticRegression(),
        search_space={"C": (0.001, 100.0), "fit_intercept": [True, False]},
        method="tpe",
        scoring="roc_auc",
        cv=TimeSeriesSplit(2),
        n_iter=3,
    )
    assert (result.metric, result.folds, result.model_type) == ("roc_auc", 2, "own")
    assert set(result.trials[1].parameters) == {"C", "fit_intercept"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "guessing"}, "expected random_search"),
        ({"n_iter": 0}, "n_iter is 0"),
        ({"scoring": "beauty"}, "beauty"),
        ({"search_space": {"depth": [1]}}, "no parameter depth"),
        ({"search_space": {"C": (2.0, 1.0)}}, "search space of 'C'"),
        ({"y": None}, "missing"),
        ({"y": CLASSES[:10]}, "inconsistent|not match|samples|index"),
    ],
)
def test_what_cannot_be_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TuningError, match=message):
        tune(LogisticRegression(), **arguments)


def test_an_unknown_kind_of_model_names_the_known_ones() -> None:
    with pytest.raises(TuningError) as error:
        tune(StandardScaler(), "magic")
    assert "'magic'" in error.value.message
    assert "random_forest" in error.value.fix


def test_rows_that_the_estimator_cannot_take_are_explained() -> None:
    with pytest.raises(TuningError, match=r"cannot be fitted.*NaN"):
        HyperparameterTuner().auto_tune_model(
            model=LogisticRegression(), X=np.where(X > 1, np.nan, X), y=CLASSES
        )
