"""The promises of `Lakehouse`, kept by each implementation: local, and AWS.

`aws-emulated` is moto's S3 and Glue and the emulated Athena on this machine. `aws` is the account
and the resources that the environment and `config/aws_config.yaml` name; it runs with
`pytest -m aws` only, writes tables whose names hold a random number, and deletes them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import ibis
import pyarrow as pa
import pytest

from goldpath.contract import EVENT_TIME, load_contract
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Partitions, TableName
from goldpath.lake.shards import Shard
from goldpath.monitor.predictions import scores_by_day
from goldpath.settings import load_settings

from ..aws_emulation import EmulatedAws, emulated_aws
from ..conftest import make_project

pytestmark = pytest.mark.slow

BACKENDS = [
    pytest.param("local", id="local"),
    pytest.param("aws-emulated", id="aws-emulated"),
    pytest.param("aws", id="aws", marks=pytest.mark.aws),
]


@dataclass(frozen=True)
class Lake:
    """A lake, and a name for a table that nobody else uses."""

    lake: Lakehouse
    table: TableName

    def rows(self, *order: str, snapshot_id: int | None = None) -> list[dict[str, object]]:
        expression = self.lake.read(self.table, snapshot_id)
        rows: list[dict[str, object]] = self.lake.collect(
            expression.order_by(list(order))
        ).to_pylist()
        return rows


@pytest.fixture(scope="module")
def emulated() -> Iterator[EmulatedAws]:
    with emulated_aws() as aws:
        yield aws


@pytest.fixture(params=BACKENDS)
def at(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lake]:
    settings = make_project(tmp_path)
    if request.param == "aws-emulated":
        for name, value in request.getfixturevalue("emulated").environment.items():
            monkeypatch.setenv(name, value)
        settings = load_settings(tmp_path)
    elif request.param == "aws":
        monkeypatch.setenv("MLOPS_LAKE__BACKEND", "aws")
        settings = load_settings(tmp_path)
    lake = open_lakehouse(settings)
    table = TableName("contract", f"t{uuid4().hex[:12]}")
    yield Lake(lake, table)
    if request.param == "aws":
        _drop(lake, table)


def _drop(lake: Lakehouse, table: TableName) -> None:
    from goldpath.lake.athena.lakehouse import AwsLakehouse

    assert isinstance(lake, AwsLakehouse)
    if lake.exists(table):
        lake._client.run(f"DROP TABLE {lake._catalog.of(table)}".replace('"', "`"))


def people(**columns: list[object]) -> pa.Table:
    given = {"name": ["ann", "bob", "cid"], "part": ["a", "a", "b"], "n": [1, 2, 3]}
    return pa.table({**given, **columns})


def test_appended_rows_are_read_back(at: Lake) -> None:
    snapshot = at.lake.append(at.table, people(), partition_by="part")
    assert at.lake.exists(at.table)
    assert snapshot.rows == 3
    assert at.rows("n") == people().to_pylist()


def test_second_append_adds_rows(at: Lake) -> None:
    at.lake.append(at.table, people(), partition_by="part")
    assert at.lake.append(at.table, people()).rows == 6
    assert len(at.rows("n")) == 6


def test_table_is_listed(at: Lake) -> None:
    assert not at.lake.exists(at.table)
    assert at.lake.snapshot(at.table) is None
    at.lake.append(at.table, people())
    assert at.table in at.lake.tables()


def test_missing_table_is_a_sentence(at: Lake) -> None:
    with pytest.raises(LakehouseError, match="does not exist yet"):
        at.lake.read(at.table)


def test_every_type_survives_the_journey(at: Lake) -> None:
    """Microseconds, empty text next to null, and doubles to the last bit."""
    moment = datetime(2024, 2, 29, 23, 59, 59, 999_999)
    rows = pa.table(
        {
            "i": pa.array([1, None, -(2**62), 4], pa.int64()),
            "text": pa.array(["", None, 'a "quoted", \nline', "ä€😀"], pa.string()),
            "number": pa.array([0.1 + 0.2, None, -1e300, 5e-324], pa.float64()),
            "flag": pa.array([True, None, False, True], pa.bool_()),
            "moment": pa.array([moment, None, datetime(1, 1, 1), moment], pa.timestamp("us")),
            "day": pa.array([date(2024, 2, 29), None, date(1970, 1, 1), None], pa.date32()),
        }
    )
    at.lake.append(at.table, rows)
    read = at.lake.collect(at.lake.read(at.table))
    assert read.schema.types == rows.schema.types
    assert sorted(read.to_pylist(), key=repr) == sorted(rows.to_pylist(), key=repr)


def test_null_in_the_only_column_is_a_row(at: Lake) -> None:
    at.lake.append(at.table, pa.table({"x": pa.array([None, "", None], pa.string())}))
    read = at.lake.collect(at.lake.read(at.table))["x"].to_pylist()
    assert sorted(map(repr, read)) == ["''", "None", "None"]


def test_column_names_keep_their_case_and_their_spaces(at: Lake) -> None:
    rows = pa.table({"Total Charges": [1.5], "Código": ["x"], "MonthlyFee": [2], "1st": ["y"]})
    at.lake.append(at.table, rows)
    assert at.lake.collect(at.lake.read(at.table)).to_pylist() == rows.to_pylist()


def test_order_of_an_expression_is_kept(at: Lake) -> None:
    at.lake.append(at.table, people())
    ordered = at.lake.read(at.table).order_by(ibis.desc("n"))
    assert at.lake.collect(ordered)["n"].to_pylist() == [3, 2, 1]


def test_overwriting_twice_changes_nothing(at: Lake) -> None:
    at.lake.append(at.table, people(), partition_by="part")
    new = pa.table({"name": ["dan"], "part": ["a"], "n": [9]})
    for _ in range(2):
        at.lake.overwrite(at.table, new, Partitions("part", ("a",)))
        assert [row["name"] for row in at.rows("n")] == ["cid", "dan"]


def test_partition_without_rows_is_emptied(at: Lake) -> None:
    at.lake.append(at.table, people(), partition_by="part")
    new = people().filter(pa.compute.equal(people()["part"], "none"))
    snapshot = at.lake.overwrite(at.table, new, Partitions("part", ("a", "never")))
    assert snapshot.rows == 1
    assert [row["name"] for row in at.rows("n")] == ["cid"]


def test_overwriting_everything(at: Lake) -> None:
    at.lake.append(at.table, people(part=["a", None, "b"]), partition_by="part")
    at.lake.overwrite(at.table, people().slice(0, 1))
    assert [row["name"] for row in at.rows("n")] == ["ann"]


def test_overwriting_everything_of_a_table_without_partitions(at: Lake) -> None:
    at.lake.append(at.table, people())
    at.lake.overwrite(at.table, people(name=["x", None, "z"]))
    at.lake.overwrite(at.table, people(name=["u", "v", "w"]))
    assert [row["name"] for row in at.rows("n")] == ["u", "v", "w"]


def test_overwrite_creates_the_table(at: Lake) -> None:
    assert at.lake.overwrite(at.table, people(), Partitions("part", ("a", "b"))).rows == 3


def test_overwrite_from_an_expression_over_the_table_itself(at: Lake) -> None:
    at.lake.append(at.table, people(), partition_by="part")
    held = at.lake.read(at.table, partitions=Partitions("part", ("a",)))
    at.lake.overwrite(at.table, held.mutate(n=held.n * 10), Partitions("part", ("a",)))
    assert [row["n"] for row in at.rows("n")] == [3, 10, 20]


def test_new_column_is_null_in_old_rows(at: Lake) -> None:
    at.lake.append(at.table, people(), partition_by="part")
    at.lake.append(at.table, people(extra=[1.5, 2.5, None]))
    extra = [row["extra"] for row in at.rows("n")]
    assert sorted(extra, key=repr) == [1.5, 2.5, None, None, None, None]


def test_column_that_new_rows_lack_is_null(at: Lake) -> None:
    at.lake.append(at.table, people(extra=["x", "y", "z"]))
    at.lake.append(at.table, people().slice(0, 1))
    assert [row["extra"] for row in at.rows("n", "extra")].count(None) == 1


def test_changed_type_is_refused_and_nothing_is_written(at: Lake) -> None:
    before = at.lake.append(at.table, people())
    with pytest.raises(LakehouseError, match=r"column 'n' is int64 in the table and string"):
        at.lake.append(at.table, people(n=["one", "two", "three"]))
    assert at.lake.snapshot(at.table) == before


def test_old_snapshot_stays_readable(at: Lake) -> None:
    first = at.lake.append(at.table, people(), partition_by="part")
    at.lake.overwrite(at.table, people().slice(2, 1))
    assert len(at.rows("n", snapshot_id=first.snapshot_id)) == 3
    assert len(at.rows("n")) == 1


def test_old_snapshot_has_its_old_columns(at: Lake) -> None:
    first = at.lake.append(at.table, people())
    at.lake.append(at.table, people(extra=[1, 2, 3]))
    assert "extra" not in at.lake.read(at.table, first.snapshot_id).columns


def test_two_snapshots_can_be_joined(at: Lake) -> None:
    first = at.lake.append(at.table, people(), partition_by="part")
    at.lake.overwrite(at.table, people(n=[1, 20, 3]))
    old, new = at.lake.read(at.table, first.snapshot_id), at.lake.read(at.table)
    changed = old.join(new, "name").filter(lambda t: t.n != t.n_right)
    assert at.lake.collect(changed)["name"].to_pylist() == ["bob"]


def test_unknown_snapshot_is_refused(at: Lake) -> None:
    at.lake.append(at.table, people())
    with pytest.raises(LakehouseError, match="has no snapshot 5"):
        at.lake.read(at.table, 5)


def test_partitions_are_read_alone(at: Lake) -> None:
    at.lake.append(at.table, people(), partition_by="part")
    rows = at.lake.collect(at.lake.read(at.table, partitions=Partitions("part", ("b",))))
    assert rows["name"].to_pylist() == ["cid"]


def test_snapshots_are_listed_in_order(at: Lake) -> None:
    first = at.lake.append(at.table, people())
    second = at.lake.append(at.table, people())
    listed = at.lake.snapshots(at.table)
    assert [snapshot.snapshot_id for snapshot in listed] == [first.snapshot_id, second.snapshot_id]
    assert [snapshot.rows for snapshot in listed] == [3, 6]


def test_tagged_snapshot_survives_expiry(at: Lake) -> None:
    first = at.lake.append(at.table, people(), partition_by="part")
    second = at.lake.overwrite(at.table, people().slice(0, 1))
    third = at.lake.overwrite(at.table, people().slice(1, 1))
    for _ in range(2):
        at.lake.tag(first, "train-x")
    assert at.lake.expire(at.table, datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert at.rows("n", snapshot_id=first.snapshot_id) == people().to_pylist()
    assert [row["name"] for row in at.rows("n")] == ["bob"]
    with pytest.raises(LakehouseError, match="has no snapshot"):
        at.lake.read(at.table, second.snapshot_id)
    tags = {snapshot.snapshot_id: snapshot.tags for snapshot in at.lake.snapshots(at.table)}
    assert tags == {first.snapshot_id: ("train-x",), third.snapshot_id: ()}


def test_untagged_snapshot_expires(at: Lake) -> None:
    first = at.lake.append(at.table, people())
    at.lake.append(at.table, people())
    at.lake.tag(first, "gone")
    for _ in range(2):
        at.lake.untag(at.table, "gone")
    assert at.lake.expire(at.table, datetime.now(UTC) + timedelta(minutes=1)) == 1


def test_young_snapshots_do_not_expire(at: Lake) -> None:
    at.lake.append(at.table, people())
    at.lake.append(at.table, people())
    assert at.lake.expire(at.table, datetime.now(UTC) - timedelta(hours=1)) == 0


def test_rollback_restores_the_rows_and_loses_none(at: Lake) -> None:
    first = at.lake.append(at.table, people(), partition_by="part")
    second = at.lake.overwrite(at.table, people().slice(0, 1))
    assert at.lake.rollback(first).snapshot_id == first.snapshot_id
    assert len(at.rows("n")) == 3
    assert len(at.rows("n", snapshot_id=second.snapshot_id)) == 1
    assert at.lake.append(at.table, people()).rows == 6


def test_purged_snapshot_is_gone_even_if_tagged(at: Lake) -> None:
    first = at.lake.append(at.table, people(), partition_by="part")
    at.lake.tag(first, "train-x")
    last = at.lake.delete(at.table, "name", ["bob"])
    with pytest.raises(LakehouseError, match="holds now"):
        at.lake.purge(at.table, [last.snapshot_id])
    at.lake.purge(at.table, [first.snapshot_id])
    assert first.snapshot_id not in {kept.snapshot_id for kept in at.lake.snapshots(at.table)}
    assert [row["name"] for row in at.rows("n")] == ["ann", "cid"]


def test_staged_rows_are_an_expression(at: Lake) -> None:
    at.lake.append(at.table, people(), partition_by="part")
    wanted = pa.table({"name": ["bob", "eve"], "seen": [datetime(2024, 1, 1, 0, 0, 0, 7)] * 2})
    with at.lake.staged(wanted) as staged:
        joined = at.lake.read(at.table).join(staged, "name").select("name", "n", "seen")
        assert at.lake.collect(joined).to_pylist() == [
            {"name": "bob", "n": 2, "seen": datetime(2024, 1, 1, 0, 0, 0, 7)}
        ]


def test_stream_of_batches_is_one_snapshot(at: Lake) -> None:
    batches = (
        pa.record_batch(
            {
                "x": [number],
                "file": pa.array(["f"], pa.string()).dictionary_encode(),
            }
        )
        for number in range(5)
    )
    at.lake.append_stream(
        at.table, batches, lambda rows: rows.mutate(part=ibis.literal("p")), partition_by="part"
    )
    assert [row["x"] for row in at.rows("x")] == [0, 1, 2, 3, 4]
    assert {(row["file"], row["part"]) for row in at.rows("x")} == {("f", "p")}
    assert len(at.lake.snapshots(at.table)) == 1


def test_error_in_a_stream_leaves_the_table_as_it_was(at: Lake) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"n": [1]})
        raise LakehouseError("line 7 is broken")

    before = at.lake.append(at.table, people())
    with pytest.raises(LakehouseError, match="line 7"):
        at.lake.append_stream(at.table, broken(), lambda rows: rows)
    assert at.lake.snapshot(at.table) == before


def test_materialized_rows_are_computed_once(at: Lake) -> None:
    at.lake.append(at.table, people())
    drawn = at.lake.read(at.table).mutate(drawn=ibis.random())
    with at.lake.materialized(drawn) as rows:
        first, second = at.lake.collect(rows.order_by("n")), at.lake.collect(rows.order_by("n"))
        assert first.equals(second)
        assert rows.columns == ("name", "part", "n", "drawn")


def test_nothing_temporary_stays(at: Lake) -> None:
    at.lake.append(at.table, people())
    before = at.lake.tables()
    with at.lake.materialized(at.lake.read(at.table)) as rows:
        assert at.lake.tables() == before
        at.lake.collect(rows)
    assert at.lake.tables() == before


def test_deleted_rows_are_gone(at: Lake) -> None:
    at.lake.append(at.table, people(name=["ann", None, "o'brien"]), partition_by="part")
    assert at.lake.delete(at.table, "name", ["o'brien", "ann"]).rows == 1
    assert [row["name"] for row in at.rows("n")] == [None]


def test_compacted_rows_are_the_same(at: Lake) -> None:
    for _ in range(3):
        at.lake.append(at.table, people(), partition_by="part")
    before = at.rows("n", "name")
    at.lake.compact(at.table)
    assert at.rows("n", "name") == before


def test_empty_append_makes_a_readable_table(at: Lake) -> None:
    snapshot = at.lake.append(at.table, people().slice(0, 0), partition_by="part")
    assert snapshot.rows == 0
    assert at.rows("n") == []


def test_scores_are_counted_by_day_where_the_data_is(at: Lake) -> None:
    moments = [datetime(2026, 11, day, 23, 59) for day in (1, 2, 2, 2, 3)]
    scores = [0.5, 0.05, 1.0, None, 900.0]
    rows = pa.table(
        {"predicted_at": pa.array(moments, pa.timestamp("us")), "score": pa.array(scores)}
    )
    at.lake.append(at.table, rows)

    found = scores_by_day(at.lake, at.table, date(2026, 11, 2))

    assert {day.day: scores.count for day, scores in found.items()} == {2: 2, 3: 1}
    second, third = (found[date(2026, 11, day)] for day in (2, 3))
    assert second.bins == [1, *[0] * 8, 1]
    assert second.mean == pytest.approx(0.525)
    assert (third.mean, third.bins) == (900.0, [0] * 10), "what is no probability is in no tenth"


def test_each_row_is_in_the_shard_that_its_digest_says(at: Lake, tmp_path: Path) -> None:
    contract = load_contract(tmp_path)
    names = ["ann", "bob", "cid", "Zoë", "", *map(str, range(40))]
    time = datetime(2025, 3, 1, 7, 5, 9, 123456)
    given = pa.table(
        {
            contract.entity_column: names,
            EVENT_TIME: pa.array([time] * len(names), pa.timestamp("us")),
        }
    )
    at.lake.append(at.table, given)
    rows = at.lake.read(at.table)

    for count in (1, 3):
        shards = [Shard(number, count) for number in range(1, count + 1)]
        held = [
            at.lake.collect(rows.filter(shard.holds(rows, contract)))[contract.entity_column]
            for shard in shards
        ]
        keys = {name: f"{name}|2025-03-01 07:05:09".encode() for name in names}
        digests = {name: hashlib.md5(key, usedforsecurity=False) for name, key in keys.items()}
        expected = [
            {
                name
                for name, digest in digests.items()
                if number == int(digest.hexdigest()[:8], 16) * count // 16**8
            }
            for number in range(count)
        ]
        assert [{*each.to_pylist()} for each in held] == expected
        assert sum(map(len, held)) == len(names)
