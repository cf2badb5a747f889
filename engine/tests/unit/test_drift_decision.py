"""When drift is called, and when it is not."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldpath.drift.decision import DriftDecision, adjust_p_values, decide
from goldpath.drift.profile import compare_frames
from goldpath.settings import MonitoringSettings

SETTINGS = MonitoringSettings()
LEVELS = {"two": 2, "ten": 10, "fifty": 50, "many": 2000}


def draw(random: np.random.Generator, rows: int) -> pd.DataFrame:
    """Ten columns of the kinds that real tables hold."""
    columns: dict[str, np.ndarray] = {
        "normal": random.normal(size=rows),
        "skewed": random.lognormal(size=rows),
        "counts": random.poisson(1.5, rows).astype(float),
        "gaps": np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows)),
        "prediction": random.beta(2, 5, rows),
        "flag": random.random(rows) < 0.3,
    }
    for name, levels in LEVELS.items():
        shares = 1 / np.arange(1, levels + 1)
        drawn = random.choice(levels, rows, p=shares / shares.sum())
        columns[name] = np.array([f"level {number}" for number in drawn], dtype=object)
    return pd.DataFrame(columns)


def judge(reference: pd.DataFrame, current: pd.DataFrame) -> DriftDecision:
    return decide(compare_frames(reference, current), SETTINGS, len(current), len(reference))


@pytest.mark.parametrize(("rows", "draws"), [(200, 100), (1000, 200)])
def test_false_alarms_stay_below_the_stated_rate(rows: int, draws: int) -> None:
    """At most one check in fifty cries wolf, over ten columns that did not change."""
    random = np.random.default_rng(rows)

    alarms = sum(judge(draw(random, 1000), draw(random, rows)).exit_code for _ in range(draws))

    assert alarms <= draws / 50


def test_shift_of_half_a_standard_deviation_is_always_found() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        current = draw(random, 1000)
        current["normal"] += 0.5

        decision = judge(draw(random, 1000), current)

        assert decision.verdict == "drift"
        assert decision.exit_code == 1
        assert [column.name for column in decision.drifted] == ["normal"]


def test_jump_of_the_missing_rate_is_found() -> None:
    random = np.random.default_rng(1)
    current = draw(random, 1000)
    current.loc[random.random(1000) < 0.3, "skewed"] = np.nan

    decision = judge(draw(random, 1000), current)

    assert [(column.name, column.test) for column in decision.drifted] == [("skewed", "missing")]
    assert "missing" in decision.drifted[0].reason


def test_column_that_lost_all_its_values_is_found() -> None:
    random = np.random.default_rng(2)

    decision = judge(draw(random, 1000), draw(random, 1000).assign(ten=None))

    assert [column.name for column in decision.drifted] == ["ten"]


def test_new_category_is_found_and_named() -> None:
    random = np.random.default_rng(3)
    current = draw(random, 1000)
    current.loc[random.random(1000) < 0.05, "fifty"] = "a new one"

    decision = judge(draw(random, 1000), current)

    assert [column.name for column in decision.drifted] == ["fifty"]
    assert "'a new one'" in decision.drifted[0].reason


def test_certain_but_small_shift_is_not_drift_and_says_so() -> None:
    random = np.random.default_rng(4)
    reference = pd.DataFrame({"x": random.normal(size=100_000)})
    current = pd.DataFrame({"x": random.normal(size=100_000) + 0.05})

    decision = judge(reference, current)

    assert decision.verdict == "ok"
    assert decision.columns[0].q_value < 1e-6
    assert decision.columns[0].reason.startswith("certain but small")


def test_few_rows_give_no_verdict() -> None:
    random = np.random.default_rng(5)

    decision = judge(draw(random, 5000), draw(random, 40) + draw(random, 40))

    assert decision.verdict == "insufficient"
    assert decision.exit_code == 3
    assert decision.drifted == ()
    assert "40 rows" in decision.message


def test_few_reference_rows_give_no_verdict() -> None:
    random = np.random.default_rng(6)

    assert judge(draw(random, 40), draw(random, 5000)).verdict == "insufficient"


def test_columns_without_values_do_not_hinder_the_others() -> None:
    random = np.random.default_rng(7)
    empty = {"empty": np.nan, "empty_text": None, "constant": 1}

    decision = judge(draw(random, 1000).assign(**empty), draw(random, 1000).assign(**empty))

    assert decision.verdict == "ok"
    untested = {column.name: column.reason for column in decision.columns if column.test is None}
    assert untested == {
        "empty": "no value on either side",
        "empty_text": "no value on either side",
        "constant": "one and the same value on both sides",
    }


def test_decision_is_strict_json() -> None:
    random = np.random.default_rng(8)
    extremes = {"empty": np.nan, "huge": 1e308, "gone": np.inf}

    decision = judge(
        draw(random, 1000).assign(**extremes),
        draw(random, 1000).assign(empty=np.nan, huge=-1e308, gone=1.0),
    )

    text = json.dumps(asdict(decision), allow_nan=False)
    assert json.loads(text)["verdict"] == "drift"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shift=st.sampled_from([0.0, 0.15, 0.5]))
def test_order_of_the_rows_does_not_matter(seed: int, shift: float) -> None:
    random = np.random.default_rng(seed)
    reference, current = draw(random, 400), draw(random, 300)
    current["normal"] += shift

    decision = judge(reference, current)
    shuffled = judge(reference.iloc[random.permutation(400)], current.iloc[random.permutation(300)])

    assert shuffled.verdict == decision.verdict
    for before, after in zip(decision.columns, shuffled.columns, strict=True):
        assert (after.drifted, after.test) == (before.drifted, before.test)
        assert after.effect == pytest.approx(before.effect, rel=1e-9, abs=1e-12)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_adjusted_p_values_give_the_step_up_rule(p_values: list[float]) -> None:
    adjusted = adjust_p_values(p_values)

    ordered = sorted(p_values)
    for rate in (0.01, 0.2):
        ranks = [rank for rank, p in enumerate(ordered, 1) if p * len(ordered) / rank <= rate]
        limit = ordered[max(ranks) - 1] if ranks else -1.0
        assert [value <= rate for value in adjusted] == [p <= limit for p in p_values]


def test_calibration_is_stated() -> None:
    random = np.random.default_rng(9)

    assert judge(draw(random, 300), draw(random, 300)).calibration == "iid"
