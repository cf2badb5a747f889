"""Test rows are the newest, or a stable stratified share; never both train and test."""

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import Contract
from goldpath.errors import NotEnoughDataError
from goldpath.learning.folds import LEAST_KNOWN, make_folds
from goldpath.learning.splitting import rows_to_search, split_rows
from goldpath.settings import SettingsError, TrainingSettings

SETTINGS = TrainingSettings(test_fraction=0.2)


def contract(*, time: bool) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "d",
            "problem": "classification",
            "source": {"path": "d.csv"},
            "entity": "id",
            "event_time": {"column": "at"} if time else None,
            "target": {"column": "y", "classes": ["no", "yes"]},
            "features": [{"name": "x", "type": "number"}],
        }
    )


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    days = random.integers(0, 300, rows)
    return pd.DataFrame(
        {
            "id": [f"c{i}" for i in range(rows)],
            "event_time": pd.Timestamp("2025-01-01") + pd.to_timedelta(days, "D"),
            "x": random.normal(size=rows),
            "y": np.where(random.random(rows) < 0.1, "yes", "no"),
        }
    )


def test_every_test_row_is_newer_than_every_training_row() -> None:
    split = split_rows(frame(500), contract(time=True), SETTINGS)
    assert split.train["event_time"].max() < split.test["event_time"].min()
    assert len(split.train) + len(split.test) == 500
    assert len(split.test) == pytest.approx(100, abs=5)


def test_without_a_time_each_class_gives_the_same_share() -> None:
    split = split_rows(frame(2000), contract(time=False), SETTINGS)
    assert len(split.test) == pytest.approx(400, abs=2)
    share = (split.test["y"] == "yes").mean()
    assert share == pytest.approx((split.train["y"] == "yes").mean(), abs=0.005)
    assert not set(split.train["id"]) & set(split.test["id"])


@pytest.mark.parametrize("time", [True, False])
def test_order_of_the_rows_does_not_matter(time: bool) -> None:
    rows = frame(500)
    first = split_rows(rows, contract(time=time), SETTINGS)
    second = split_rows(rows.sample(frac=1, random_state=1), contract(time=time), SETTINGS)
    pd.testing.assert_frame_equal(first.train, second.train)
    pd.testing.assert_frame_equal(first.test, second.test)


def test_most_test_rows_stay_test_rows_when_rows_arrive() -> None:
    before = split_rows(frame(2000), contract(time=False), SETTINGS)
    after = split_rows(frame(2200), contract(time=False), SETTINGS)
    kept = len(set(before.test["id"]) & set(after.test["id"]))
    assert kept / len(before.test) > 0.85


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="training rows"):
        split_rows(frame(30), contract(time=False), SETTINGS)


def test_training_rows_of_one_class_are_refused() -> None:
    rows = frame(500).sort_values("event_time", ignore_index=True)
    rows["y"] = np.where(rows.index < 420, "no", "yes")
    with pytest.raises(NotEnoughDataError, match="only the class no"):
        split_rows(rows, contract(time=True), SETTINGS)


def test_all_rows_of_an_entity_are_on_one_side_where_entities_repeat() -> None:
    rows = frame(900)
    rows["id"] = [f"c{i % 300}" for i in range(900)]
    split = split_rows(rows, contract(time=False), SETTINGS)
    assert not set(split.train["id"]) & set(split.test["id"])
    assert len(split.test) == pytest.approx(180, abs=6)
    assert split.rule == "by groups: all rows of one id on one side"
    folds = make_folds(split.train, contract(time=False), SETTINGS)
    assert len(folds) == SETTINGS.cv_folds
    for learnt, held_out in folds:
        ids = split.train["id"]
        assert not set(ids.iloc[learnt]) & set(ids.iloc[held_out])


def hours(rows: int) -> pd.DataFrame:
    times = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), "h")
    return pd.DataFrame({"event_time": times, "x": 0.0, "y": np.arange(rows) % 24 * 1.0})


def series(horizon: str) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "d",
            "problem": "regression",
            "source": {"path": "d.csv"},
            "event_time": {"column": "at"},
            "target": {"column": "y"},
            "features": [{"name": "x", "type": "number"}],
            "forecast": {"horizon": horizon, "step": "1h", "season": "7d", "lags": ["7d"]},
        }
    )


def test_folds_of_a_forecast_have_rows_to_learn_from() -> None:
    assert len(make_folds(hours(700), series("48h"), SETTINGS)) == SETTINGS.cv_folds
    folds = make_folds(hours(90), series("48h"), SETTINGS)
    assert 0 < len(folds) < SETTINGS.cv_folds
    assert min(len(learnt) for learnt, _ in folds) >= LEAST_KNOWN
    with pytest.raises(NotEnoughDataError, match="48h leaves 16 training rows") as refusal:
        make_folds(hours(70), series("48h"), SETTINGS)
    assert refusal.value.fix == "take a shorter horizon, or bring more history: make data"


def test_the_setting_outweighs_what_the_data_asks_for() -> None:
    rows = frame(500)
    settings = TrainingSettings(split="stratified")
    split = split_rows(rows, contract(time=True), settings)
    assert split.train["event_time"].max() > split.test["event_time"].min()
    with pytest.raises(SettingsError, match=r"training\.split is 'time'"):
        split_rows(rows, contract(time=False), TrainingSettings(split="time"))


SEARCH = TrainingSettings(search_rows=6000)


def test_a_table_within_the_bound_is_searched_whole() -> None:
    rows = frame(6000)
    assert rows_to_search(rows, contract(time=False), SEARCH) is rows


@pytest.mark.parametrize("time", [True, False])
def test_of_many_rows_so_many_are_searched_each_class_with_its_share(time: bool) -> None:
    rows = frame(18000).sort_values("event_time", ignore_index=True)
    drawn = rows_to_search(rows, contract(time=time), SEARCH)
    assert len(drawn) == pytest.approx(6000, abs=2)
    assert (drawn["y"] == "yes").mean() == pytest.approx((rows["y"] == "yes").mean(), abs=0.002)
    assert drawn.index.is_monotonic_increasing, "folds go by the order of time"
    assert 8500 < drawn.index.to_series().mean() < 9500, "from all times alike"
    again = rows_to_search(rows, contract(time=time), SEARCH)
    pd.testing.assert_frame_equal(drawn, again)


def test_an_entity_is_searched_with_all_its_rows_or_with_none() -> None:
    rows = frame(18000)
    rows["id"] = [f"c{i % 6000}" for i in range(18000)]
    drawn = rows_to_search(rows, contract(time=False), SEARCH)
    assert len(drawn) == pytest.approx(6000, abs=10)
    assert set(drawn["id"].value_counts()) == {3}


@pytest.mark.parametrize(("every", "searched", "rare"), [(20, 10000, 500), (1000, 18000, 18)])
def test_no_class_has_fewer_than_500_rows_in_the_draw_where_it_has_them(
    every: int, searched: int, rare: int
) -> None:
    rows = frame(18000)
    rows["y"] = np.where(np.arange(18000) % every == 0, "yes", "no")
    drawn = rows_to_search(rows, contract(time=False), SEARCH)
    assert len(drawn) == pytest.approx(searched, abs=2)
    assert (drawn["y"] == "yes").sum() == rare
