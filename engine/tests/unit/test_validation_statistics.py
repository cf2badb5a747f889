"""The statistics behind the checks: exact where they can be, and rarely wrong where nothing is."""

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import Contract
from goldpath.judging.champion import check_champion, delong_areas, delong_difference, midranks
from goldpath.judging.data_checks import check_drift, stability_index
from goldpath.judging.evidence import Evidence
from goldpath.judging.fairness import check_fairness, rate_interval
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.learning.metrics import area_under_roc
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.settings import TrainingSettings, ValidationSettings

TRAINING = TrainingSettings(bootstrap_samples=200)
DEFAULTS = ValidationSettings()


def contract(problem: str = "classification", classes: tuple[str, ...] = ("no", "yes")) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "d",
            "problem": problem,
            "source": {"path": "x"},
            "target": {"column": "y", "classes": classes},
            "features": [
                {"name": "x", "type": "number"},
                {"name": "g", "type": "category", "nullable": True},
            ],
            "fairness_groups": ["g"],
        }
    )


BINARY = contract()
NUMERIC = contract("regression", ())


def labels(positive: np.ndarray) -> np.ndarray:
    return np.where(positive, "yes", "no").astype(object)


def classified(scores: np.ndarray) -> Predictions:
    share = 1 / (1 + np.exp(-scores))
    return Predictions(
        list(np.where(share > 0.5, "yes", "no")), np.stack([1 - share, share], 1), list(share)
    )


