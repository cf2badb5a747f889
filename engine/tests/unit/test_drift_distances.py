"""Distances between counts: as large as the rows' own, and with the law that they state."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from goldpath.drift.bins import Floats, choose_bins
from goldpath.drift.counts import Profile, count_rows
from goldpath.drift.distances import (
    Comparer,
    Distances,
    rank_eigenvalues,
    share_divergence,
    tail_law,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]


def zipf(random: np.random.Generator, rows: int, levels: int) -> np.ndarray:
    shares = 1 / np.arange(1, levels + 1)
    names = np.array([f"level {number}" for number in range(levels)], dtype=object)
    return names[random.choice(levels, rows, p=shares / shares.sum())]


COLUMNS: dict[str, Draw] = {
    "normal": lambda random, rows: random.normal(size=rows),
    "lognormal": lambda random, rows: random.lognormal(size=rows),
    "flag as a number": lambda random, rows: (random.random(rows) < 0.1).astype(float),
    "counts": lambda random, rows: random.poisson(0.6, rows).astype(float),
    "2 levels": lambda random, rows: zipf(random, rows, 2),
    "10 levels": lambda random, rows: zipf(random, rows, 10),
    "200 levels": lambda random, rows: zipf(random, rows, 200),
}


def compare(reference: object, current: object) -> dict[str, tuple[float, float]]:
    """Effect and p-value of each test of one column."""
    bins = choose_bins(pa.table({"x": reference}))
    comparer = Comparer(count_rows(bins, pa.table({"x": reference})))
    found = comparer.compare(count_rows(bins, pa.table({"x": current})))
    chances = chance(found)
    return {
        test.test: (float(found.effect[number]), float(chances[number]))
        for number, test in enumerate(comparer.tests)
        if not np.isnan(found.squared[number])
    }


def chance(found: Distances) -> Floats:
    return tail_law(found, np.zeros_like(found.squared)).p_values(found.squared)


@pytest.mark.parametrize("shift", [0.1, 0.5, 2.0])
def test_effect_of_a_normal_column_is_its_shift_in_standard_deviations(shift: float) -> None:
    reference = np.random.default_rng(0).normal(70, 8, 20_000)

    effect, p_value = compare(reference, reference + shift * 8)["value"]

    assert effect == pytest.approx(shift, rel=0.03)
    assert p_value < 1e-6


def test_effect_does_not_depend_on_units_or_on_one_huge_value() -> None:
    random = np.random.default_rng(1)
    reference, current = random.normal(size=5000), random.normal(0.3, size=5000)
    spoiled = np.concatenate([current, [1e12]])

    plain = compare(reference, current)["value"][0]

    assert compare(np.exp(reference), np.exp(current))["value"][0] == pytest.approx(plain)
    assert compare(reference, spoiled)["value"][0] == pytest.approx(plain, abs=0.002)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("rows", [300, 2000])
def test_p_values_hold_without_drift_for_every_kind_of_column(name: str, rows: int) -> None:
    random = np.random.default_rng(rows)
    bins = choose_bins(pa.table({"x": COLUMNS[name](random, 4000)}))

    def profile(size: int) -> Profile:
        return count_rows(bins, pa.table({"x": COLUMNS[name](random, size)}))

    found = [chance(Comparer(profile(4000)).compare(profile(rows)))[0] for _ in range(150)]

    # 7.5 are expected at 5 % and 1.5 at 1 %; more than these come by chance once in a thousand.
    assert sum(p < 0.05 for p in found) <= 17
    assert sum(p < 0.01 for p in found) <= 6


def test_law_of_a_continuous_column_is_that_of_cramer_and_von_mises() -> None:
    found = rank_eigenvalues(np.full(1024, 100))

    assert found[:3] == pytest.approx([1 / (np.pi * j) ** 2 for j in (1, 2, 3)], rel=0.01)
    assert found.sum() == pytest.approx(1 / 6, rel=0.02)


def test_law_of_two_values_is_one_chi_square() -> None:
    found = rank_eigenvalues(np.array([0, 300, 700, 0]))

    assert found[0] == pytest.approx(0.3 * 0.7 / 4)
    assert found[1:].sum() == pytest.approx(0.0, abs=1e-12)


def test_disjoint_categories_are_at_distance_one() -> None:
    assert share_divergence(np.array([10.0, 0.0]), np.array([0.0, 99.0])) == pytest.approx(1.0)


def test_missing_values_are_a_test_of_their_own() -> None:
    values = np.arange(2000.0)

    found = compare(values, np.where(values % 10 == 0, np.nan, values))

    assert found["missing"][1] < 1e-12
    assert found["value"][1] > 0.5


def test_values_beyond_the_reference_and_new_names_are_unseen() -> None:
    values = np.arange(1000.0)

    assert compare(values, np.where(values < 50, -7.0, values))["unseen"][1] < 1e-6
    assert compare(["a", "b"] * 500, ["a", "b"] * 475 + ["c"] * 50)["unseen"][1] < 1e-6
    assert "unseen" not in compare(values, values) or compare(values, values)["unseen"][1] > 0.5


def test_new_names_are_expected_of_a_column_that_always_brings_new_names() -> None:
    random = np.random.default_rng(2)
    names = [[f"id {n}" for n in random.integers(0, 5000, 900)] for _ in range(2)]

    effect, p_value = compare(*names)["unseen"]

    assert effect < 0.1
    assert p_value > 0.001


def test_constant_that_changed_is_unseen() -> None:
    for now in (2.0, 4.0):
        assert compare([3.0] * 500, [now] * 500)["unseen"][0] > 0.9


def test_column_without_values_has_no_distance() -> None:
    assert compare([None] * 300, [None] * 300) == {}
    assert set(compare([1.0, 2.0] * 200, [None] * 300)) == {"missing"}
