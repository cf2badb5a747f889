"""Folders, globs, JSON lines, S3 prefixes, and files that are larger than memory should hold."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from {{ cookiecutter.package_name }}.contract import Source
from {{ cookiecutter.package_name }}.data.dialect import detect_dialect
from {{ cookiecutter.package_name }}.data.source_files import SourceError
from {{ cookiecutter.package_name }}.data.sources import list_parts, open_part, read_raw

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


def test_json_lines_keep_digits_and_nested_values(tmp_path: Path) -> None:
    lines = ['{"a": 1.10, "b": null, "c": true}', "", '{"a": 1e400, "d": {"x": [1]}, "b": "é"}']
    write(tmp_path, {"in.jsonl": "\n".join(lines)})
    assert read_raw(Source(path="in.jsonl"), tmp_path).to_pylist() == [
        {"a": "1.10", "b": None, "c": "true", "d": None},
        {"a": "1e400", "b": "é", "c": None, "d": '{"x": ["1"]}'},
    ]


@pytest.mark.parametrize(
    ("line", "complaint"), [("{oops", "line 2 is not JSON"), ("[1]", "line 2 is not an object")]
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    write(tmp_path, {"in.jsonl": '{"a": 1}\n' + line + "\n"})
    with pytest.raises(SourceError, match=complaint):
        read_raw(Source(path="in.jsonl"), tmp_path)


def test_the_dialect_of_a_folder_is_that_of_its_first_file(tmp_path: Path) -> None:
    write(tmp_path, {"in/a.csv": "a;b\n1,5;2\n", "in/b.csv": "a;b\n2,5;2\n"})
    source = detect_dialect(tmp_path / "in")
    assert (source.delimiter, source.decimal) == (";", ",")
    assert read_raw(source, tmp_path)["a"].to_pylist() == ["1.5", "2.5"]


def test_json_lines_are_recognised(tmp_path: Path) -> None:
    write(tmp_path, {"in.txt": '{"a": 1, "b": "x,y"}\n'})
    assert read_raw(detect_dialect(tmp_path / "in.txt"), tmp_path)["b"].to_pylist() == ["x,y"]


def test_an_error_in_the_middle_of_a_stream_reaches_the_reader(tmp_path: Path) -> None:
    good = "".join(f"{number},x\n" for number in range(2_000_000))
    write(tmp_path, {"in.csv": "a,b\n" + good + "1,2,3\n"})
    (part,) = list_parts(Source(path="in.csv"), tmp_path)
    with open_part(part) as reader, pytest.raises(SourceError, match="line 2000002 has 3"):
        reader.read_all()


def test_a_file_larger_than_the_memory_it_may_use_passes(tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    block = "".join(f"{number:012d},{'x' * 80}\n" for number in range(50_000))
    with file.open("w", encoding="utf-8") as stream:
        stream.write("number,text\n")
        for _ in range(70):
            stream.write(block)
    assert file.stat().st_size > 300 * MEGABYTE
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from {{ cookiecutter.package_name }}.contract import Source\n"
        "from {{ cookiecutter.package_name }}.data.sources import list_parts, open_part\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "(part,) = list_parts(Source(path=sys.argv[1]), Path.cwd())\n"
        "with open_part(part) as reader:\n"
        "    rows = sum(batch.num_rows for batch in reader)\n"
        "print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True
    )
    rows, kilobytes = map(int, done.stdout.split())
    assert rows == 3_500_000
    assert kilobytes < 150 * 1024, f"peak memory grew by {kilobytes // 1024} MB"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on moto's server, which stands in for S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
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


def test_a_bad_object_is_named_by_its_address(bucket: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key="in/a.csv", Body=b"a,b\n1\n")
    with pytest.raises(SourceError, match=r"s3://raw/in/a\.csv: the header has 2 fields"):
        read_raw(Source(path=f"s3://{bucket}/in/"), Path())


def test_a_missing_bucket_says_what_to_check(bucket: str) -> None:
    with pytest.raises(SourceError, match="NoSuchBucket"):
        list_parts(Source(path="s3://absent/in/"), Path())
