"""What only the lakehouse on AWS has: errors of AWS, lost races, staging. All of it emulated."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import ibis
import pyarrow as pa
import pytest

from goldpath.lake.athena.catalog import AwsCatalog
from goldpath.lake.athena.lakehouse import AwsLakehouse
from goldpath.lake.lakehouse import LakehouseError, Partitions, TableName
from goldpath.settings import load_settings

from ..aws_emulation import REGION, EmulatedAws, emulated_aws
from ..conftest import make_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def aws() -> Iterator[EmulatedAws]:
    with emulated_aws() as aws:
        yield aws


@pytest.fixture
def root(aws: EmulatedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path)
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def open_lake(root: Path) -> AwsLakehouse:
    return AwsLakehouse(load_settings(root))


def rows(*parts: str) -> pa.Table:
    return pa.table({"part": list(parts), "n": list(range(len(parts)))})


def test_concurrent_appends_lose_nothing(root: Path) -> None:
    table = TableName("aws", "appends")

    def write(writer: int) -> int:
        lake = open_lake(root)
        for _ in range(3):
            lake.append(table, rows(f"w{writer}"), partition_by="part")
        return 3

    with ThreadPoolExecutor(4) as pool:
        acknowledged = sum(pool.map(write, range(4)))
    lake = open_lake(root)
    assert lake.collect(lake.read(table)).num_rows == acknowledged == 12


def test_table_that_another_writer_made_meanwhile_is_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = TableName("aws", "first")
    open_lake(root).append(table, rows("a"), partition_by="part")
    late, looked, exists = open_lake(root), [], AwsCatalog.exists

    def not_yet(catalog: AwsCatalog, name: TableName) -> bool:
        looked.append(name)
        return len(looked) > 1 and exists(catalog, name)

    monkeypatch.setattr(AwsCatalog, "exists", not_yet)
    late.append(table, rows("b"), partition_by="part")
    assert late.collect(late.read(table)).num_rows == 2


def test_overwrites_that_lose_the_race_run_again(root: Path) -> None:
    table = TableName("aws", "overwrites")
    open_lake(root).append(table, rows("a", "b", "c", "d"), partition_by="part")

    def write(part: str) -> None:
        open_lake(root).overwrite(table, rows(part, part), Partitions("part", (part,)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    lake = open_lake(root)
    assert sorted(lake.collect(lake.read(table))["part"].to_pylist()) == sorted("aabbccdd")


def test_staged_rows_leave_nothing_behind(aws: EmulatedAws, root: Path) -> None:
    lake = open_lake(root)
    with pytest.raises(LakehouseError), lake.staged(rows("a")) as staged:
        lake.append(TableName("aws", "left"), staged.mutate(PART=ibis.literal("x")))
    for prefix in ("staging/", "athena-results/"):
        listed = boto3.client("s3").list_objects_v2(Bucket=aws.bucket, Prefix=prefix)
        assert [item["Key"] for item in listed.get("Contents", []) if item["Size"]] == []
    tables = boto3.client("glue", region_name=REGION).get_tables(DatabaseName=aws.database)
    assert not [t for t in tables["TableList"] if t["Name"].startswith("staging")]


def test_too_many_partitions_are_refused_in_words(root: Path) -> None:
    lake, parts = open_lake(root), tuple(f"p{number:03}" for number in range(101))
    with pytest.raises(LakehouseError, match="101 partitions at once"):
        lake.overwrite(TableName("aws", "many"), rows(*parts), Partitions("part", parts))
    with pytest.raises(LakehouseError, match="100 partitions at once at most"):
        lake.append(TableName("aws", "many"), rows(*parts), partition_by="part")


@pytest.mark.parametrize(
    ("variable", "value", "message", "fix"),
    [
        ("MLOPS_AWS__BUCKET", "no-such-bucket", "no-such-bucket does not exist", "make init-aws"),
        ("MLOPS_AWS__ATHENA_WORKGROUP", "nobody", "workgroup nobody", "make init-aws"),
        ("MLOPS_AWS__GLUE_DATABASE", "nowhere", "nowhere", "make init-aws"),
        ("AWS_ENDPOINT_URL_ATHENA", "http://127.0.0.1:9", "cannot be reached", "network"),
    ],
)
def test_error_of_aws_says_what_to_do(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    message: str,
    fix: str,
) -> None:
    open_lake(root).append(TableName("aws", "errors"), rows("a"))
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    lake = open_lake(root)
    with pytest.raises(LakehouseError, match=message) as caught:
        lake.append(TableName("aws", "errors"), rows("a"))
    assert fix in caught.value.fix


def test_missing_credentials_say_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(LakehouseError, match="no AWS credentials") as caught:
        open_lake(root).tables()
    assert "aws configure" in caught.value.fix
