"""Files into text: what is read, what is refused, and how a file's form is found out."""

import csv
import io
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldpath.raw_source import Source
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.files import SourceError
from goldpath.sources.read import read_raw


def read(folder: Path, content: bytes, name: str = "data.csv") -> pa.Table:
    file = folder / name
    file.write_bytes(content)
    return read_raw(detect_dialect(file), folder)


def read_parquet(folder: Path, table: pa.Table) -> pa.Table:
    pq.write_table(table, folder / "data.parquet")
    return read_raw(detect_dialect(folder / "data.parquet"), folder)


def test_every_column_is_text_as_the_file_has_it(tmp_path: Path) -> None:
    table = read(tmp_path, b"a,b\n1,x \n007,\n")
    assert table.to_pydict() == {"a": ["1", "007"], "b": ["x ", ""]}
    assert set(table.schema.types) == {pa.string()}


def test_a_relative_path_starts_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "data.csv").write_bytes(b"a\n1\n")
    assert read_raw(Source(path="in/data.csv"), tmp_path).num_rows == 1


def test_padding_and_bom_are_taken_off_the_names(tmp_path: Path) -> None:
    table = read(tmp_path, b"\xef\xbb\xbfid , name\n1,x\n")
    assert table.column_names == ["id", "name"]


def test_a_bom_is_harmless_where_the_contract_says_plain_utf8(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b'\xef\xbb\xbf"id",name\n1,x\n')
    assert read_raw(Source(path="data.csv"), tmp_path).column_names == ["id", "name"]


def test_a_line_break_within_a_name_becomes_a_blank(tmp_path: Path) -> None:
    assert read(tmp_path, b'"unit\nprice",\tb\n1,2\n').column_names == ["unit price", "b"]


