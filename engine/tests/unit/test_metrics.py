"""The metrics agree with scikit-learn's, and their intervals cover the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score, roc_auc_score

from goldpath.contract import Contract
from goldpath.learning import metrics
from goldpath.learning.metrics import (
    area_under_roc,
    bootstrap_difference,
    bootstrap_score,
    metric_value,
    other_scores,
)
from goldpath.learning.scoring import Predictions


def contract(problem: str, classes: tuple[str, ...] = ()) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "d",
            "problem": problem,
            "source": {"path": "d.csv"},
            "target": {"column": "y", "classes": classes},
            "features": [{"name": "x", "type": "number"}],
        }
    )


BINARY = contract("classification", ("no", "yes"))


def binary(scores: np.ndarray) -> Predictions:
    probabilities = np.column_stack([1 - scores, scores])
    return Predictions(["no"] * len(scores), probabilities, list(scores))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60))
def test_area_under_roc_is_scikit_learns_also_with_ties(rows: list[tuple[bool, int]]) -> None:
    positive, scores = np.array([p for p, _ in rows]), np.array([float(s) for _, s in rows])
    found = area_under_roc(positive, scores)
    if positive.all() or not positive.any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(positive, scores))


def test_r2_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=50)
    values = truth + random.normal(size=50)
    predictions = Predictions(list(values), None, list(values))
    found = metric_value(contract("regression"), truth, predictions)
    assert found == pytest.approx(r2_score(truth, values))


def test_metric_of_several_classes_is_the_mean_of_one_against_the_rest() -> None:
    random = np.random.default_rng(0)
    labels = ("a", "b", "c")
    truth = random.choice(labels, 90)
    probabilities = random.dirichlet([1, 1, 1], 90)
    predictions = Predictions(["a"] * 90, probabilities, list(probabilities[:, 0]))
    found = metric_value(contract("classification", labels), truth, predictions)
    assert found == pytest.approx(roc_auc_score(truth, probabilities, multi_class="ovr"))


def test_interval_holds_the_value_and_shrinks_with_rows() -> None:
    random = np.random.default_rng(0)

    def width(rows: int) -> float:
        positive = random.random(rows) < 0.4
        scores = np.clip(random.normal(0.4 + 0.2 * positive, 0.2), 0, 1)
        truth = np.where(positive, "yes", "no")
        score = bootstrap_score(BINARY, truth, binary(scores), 200, 1)
        assert score.interval[0] <= score.value <= score.interval[1]
        return score.interval[1] - score.interval[0]

    assert width(4000) < width(200) / 2


@pytest.mark.parametrize("share", [0.5, 0.02])
def test_resamples_of_fewer_rows_give_the_interval_of_all(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "RESAMPLED_ROWS", 2000)
    monkeypatch.setattr(metrics, "RESAMPLED_OF_A_CLASS", 60)
    random = np.random.default_rng(3)
    positive = random.random(6000) < share
    truth = np.where(positive, "yes", "no")
    scores = binary(np.clip(random.normal(0.4 + 0.2 * positive, 0.2), 0, 1))
    fewer = bootstrap_score(BINARY, truth, scores, 300, 1)
    others = other_scores(BINARY, truth, scores, 300, 1)["pr_auc"]
    monkeypatch.setattr(metrics, "RESAMPLED_ROWS", 6000)
    whole = bootstrap_score(BINARY, truth, scores, 300, 1)
    whole_others = other_scores(BINARY, truth, scores, 300, 1)["pr_auc"]
    for one, other in ((fewer, whole), (others, whole_others)):
        assert one.value == other.value
        assert one.interval != other.interval
        width = other.interval[1] - other.interval[0]
        assert one.interval == pytest.approx(other.interval, abs=width / 4)


def test_difference_of_a_model_with_itself_is_zero() -> None:
    random = np.random.default_rng(0)
    truth = np.where(random.random(200) < 0.5, "yes", "no")
    predictions = binary(random.random(200))
    difference, interval = bootstrap_difference(BINARY, truth, predictions, predictions, 100, 1)
    assert difference == 0
    assert interval == (0, 0)
