"""Folders, globs, JSON lines, S3 prefixes, and files that are larger than memory should hold."""

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from goldpath.raw_source import Source
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.files import SourceError
from goldpath.sources.read import list_parts, open_part, read_raw, whole_digest

from ..peak_memory import rows_and_growth

MEGABYTE = 1 << 20


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def test_a_folder_is_read_file_by_file_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path, {"in/b.csv": "a\n2\n", "in/a.csv": "a\n1\n", "in/sub/c.csv": "a\n3\n"})
    write(
        tmp_path, {"in/README.md": "no data", "in/.hidden.csv": "a\n9\n", "in/_tmp.csv": "a\n9\n"}
    )
    parts = list_parts(Source(path="in"), tmp_path)
    assert [part.name for part in parts] == ["a.csv", "b.csv", "sub/c.csv"]
    assert read_raw(Source(path="in"), tmp_path)["a"].to_pylist() == ["1", "2", "3"]


def test_a_glob_takes_what_it_matches(tmp_path: Path) -> None:
    write(tmp_path, {"in/x1.csv": "a\n1\n", "in/x2.csv": "a\n2\n", "in/y.csv": "a\n3\n"})
    parts = list_parts(Source(path="in/x*.csv"), tmp_path)
    assert [part.name for part in parts] == ["x1.csv", "x2.csv"]


def test_a_column_that_one_file_lacks_is_null_there(tmp_path: Path) -> None:
    write(tmp_path, {"in/a.csv": "a,b\n1,2\n", "in/b.csv": "b,c\n3,4\n"})
    assert read_raw(Source(path="in"), tmp_path).to_pylist() == [
        {"a": "1", "b": "2", "c": None},
        {"a": None, "b": "3", "c": "4"},
    ]


def test_files_of_different_kinds_may_lie_in_one_folder(tmp_path: Path) -> None:
    write(tmp_path, {"in/a.csv": "a\n1\n", "in/b.jsonl": '{"a": 2}\n'})
    pq.write_table(pa.table({"a": [3]}), tmp_path / "in" / "c.parquet")
    assert read_raw(Source(path="in"), tmp_path)["a"].to_pylist() == ["1", "2", "3"]


def test_a_digest_changes_with_the_content_and_with_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, {"one.csv": "a\n1\n", "same.csv": "a\n1\n", "other.csv": "a\n2\n"})
    digests = {
        name: list_parts(Source(path=name), tmp_path)[0].digest
        for name in ("one.csv", "same.csv", "other.csv")
    }
    assert digests["one.csv"] == digests["same.csv"] != digests["other.csv"]


def test_what_many_files_hold_together_has_one_short_name(tmp_path: Path) -> None:
    write(tmp_path, {f"in/{number}.csv": f"a\n{number}\n" for number in range(50)})
    parts = list_parts(Source(path="in"), tmp_path)
    assert len(whole_digest(parts)) == 16
    assert whole_digest(parts) != whole_digest(parts[1:])
    assert whole_digest(parts[:1]) == parts[0].digest


def test_json_lines_keep_digits_and_nested_values(tmp_path: Path) -> None:
    lines = [
        '{"a": 1.10, "b": null, "c": true}',
        "",
        '{"a": 1e400, "d": {"x": [1, 2.50, "y"]}, "b": "é"}',
    ]
    write(tmp_path, {"in.jsonl": "\n".join(lines)})
    assert read_raw(Source(path="in.jsonl"), tmp_path).to_pylist() == [
        {"a": "1.10", "b": None, "c": "true", "d": None},
        {"a": "1e400", "b": "é", "c": None, "d": '{"x": [1, 2.50, "y"]}'},
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{oops", "line 2 is not JSON"),
        ("[1]", "line 2 is not an object"),
        ('{"a": "\\ud800"}', "line 2 is not JSON: .* surrogates"),
        ('{"a": ' + "[" * 5000 + "]" * 5000 + "}", "line 2 is not JSON: nested too deeply"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    write(tmp_path, {"in.jsonl": '{"a": 1}\n' + line + "\n"})
    with pytest.raises(SourceError, match=complaint):
        read_raw(Source(path="in.jsonl"), tmp_path)


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a": 2}]', '{\n  "a": 1\n}\n', '[\n{"a": 1}\n]\n'])
def test_json_that_is_not_in_lines_is_refused_with_the_way_there(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"in.json": text})
    with pytest.raises(SourceError, match="line 1") as caught:
        read_raw(detect_dialect(tmp_path / "in.json"), tmp_path)
    assert "jq -c" in caught.value.fix


def test_a_glob_may_name_a_suffix_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, {"in/x.dat": "a\n1\n", "in/y.log": "a\n2\n"})
    assert [part.name for part in list_parts(Source(path="in/*.dat"), tmp_path)] == ["x.dat"]
    with pytest.raises(SourceError, match="holds no data file"):
        list_parts(Source(path="in/*"), tmp_path)


def test_a_source_may_hold_more_files_than_a_process_may_keep_open(tmp_path: Path) -> None:
    for number in range(300):
        pq.write_table(pa.table({"a": [number]}), tmp_path / f"{number:03}.parquet")
    parts = list_parts(Source(path="."), tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (tmp_path / "000.parquet").open("rb") as newest:
        most = newest.fileno() + 150  # other tests of this process may keep files open
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
    try:
        with ExitStack() as stack:
            opened = [stack.enter_context(open_part(part)) for part in parts]
            assert sum(reader.read_all().num_rows for reader in opened) == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_dialect_of_a_folder_is_that_of_its_first_file(tmp_path: Path) -> None:
    write(tmp_path, {"in/a.csv": "a;b\n1,5;2\n", "in/b.csv": "a;b\n2,5;2\n"})
    source = detect_dialect(tmp_path / "in")
    assert (source.delimiter, source.decimal) == (";", ",")
    assert read_raw(source, tmp_path)["a"].to_pylist() == ["1.5", "2.5"]


def test_a_relative_path_is_looked_up_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"sub/in/a.csv": "a;b\n1;2\n"})
    monkeypatch.chdir(tmp_path)
    assert detect_dialect(Path("sub/in")).delimiter == ";"


