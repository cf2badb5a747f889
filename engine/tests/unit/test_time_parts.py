"""A time in several columns is found, or asked for: no time series is split at random unsaid."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from goldpath.adoption.column_profile import AdoptionError, profile_column
from goldpath.adoption.infer import AdoptionRequest, Inferred, infer_contract
from goldpath.adoption.time_role import TimeRole, decide_time
from goldpath.contract import EVENT_TIME, EventTime, Source
from goldpath.learning.splitting import split_rows
from goldpath.quality.checks import typed_frame
from goldpath.settings import TrainingSettings

ROWS = 400
MOMENTS = pd.date_range("2024-03-01", periods=ROWS, freq="6h")


def table(columns: Mapping[str, Sequence[Any] | pd.Index]) -> pa.Table:
    """Text columns with a target and a feature beside them."""
    random = np.random.default_rng(2)
    whole = {
        **columns,
        "x": random.normal(size=ROWS).round(3),
        "sales": random.normal(100, 9, ROWS).round(2),
    }
    return pa.table(
        {
            name: pa.array([None if value is None else str(value) for value in values], pa.string())
            for name, values in whole.items()
        }
    )


def adopted(raw: pa.Table, **asked: Any) -> Inferred:
    return infer_contract(raw, Source(path="d.csv"), "d", AdoptionRequest("sales", **asked), 0.995)


def time_of(raw: pa.Table, asked: str | None = None) -> TimeRole:
    """What is decided about the time alone."""
    profiles = {name: profile_column(name, raw[name]) for name in raw.column_names}
    return decide_time(profiles, asked, {"sales"}, None)


def split_by_time(raw: pa.Table, found: Inferred) -> list[pd.Timestamp]:
    """The times that silver reads, once it is sure that they divide the rows."""
    rows = typed_frame(raw, found.contract).to_pandas().assign(row_id=range(raw.num_rows))
    split = split_rows(rows, found.contract, TrainingSettings())
    assert split.rule.startswith("by time")
    return list(rows[EVENT_TIME])


CALENDAR = {
    "year": MOMENTS.year,
    "month": MOMENTS.month,
    "day": MOMENTS.day,
    "hour": MOMENTS.hour,
}


def test_year_month_day_and_hour_are_found_by_their_names() -> None:
    raw = table(CALENDAR)
    found = adopted(raw)
    assert found.contract.event_time == EventTime(
        column="year", more_columns=("month", "day", "hour"), format="%Y %m %d %H"
    )
    assert split_by_time(raw, found) == list(MOMENTS)
    features = found.contract.by_name
    assert {"month", "day", "hour", "x"} <= features.keys()
    assert (features["month"].minimum, features["month"].maximum) == (1, 12)
    assert "year" not in features or features["year"].maximum is None  # next year comes


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (("year", "month", "day", "hour"), "year+month+day+hour"),
        (("sale_Year", "sale_Month", "sale_Day", "Hr"), "sale_Day+sale_Month+sale_Year+Hr"),
    ],
)
def test_columns_that_are_named_are_one_time(names: tuple[str, ...], asked: str) -> None:
    raw = table(dict(zip(names, CALENDAR.values(), strict=True)))
    assert split_by_time(raw, adopted(raw, time=asked)) == list(MOMENTS)


@pytest.mark.parametrize(
    ("day", "clock", "time"),
    [
        ("%d/%m/%Y", "%H.%M.%S", None),
        ("%d/%m/%Y", "%H.%M.%S", "Date+Time"),
        ("%Y-%m-%d", "%H:%M", None),
    ],
)
def test_a_date_and_a_clock_are_one_time(clock: str, day: str, time: str | None) -> None:
    raw = table({"Date": MOMENTS.strftime(day), "Time": MOMENTS.strftime(clock)})
    found = adopted(raw, **({"time": time} if time else {}))
    assert split_by_time(raw, found) == list(MOMENTS)


def test_the_order_of_the_file_tells_day_from_month() -> None:
    moments = pd.date_range("2024-01-01", periods=3 * ROWS, freq="6h")
    moments = moments[moments.day <= 12][:ROWS]
    raw = table({"Date": moments.strftime("%d/%m/%Y"), "Time": moments.strftime("%H:%M")})
    assert split_by_time(raw, adopted(raw)) == list(moments)


def test_empty_rows_at_the_end_do_not_hide_the_time() -> None:
    raw = table({"Date": MOMENTS.strftime("%d/%m/%Y"), "Time": MOMENTS.strftime("%H.%M.%S")})
    empty = pa.table({name: pa.nulls(15, pa.string()) for name in raw.column_names})
    whole = pa.concat_tables([raw, empty])
    found = adopted(whole)
    assert found.contract.has_time
    assert any("15 rows have no Date+Time" in note for note in found.notes)
    dates_only = whole.drop_columns(["Time"])
    assert adopted(dates_only).contract.has_time


def test_numbers_that_pandas_wrote_with_a_point_are_parts_too() -> None:
    raw = table({name: [f"{value}.0" for value in values] for name, values in CALENDAR.items()})
    assert split_by_time(raw, adopted(raw)) == list(MOMENTS)


@pytest.mark.parametrize(
    ("columns", "answer"),
    [
        ({"start": MOMENTS, "seen": MOMENTS.strftime("%Y-%m-%d")}, "TIME=start"),
        ({"year": MOMENTS.year, "month": MOMENTS.month}, "TIME=year+month"),
        ({"due_date": MOMENTS.strftime("%Y-%m-%d")}, "TIME=due_date"),
        ({"seen": [*MOMENTS[:-60].strftime("%Y-%m-%d"), *[None] * 60]}, "TIME=seen"),
    ],
)
def test_what_may_be_a_time_is_a_question_with_its_answer(
    columns: dict[str, Any], answer: str
) -> None:
    (question,) = time_of(table(columns)).notes
    assert "split at random" in question
    assert answer in question
    assert "TIME=none" in question
    assert time_of(table(columns), "none").notes == ()


def test_columns_that_make_no_time_are_named_with_what_they_hold() -> None:
    raw = table({**CALENDAR, "month": [13 + i % 5 for i in range(ROWS)]})
    with pytest.raises(AdoptionError, match=r"TIME=year\+month\+day.*make no time.*month '13'"):
        time_of(raw, "year+month+day")


def test_several_columns_need_a_format() -> None:
    with pytest.raises(ValueError, match="need a format"):
        EventTime(column="year", more_columns=("month",))
