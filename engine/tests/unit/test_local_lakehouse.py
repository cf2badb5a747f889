"""What the local lakehouse promises beyond the suite that it shares with the one on AWS."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyiceberg.table
import pytest
from pyiceberg.expressions.visitors import visit
from pyiceberg.manifest import ManifestFile

from goldpath.lake.lakehouse import LakehouseError, Partitions, TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.settings import Settings

from ..conftest import make_project
from ..counts import times

TABLE = TableName("gold", "shop")


def rows(*values: int, part: str = "a") -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64()), "part": [part] * len(values)})


def numbers(lakehouse: LocalLakehouse, snapshot_id: int | None = None) -> list[int]:
    found: list[int] = lakehouse.collect(lakehouse.read(TABLE, snapshot_id))["n"].to_pylist()
    return sorted(found)


def data_files(settings: Settings) -> list[Path]:
    return sorted((settings.root / "lake" / "warehouse").rglob("*.parquet"))


def test_looking_creates_nothing(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    assert lakehouse.snapshot(TABLE) is None
    assert lakehouse.tables() == []
    assert not (project.root / "lake").exists()


def test_a_commit_copies_the_metadata_a_few_times(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pyiceberg copies every column of it for each thing that it reads: thirty times a commit.
    copied = 0
    original = pyiceberg.table.update_table_metadata

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal copied
        copied += 1
        return original(*arguments, **options)

    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, rows(1))
    monkeypatch.setattr(pyiceberg.table, "update_table_metadata", counting)
    lakehouse.append(TABLE, rows(2))
    assert copied <= 4
    assert numbers(lakehouse) == [1, 2]


def test_another_process_sees_what_was_committed(project: Settings) -> None:
    LocalLakehouse(project).append(TABLE, rows(1, 2))
    assert numbers(LocalLakehouse(project)) == [1, 2]


@pytest.mark.parametrize("name", ["a b", "it's", "50%", "é#ü", "a'b\"c"])
def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    lakehouse = LocalLakehouse(make_project(tmp_path / name))
    lakehouse.append(TABLE, rows(1), partition_by="part")
    lakehouse.overwrite(TABLE, rows(2), Partitions("part", ("a",)))
    lakehouse.append(TABLE, rows(3, part="b"))
    lakehouse.delete(TABLE, "part", ["b"])
    assert numbers(lakehouse) == [2]


def test_partitions_are_judged_each_by_itself(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads judge them at once; one verdict for two of them leaves a file that is replaced."""
    lakehouse = LocalLakehouse(project)
    for part in "abcd":
        lakehouse.append(TABLE, rows(1, part=part), partition_by="part")

    def slowly(visitor: Any, manifest: ManifestFile) -> bool:
        visitor.partition_fields = manifest.partitions
        time.sleep(0.05)
        return bool(visit(visitor.partition_filter, visitor))

    monkeypatch.setattr("pyiceberg.expressions.visitors._ManifestEvalVisitor.eval", slowly)
    lakehouse.overwrite(TABLE, rows(2, part="a"), Partitions("part", ("a",)))
    assert numbers(lakehouse) == [1, 1, 1, 2]
    lakehouse.delete(TABLE, "part", ["c", "d"])
    assert numbers(lakehouse) == [1, 2]


@pytest.mark.parametrize("value", ["a/b", "50% off", "x=y", "é ü", "2026", "../up", "a'b", "a?b#c"])
def test_any_text_may_name_a_partition(project: Settings, value: str) -> None:
    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, rows(1, part="other"), partition_by="part")
    for number in (5, 6):
        lakehouse.overwrite(TABLE, rows(number, part=value), Partitions("part", (value, "none")))
    found = lakehouse.collect(lakehouse.read(TABLE, partitions=Partitions("part", (value,))))
    assert found.to_pylist() == [{"n": 6, "part": value}]
    assert numbers(lakehouse) == [1, 6]