def test_json_lines_are_recognised(tmp_path: Path) -> None:
    write(tmp_path, {"in.txt": '{"a": 1, "b": "x,y"}\n'})
    assert read_raw(detect_dialect(tmp_path / "in.txt"), tmp_path)["b"].to_pylist() == ["x,y"]


def test_an_error_in_the_middle_of_a_stream_reaches_the_reader(tmp_path: Path) -> None:
    good = "".join(f"{number},x\n" for number in range(2_000_000))
    write(tmp_path, {"in.csv": "a,b\n" + good + "1,2,3\n"})
    (part,) = list_parts(Source(path="in.csv"), tmp_path)
    with open_part(part) as reader, pytest.raises(SourceError, match="line 2000002 has 3"):
        reader.read_all()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for files of 300 MB, which are gone when these tests end."""
    folder = tmp_path_factory.mktemp("large")
    yield folder
    shutil.rmtree(folder)


def write_large_csv(file: Path) -> int:
    block = "".join(f"{number:012d},{'x' * 80}\n" for number in range(50_000))
    with file.open("w", encoding="utf-8") as stream:
        stream.write("number,text\n")
        for _ in range(70):
            stream.write(block)
    return 3_500_000


def write_large_json(file: Path) -> int:
    line = json.dumps({"number": 1, "text": "x" * 1500, "more": {"y": [1.5, 2, None]}}) + "\n"
    with file.open("w", encoding="utf-8") as stream:
        for _ in range(210):
            stream.write(line * 1000)
    return 210_000


def write_large_parquet(file: Path) -> int:
    rows = 4_000_000
    columns = {f"c{number}": np.random.default_rng(number).random(rows) for number in range(10)}
    # One row group: the worst that a writer can do to a reader's memory.
    pq.write_table(pa.table(columns), file, row_group_size=rows, use_dictionary=False)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "write_large",
    [write_large_csv, write_large_json, write_large_parquet],
    ids=["csv", "json lines", "parquet"],
)
def test_a_file_larger_than_the_memory_it_may_use_passes(
    large: Path, write_large: Callable[[Path], int]
) -> None:
    file = large / f"{write_large.__name__}.{write_large.__name__.rpartition('_')[2]}"
    rows = write_large(file)
    assert file.stat().st_size > 300 * MEGABYTE
    read, grown = rows_and_growth(Source(path=str(file)))
    assert read == rows
    assert grown < 150 * MEGABYTE, f"peak memory grew by {grown // MEGABYTE} MB"


@pytest.fixture(params=["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on moto's server, which stands in for S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        request.param: f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="raw")
    yield "raw"
    server.stop()


def test_an_s3_prefix_is_read_object_by_object(bucket: str) -> None:
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="in/b.csv", Body=b"a\n2\n")
    client.put_object(Bucket=bucket, Key="in/a.jsonl", Body=json.dumps({"a": 1}).encode())
    client.put_object(Bucket=bucket, Key="in/_SUCCESS", Body=b"")
    client.put_object(Bucket=bucket, Key="other/c.csv", Body=b"a\n3\n")
    source = Source(path=f"s3://{bucket}/in/")
    before = list_parts(source, Path())
    assert [part.name for part in before] == ["in/a.jsonl", "in/b.csv"]
    assert read_raw(source, Path())["a"].to_pylist() == ["1", "2"]
    client.put_object(Bucket=bucket, Key="in/b.csv", Body=b"a\n5\n")
    after = list_parts(source, Path())
    assert before[0].digest == after[0].digest
    assert before[1].digest != after[1].digest


def test_an_address_may_lie_below_a_name_with_an_underscore_or_a_number_sign(bucket: str) -> None:
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="_raw/a#1/x.csv", Body=b"a\n1\n")
    client.put_object(Bucket=bucket, Key="_raw/a#1/_tmp/y.csv", Body=b"a\n2\n")
    client.put_object(Bucket=bucket, Key="_raw/a#1/.z.csv", Body=b"a\n3\n")
    source = Source(path=f"s3://{bucket}/_raw/a#1/")
    assert [part.name for part in list_parts(source, Path())] == ["_raw/a#1/x.csv"]


def test_the_address_of_an_object_is_that_object_alone(bucket: str) -> None:
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key="in/a.csv", Body=b"a\n1\n")
    client.put_object(Bucket=bucket, Key="in/a.csv.bak.csv", Body=b"a\n2\n")
    assert read_raw(Source(path=f"s3://{bucket}/in/a.csv"), Path())["a"].to_pylist() == ["1"]


def test_a_bad_object_is_named_by_its_address(bucket: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key="in/a.csv", Body=b"a,b\n1\n")
    with pytest.raises(SourceError, match=r"s3://raw/in/a\.csv: the header has 2 fields"):
        read_raw(Source(path=f"s3://{bucket}/in/"), Path())


def test_a_missing_bucket_says_what_to_check(bucket: str) -> None:
    with pytest.raises(SourceError, match="NoSuchBucket"):
        list_parts(Source(path="s3://absent/in/"), Path())
