"""The drift check on bike sharing: a year of real weeks, in which only the weather changes."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from goldpath.drift.persistence import judge_source
from goldpath.drift.reference import build_reference
from goldpath.drift.window_verdict import WindowJudge, WindowSettings
from goldpath.jobs.drift.current_rows import CurrentRows
from goldpath.jobs.drift.judged_windows import judge_rows

ROOT = Path(__file__).resolve().parents[3]
FILE = (
    Path(os.environ.get("MLOPS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    / "bike_sharing_hourly.csv"
)
COLUMNS = ("hr", "holiday", "weekday", "workingday", "temp", "atemp", "hum", "windspeed")

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason="bike_sharing_hourly.csv: name its folder with MLOPS_SHARED_DATA"
)


def year_of_weeks() -> tuple[pa.Table, np.ndarray]:
    """2011, hour by hour."""
    frame = pd.read_csv(FILE)
    frame = frame[frame["yr"] == 0]
    days = pd.to_datetime(frame["dteday"], format="%m/%d/%y")
    times = (days + pd.to_timedelta(frame["hr"], "h")).to_numpy("datetime64[s]")
    columns = {name: frame[name].to_numpy("float64") for name in COLUMNS}
    weather = pa.array(frame["weathersit"].astype(str))
    return pa.table({**columns, "weather": weather}), times


def test_no_more_than_one_month_of_an_ordinary_year_is_drift_against_the_others() -> None:
    table, times = year_of_weeks()
    months = times.astype("M8[M]").astype(int) % 12
    settings = WindowSettings(minimum_rows=100)
    drift = []
    for month in range(12):
        others = months != month
        reference = build_reference(
            table.filter(pa.array(others)), times[others], window="1w", minimum_rows=100
        )
        assert len(reference.windows or ()) > 40
        judge = WindowJudge(reference, settings)
        current = table.filter(pa.array(~others))
        rows = CurrentRows("table", "a month", current, times[~others])
        now = pd.Timestamp("2013-01-01", tz="UTC").to_pydatetime()
        found = judge_rows(judge, current, rows, (), now)
        verdicts = [each.verdict for each in found.history]
        lasting = [judge_source(verdicts[:seen]) for seen in range(2, len(verdicts) + 1)]
        told = [each.message for each in lasting if each.verdict == "drift"]
        if told:
            drift.append((month + 1, told[0]))
    assert len(drift) <= 1, drift
