"""Dates are read as `strptime` reads them, and a bad one is null, not an error."""

from datetime import datetime
from itertools import product

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldpath.contract import ContractError
from goldpath.lake.engine import connect_duckdb
from goldpath.lake.event_time import format_pattern, parse_event_time
from goldpath.raw_source import EventTime


def read_all(texts: list[str], format_: str | None) -> list[datetime | None]:
    rows = ibis.memtable({"at": texts}, schema={"at": "string"})
    moment = parse_event_time(rows, EventTime(column="at", format=format_))
    engine = connect_duckdb()
    found: list[datetime | None] = engine.to_pyarrow(rows.select(at=moment))["at"].to_pylist()
    engine.disconnect()
    return found


def read(text: str, format_: str | None) -> datetime | None:
    return read_all([text], format_)[0]


moments = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31))


@settings(max_examples=6, deadline=None)
@given(
    st.lists(moments.map(lambda moment: moment.replace(microsecond=0)), min_size=1, max_size=30),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%m/%d/%y %H:%M:%S"]),
)
def test_format_is_read_as_strptime_reads_it(moments: list[datetime], format_: str) -> None:
    texts = [moment.strftime(format_) for moment in moments]
    assert read_all(texts, format_) == [datetime.strptime(text, format_) for text in texts]


@pytest.mark.parametrize("text", ["", "31/31/2024", "2024", "1/1/2024 extra", "Ω"])
def test_text_that_is_no_date_is_null(text: str) -> None:
    assert read(text, "%d/%m/%Y") is None


def test_offsets_are_converted_to_utc() -> None:
    texts = ["2024-05-06 07:08:09+02:00", "2024-05-06T07:08:09Z", "2024-05-06 07:08:09"]
    hours = [moment.hour for moment in read_all(texts, None) if moment]
    assert hours == [5, 7, 7]


@pytest.mark.parametrize("text", ["2024-03-10 02:30:00", "2024-03-10T02:30:00"])
def test_a_time_without_an_offset_stands_as_it_is_in_every_zone(text: str) -> None:
    rows = ibis.memtable({"at": [text]}, schema={"at": "string"})
    moment = parse_event_time(rows, EventTime(column="at"))
    engine = connect_duckdb()
    engine.raw_sql("SET TimeZone = 'America/New_York'")  # where there was no such time
    (found,) = engine.to_pyarrow(rows.select(at=moment))["at"].to_pylist()
    engine.disconnect()
    assert found == datetime(2024, 3, 10, 2, 30)


@pytest.mark.parametrize(
    "text",
    [
        "XXXX-02-28 01:02:03",
        "XXXX-02-28",
        "2024-XX-XX 01:02:03",
        "2024-XX-XX",
        "2024-02-2XXXX:02:03",
        "2024-02-28 XX:XX:03",
        "2024-02-28 24:XX:XX",
        "2024-02-28 01:02:0XX",
        "X2024-02-28 01:02X",
    ],
)
def test_text_like_a_plain_time_is_read_as_any_other(text: str) -> None:
    characters = [*"0129-+ /T:.Z", "\t", "é"]
    chosen = product(characters, repeat=text.count("X"))
    filled = [text.replace("X", "{}").format(*each) for each in chosen]
    # With a blank before it a text is stripped, and then read through a zoned type.
    pairs = pa.table({"at": filled, "padded": [f" {each}" for each in filled]})
    engine = connect_duckdb()
    rows = engine.create_table("texts", pairs, temp=True)
    plain, zoned = (parse_event_time(rows, EventTime(column=name)) for name in rows.columns)
    read = rows.select("at", plain=plain.cast("string"), zoned=zoned.cast("string"))
    others = engine.to_pyarrow(read.filter(~read.plain.identical_to(read.zoned)))
    (times,) = engine.to_pyarrow(read.aggregate(times=read.plain.count()))["times"].to_pylist()
    engine.disconnect()
    assert others.to_pylist() == []
    assert times > 0


def test_iso_8601_needs_no_format() -> None:
    assert read("2024-05-06T07:08:09", None) == datetime(2024, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(
    ("text", "format_", "expected"),
    [
        ("1-Jan-24", "%d-%b-%y", datetime(2024, 1, 1)),
        ("3 September 2024", "%d %B %Y", datetime(2024, 9, 3)),
        ("Sept. 3, 2024", "%b %d, %Y", datetime(2024, 9, 3)),
        ("3 Foo 2024", "%d %b %Y", None),
        ("2024-05", "%Y-%m", datetime(2024, 5, 1)),
        ("2024-13", "%Y-%m", None),
        ("01/02/2024 12:00 AM", "%m/%d/%Y %I:%M %p", datetime(2024, 1, 2)),
        ("01/02/2024 12:05 pm", "%m/%d/%Y %I:%M %p", datetime(2024, 1, 2, 12, 5)),
        ("01/02/2024 9:30 p.m.", "%m/%d/%Y %I:%M %p", datetime(2024, 1, 2, 21, 30)),
        ("01/02/2024 13:30 PM", "%m/%d/%Y %I:%M %p", None),
        ("1704067200", "%s", datetime(2024, 1, 1)),
        ("1704067200500", "%s%f", datetime(2024, 1, 1)),
        ("soon", "%s", None),
        ("202405", "%Y%m", datetime(2024, 5, 1)),
        ("202413", "%Y%m", None),
        ("2013", "%Y", datetime(2013, 1, 1)),
        ("2013.0", "%Y", datetime(2013, 1, 1)),
        ("13", "%Y", None),
        ("31/01/24", None, None),
        ("2024/01/31", None, datetime(2024, 1, 31)),
    ],
)
def test_months_in_words_halves_of_a_day_and_epochs_are_read(
    text: str, format_: str, expected: datetime | None
) -> None:
    assert read(text, format_) == expected


def test_a_second_format_reads_what_the_first_does_not() -> None:
    rows = ibis.memtable({"at": ["2024-05-06", "06/05/2024", "x"]}, schema={"at": "string"})
    event_time = EventTime(column="at", more_formats=("%d/%m/%Y",))
    engine = connect_duckdb()
    found = engine.to_pyarrow(rows.select(at=parse_event_time(rows, event_time)))["at"]
    assert found.to_pylist() == [datetime(2024, 5, 6), datetime(2024, 5, 6), None]
    engine.disconnect()


def test_a_short_year_beside_iso_is_no_year_of_antiquity() -> None:
    rows = ibis.memtable({"at": ["2024-05-06", "31/01/24"]}, schema={"at": "string"})
    event_time = EventTime(column="at", more_formats=("%d/%m/%y",))
    engine = connect_duckdb()
    found = engine.to_pyarrow(rows.select(at=parse_event_time(rows, event_time)))["at"]
    assert found.to_pylist() == [datetime(2024, 5, 6), datetime(2024, 1, 31)]
    engine.disconnect()


@pytest.mark.parametrize("format_", ["%d %A %Y", "%H:%M", "%j/%Y", "%Y %d", "%m"])
def test_unsupported_format_is_refused(format_: str) -> None:
    with pytest.raises(ContractError, match="event_time"):
        format_pattern(format_)
