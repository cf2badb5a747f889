"""Lags: definitions of the main table's rows, none of them younger than the forecast's horizon."""

import doctest
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import ibis
import pytest
from pydantic import ValidationError

import goldpath.features.window.lags
from goldpath.contract import Contract, dump_contract, parse_contract
from goldpath.features.learned import with_own_features
from goldpath.features.window.definition import EVERYBODY, parse_window
from goldpath.features.window.feature import window_feature
from goldpath.features.window.lags import lag, rolling_mean, same_hour_last_week
from goldpath.features.window.learned import definitions_in
from goldpath.handed_over import ProjectDefinitionError
from goldpath.project import Project
from goldpath.source_contract import SourceContract

from ..window_features import (
    START,
    in_the_lake,
    in_the_service,
    on_athena,
    questions,
    stored,
    traced,
)

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
FORECAST = {
    "horizon": "24h",
    "step": "1h",
    "season": "7d",
    "lags": ["24h", "7d"],
    "means": ["7d"],
    "per_entity": False,
}
WEATHER = SourceContract.model_validate(
    {
        "dataset": "weather",
        "source": {"path": "weather.csv"},
        "entity": "meter",
        "event_time": {"column": "at"},
        "columns": [{"name": "wind", "type": "number"}],
    }
)


def _contract(**forecast: Any) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "meters",
            "problem": "regression",
            "source": {"path": "meters.csv"},
            "entity": "meter",
            "event_time": {"column": "at"},
            "target": {"column": "load"},
            "forecast": {**FORECAST, **forecast}
            if forecast.get("horizon", "") is not None
            else None,
            "features": [{"name": "hour", "type": "integer"}, {"name": "wind", "type": "number"}],
        }
    )


def _learned(*features: Any, **forecast: Any) -> Contract:
    project = Project(features=lambda: list(features))
    return with_own_features(_contract(**forecast), project, [WEATHER])


