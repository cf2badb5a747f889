"""Batches of a series: whom their rows must name, and what is said of times beyond the horizon."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import ibis
import pyarrow as pa
import pytest

from goldpath.contract import EVENT_TIME, Contract
from goldpath.features.learned import with_own_features
from goldpath.jobs.batch.file_windows import FileWindows
from goldpath.jobs.windows import model_windows
from goldpath.project import Project
from goldpath.sources.files import SourceError

HOUR = timedelta(hours=1)
NEWEST = datetime(2026, 11, 29, 23)
FORECAST = {"horizon": "24h", "step": "1h", "season": "24h", "lags": ["24h"], "per_entity": False}


def series(**changed: Any) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "bicycles",
            "problem": "regression",
            "source": {"path": "bicycles.csv"},
            "event_time": {"column": "at"},
            "target": {"column": "cnt"},
            "forecast": FORECAST,
            "features": [{"name": "hour", "type": "integer"}],
            **changed,
        }
    )


def learned(**changed: Any) -> Contract:
    return with_own_features(series(**changed), Project(), [])


def test_a_file_of_one_series_names_nobody() -> None:
    lakehouse: Any = None

    for contract in (series(), series(entity="id")):
        assert FileWindows(lakehouse, contract, learned()).columns == ["at"]
    owned = {"entity": "station", "forecast": {**FORECAST, "per_entity": True}}
    of_stations = learned(**owned)
    assert FileWindows(lakehouse, series(**owned), of_stations).columns == ["station", "at"]
    with pytest.raises(SourceError, match="names no entity, and the champion takes"):
        FileWindows(lakehouse, series(), of_stations)


def test_entity_and_time_of_one_series_are_marked_without_an_entity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[pa.Table] = []

    def looked_up(_: Any, rows: pa.Table, contract: Contract) -> pa.Table:
        asked.append(rows)
        return rows.append_column("cnt_lag_24h", pa.array([7.0] * rows.num_rows))

    monkeypatch.setattr("goldpath.jobs.batch.file_windows.table_with_windows", looked_up)
    lakehouse: Any = None
    chunk = pa.record_batch({"at": ["2026-11-30T10:00:00", "soon"], "hour": [10, 11]})

    (made,) = FileWindows(lakehouse, series(), learned()).complete(iter([chunk]))

    assert asked[0][EVENT_TIME].to_pylist() == [datetime(2026, 11, 30, 10), None]
    assert made["cnt_lag_24h"].to_pylist() == [7.0, 7.0]
    first, second = made["_reasons"].to_pylist()
    assert not first
    assert "at" in second


@pytest.mark.parametrize(("hours", "said"), [([1, 24], False), ([24, 25, 40], True)])
def test_rows_beyond_the_horizon_are_said(
    monkeypatch: pytest.MonkeyPatch, hours: list[int], said: bool
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(model_windows, "step", steps.append)
    known = ibis.memtable({EVENT_TIME: [NEWEST - HOUR, NEWEST]})
    lakehouse: Any = SimpleNamespace(
        exists=lambda _: True, read=lambda _: known, collect=lambda each: each.to_pyarrow()
    )
    times = pa.chunked_array([[NEWEST + hour * HOUR for hour in hours]], pa.timestamp("us"))

    model_windows._say_beyond(lakehouse, times, learned())

    assert len(steps) == said
    if said:
        assert "2 of 3 rows, from 2026-12-01 00:00:00 on, are more than 24h" in steps[0]
        assert "the newest row of bicycles, 2026-11-29 23:00:00" in steps[0]