def draw(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A signal, and a target that follows it; about a quarter is positive."""
    signal = random.normal(size=rows)
    return signal, random.random(rows) < 1 / (1 + np.exp(1.2 - 1.5 * signal))


def brute_force(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong, DeLong & Clarke-Pearson 1988, word by word."""
    wins = [
        (row[positive][:, None] > row[~positive][None, :])
        + 0.5 * (row[positive][:, None] == row[~positive][None, :])
        for row in scores
    ]
    by_positive = np.array([pairs.mean(axis=1) for pairs in wins])
    by_negative = np.array([pairs.mean(axis=0) for pairs in wins])
    covariance = np.cov(by_positive) / positive.sum() + np.cov(by_negative) / (~positive).sum()
    return np.array([pairs.mean() for pairs in wins]), covariance


@pytest.mark.parametrize("seed", range(5))
def test_fast_delong_equals_the_definition_with_ties_too(seed: int) -> None:
    random = np.random.default_rng(seed)
    signal, positive = draw(random, 120)
    scores = np.round(np.stack([signal, signal + random.normal(size=120)]), 1)
    areas, covariance = delong_areas(positive, scores)
    expected_areas, expected_covariance = brute_force(positive, scores)
    np.testing.assert_allclose(areas, expected_areas)
    np.testing.assert_allclose(covariance, expected_covariance)
    assert areas[0] == pytest.approx(area_under_roc(positive, scores[0]))


def test_equal_values_share_their_mean_rank() -> None:
    assert midranks(np.array([10.0, 30.0, 10.0, 20.0])).tolist() == [1.5, 4.0, 1.5, 3.0]


def test_same_scores_have_no_difference_and_no_doubt() -> None:
    signal, positive = draw(np.random.default_rng(0), 300)
    assert delong_difference(positive, signal, signal) == (0.0, (0.0, 0.0))


def test_delong_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    random, inside, repetitions = np.random.default_rng(1), 0, 400
    for _ in range(repetitions):
        signal, positive = draw(random, 400)
        pair = (signal + 0.5 * random.normal(size=400) for _ in range(2))
        _, (low, high) = delong_difference(positive, *pair)
        inside += low <= 0 <= high
    assert 0.92 < inside / repetitions < 0.98


@pytest.mark.parametrize("rows", [200, 1000])
def test_an_equally_good_candidate_is_rarely_refused(rows: int) -> None:
    """The score alone, as it was judged before, refuses a third of them on 200 rows."""
    random, refused, lower, repetitions = np.random.default_rng(2), 0, 0, 300
    for _ in range(repetitions):
        signal, positive = draw(random, rows)
        ours, theirs = (classified(signal + 0.3 * random.normal(size=rows)) for _ in range(2))
        result = check_champion(BINARY, labels(positive), ours, theirs, TRAINING, DEFAULTS)
        refused += result.status is ValidationStatus.FAILED
        lower += result.score is not None and result.score < -TRAINING.champion_tolerance
    assert refused / repetitions < 0.05
    assert lower / repetitions > 0.15


def test_an_equally_good_regression_is_rarely_refused() -> None:
    random, refused, repetitions = np.random.default_rng(3), 0, 120
    for _ in range(repetitions):
        signal = random.normal(size=300)
        truth = signal + 0.5 * random.normal(size=300)
        ours, theirs = (list(signal + 0.15 * random.normal(size=300)) for _ in range(2))
        result = check_champion(
            NUMERIC,
            truth,
            Predictions(ours, None, ours),
            Predictions(theirs, None, theirs),
            TRAINING,
            DEFAULTS,
        )
        refused += result.status is ValidationStatus.FAILED
    assert refused / repetitions < 0.06


def test_worse_candidate_is_refused_clearly_on_few_rows_and_slightly_on_many() -> None:
    random = np.random.default_rng(4)
    for rows, noise in ((200, 3.0), (20_000, 0.6)):
        signal, positive = draw(random, rows)
        worse = classified(signal + noise * random.normal(size=rows))
        result = check_champion(
            BINARY, labels(positive), worse, classified(signal), TRAINING, DEFAULTS
        )
        assert result.status is ValidationStatus.FAILED
        assert "DeLong" in result.message


def test_doubt_speaks_for_the_champion_where_the_settings_say_so() -> None:
    random = np.random.default_rng(5)
    signal, positive = draw(random, 200)
    ours, theirs = (classified(signal + 0.3 * random.normal(size=200)) for _ in range(2))
    strict = ValidationSettings(champion_rule="proven_not_worse")
    by_default = check_champion(BINARY, labels(positive), ours, theirs, TRAINING, DEFAULTS)
    proven = check_champion(BINARY, labels(positive), ours, theirs, TRAINING, strict)
    assert by_default.status is not ValidationStatus.FAILED
    assert proven.status is ValidationStatus.FAILED


def test_too_few_rows_of_a_class_are_no_comparison() -> None:
    positive = np.arange(300) < 9
    scores = classified(np.random.default_rng(0).normal(size=300))
    result = check_champion(BINARY, labels(positive), scores, scores, TRAINING, DEFAULTS)
    assert result.status is ValidationStatus.NOT_ENOUGH_DATA
    assert "9 test rows of the rarer class, 10 needed" in result.message
    assert not result.passed


def fairness_of(
    positive: np.ndarray, scores: np.ndarray, groups: np.ndarray, **limits: float
) -> ValidationResult:
    rows = pd.DataFrame({"x": scores, "g": groups})
    result = check_fairness(
        Evidence(
            LoadedModel(None, BINARY),
            rows,
            labels(positive),
            classified(scores),
            validation=ValidationSettings.model_validate(limits),
        )
    )
    assert result is not None
    return result


def test_groups_that_are_treated_alike_rarely_raise_an_alarm() -> None:
    """With the smallest limit there is, so that only chance could fail the model."""
    random, failed, repetitions = np.random.default_rng(6), 0, 40
    for _ in range(repetitions):
        signal, positive = draw(random, 1500)
        groups = random.choice(list("abc"), 1500, p=[0.5, 0.3, 0.2])
        result = fairness_of(positive, 1.5 * signal - 0.8, groups, group_difference=1e-6)
        failed += result.status is ValidationStatus.FAILED
    assert failed / repetitions < 0.05


def test_group_that_is_never_called_positive_fails_the_model_and_is_named() -> None:
    signal, positive = draw(np.random.default_rng(7), 3000)
    groups = np.where(np.arange(3000) % 3 == 0, "north", "south")
    scores = np.where(groups == "north", -5.0, 2 * signal)
    result = fairness_of(positive, scores, groups)
    assert result.status is ValidationStatus.FAILED
    assert "true positive rate of south" in result.message
    assert "above north" in result.message


def test_groups_too_small_to_judge_are_not_enough_data_and_keep_the_model_back() -> None:
    signal, positive = draw(np.random.default_rng(8), 300)
    groups = np.where(np.arange(300) < 20, "few", "many")
    result = fairness_of(positive, signal, groups)
    assert result.status is ValidationStatus.NOT_ENOUGH_DATA
    assert "30 rows" in result.message
    assert not result.passed


def test_wilson_interval_of_a_rate_is_the_published_one() -> None:
    # Newcombe 1998, table I: 81 of 263.
    low, high = rate_interval(81, 263, 1.959964)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_numeric_groups_are_quarters() -> None:
    ages = contract().model_copy(update={"fairness_groups": ("x",)})
    signal, positive = draw(np.random.default_rng(9), 2000)
    rows = pd.DataFrame({"x": np.arange(2000.0), "g": "a"})
    result = check_fairness(
        Evidence(LoadedModel(None, ages), rows, labels(positive), classified(signal))
    )
    assert result is not None
    groups = [name for name in result.details if "largest" not in name]
    assert len(groups) == 4
    assert all(result.details[name]["rows"] == 500 for name in groups)


def drift_frame(random: np.random.Generator, rows: int) -> pd.DataFrame:
    frame: dict[str, np.ndarray] = {}
    for number in range(6):
        values = random.lognormal(0, 1 + 0.1 * number, size=rows)
        values[random.random(rows) < 0.1] = np.nan
        frame[f"x{number}"] = values
        shares = 1 / np.arange(1, 4 + 3 * number)
        names = [f"k{i}" for i in range(len(shares))]
        frame[f"c{number}"] = random.choice(names, rows, p=shares / shares.sum())
    return pd.DataFrame(frame)


def drift_evidence(reference: pd.DataFrame, current: pd.DataFrame, rule: str = "warn") -> Evidence:
    features = [
        {"name": n, "type": "number" if n[0] == "x" else "category", "nullable": True}
        for n in reference.columns
    ]
    values = {**NUMERIC.model_dump(), "features": features, "fairness_groups": ()}
    nothing = np.zeros(len(current))
    return Evidence(
        LoadedModel(None, Contract.model_validate(values)),
        current,
        nothing,
        Predictions(nothing.tolist(), None, nothing.tolist()),
        validation=ValidationSettings.model_validate({"on_drift": rule}),
        reference=reference,
    )


def test_rows_of_the_same_kind_rarely_count_as_drift() -> None:
    random, alarms, repetitions = np.random.default_rng(10), 0, 60
    for _ in range(repetitions):
        result = check_drift(drift_evidence(drift_frame(random, 600), drift_frame(random, 200)))
        assert result is not None
        alarms += result.status is not ValidationStatus.PASSED
    assert alarms / repetitions < 0.05


@pytest.mark.parametrize(
    ("rule", "status"),
    [("warn", ValidationStatus.WARNING), ("refuse", ValidationStatus.FAILED), ("ignore", None)],
)
def test_drift_warns_refuses_or_is_not_looked_at(
    rule: str, status: ValidationStatus | None
) -> None:
    random = np.random.default_rng(11)
    current = drift_frame(random, 500)
    current["x2"] *= 4
    result = check_drift(drift_evidence(drift_frame(random, 2000), current, rule))
    assert (None if result is None else result.status) == status
    if result is not None:
        assert "x2" in result.message
        assert float(result.details["x2"]["PSI"]) > 0.25


def test_few_rows_are_no_ground_for_a_drift_verdict() -> None:
    random = np.random.default_rng(12)
    result = check_drift(drift_evidence(drift_frame(random, 600), drift_frame(random, 50)))
    assert result is not None
    assert result.status is ValidationStatus.NOT_ENOUGH_DATA
    assert "200" in result.message


def test_stability_index_is_the_textbooks_on_shares_that_are_known() -> None:
    before = pd.Series(["a"] * 50_000 + ["b"] * 50_000)
    after = pd.Series(["a"] * 70_000 + ["b"] * 30_000)
    expected = 0.2 * np.log(0.7 / 0.5) - 0.2 * np.log(0.3 / 0.5)
    index, noise = stability_index(before, after)
    assert index == pytest.approx(expected, abs=1e-4)
    assert noise < 0.001


def test_stability_index_sees_new_categories_and_missing_values_and_stays_finite() -> None:
    before = pd.Series(["a"] * 600 + ["b"] * 400)
    for after in (pd.Series(["new"] * 500), pd.Series([None] * 500, dtype=object)):
        index, noise = stability_index(before, after)
        assert np.isfinite(index)
        assert index > 1 > noise
