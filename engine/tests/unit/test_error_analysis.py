"""A planted weakness is found, and chance is not."""

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import Contract
from goldpath.judging.error_analysis import analyse_errors
from goldpath.learning.metrics import expected_calibration_error
from goldpath.learning.scoring import LoadedModel, Predictions

CONTRACT = Contract.model_validate(
    {
        "dataset": "d",
        "problem": "regression",
        "source": {"path": "d.csv"},
        "target": {"column": "y"},
        "features": [
            {"name": "x", "type": "number", "nullable": True},
            {"name": "place", "type": "category", "nullable": True},
        ],
    }
)


def rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": np.where(random.random(count) < 0.1, np.nan, random.normal(size=count)),
            "place": random.choice(["north", "south", "east"], count),
            "y": random.normal(size=count),
        }
    )


def predictions(values: np.ndarray) -> Predictions:
    return Predictions(values.tolist(), None, values.tolist())


def test_a_planted_weakness_comes_first() -> None:
    frame = rows(600, 1)
    noise = np.random.default_rng(2).normal(scale=0.1, size=600)
    error = np.where(frame["place"] == "south", 3.0, 0.0) + noise
    found = analyse_errors(
        LoadedModel(None, CONTRACT), frame, predictions(frame["y"].to_numpy() + error)
    )
    assert found[0].name == "place = south"
    assert found[0].worse
    assert found[0].difference[0] > 2.5
    assert found[0].rows == int((frame["place"] == "south").sum())
    assert [item.name for item in found if item.worse] == ["place = south"]


def test_every_value_range_and_gap_is_a_slice() -> None:
    found = analyse_errors(LoadedModel(None, CONTRACT), rows(600, 1), predictions(np.zeros(600)))
    names = {item.name.split(" in ")[0] for item in found}
    assert names == {"x", "x is missing", "place = north", "place = south", "place = east"}
    assert sum(item.name.startswith("x ") for item in found) == 5
    assert sum(item.rows for item in found if item.name.startswith("x ")) == 600


def test_chance_is_rarely_called_a_weakness() -> None:
    flagged = 0
    for seed in range(60):
        frame = rows(300, seed)
        found = analyse_errors(LoadedModel(None, CONTRACT), frame, predictions(np.zeros(300)))
        flagged += any(item.worse for item in found)
    assert flagged <= 8  # 5 % of 60 families of slices are 3


def test_a_calibrated_forecast_has_a_small_calibration_error() -> None:
    random = np.random.default_rng(3)
    probabilities = random.random(20_000)
    happened = random.random(20_000) < probabilities
    assert expected_calibration_error(happened, probabilities) < 0.02
    overconfident = np.where(probabilities > 0.5, 0.99, 0.01)
    assert expected_calibration_error(happened, overconfident) == pytest.approx(0.24, abs=0.02)