def test_other_partitions_keep_their_files(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    both = pa.concat_tables([rows(1, part="a"), rows(2, part="b")])
    lakehouse.append(TABLE, both, partition_by="part")
    (kept,) = [file for file in data_files(project) if "part=b" in str(file)]
    before = kept.read_bytes()
    lakehouse.overwrite(TABLE, rows(9), Partitions("part", ("a",)))
    scan = lakehouse.read(TABLE, partitions=Partitions("part", ("b",)))
    assert lakehouse.collect(scan)["n"].to_pylist() == [2]
    assert kept.read_bytes() == before


def test_expiry_deletes_the_files_that_nobody_needs(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    first = lakehouse.append(TABLE, rows(1))
    lakehouse.tag(first, "train-1")
    for number in (2, 3):
        lakehouse.overwrite(TABLE, rows(number))
    assert len(data_files(project)) == 3
    assert lakehouse.expire(TABLE, datetime.now(UTC)) == 1
    assert len(data_files(project)) == 2
    assert numbers(lakehouse) == [3]
    assert numbers(lakehouse, first.snapshot_id) == [1]


def test_only_old_orphans_are_deleted(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, rows(1))
    folder = data_files(project)[0].parent
    young, old = folder / "young.parquet", folder / "old.parquet"
    for orphan in (young, old):
        orphan.write_bytes(data_files(project)[0].read_bytes())
    os.utime(old, (time.time() - 2 * 86_400,) * 2)
    assert numbers(lakehouse) == [1]
    lakehouse.expire(TABLE, datetime.now(UTC))
    assert young.exists()
    assert not old.exists()
    assert numbers(lakehouse) == [1]


def test_a_sort_larger_than_the_memory_spills(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ibis

    monkeypatch.setenv("MLOPS_LAKE__MEMORY", "60MB")
    from goldpath.settings import load_settings

    lakehouse = LocalLakehouse(load_settings(project.root))
    many = ibis.range(2_000_000).unnest().name("n").as_table()
    text = many.mutate(part=(many.n * 7919 % 1_000_003).cast("string"))
    assert lakehouse.overwrite(TABLE, text.order_by("part")).rows == 2_000_000


def test_changed_type_names_column_and_types(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, rows(1))
    with pytest.raises(LakehouseError, match="column 'n' is int64 in the table and string"):
        lakehouse.append(TABLE, pa.table({"n": ["one"], "part": ["a"]}))
    assert numbers(lakehouse) == [1]
    assert len(data_files(project)) == 1


def test_disk_error_while_writing_leaves_the_last_snapshot(project: Settings) -> None:
    """A full disk, stood in for by a limit on the size of a file that the kernel enforces."""
    LocalLakehouse(project).append(TABLE, rows(1))
    program = """
import resource, signal, sys
from pathlib import Path
import ibis
from goldpath.lake.lakehouse import LakehouseError, TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.settings import load_settings
lakehouse = LocalLakehouse(load_settings(Path(sys.argv[1])))
many = ibis.range(3_000_000).unnest().name("n").as_table()
random = many.mutate(part=(ibis.random() * 1e9).cast("string"))
lakehouse.read(TableName("gold", "shop"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    lakehouse.append(TableName("gold", "shop"), random)
except LakehouseError as error:
    print(error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(project.root)], capture_output=True, text=True
    )
    assert "cannot be written" in done.stdout, done.stderr
    assert numbers(LocalLakehouse(project)) == [1]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_read_only_lake_is_a_sentence_and_stays_readable(project: Settings) -> None:
    for place in (project.root, *project.root.parents):
        if place.owner() == "root":
            place.chmod(place.stat().st_mode | 0o055)
    program = """
import os, sys
from pathlib import Path
import pyarrow as pa
from goldpath.lake.lakehouse import LakehouseError, TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.settings import load_settings
lakehouse = LocalLakehouse(load_settings(Path(sys.argv[1])))
table = TableName("gold", "shop")
# Once as root: it makes the lake, and loads all code, which another user may not be able to.
lakehouse.append(table, pa.table({"n": [1], "part": ["a"]}))
lakehouse.collect(lakehouse.read(table))
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(lakehouse.collect(lakehouse.read(table)).num_rows)
try:
    lakehouse.append(table, pa.table({"n": [2], "part": ["a"]}))
except LakehouseError as error:
    print(error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(project.root)], capture_output=True, text=True
    )
    assert done.stdout.startswith("1\n"), done.stderr
    assert "cannot be written" in done.stdout
    assert numbers(LocalLakehouse(project)) == [1]


WRITER = """
import sys
from pathlib import Path
import pyarrow as pa
from goldpath.lake.lakehouse import TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.settings import load_settings
lakehouse = LocalLakehouse(load_settings(Path(sys.argv[1])))
for number in range(int(sys.argv[3])):
    key = int(sys.argv[2]) * 1000 + number
    lakehouse.append(TableName("gold", "shop"), pa.table({"n": [key], "part": ["a"]}))
    print(key, flush=True)
"""


@pytest.mark.slow
@pytest.mark.soak
def test_every_acknowledged_row_of_eight_writers_is_there_once(project: Settings) -> None:
    each = times(12, 50)  # every commit reads the metadata of all those before it
    command = [sys.executable, "-c", WRITER, str(project.root)]
    writers = [
        subprocess.Popen([*command, str(number), str(each)], stdout=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    acknowledged = [int(line) for writer in writers for line in writer.communicate()[0].split()]
    assert [writer.returncode for writer in writers] == [0] * 8
    assert len(acknowledged) == 8 * each
    assert numbers(LocalLakehouse(project)) == sorted(acknowledged)


@pytest.mark.slow
def test_a_killed_writer_holds_nobody_up(project: Settings) -> None:
    command = [sys.executable, "-c", WRITER, str(project.root)]
    with subprocess.Popen([*command, "1", "1000"], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(5)]
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, rows(7))
    found = numbers(lakehouse)
    assert set(acknowledged) | {7} <= set(found)
    # At most the one commit whose acknowledgement the kill cut off is there in addition.
    assert len(found) - len(acknowledged) - 1 in (0, 1)
