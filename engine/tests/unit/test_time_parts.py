"""A time in several columns is found, or asked for: no time series is split at random unsaid."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from goldpath.adoption.column_profile import AdoptionError, profile_column
from goldpath.adoption.infer import AdoptionRequest, Inferred, infer_contract
from goldpath.adoption.time_role import TimeRole, decide_time
from goldpath.contract import EVENT_TIME
from goldpath.learning.splitting import split_rows
from goldpath.quality.file_rows import typed_frame
from goldpath.raw_source import EventTime, Source
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
    rows = typed_frame(raw, found.contract).to_pandas()
    rows = rows.assign(row_id=range(len(rows)))
    split = split_rows(rows, found.contract, TrainingSettings())
    assert split.rule.startswith("by time")
    return list(rows[EVENT_TIME])


def read_again(moments: pd.DatetimeIndex, format_: str) -> list[pd.Timestamp]:
    """The moments as exactly as the format writes them."""
    return list(pd.to_datetime(moments.strftime(format_), format=format_))


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
        ("%d/%m/%Y", "%I:%M:%S %p", None),
        ("%Y-%m-%d", "%I:%M %p", "Date+Time"),
    ],
)
def test_a_date_and_a_clock_are_one_time(clock: str, day: str, time: str | None) -> None:
    raw = table({"Date": MOMENTS.strftime(day), "Time": MOMENTS.strftime(clock)})
    found = adopted(raw, **({"time": time} if time else {}))
    assert split_by_time(raw, found) == list(MOMENTS)


def test_a_clock_that_is_no_feature_is_said_to_be_a_part_of_the_time() -> None:
    moments = MOMENTS + pd.to_timedelta(np.arange(ROWS) * 37, "s")
    raw = table({"Date": moments.strftime("%Y-%m-%d"), "Time": moments.strftime("%H:%M:%S")})
    assert adopted(raw).contract.ignored["Time"] == "a part of the event time"


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


def test_years_with_a_point_are_open_for_those_to_come() -> None:
    values = {name: [f"{number}.0" for number in part] for name, part in CALENDAR.items()}
    values["year"] = [f"{2007 + place * 10 // ROWS}.0" for place in range(ROWS)]
    features = adopted(table(values)).contract.by_name
    assert features["year"].maximum is None
    assert (features["month"].minimum, features["month"].maximum) == (1, 12)


@pytest.mark.parametrize("bad", ["unknown", "0000-00-00", "Summe", "31.02.2024"])
@pytest.mark.parametrize("format_", ["%Y-%m-%d %H:%M", "%d.%m.%Y", "%Y%m%d"])
def test_a_bad_row_hides_no_time(bad: str, format_: str) -> None:
    values = list(MOMENTS.strftime(format_))
    values[7] = bad
    raw = table({"seen": values})
    found = adopted(raw)
    assert found.contract.has_time
    assert "seen" not in found.contract.by_name
    assert any("1 row has no seen that can be read" in note for note in found.notes)
    assert split_by_time(raw, found) == read_again(MOMENTS.delete(7), format_)


@pytest.mark.parametrize("format_", ["%Y-%m-%d", "%d.%m.%Y", "%Y%m%d", "%Y%m"])
def test_a_bad_value_with_figures_among_few_dates_hides_no_time(format_: str) -> None:
    # One of ten is more than one in twenty, and it was no column of times any more.
    days = pd.date_range("2024-01-01", periods=9, freq="32D")[np.arange(ROWS) * 9 // ROWS]
    values = list(days.strftime(format_))
    values[7] = "20241345" if "-" not in format_ and "." not in format_ else "2024-02-31x"
    raw = table({"month_seen": values})
    found = adopted(raw)
    assert found.contract.has_time
    assert any("1 row has no month_seen that can be read" in note for note in found.notes)
    assert split_by_time(raw, found) == read_again(days.delete(7), format_)


def test_three_dates_and_a_word_with_figures_are_dates_and_two_are_none() -> None:
    days = ["2024-01-01", "2024-02-01", "2024-03-01", "v2"]
    assert (
        time_of(table({"seen": list(np.resize(days, ROWS))}))
        .notes[0]
        .startswith("seen: dates (100 ")
    )
    assert time_of(table({"seen": list(np.resize(days[2:], ROWS))})).notes == ()


def test_hours_called_after_something_else_are_asked_about() -> None:
    columns = {name: CALENDAR[name] for name in ("year", "month", "day")}
    raw = table({**columns, "start_hour": CALENDAR["hour"]})
    role = time_of(raw)
    assert role.event_time is not None
    assert "question: is start_hour the hour of the event time?" in role.notes[0]
    asked = "year+month+day+start_hour"
    assert f"say TIME={asked} if it is" in role.notes[0]
    assert list(time_of(raw, asked).moments) == list(MOMENTS)  # type: ignore[arg-type]
    assert time_of(table({**columns, "hour": CALENDAR["hour"]})).notes == ()


def test_a_bad_row_hides_no_seconds_and_no_second_format() -> None:
    seconds = [str(int(moment.timestamp())) for moment in MOMENTS]
    mixed = [
        moment.strftime("%Y-%m-%d" if place % 3 else "%d/%m/%Y")
        for place, moment in enumerate(MOMENTS)
    ]
    for values in (seconds, mixed):
        values[7] = "later"
        role = time_of(table({"seen_at": values}))
        assert role.moments is not None
        assert role.moments.isna().sum() == 1
        assert "'later'" in role.notes[0]


def test_a_bad_row_hides_no_part() -> None:
    columns = {name: [*map(str, values)] for name, values in CALENDAR.items()}
    columns["month"][5] = "unknown"
    columns["hour"][9] = "-"
    raw = table(columns)
    found = adopted(raw)
    assert len(split_by_time(raw, found)) == ROWS - 2
    assert found.contract.by_name["month"].is_numeric
    clock = list(MOMENTS.strftime("%H:%M"))
    clock[3] = "unknown"
    role = time_of(table({"date": MOMENTS.strftime("%Y-%m-%d"), "clock": clock}))
    assert role.event_time is not None
    assert role.event_time.more_columns == ("clock",)


def test_dates_of_which_many_are_bad_are_a_question() -> None:
    values = [None if place % 5 == 0 else day for place, day in enumerate(MOMENTS)]
    role = time_of(table({"seen": ["unknown" if value is None else value for value in values]}))
    assert role.event_time is None
    assert "80 (20.0 %) rows have none" in role.notes[0]


@pytest.mark.parametrize(
    "names",
    [
        ("calendar_year", "calendar_month", "calendar_day", "calendar_hour"),
        ("SaleYear", "SaleMonth", "SaleDay", "SaleHour"),
        ("tender_year", "tender_month", "tender_day", "hour"),
        ("year", "month", "day", "hour"),
    ],
)
@pytest.mark.parametrize("month", ["%m", "%B", "%b"])
def test_parts_are_found_as_they_are_called_and_written(names: tuple[str, ...], month: str) -> None:
    columns: dict[str, Any] = dict(zip(names, CALENDAR.values(), strict=True))
    columns[names[1]] = MOMENTS.strftime(month)
    columns |= {
        "temp_min": [place % 50 for place in range(ROWS)],
        "delay_minutes": [place % 60 for place in range(ROWS)],
        "rush_hour": [place % 2 for place in range(ROWS)],
        "built_year": [1990 + place % 30 for place in range(ROWS)],
    }
    role = time_of(table(columns))
    assert role.event_time is not None
    assert role.event_time.columns == names
    assert role.moments is not None
    assert list(role.moments) == list(MOMENTS)


def test_a_month_in_words_is_open_for_those_to_come() -> None:
    raw = table({**CALENDAR, "month": MOMENTS.strftime("%B")})
    found = adopted(raw)
    assert split_by_time(raw, found) == list(MOMENTS)
    assert found.contract.by_name["month"].categories is None


def test_of_two_whole_calendars_none_is_taken() -> None:
    columns = {
        f"{prefix}_{part}": values
        for prefix in ("order", "ship")
        for part, values in CALENDAR.items()
    }
    assert "order_year" in time_of(table(columns)).notes[0]


def test_a_month_as_a_number_is_a_time_where_its_name_says_so() -> None:
    months = pd.date_range("2020-01-01", periods=60, freq="MS")[np.arange(ROWS) * 60 // ROWS]
    raw = table({"month": months.strftime("%Y%m")})
    found = adopted(raw)
    assert split_by_time(raw, found) == list(months)
    assert "month" not in found.contract.by_name
    assert "TIME=batch" in time_of(table({"batch": months.strftime("%Y%m")})).notes[0]


@pytest.mark.parametrize("format_", ["%Y%m", "%Y%m%d"])
def test_months_and_days_that_once_had_a_gap_are_times(format_: str) -> None:
    days = pd.date_range("2020-01-01", periods=60, freq="MS")[np.arange(ROWS) * 60 // ROWS]
    raw = table({"month": [f"{text}.0" for text in days.strftime(format_)]})
    found = adopted(raw)
    assert found.contract.event_time is not None
    assert found.contract.event_time.format == format_
    assert split_by_time(raw, found) == list(days)


def test_a_year_alone_is_a_time_where_it_is_named() -> None:
    years = [2007 + place * 10 // ROWS for place in range(ROWS)]
    raw = table({"year": [f"{year}.0" for year in years]})
    assert "TIME=year if" in time_of(raw).notes[0]
    times = split_by_time(raw, adopted(raw, time="year"))
    assert [moment.year for moment in times] == years


@pytest.mark.parametrize(
    "written",
    [
        lambda moment: f"{moment.year}-Q{moment.quarter}",
        lambda moment: f"{moment.year}-W{moment.week:02}",
        lambda moment: f"Q{moment.quarter} {moment.year}",
        lambda moment: f"{('Januar', 'März', 'Oktober')[moment.month % 3]} {moment.year}",
        lambda moment: f"{moment.day}. {('Mai', 'Dezember')[moment.month % 2]} {moment.year}",
    ],
)
def test_times_that_cannot_be_read_are_asked_about(written: Callable[[Any], str]) -> None:
    (question,) = time_of(table({"when": [written(moment) for moment in MOMENTS]})).notes
    assert "when could be the event time" in question
    assert "add a column of dates" in question
    assert "split at random" in question


def test_parts_that_make_no_time_are_not_the_answer() -> None:
    columns: dict[str, Any] = {
        "jahr": MOMENTS.year,
        "tag": MOMENTS.day,
        "monat": ["Mai", "Juni"] * (ROWS // 2),
    }
    (question,) = time_of(table(columns)).notes
    assert "jahr, tag could be parts" in question
    assert "TIME=jahr" not in question


@pytest.mark.parametrize("name", ["end", "EndDate", "end_date", "due", "birth_year", "enddatum"])
def test_ends_and_births_are_no_event_times(name: str) -> None:
    (question,) = time_of(table({name: MOMENTS.strftime("%Y-%m-%d")})).notes
    assert f"TIME={name}" in question


@pytest.mark.parametrize("name", ["calendar_date", "weekend_of", "tender", "residue_date"])
def test_words_that_only_hold_end_or_due_are_event_times(name: str) -> None:
    assert time_of(table({name: MOMENTS.strftime("%Y-%m-%d")})).event_time is not None


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
