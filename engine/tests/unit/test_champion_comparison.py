"""A candidate beside the champion: DeLong's interval, and what a difference decides."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from goldpath.contract import Contract, parse_contract
from goldpath.judging import champion
from goldpath.judging.champion import (
    FEWEST_OF_A_CLASS,
    check_champion,
    delong_areas,
    delong_difference,
    midranks,
)
from goldpath.judging.validation_report import ValidationStatus
from goldpath.learning.scoring import Predictions

PASSED, FAILED = ValidationStatus.PASSED, ValidationStatus.FAILED
WARNING, TOO_FEW = ValidationStatus.WARNING, ValidationStatus.NOT_ENOUGH_DATA


def contract(target: str) -> Contract:
    return parse_contract(
        f"dataset: small\nsource:\n  path: rows.csv\n{target}\n"
        "features:\n  - {name: a, type: number}\n"
    )


BINARY = contract("problem: classification\ntarget: {column: left, classes: ['no', 'yes']}")
NUMBER = contract("problem: regression\ntarget: {column: amount}")


@pytest.mark.parametrize(
    ("values", "ranks"),
    [
        ([5.0], [1]),
        ([3.0, 1.0, 2.0], [3, 1, 2]),
        ([1.0, 1.0], [1.5, 1.5]),
        ([2.0, 1.0, 2.0, 2.0, 9.0], [3, 1, 3, 3, 5]),
    ],
)
def test_equal_values_share_the_mean_of_their_ranks(
    values: list[float], ranks: list[float]
) -> None:
    assert midranks(np.array(values)).tolist() == ranks


def wins(above: float, below: float) -> float:
    return float(above > below) + 0.5 * float(above == below)


def by_pairs(positive: np.ndarray, scores: np.ndarray) -> tuple[list[float], np.ndarray]:
    """DeLong et al. (1988) as they write it: every positive against every negative."""
    areas, of_positives, of_negatives = [], [], []
    for row in scores:
        above, below = row[positive], row[~positive]
        table = np.array([[wins(x, y) for y in below] for x in above])
        areas.append(float(table.mean()))
        of_positives.append(table.mean(axis=1))
        of_negatives.append(table.mean(axis=0))
    m, n = int(positive.sum()), int((~positive).sum())
    covariance = np.cov(of_positives) / m + np.cov(of_negatives) / n
    return areas, covariance


@pytest.mark.parametrize("seed", range(5))
def test_areas_and_their_covariance_are_those_of_all_pairs(seed: int) -> None:
    dice = np.random.default_rng(seed)
    positive = np.arange(37) % 3 == 0
    scores = dice.normal(size=(2, 37)).round(1) + positive * np.array([[0.8], [0.3]])
    areas, covariance = by_pairs(positive, scores)

    found, found_covariance = delong_areas(positive, scores)

    np.testing.assert_allclose(found, areas)
    np.testing.assert_allclose(found_covariance, covariance)
    one, of_one = delong_areas(positive, scores[:1])
    np.testing.assert_allclose(one, areas[:1])
    np.testing.assert_allclose(of_one, covariance[:1, :1])
    difference, (low, high) = delong_difference(positive, *scores)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert difference == pytest.approx(areas[0] - areas[1])
    assert high - low == pytest.approx(2 * 1.959963984540054 * np.sqrt(variance))
    assert (low + high) / 2 == pytest.approx(difference)


def test_two_equal_models_differ_by_nothing() -> None:
    positive = np.arange(40) % 2 == 0
    scores = np.random.default_rng(0).random(40)
    assert delong_difference(positive, scores, scores) == (0, (0, 0))


def predictions(scores: Any) -> Predictions:
    return Predictions(list(scores), None, list(scores))


def settings(rule: str = "not_proven_worse", tolerance: float = 0.01) -> tuple[Any, Any]:
    training = SimpleNamespace(champion_tolerance=tolerance, bootstrap_samples=200, seed=1)
    return training, SimpleNamespace(champion_rule=rule)


Judge = Callable[..., Any]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """What the check says of a difference and its interval."""

    def decide(
        difference: float, low: float, high: float, rule: str = "a", tolerance: float = 0.01
    ) -> Any:
        monkeypatch.setattr(champion, "delong_difference", lambda *_: (difference, (low, high)))
        truth = np.array(["yes", "no"] * 20)
        training, validation = settings(rule, tolerance)
        same = predictions(np.zeros(40))
        return check_champion(BINARY, truth, same, same, training, validation)

    return decide


@pytest.mark.parametrize(
    ("difference", "low", "high", "status"),
    [
        (0.1, 0.05, 0.15, PASSED),
        (0.0, -0.5, 0.5, PASSED),
        (-0.01, -0.02, -0.001, PASSED),
        (-0.011, -0.02, -0.001, FAILED),
        (-0.011, -0.03, 0.0, WARNING),
        (-0.011, -0.03, 0.01, WARNING),
        (-0.5, -0.6, -0.4, FAILED),
        (0.005, -0.6, -0.4, PASSED),
    ],
)
def test_a_candidate_is_refused_where_it_is_worse_and_surely_so(
    judge: Judge, difference: float, low: float, high: float, status: ValidationStatus
) -> None:
    result = judge(difference, low, high)
    assert result.status is status
    assert (result.score, result.threshold) == (difference, -0.01)
    assert ("which may be chance" in result.message) is (status is WARNING)
    assert "(DeLong)" in result.message


@pytest.mark.parametrize(
    ("difference", "low", "high", "status"),
    [
        (0.1, 0.05, 0.15, PASSED),
        (0.1, -0.01, 0.15, PASSED),
        (0.1, -0.011, 0.15, FAILED),
        (-0.011, -0.01, -0.005, WARNING),
        (-0.5, -0.6, 0.4, FAILED),
    ],
)
def test_a_candidate_must_be_proven_where_the_rule_says_so(
    judge: Judge, difference: float, low: float, high: float, status: ValidationStatus
) -> None:
    assert judge(difference, low, high, "proven_not_worse").status is status


@pytest.mark.parametrize("missing", range(3))
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_difference_that_is_no_number_decides_nothing(
    judge: Judge, missing: int, value: float
) -> None:
    numbers = [0.1, 0.05, 0.15]
    numbers[missing] = value
    result = judge(*numbers)
    assert result.status is TOO_FEW
    assert "not defined on these 40 rows" in result.message


@pytest.mark.parametrize("rarer", ["yes", "no"])
@pytest.mark.parametrize("count", [0, 1, FEWEST_OF_A_CLASS - 1, FEWEST_OF_A_CLASS])
def test_few_rows_of_a_class_decide_nothing(rarer: str, count: int) -> None:
    other = "no" if rarer == "yes" else "yes"
    truth = np.array([rarer] * count + [other] * 50)
    scores = np.random.default_rng(0).random(len(truth))
    result = check_champion(BINARY, truth, predictions(scores), predictions(scores), *settings())
    assert (result.status is TOO_FEW) is (count < 10)
    if count < 10:
        assert result.message.startswith(f"{count} test rows of the rarer class")
    else:
        assert result.status is PASSED


def test_scores_of_the_better_model_count_for_it() -> None:
    truth = np.array(["yes", "no"] * 100)
    good = np.where(truth == "yes", 0.9, 0.1) + np.random.default_rng(0).normal(0, 0.3, 200)
    bad = np.random.default_rng(1).random(200)
    better = check_champion(BINARY, truth, predictions(good), predictions(bad), *settings())
    worse = check_champion(BINARY, truth, predictions(bad), predictions(good), *settings())
    assert (better.status, worse.status) == (PASSED, FAILED)
    assert better.score is not None
    assert worse.score is not None
    assert better.score == pytest.approx(-worse.score)
    assert better.score > 0.2


def test_numbers_are_compared_by_a_paired_bootstrap() -> None:
    dice = np.random.default_rng(0)
    truth = dice.normal(size=200)
    near, far = truth + dice.normal(0, 0.1, 200), truth + dice.normal(0, 1, 200)
    found = [
        check_champion(NUMBER, truth, predictions(first), predictions(second), *settings())
        for first, second in ((near, far), (far, near), (near, near))
    ]
    assert [each.status for each in found] == [PASSED, FAILED, PASSED]
    assert all("(paired bootstrap)" in each.message for each in found)
