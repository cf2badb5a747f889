"""`adopt … HORIZON`: what the rows of a series say of its step, its seasons and its known lags."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.adoption.column_profile import AdoptionError
from goldpath.contract import Contract
from goldpath.jobs.data.forecast_proposal import propose_forecast


def _contract(**changed: Any) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "meters",
            "problem": "regression",
            "source": {"path": "meters.csv"},
            "entity": "meter",
            "event_time": {"column": "at"},
            "target": {"column": "load"},
            "features": [{"name": "wind", "type": "number"}],
            **changed,
        }
    )


def _rows(
    step: str, periods: int, *, meters: int = 1, start: str = "2024-01-01", season: int = 24
) -> pd.DataFrame:
    times = pd.date_range(start, periods=periods, freq=step)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "meter": f"m{meter}",
                    "event_time": times,
                    "load": np.arange(periods) % season + meter * 100.0,
                }
            )
            for meter in range(meters)
        ],
        ignore_index=True,
    )


def test_hours_of_one_series() -> None:
    rows = _rows("h", 24 * 40, season=168).assign(meter=range(24 * 40))  # an id of each row

    found = propose_forecast(rows, _contract(), "24h")

    assert found.forecast.lags == ("24h", "2d", "7d", "14d")
    assert (found.forecast.step, found.forecast.season) == ("1h", "7d")
    assert found.forecast.means == ("24h", "7d")
    assert not found.forecast.per_entity


def test_days_of_many_series() -> None:
    rows = _rows("D", 60, meters=5, season=7)

    found = propose_forecast(rows, _contract(), "48h")

    assert found.forecast.per_entity
    assert found.forecast.horizon == "2d"
    assert found.forecast.lags == ("2d", "7d", "14d")
    assert (found.forecast.step, found.forecast.season) == ("24h", "7d")
    assert "each meter is a series, a row every 24h (100.0%" in found.notes[0]
    assert "must know the other features 2d ahead (wind)" in found.notes[-1]


def test_a_horizon_beyond_a_season_takes_the_next_one() -> None:
    found = propose_forecast(_rows("h", 24 * 60, season=24), _contract(), "30h")

    assert found.forecast.lags == ("30h", "2d", "3d", "7d", "14d")
    assert found.forecast.season == "2d"


def test_times_off_the_full_hour_stand_on_a_finer_grid() -> None:
    rows = _rows("h", 24 * 20, start="2024-01-01 00:20")

    assert propose_forecast(rows, _contract(), "24h").forecast.step == "20m"


def test_lags_that_the_file_is_too_short_for_are_not_proposed() -> None:
    found = propose_forecast(_rows("h", 24 * 5), _contract(), "24h")

    assert found.forecast.lags == ("24h", "2d")
    assert found.forecast.means == ("24h",)


@pytest.mark.parametrize(
    ("rows", "changed", "horizon", "said", "fix"),
    [
        (_rows("h", 100), {}, "a day", "HORIZON=a day is no duration", "24h|12h"),
        (_rows("h", 100), {}, "90m", "no multiple of the rows' step, 1h", "take 2h"),
        (_rows("h", 20), {}, "24h", "the file is shorter than the horizon", "shorter HORIZON"),
        (_rows("h", 100), {"event_time": None}, "24h", "none was found", "TIME="),
        (
            _rows("h", 100),
            {"problem": "classification", "target": {"column": "load", "classes": ["a", "b"]}},
            "24h",
            "load has classes",
            "number as TARGET",
        ),
        (
            _rows("h", 100, meters=2).assign(meter=[f"{each}" for each in range(200)]),
            {},
            "24h",
            "have the time of another row",
            "ID=column",
        ),
        (
            _rows("h", 100).sample(40, random_state=1),
            {},
            "24h",
            "no regular series: the commonest distance, 1h",
            "one row an hour",
        ),
    ],
)
def test_what_is_no_series_is_refused(
    rows: pd.DataFrame, changed: dict[str, Any], horizon: str, said: str, fix: str
) -> None:
    with pytest.raises(AdoptionError, match=said) as refusal:
        propose_forecast(rows, _contract(**changed), horizon)

    assert any(each in refusal.value.fix for each in fix.split("|"))
