"""Leaks are found, and what is merely good, rare or unique is not taken for one."""

import time
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from goldpath.adoption.leakage import find_leaks

ROWS = 4_000
RANDOM = np.random.default_rng(3)
NOISE = RANDOM.normal(size=ROWS)
OTHER = RANDOM.normal(size=ROWS)
LABELS = pd.Series(np.where(NOISE + RANDOM.normal(size=ROWS) > 1, "yes", "no"), name="goal")
VALUES = pd.Series(np.exp(NOISE + RANDOM.normal(size=ROWS)), name="goal")


def fresh() -> np.random.Generator:
    """The same numbers whichever test runs first."""
    return np.random.default_rng(4)


def found(
    features: Mapping[str, object], target: pd.Series, problem: str = "classification"
) -> list[tuple[str, ...]]:
    frame = pd.DataFrame(dict(features))
    return [leak.columns for leak in find_leaks(frame, target, problem, 0.995)]  # type: ignore[arg-type]


def test_honest_features_are_no_leaks() -> None:
    features = {"signal": NOISE, "other": OTHER}
    assert found(features, LABELS) == []
    assert found(features, VALUES, "regression") == []


def test_a_copy_of_the_label_is_a_leak_whatever_its_form() -> None:
    yes = LABELS == "yes"
    features = {
        "text": np.where(yes, "left", "stayed"),
        "flag": yes.astype(float),
        "threshold": np.where(yes, 100 + OTHER, OTHER),
        "missing_unless_yes": np.where(yes, OTHER, np.nan),
        "signal": NOISE,
    }
    assert found(features, LABELS) == [
        ("text",),
        ("flag",),
        ("threshold",),
        ("missing_unless_yes",),
    ]


def test_a_label_of_several_classes_is_covered() -> None:
    target = pd.Series(fresh().integers(0, 4, ROWS).astype(str), name="goal")
    code = target.map({"0": "w", "1": "x", "2": "y", "3": "z"})
    assert found({"code": code, "signal": NOISE}, target) == [("code",)]


@pytest.mark.parametrize("form", ["scaled", "logarithm", "rounded"])
def test_a_monotone_copy_of_the_value_is_a_leak(form: str) -> None:
    forms = {"scaled": 3 - 2 * VALUES, "logarithm": np.log(VALUES), "rounded": VALUES.round(2)}
    assert found({"copy": forms[form], "signal": NOISE}, VALUES, "regression") == [("copy",)]


def test_parts_that_add_up_to_the_target_are_named_with_the_formula() -> None:
    random = fresh()
    parts = pd.DataFrame({"first": random.poisson(30, ROWS), "second": random.poisson(200, ROWS)})
    total = (parts["first"] + parts["second"]).rename("total").astype(float)
    frame = parts.astype(float).assign(signal=NOISE, gap=np.where(NOISE > 0, np.nan, 1.0))
    (leak,) = find_leaks(frame, total, "regression", 0.995)
    assert leak.columns == ("first", "second")
    assert "total = first + second" in leak.reason


def test_unique_names_and_many_categories_are_no_leaks() -> None:
    features = {
        "name": [f"n{i}" for i in range(ROWS)],
        "pair": [f"n{i // 2}" for i in range(ROWS)],
        "many": fresh().integers(0, 1_000, ROWS).astype(str),
        "running": np.arange(ROWS, dtype=float),
    }
    assert found(features, LABELS) == []
    assert found(features, VALUES, "regression") == []


def test_a_value_that_names_its_subject_is_no_leak() -> None:
    subjects = np.repeat(np.arange(400), 10)
    random = fresh()
    income = random.normal(size=400)[subjects]
    label = pd.Series(random.choice(["yes", "no"], 400)[subjects], name="goal")
    assert found({"income": income}, label) == []


def test_a_shared_outlier_is_no_leak() -> None:
    values = pd.Series(OTHER, name="goal")
    signal = NOISE.copy()
    values.iloc[7], signal[7] = 1e6, 1e6
    assert found({"signal": signal, "other": fresh().normal(size=ROWS)}, values, "regression") == []


def test_few_rows_prove_nothing() -> None:
    target = pd.Series(["a", "b"] * 10, name="goal")
    assert found({"copy": target.to_numpy()}, target) == []
    rare = pd.Series(["yes"] * 3 + ["no"] * 300, name="goal")
    assert found({"chance": np.arange(303.0)}, rare) == []


def test_rows_without_a_target_are_left_out() -> None:
    target = VALUES.where(NOISE > -1)
    assert found({"copy": VALUES, "other": OTHER}, target, "regression") == [("copy",)]


def test_huge_and_constant_columns_do_no_harm() -> None:
    features = {
        "huge": NOISE * 1e300,
        "constant": np.ones(ROWS),
        "empty": np.full(ROWS, np.nan),
        "absent": [None] * ROWS,
    }
    assert found(features, VALUES, "regression") == []
    assert found(features, LABELS) == []


def test_the_answer_is_fast_and_the_same_each_time() -> None:
    generator = np.random.default_rng(1)
    frame = pd.DataFrame(
        {f"n{i}": generator.normal(size=50_000) for i in range(10)}
        | {f"c{i}": generator.integers(0, 10**i, 50_000).astype(str) for i in range(1, 6)}
    )
    target = frame["n0"].rename("goal") + generator.normal(scale=0.05, size=50_000)
    start = time.process_time()
    first = find_leaks(frame, target, "regression", 0.99)
    assert time.process_time() - start < 4
    assert [leak.columns for leak in first] == [("n0",)]
    assert find_leaks(frame, target, "regression", 0.99) == first


@pytest.mark.parametrize("digits", [0, 1, 2])
def test_a_sum_that_was_rounded_is_a_leak(digits: int) -> None:
    random = np.random.default_rng(8)
    parts = pd.DataFrame({name: random.gamma(2, 30, 800) for name in ("net", "tax", "other")})
    total = (parts["net"] + parts["tax"]).round(digits).rename("total")
    leaks = find_leaks(parts.round(digits), total, "regression", 0.995)
    assert [leak.columns for leak in leaks] == [("net", "tax")]
    assert "net + tax" in leaks[0].reason


def test_a_nearly_linear_target_is_no_rounded_sum() -> None:
    random = np.random.default_rng(9)
    features = pd.DataFrame(
        {"rooms": random.integers(1, 9, 800), "area": random.normal(90, 20, 800)}
    )
    price = (20_000 * features["rooms"] + 1000 * features["area"]).astype(float)
    price = (price + random.normal(0, 1500, 800)).round().rename("price")
    assert find_leaks(features.astype(float), price, "regression", 0.999) == []