def test_a_column_without_a_name_gets_its_number(tmp_path: Path) -> None:
    assert read(tmp_path, b",a\n0,1\n1,2\n").column_names == ["column_1", "a"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["name", "size", "note"], ["a", "1", "x"], ["b", "2", "y"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    table = read(tmp_path, text.encode())
    assert table.to_pylist()[1] == {"name": "b", "size": "2", "note": "y"}


def test_decimal_commas_of_a_semicolon_file_become_points(tmp_path: Path) -> None:
    table = read(tmp_path, b"price;note\n1,5;a, b\n-0,25;c\n10,0;d\n")
    assert table.to_pydict() == {"price": ["1.5", "-0.25", "10.0"], "note": ["a, b", "c", "d"]}


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("latin-1", "latin-1"),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16"),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, encoding: str, expected: str) -> None:
    text = "stadt,preis\nKöln,5 €\n" if encoding != "latin-1" else "stadt,preis\nKöln,5 £\n"
    file = tmp_path / "data.csv"
    file.write_bytes(text.encode(encoding))
    source = detect_dialect(file)
    assert source.encoding == expected
    assert read_raw(source, tmp_path)["stadt"].to_pylist() == ["Köln"]


def test_a_late_byte_settles_the_encoding(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(b"a,b\n" + b"1,x\n" * 50_000 + "2,é\n".encode("latin-1"))
    assert detect_dialect(file).encoding == "latin-1"


def test_quotes_may_hold_newlines_delimiters_and_quotes(tmp_path: Path) -> None:
    table = read(tmp_path, b'a,b\n1,"first\nsecond, with ""quotes"""\n2,y\n')
    assert table["b"].to_pylist() == ['first\nsecond, with "quotes"', "y"]


def test_a_long_text_is_read_whole(tmp_path: Path) -> None:
    long = "x\n" * 500_000
    table = read(tmp_path, f'a,b\n1,"{long}"\n2,y\n'.encode())
    assert table["b"].to_pylist() == [long, "y"]


@pytest.mark.parametrize("rows", [20_000, 1_000_000])
def test_an_open_quote_is_named_however_much_it_swallows(tmp_path: Path, rows: int) -> None:
    content = b'a,b\n0,z\n1,"x\n' + b"2,some text\n" * rows
    with pytest.raises(SourceError, match="opens in line 3 is never closed"):
        read(tmp_path, content)


def test_a_row_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    long = b"x" * 10_000_000
    with pytest.raises(SourceError, match="a row has more than 2 MiB"):
        read(tmp_path, b"a,b\n" + b"1,y\n" * 600_000 + b"1," + long + b"\n")


def test_very_many_ragged_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="line 4 has 3; 199997 more"):
        read(tmp_path, b"a,b\n" + b"1,2,3\n" * 200_000)


def test_no_function_of_ours_runs_in_the_threads_of_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Such a thread, waiting for Python while the process ends, took it down with exit code 134.
    options: list[dict[str, object]] = []
    parse_options = pyarrow.csv.ParseOptions

    def recorded(**given: object) -> object:
        options.append(given)
        return parse_options(**given)

    monkeypatch.setattr(pyarrow.csv, "ParseOptions", recorded)
    with pytest.raises(SourceError, match="line 3 has 3"):
        read(tmp_path, b"a,b\n1,2\n1,2,3\n")
    assert [name for given in options for name, value in given.items() if callable(value)] == []


def test_quoted_decimal_commas_are_read_in_a_file_of_commas(tmp_path: Path) -> None:
    table = read(tmp_path, b'a,b\n"1,5",x\n"12,25",y\n"3,0",z\n')
    assert table["a"].to_pylist() == ["1.5", "12.25", "3.0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no rows"),
        (b"\n\n", "no header"),
        (b"a,a\n1,2\n", "more than once"),
        (b"Age,age\n1,2\n", "more than once"),
        (b"1,1,0\n1,2,3\n", "more than once"),
        (b"a,b\n1,2\n3\n4,5,6\n", "line 3 has 1; line 4 has 3"),
        (b'a,b\n1,"x\ny"\n3\n', "line 4 has 1"),
        (b'a,b\n1,"x\n2,y\n3,z\n', "opens in line 2 is never closed"),
        (b"a,b\n1,\x00\n", "zero bytes"),
        (b"PK\x03\x04rest", "Excel"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b"PAR1 and no more", "not a readable Parquet"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read(tmp_path, content)
    assert caught.value.fix


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        read_raw(Source(path="none.csv"), tmp_path)
    with pytest.raises(SourceError, match="holds no data file"):
        detect_dialect(tmp_path)


def test_a_wrong_encoding_in_the_contract_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes("a\né\n".encode("latin-1"))
    with pytest.raises(SourceError, match="not utf-8") as caught:
        read_raw(Source(path="data.csv"), tmp_path)
    assert "source.encoding" in caught.value.fix
    with pytest.raises(SourceError, match="no encoding"):
        read_raw(Source(path="data.csv", encoding="utf-9"), tmp_path)


def test_parquet_values_become_text_that_reads_back(tmp_path: Path) -> None:
    table = read_parquet(
        tmp_path,
        pa.table(
            {
                "whole": [1, None],
                "flag": [True, False],
                "day": [date(2024, 1, 31), None],
                "moment": [datetime.fromisoformat("2024-01-31 13:45"), None],
                "level": pa.array(["a", "b"]).dictionary_encode(),
                "nested": [[1, 2], None],
                "packed": [[b"\x00"], None],
                "bytes": [b"\x00\xff", None],
                "zoned": pa.array(
                    [datetime.fromisoformat("2024-01-31 13:45"), None],
                    pa.timestamp("ns", "Europe/Berlin"),
                ),
            }
        ),
    )
    assert set(table.schema.types) == {pa.string()}
    assert table.to_pylist()[0] == {
        "whole": "1",
        "flag": "true",
        "day": "2024-01-31",
        "moment": "2024-01-31 13:45:00.000000",
        "level": "a",
        "nested": "[1, 2]",
        "packed": '["00"]',
        "bytes": "00ff",
        "zoned": "2024-01-31 13:45:00.000000",
    }
    assert table["whole"].to_pylist()[1] is None


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(
    doubles=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    singles=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1),
)
def test_parquet_floats_survive_exactly(
    tmp_path: Path, doubles: list[float], singles: list[float]
) -> None:
    rows = min(len(doubles), len(singles))
    table = read_parquet(
        tmp_path,
        pa.table({"double": doubles[:rows], "single": pa.array(singles[:rows], pa.float32())}),
    )
    assert [float(text) for text in table["double"].to_pylist()] == doubles[:rows]
    assert [float(text) for text in table["single"].to_pylist()] == singles[:rows]


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)
@given(rows=st.lists(st.tuples(FIELDS, FIELDS, FIELDS), min_size=1, max_size=20))
def test_quoted_text_survives_unchanged(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(("first", "second", "third"))
    writer.writerows(rows)
    (tmp_path / "data.csv").write_text(stream.getvalue(), encoding="utf-8", newline="")
    table = read_raw(Source(path="data.csv"), tmp_path)
    assert list(zip(*table.to_pydict().values(), strict=True)) == rows
