"""Quality without labels: right where rows shift, blind where labels or errors do."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from goldpath.drift.estimates.confidence import (
    Estimate,
    Tallies,
    estimate_area,
    rounded_probabilities,
    tally,
)
from goldpath.drift.window_verdict import Shift, WindowVerdict
from goldpath.jobs.drift.estimated_quality import LOSS, QualityEstimator
from goldpath.jobs.drift.history import (
    HistoryKey,
    JudgedWindow,
    history_file,
    judged_window,
    read_history,
    stored_history,
)
from goldpath.learning.metrics import area_under_roc
from goldpath.serving.metrics.reports import ReportCollector, write_textfile

from ..api.examples import contract_of

WINDOWS, ROWS = 200, 1000


def probabilities_of(random: np.random.Generator, shift: float, rows: int = ROWS) -> np.ndarray:
    """What a calibrated model says about rows whose columns have moved."""
    columns = random.normal(shift * np.array([1.0, -0.4]), 1.0, (rows, 2))
    return np.asarray(1 / (1 + np.exp(-(columns @ np.array([1.2, 0.7]) - 1))))


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_the_interval_holds_the_area_that_labels_give(shift: float) -> None:
    random = np.random.default_rng(3)
    held, errors = 0, []
    for _ in range(WINDOWS):
        probabilities = probabilities_of(random, shift)
        positive = random.random(ROWS) < probabilities
        estimate = estimate_area(tally(probabilities))
        assert estimate is not None
        area = area_under_roc(positive, probabilities)
        held += estimate.interval[0] <= area <= estimate.interval[1]
        errors.append(estimate.value - area)

    assert 0.9 <= held / WINDOWS < 1, "neither too narrow nor so wide that it says nothing"
    assert abs(np.mean(errors)) < 0.004, "no bias"


def test_a_shift_that_costs_quality_is_seen() -> None:
    random = np.random.default_rng(4)
    before = estimate_area(tally(probabilities_of(random, 0.0, 20_000)))
    narrow = random.normal(0.0, 0.3, (20_000, 2))  # customers who are all alike
    after = estimate_area(tally(1 / (1 + np.exp(-(narrow @ np.array([1.2, 0.7]) - 1)))))

    assert before is not None
    assert after is not None
    assert after.interval[1] < before.interval[0]


def test_flipped_labels_are_not_seen() -> None:
    """Concept drift: the documented blindness."""
    random = np.random.default_rng(5)
    probabilities = probabilities_of(random, 0.0)
    positive = random.random(ROWS) >= probabilities

    estimate = estimate_area(tally(probabilities))

    assert estimate is not None
    assert area_under_roc(positive, probabilities) < 0.3
    assert estimate.interval[0] > 0.7


def test_it_is_the_expected_area_of_all_labels() -> None:
    probabilities = np.array([0.1, 0.4, 0.4, 0.9])
    areas, chances = [], []
    for number in range(16):
        positive = np.array([bool(number >> place & 1) for place in range(4)])
        wins = sum(
            float(a > b) + 0.5 * float(a == b)
            for a in probabilities[positive]
            for b in probabilities[~positive]
        )
        areas.append(wins)
        chances.append(float(np.prod(np.where(positive, probabilities, 1 - probabilities))))
    pairs = [bin(number).count("1") * (4 - bin(number).count("1")) for number in range(16)]

    estimate = estimate_area(tally(probabilities))

    assert estimate is not None
    assert estimate.value == pytest.approx(np.dot(areas, chances) / np.dot(pairs, chances))


def test_one_class_alone_has_no_area() -> None:
    assert estimate_area(tally(np.full(500, 0.0))) is None


def predicted(random: np.random.Generator, shift: float) -> pa.Table:
    return pa.table({"prediction": probabilities_of(random, shift)})


def known(estimator: QualityEstimator, rows: pa.Table, scores: np.ndarray) -> Tallies:
    signals = estimator.signals(rows, scores)
    return {name: tally(values) for name, values in signals.items()}


def test_the_calibration_error_decides_and_is_said() -> None:
    random = np.random.default_rng(6)
    reference, rows = predicted(random, 0.0), predicted(random, 1.0)
    scores = rows["prediction"].to_numpy()
    contract = contract_of("binary")

    good, bad, unknown = (
        QualityEstimator(contract, tested, reference, 0.05, ["prediction"])
        for tested in (
            {"test_calibration_error": 0.02}, {"test_calibration_error": 0.08}, {}
        )
    )  # fmt: skip

    found = good.report(known(good, rows, scores))
    assert found.value is not None
    assert found.reference is not None
    assert found.difference == found.value - found.reference
    assert "calibration error 0.0200 on the test rows, at most 0.05" in found.message
    assert "no concept drift" in found.message
    refused = bad.report(known(bad, rows, scores))
    assert refused.value is None
    assert "calibration error 0.0800 on the test rows, at most 0.05" in refused.message
    assert unknown.report({}).message.endswith("the version's run has no test_calibration_error")


def test_counted_scores_are_rounded_and_change_no_figure() -> None:
    probabilities = probabilities_of(np.random.default_rng(7), 0.0, 50_000) ** 3  # rare positives
    exact = estimate_area(tally(probabilities))
    counted = tally(rounded_probabilities(np.r_[probabilities, np.nan, 1.5]))
    found = estimate_area(counted)

    assert counted.rows == len(probabilities)
    assert len(counted.values) < len(probabilities) / 2
    assert exact is not None
    assert found is not None
    assert found.value == pytest.approx(exact.value, abs=2e-5)
    assert found.interval == pytest.approx(exact.interval, abs=2e-5)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_the_interval_holds_the_accuracy_of_three_classes(shift: float) -> None:
    random = np.random.default_rng(8)
    contract = contract_of("multiclass")
    tested = {"test_calibration_error": 0.01, "test_accuracy": 0.7}
    rows = pa.table({"prediction": ["a"]})
    estimator = QualityEstimator(contract, tested, rows, 0.05, ["prediction"])
    held, errors = 0, []
    for _ in range(WINDOWS):
        logits = random.normal(shift * np.array([1.0, 0.0, -0.5]), 1.5, (ROWS, 3))
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        truth = (chances.cumsum(axis=1) > random.random((ROWS, 1))).argmax(axis=1)
        accuracy = float(np.mean(truth == chances.argmax(axis=1)))
        estimate = estimator.estimate(known(estimator, rows, chances.max(axis=1)))
        assert estimate is not None
        held += estimate.interval[0] <= accuracy <= estimate.interval[1]
        errors.append(estimate.value - accuracy)

    assert 0.9 <= held / WINDOWS < 1
    assert abs(np.mean(errors)) < 0.004
    report = estimator.report(known(estimator, rows, chances.max(axis=1)))
    assert (report.metric, report.reference) == ("accuracy", 0.7)
    assert "0.7000 in its test" in report.message


def numbers_of(random: np.random.Generator, shift: float, rows: int) -> tuple[pa.Table, np.ndarray]:
    """Rows with predictions, and how far these are off: in some rows much farther."""
    size = random.normal(shift, 1.0, rows)
    plan = random.choice(["a", "b"], rows, p=[0.7, 0.3])
    spread = np.exp(0.4 * np.clip(size, -2.5, 2.5)) * np.where(plan == "b", 2.0, 1.0)
    other = np.where(random.random(rows) < 0.05, np.nan, random.normal(size=rows))
    table = pa.table({"size": size, "plan": plan, "other": other, "prediction": 3 * size})
    return table, np.abs(random.normal(0, spread))


def errors_of(seed: int) -> QualityEstimator:
    reference, losses = numbers_of(np.random.default_rng(seed), 0.0, 8000)
    rows = reference.append_column(LOSS, pa.array(losses))
    return QualityEstimator(contract_of("regression"), {}, rows, 0.05, reference.column_names)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_the_interval_holds_the_mean_error_that_targets_give(shift: float) -> None:
    random = np.random.default_rng(9)
    held, misses, windows = 0, [], 100
    for reference in range(2):
        estimator = errors_of(reference)
        for _ in range(windows // 2):
            rows, losses = numbers_of(random, shift, ROWS)
            estimate = estimator.estimate(known(estimator, rows, np.empty(0)))
            assert estimate is not None
            held += estimate.interval[0] <= losses.mean() <= estimate.interval[1]
            misses.append(estimate.value / losses.mean() - 1)

    assert held / windows >= 0.9
    assert abs(np.mean(misses)) < 0.03


def test_larger_errors_are_expected_of_rows_that_have_them_and_flipped_targets_are_not_seen() -> (
    None
):
    estimator = errors_of(0)
    report = estimator.report(
        known(estimator, numbers_of(np.random.default_rng(10), 1.0, 5000)[0], np.empty(0))
    )

    assert (report.metric, report.interval is None) == ("mae", False)
    assert report.difference is not None
    assert report.difference > 0.3
    assert report.explained is not None
    assert 0.1 < report.explained < 0.6
    assert "mae" in report.message
    assert "the same rows have the same errors as before (no concept drift)" in report.message


def test_windows_that_are_added_up_expect_what_all_rows_expect() -> None:
    estimator = errors_of(0)
    rows, _ = numbers_of(np.random.default_rng(11), 0.3, 4000)
    whole = known(estimator, rows, np.empty(0))
    first, rest = (
        known(estimator, part, np.empty(0)) for part in (rows.slice(0, 900), rows.slice(900))
    )
    added = {name: first[name] + rest[name] for name in whole}

    assert estimator.estimate(added) == estimator.estimate(whole)


def test_a_reference_without_errors_or_with_few_has_no_estimate_and_it_is_said() -> None:
    rows, losses = numbers_of(np.random.default_rng(12), 0.0, 150)
    older, few = (
        QualityEstimator(contract_of("regression"), {}, table, 0.05, rows.column_names)
        for table in (rows, rows.append_column(LOSS, pa.array(losses)))
    )

    assert older.signals(rows, np.empty(0)) == few.signals(rows, np.empty(0)) == {}
    assert "an older goldpath trained it" in older.report({}).message
    assert "errors are learned from 200 rows of the reference; it has 150" in few.report({}).message


def test_a_history_keeps_distances_and_estimates(tmp_path: Path) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    verdict = WindowVerdict(
        start=start, state="ok", rows=900, reference_rows=5000, calibration="iid", windows=0,
        p_value=0.5, detectable=0.1, shifts=(), untested=(), message="no drift", sensitivity="",
    )  # fmt: skip
    estimate = Estimate(0.81, (0.78, 0.84))
    window = JudgedWindow(verdict, True, {"age": (0.02, 0.1)}, estimate)
    key = HistoryKey("3", "digest", "1d")
    file = history_file(tmp_path, "service")
    file.parent.mkdir()
    entries = stored_history([window])
    file.write_text(json.dumps({"key": vars(key), "history": entries}))

    assert read_history(tmp_path, "service", key) == [window]
    del entries[0]["distances"], entries[0]["estimate"]  # as an older goldpath wrote it
    file.write_text(json.dumps({"key": vars(key), "history": entries}))
    assert read_history(tmp_path, "service", key) == [replace(window, distances={}, estimate=None)]


def test_a_columns_distance_is_that_of_its_most_telling_test() -> None:
    shifts = [
        Shift(
            column="age", test=test, effect=effect, limit=limit, p_value=1, own_p_value=1,
            detectable=0.1, drifted=False, change="",
        )
        for test, effect, limit in (("missing", 0.04, 0.05), ("value", 0.05, 0.1))
    ]  # fmt: skip
    for ordered in (shifts, shifts[::-1]):
        verdict = WindowVerdict(
            start=None, state="ok", rows=900, reference_rows=5000, calibration="iid", windows=0,
            p_value=0.5, detectable=0.1, shifts=tuple(ordered), untested=(), message="",
            sensitivity="",
        )  # fmt: skip

        assert judged_window(verdict, is_final=True).distances == {"age": (0.04, 0.05)}


def test_the_figures_of_a_further_model_have_a_file_of_their_own(tmp_path: Path) -> None:
    for folder, model, value in ((tmp_path, "", 0.8), (tmp_path / "revenue", "revenue", 0.5)):
        (folder / "drift").mkdir(parents=True)
        (folder / "training.json").write_text(json.dumps({"metric": "r2", "value": value}))
        write_textfile(folder, model)

    written = {file.name: file.read_text() for file in (tmp_path / "prometheus").glob("*.prom")}
    assert set(written) == {"goldpath.prom", "goldpath-revenue.prom"}
    assert '{metric="r2"} 0.8' in written["goldpath.prom"]
    assert '{metric="r2",model="revenue"} 0.5' in written["goldpath-revenue.prom"]


def test_prometheus_sees_the_estimate(tmp_path: Path) -> None:
    (tmp_path / "drift").mkdir()
    estimate = {"metric": "roc_auc", "value": 0.81, "reference": 0.84}
    (tmp_path / "drift" / "batch.json").write_text(json.dumps({"estimate": estimate}))

    found = [sample for family in ReportCollector(tmp_path).collect() for sample in family.samples]

    assert {(sample.name, sample.value) for sample in found} == {
        ("ml_drift_estimated_quality", 0.81),
        ("ml_drift_estimated_quality_reference", 0.84),
    }
    assert {tuple(sample.labels.values()) for sample in found} == {("batch", "roc_auc")}
