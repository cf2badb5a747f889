"""A search takes the best ensemble that answers for one row in time, and says what that costs."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.automl.budget import Budget
from goldpath.automl.engine import find_model
from goldpath.automl.learners.scikit import ForestModel
from goldpath.automl.preparation import TablePreparation
from goldpath.automl.result import AutoMLResult
from goldpath.errors import ProjectError

FAMILIES = ("extra_trees", "linear", "neighbours", "lightgbm")


def table() -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(300, 12)), columns=[f"x{k}" for k in range(12)])
    frame["kind"] = random.choice(["a", "b", "c"], 300)
    target = 2 * frame["x0"] + np.sin(3 * frame["x1"]) + (frame["kind"] == "a")
    return frame, np.asarray(target + 0.5 * random.normal(size=300))


def search(limit: float | None) -> AutoMLResult:
    return find_model(*table(), "regression", Budget(trials=6), families=FAMILIES, latency_ms=limit)


def models(result: AutoMLResult) -> int:
    return sum(len(member.models) for member in result.model.members)


@pytest.fixture(scope="module")
def whole() -> AutoMLResult:
    return search(None)


def test_without_a_limit_the_best_ensemble_is_taken(whole: AutoMLResult) -> None:
    chosen = [option for option in whole.options if option.is_chosen]
    assert [option.models for option in chosen] == [models(whole)]
    assert chosen[0].score == whole.score == min(option.score for option in whole.options)
    assert chosen[0].milliseconds == pytest.approx(whole.latency_ms)
    assert not [finding for finding in whole.findings if finding.about == "latency"]


def test_the_options_tell_the_front_of_score_and_latency(whole: AutoMLResult) -> None:
    front = [option for option in whole.options if option.is_best]
    assert len(front) > 1
    by_time = sorted(front, key=lambda option: option.milliseconds)
    scores = [option.score for option in by_time]
    assert scores == sorted(scores, reverse=True)
    compiled = [option for option in whole.options if option.can_be_compiled]
    assert compiled
    assert all(set(one.families) <= {"extra_trees", "lightgbm"} for one in compiled)


def test_within_a_limit_a_smaller_ensemble_is_taken_and_its_price_is_said(
    whole: AutoMLResult,
) -> None:
    # Half way between the quickest and the whole one, on whatever machine this is.
    quickest = min(option.milliseconds for option in whole.options)
    limit = (quickest + whole.latency_ms) / 2

    result = search(limit)

    assert models(result) < models(whole)
    assert result.score < 0.9 * result.baseline_score
    said = [finding for finding in result.findings if finding.about == "latency"]
    assert len(said) == 1
    assert f"the limit is {limit:g}" in said[0].evidence
    assert sum(entry.weight for entry in result.leaderboard) == pytest.approx(1)


def test_a_limit_that_nothing_keeps_gives_the_quickest_and_says_so() -> None:
    result = search(1e-6)

    assert models(result) == min(option.models for option in result.options)
    assert "the quickest ensemble takes" in result.findings[-1].evidence


def test_a_limit_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ProjectError, match="latency_ms is -1"):
        search(-1)


@pytest.mark.parametrize("classes", [0, 2, 4])
def test_a_forest_answers_as_scikit_learn_has_it(classes: int) -> None:
    frame, target = table()
    labels: Any = np.digitize(target, np.quantile(target, np.linspace(0, 1, classes + 1)[1:-1]))
    result = find_model(
        frame,
        labels if classes else target,
        "classification" if classes else "regression",
        Budget(trials=1),
        families=["random_forest"],
    )
    member = result.model.members[0]
    learner, preparation = member.models[0], result.model.preparations[member.preparations[0]]
    assert isinstance(learner, ForestModel)
    assert isinstance(preparation, TablePreparation)
    encoded = preparation.transform(frame)
    expected = learner.model.predict_proba(encoded) if classes else learner.model.predict(encoded)
    assert np.array_equal(learner.predict(encoded), expected)
