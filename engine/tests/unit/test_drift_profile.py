"""What the drift tests measure on one column."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from goldpath.drift.profile import (
    ColumnProfile,
    DriftError,
    ShiftTest,
    compare_frames,
    expected_distance,
    merge_rare,
    share_distance,
)


def compare(reference: object, current: object) -> ColumnProfile:
    (profile,) = compare_frames(pd.DataFrame({"x": reference}), pd.DataFrame({"x": current}))
    return profile


def find(profile: ColumnProfile, name: str) -> ShiftTest:
    return next(test for test in profile.tests if test.name == name)


def zipf(random: np.random.Generator, rows: int, levels: int) -> np.ndarray:
    shares = 1 / np.arange(1, levels + 1)
    names = np.array([f"level {number}" for number in range(levels)], dtype=object)
    return names[random.choice(levels, rows, p=shares / shares.sum())]


def test_effect_of_a_number_is_its_shift_in_standard_deviations_of_the_reference() -> None:
    random = np.random.default_rng(0)
    reference = random.normal(50, 4, 20_000)

    value = find(compare(reference, reference + 2), "value")

    assert value.effect == pytest.approx(2 / reference.std(), rel=1e-6)
    assert value.p_value < 1e-100
    assert value.change == f"mean {reference.mean():.4g} -> {reference.mean() + 2:.4g}"


def test_effect_of_a_category_is_the_jensen_shannon_distance() -> None:
    reference = ["a"] * 600 + ["b"] * 400
    current = ["a"] * 300 + ["b"] * 700

    value = find(compare(reference, current), "value")

    # 0.5 KL(p, m) + 0.5 KL(q, m) with m = (0.45, 0.55), by hand in bits; the distance is its root.
    divergence = 0.5 * (0.6 * np.log2(0.6 / 0.45) + 0.4 * np.log2(0.4 / 0.55))
    divergence += 0.5 * (0.3 * np.log2(0.3 / 0.45) + 0.7 * np.log2(0.7 / 0.55))
    assert value.effect == pytest.approx(np.sqrt(divergence))
    assert value.change in ("'a' 60.0% -> 30.0%", "'b' 40.0% -> 70.0%")


def test_disjoint_categories_are_at_distance_one() -> None:
    assert share_distance(np.array([10.0, 0.0]), np.array([0.0, 99.0])) == pytest.approx(1.0)


@pytest.mark.parametrize("levels", [5, 10, 50])
def test_chi_square_counts_the_noise_of_the_reference_too(levels: int) -> None:
    """One-sample chi-square rejects 35, 51 and 99 % of these columns at 5 %, without any drift."""
    random = np.random.default_rng(levels)
    draws = 200

    rejected = sum(
        find(compare(zipf(random, 1000, levels), zipf(random, 1000, levels)), "value").p_value
        < 0.05
        for _ in range(draws)
    )

    assert rejected <= 20  # 10 are expected; more than 20 come by chance once in a thousand times


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda random, rows: random.normal(size=rows),
    "lognormal": lambda random, rows: random.lognormal(size=rows),
    "uniform": lambda random, rows: random.uniform(size=rows),
    "counts": lambda random, rows: random.poisson(0.6, rows).astype(float),
    "10 levels": lambda random, rows: zipf(random, rows, 10),
    "200 levels": lambda random, rows: zipf(random, rows, 200),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("rows", [200, 1000])
def test_noise_is_rarely_exceeded_without_drift(name: str, rows: int) -> None:
    """The stated level holds for every shape of distribution, not only for the normal one."""
    random = np.random.default_rng(rows)
    draws = 100
    tests = [
        find(compare(DISTRIBUTIONS[name](random, 4000), DISTRIBUTIONS[name](random, rows)), "value")
        for _ in range(draws)
    ]

    assert sum(test.effect > test.noise for test in tests) <= 6
    assert all(test.noise < 0.35 for test in tests)  # and it is no blank cheque


def test_expected_distance_is_the_mean_distance_of_two_samples() -> None:
    random = np.random.default_rng(1)
    pairs = [(random.normal(size=500), random.normal(size=1500)) for _ in range(300)]

    measured = np.mean([stats.wasserstein_distance(*pair) for pair in pairs])
    predicted = expected_distance(np.sort(random.normal(size=20_000))) * np.sqrt(1 / 500 + 1 / 1500)

    assert measured == pytest.approx(predicted, rel=0.06)


def test_rare_categories_are_merged_until_chi_square_holds() -> None:
    table = merge_rare({"a": 900, "b": 90, **{f"r{n}": 1 for n in range(10)}}, {"a": 95, "b": 5})

    expected = table.sum(axis=0) * 100 / 1100
    assert table.sum() == 1100
    assert (expected >= 5).all()


def test_missing_values_are_a_test_of_their_own() -> None:
    values = np.arange(1000.0)
    gaps = np.where(np.arange(1000) % 10 == 0, np.nan, values)

    profile = compare(values, gaps)

    assert find(profile, "missing").p_value < 1e-20
    assert find(profile, "missing").change == "0.0% -> 10.0% missing"
    assert find(profile, "value").p_value > 0.9


def test_unseen_categories_are_named_with_their_share() -> None:
    profile = compare(["a", "b"] * 500, ["a", "b"] * 475 + ["c"] * 50)

    unseen = find(profile, "unseen")
    assert unseen.p_value < 1e-10
    assert unseen.change == "0.0% -> 5.0% in unseen categories ('c')"


def test_new_names_are_expected_of_a_column_that_always_brings_new_names() -> None:
    random = np.random.default_rng(2)
    names = [[f"id {n}" for n in random.integers(0, 50_000, 2000)] for _ in range(2)]

    unseen = find(compare(*names), "unseen")

    assert unseen.p_value > 0.01
    assert unseen.effect < 0.1


def test_column_without_any_value_is_left_out_with_a_reason() -> None:
    profile = compare([None] * 100, [None] * 100)

    assert profile.tests == ()
    assert profile.note == "no value on either side"


def test_column_that_lost_all_its_values_is_tested_for_missing_values_only() -> None:
    profile = compare(np.arange(500.0), [np.nan] * 500)

    assert [test.name for test in profile.tests] == ["missing"]
    assert profile.tests[0].effect == pytest.approx(1.0)


def test_constant_column_is_left_out_with_a_reason() -> None:
    assert compare([3] * 500, [3] * 500).note == "one and the same value on both sides"
    assert compare(["x"] * 500, ["x"] * 500).note == "one and the same value on both sides"


def test_constant_that_changed_is_measured() -> None:
    value = find(compare([3] * 500, [4] * 500), "value")

    assert np.isfinite(value.effect)
    assert value.effect > 1
    assert value.p_value < 1e-50


@pytest.mark.parametrize("scale", [1e-300, 1e200, 1e308])
def test_extreme_numbers_give_finite_figures(scale: float) -> None:
    random = np.random.default_rng(3)
    reference = random.uniform(-1, 1, 500)

    value = find(compare(reference * scale, (reference * 0.1 + 0.9) * scale), "value")

    assert np.isfinite([value.effect, value.noise, value.p_value]).all()
    assert value.effect > 1


def test_infinite_values_count_as_missing() -> None:
    profile = compare(np.arange(500.0), np.where(np.arange(500) < 250, np.inf, np.arange(500.0)))

    assert find(profile, "missing").change == "0.0% -> 50.0% missing"


def test_booleans_are_categories_whichever_frame_brings_them() -> None:
    flags = [True, False, None] * 100

    profiles = compare_frames(pa.table({"x": flags}), pd.DataFrame({"x": flags}, dtype=object))

    assert profiles[0].kind == "category"
    assert [test.p_value for test in profiles[0].tests] == [1.0, 1.0]


def test_absent_column_is_an_error_that_names_it() -> None:
    with pytest.raises(DriftError, match="lack y"):
        compare_frames(pd.DataFrame({"x": [1], "y": [1]}), pd.DataFrame({"x": [1]}))


def test_text_where_numbers_were_is_an_error_that_names_the_column() -> None:
    with pytest.raises(DriftError, match="x was a number"):
        compare(np.arange(100.0), ["many"] * 100)