def test_the_contract_names_lags_and_means_of_the_target() -> None:
    learned = _learned()

    names = [each.name for each in learned.window_features]
    assert names == ["load_lag_24h", "load_lag_7d", "load_mean_7d"]
    assert learned.window_features[0].description == "load, 24h before"
    assert {each.source for each in definitions_in(learned)} == {"meters"}
    assert [each.geometry.lag // 3600 for each in definitions_in(learned)] == [24, 168, 24]
    assert {each.entity for each in definitions_in(learned)} == {""}
    owned = definitions_in(_learned(per_entity=True))
    assert {each.entity for each in owned} == {"meter"}


@pytest.mark.parametrize("per_entity", [True, False])
def test_a_contract_with_a_forecast_is_read_as_it_was_written(per_entity: bool) -> None:
    contract = _contract(per_entity=per_entity)

    assert f"per_entity: {json.dumps(per_entity)}" in dump_contract(contract)
    assert parse_contract(dump_contract(contract)) == contract
    assert "forecast" not in dump_contract(_contract(horizon=None))


def test_lags_of_a_project_are_stored_with_a_version() -> None:
    learned = _learned(
        lag("wind", hours=36),
        same_hour_last_week("load"),
        rolling_mean("load", days=2, step="1h"),
    )

    names = [each.name for each in learned.window_features][3:]
    assert names == ["wind_lag_36h", "load_same_hour_last_week", "load_mean_2d"]
    stored = {each.name: parse_window(json.loads(each.window)) for each in learned.window_features}
    assert list(stored["wind_lag_36h"].columns) == ["wind_lag_36h"]
    assert stored["load_mean_2d"].geometry.lag == 24 * 3600  # the horizon
    assert parse_contract(dump_contract(learned)) == learned


def test_a_window_feature_may_read_the_main_table_up_to_the_horizon() -> None:
    largest = window_feature(source="meters", over="7d", tile="1h", lag="24h", name="peak")(
        lambda rows: rows.load.max()
    )

    assert [each.name for each in _learned(largest).window_features][-1] == "peak_7d"


def test_lags_of_the_main_table_stand_on_its_step() -> None:
    """On tiles of a day a lag of seven days would be midnight's value."""
    made = _learned(
        lag("wind", days=7),
        lag("wind", hours=48),
        rolling_mean("wind", days=2),
        lag("wind", days=8, source="meters"),
        lag("wind", days=9, step="1d"),
        lag("wind", days=10, source="weather"),
        step="30m",
    )

    found = {each.name: (each.geometry.tile, each.windows) for each in definitions_in(made)[3:]}
    assert found == {
        "wind_lag_7d": (1800, (1800,)),
        "wind_lag_2d": (1800, (1800,)),
        "wind_mean_2d": (1800, (172_800,)),
        "wind_lag_8d": (1800, (1800,)),
        "wind_lag_9d": (86_400, (86_400,)),
        "wind_lag_10d": (86_400, (86_400,)),
    }


def test_a_forecast_that_cannot_be_traced_is_the_contracts() -> None:
    with pytest.raises(ProjectDefinitionError, match="has 43200 tiles") as refusal:
        _learned(step="1m", means=["30d"])

    assert refusal.value.message.startswith("config/project.yaml: forecast: ")


def test_a_lag_of_a_further_source_needs_no_forecast() -> None:
    learned = _learned(lag("wind", hours=1, source="weather"), horizon=None)

    assert [each.name for each in learned.window_features] == ["wind_lag_1h"]


@pytest.mark.parametrize(
    ("feature", "forecast", "said"),
    [
        (lambda: lag("load", hours=23), {}, "asked for 24h before its time"),
        (lambda: rolling_mean("load", hours=6, behind="2h"), {}, "nobody knows them by then"),
        (lambda: lag("wind", hours=1, source="weather"), {}, "reads rows of weather up to 3,600"),
        (lambda: lag("load", hours=24), {"horizon": None}, "'meters' is the main table"),
        (lambda: lag("lode", hours=24), {}, "'lode' is no column of meters"),
        (lambda: lag("meter", hours=24), {"per_entity": True}, "'meter' is the entity"),
        (lambda: lag("load", hours=24, name="wind"), {}, "its column 'wind' is a column of"),
        (lambda: lag("load", hours=24), {}, "'load_lag_24h' is a column of the window feature"),
        (lambda: rolling_mean("load", hours=36, step="5h"), {}, "not made of whole tiles"),
        (lambda: lag("load", hours=36), {"step": "24h"}, "36h before is no multiple of the series"),
        (lambda: lag("load"), {}, "say no length"),
        (lambda: lag("load", hours=24, days=1), {}, "say no length"),
        (lambda: lag("load", hours=0), {}, "is no length of time"),
    ],
)
def test_what_nobody_knows_at_the_horizon_is_refused_with_file_and_line(
    feature: Any, forecast: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=said) as refusal:
        _learned(feature(), **forecast)

    assert refusal.value.message.startswith(f"{__file__}:")


@pytest.mark.parametrize(
    ("forecast", "said"),
    [
        ({"lags": ["12h", "7d"]}, "12h is not known 24h ahead"),
        ({"lags": ["24h", "36m"]}, "lags: 36m is no multiple of the step 1h"),
        ({"horizon": "a day"}, "horizon: 'a day' is no duration"),
        ({"season": "2d"}, "season: 2d is not among the lags"),
        ({"lags": ["24h", "7d", "168h"]}, "lags: a duration stands twice"),
    ],
)
def test_a_forecast_that_cannot_hold_is_refused(forecast: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        _contract(**forecast)


def test_a_forecast_needs_numbers_and_times() -> None:
    given = json.loads(_contract().model_dump_json(exclude_defaults=True))

    with pytest.raises(ValidationError, match="forecast needs an event_time"):
        Contract.model_validate({**given, "event_time": None})
    with pytest.raises(ValidationError, match="write true where each meter is a series of its own"):
        _contract(per_entity=None)
    with pytest.raises(ValidationError, match="per_entity needs an entity"):
        Contract.model_validate(
            {**given, "entity": None, "forecast": {**FORECAST, "per_entity": True}}
        )


def test_the_documented_examples_run() -> None:
    assert doctest.testmod(goldpath.features.window.lags).failed == 0


def test_lags_of_one_series_are_the_same_everywhere() -> None:
    """Rows of all customers are one series; a lag is the value of exactly so long before."""
    made = [
        lag("pieces", hours=3, source="payments", name="lag"),
        rolling_mean("amount", hours=4, behind="3h", source="payments", name="mean"),
    ]
    definitions = [replace(traced(each), entity="") for each in made]
    rows = [
        {"customer": f"c{hour % 3}", "event_time": START + hour * HOUR, "pieces": hour}
        | {"amount": hour / 4}
        for hour in range(12)
        if hour != 5
    ]
    given = questions(
        *((None, START + hour * HOUR) for hour in (2, 3, 8, 9, 20)),
        ("c1", START + 9 * HOUR + MINUTE),
        ("c1", None),
    )
    known = [None, 0, None, 6, None, 6]
    means = [None, 0.0, 0.75, 3.25 / 3, None, 3.25 / 3]
    connection = ibis.duckdb.connect()

    lake = in_the_lake(definitions, rows, given, connection)
    athena = on_athena(definitions, rows, given)
    service = [
        {
            name: value
            for each in definitions
            for name, value in in_the_service(
                each, stored(each, rows, connection), {**question, "customer": EVERYBODY}
            ).items()
        }
        for question in given[:-1]
    ]

    assert (
        lake[:-1]
        == service
        == [{"lag": value, "mean": mean} for value, mean in zip(known, means, strict=True)]
    )
    assert lake == athena
    assert lake[-1] == {"lag": None, "mean": None}
