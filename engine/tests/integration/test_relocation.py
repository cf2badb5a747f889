"""A copied or moved project: nothing of another folder is written to, and one command relocates."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from goldpath.lake.lakehouse import LakehouseError, Partitions, TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.services.mlflow_server import start_mlflow
from goldpath.services.relocation import relocate_project
from goldpath.settings import Settings, load_settings

from ..conftest import make_project
from ..registry_projects import CONTRACT, add_version, make_registry, scores

TABLE, OTHER = TableName("gold", "shop"), TableName("bronze", "shop")


def rows(*values: int, part: str = "a") -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64()), "part": [part] * len(values)})


def numbers(settings: Settings, table: TableName = TABLE, snapshot: int | None = None) -> list[int]:
    lakehouse = LocalLakehouse(settings)
    found: list[int] = lakehouse.collect(lakehouse.read(table, snapshot))["n"].to_pylist()
    return sorted(found)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith(".lock")
    }


@pytest.fixture
def original(tmp_path: Path) -> Settings:
    """A lake with two tables, several snapshots, partitions, a tag and deleted rows."""
    settings = make_project(tmp_path / "one's folder")
    lakehouse = LocalLakehouse(settings)
    lakehouse.append(OTHER, rows(10))
    lakehouse.append(TABLE, rows(1, 2), partition_by="part")
    lakehouse.tag(lakehouse.append(TABLE, rows(3, part="b")), "kept")
    lakehouse.overwrite(TABLE, rows(4, 5), Partitions("part", ("a",)))
    lakehouse.delete(TABLE, "part", ["b"])
    return settings


def copy_of(settings: Settings, target: Path) -> Settings:
    shutil.copytree(settings.root, target)
    return load_settings(target)


def test_copied_lake_is_not_written_to_until_it_is_relocated(
    original: Settings, tmp_path: Path
) -> None:
    copy = copy_of(original, tmp_path / "copy")
    before = contents(original.root)
    lakehouse = LocalLakehouse(copy)
    writes = (
        lambda: lakehouse.append(TABLE, rows(6)),
        lambda: lakehouse.overwrite(TABLE, rows(6)),
        lambda: lakehouse.append(TableName("gold", "new"), rows(6)),
        lambda: lakehouse.delete(TABLE, "part", ["a"]),
        lambda: lakehouse.compact(TABLE),
        lambda: lakehouse.untag(TABLE, "kept"),
        lambda: lakehouse.expire(TABLE, datetime.now(UTC) + timedelta(days=1)),
    )
    for write in writes:
        with pytest.raises(LakehouseError) as refused:
            write()
        assert str(copy.root) in refused.value.message
        assert str(original.root) in refused.value.message
        assert "make relocate" in refused.value.fix

    assert contents(original.root) == before


def test_relocated_copy_is_a_lake_of_its_own(original: Settings, tmp_path: Path) -> None:
    copy = copy_of(original, tmp_path / "copy")
    snapshots = LocalLakehouse(original).snapshots(TABLE)
    before = contents(original.root)

    planned = relocate_project(copy, yes=False)
    assert (planned.tables, planned.next) == (0, "make relocate ARGS=--yes")
    assert planned.lake == str(original.root / "lake" / "warehouse")
    done = relocate_project(copy)

    assert done.tables == 2
    assert relocate_project(copy).next.startswith("nothing")
    lakehouse = LocalLakehouse(copy)
    assert lakehouse.snapshots(TABLE) == snapshots
    lakehouse.append(TABLE, rows(6))
    lakehouse.append(OTHER, rows(11))
    lakehouse.expire(TABLE, datetime.now(UTC) + timedelta(days=1))
    lakehouse.purge(OTHER, [item.snapshot_id for item in lakehouse.snapshots(OTHER)[:-1]])
    assert contents(original.root) == before
    shutil.rmtree(original.root)
    assert numbers(copy) == [4, 5, 6]
    assert numbers(copy, OTHER) == [10, 11]
    (kept,) = [item for item in lakehouse.snapshots(TABLE) if "kept" in item.tags]
    assert numbers(copy, TABLE, kept.snapshot_id) == [1, 2, 3]
    text = b"".join(content for name, content in contents(copy.root / "lake").items())
    assert str(original.root).encode() not in text


def test_moved_project_relocates_and_a_killed_relocation_is_done_again(
    original: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original.root.rename(tmp_path / "moved")
    moved = load_settings(tmp_path / "moved")
    with pytest.raises(LakehouseError, match="the project was moved") as refused:
        LocalLakehouse(moved).append(TABLE, rows(6))
    assert "make relocate" in refused.value.fix
    with pytest.raises(LakehouseError, match="the project was moved"):
        LocalLakehouse(moved).snapshot(TABLE)

    with monkeypatch.context() as patch:
        patch.setattr("goldpath.lake.local.relocation.json.dumps", _killed)
        with pytest.raises(KeyboardInterrupt):
            relocate_project(moved)
    with pytest.raises(LakehouseError, match="the project was moved"):
        LocalLakehouse(moved).append(TABLE, rows(6))
    relocate_project(moved)

    LocalLakehouse(moved).append(TABLE, rows(6))
    assert numbers(moved) == [4, 5, 6]


def _killed(*_: object, **__: object) -> str:
    raise KeyboardInterrupt


def test_lake_whose_files_were_left_behind_is_not_relocated(
    original: Settings, tmp_path: Path
) -> None:
    copy = copy_of(original, tmp_path / "copy")
    shutil.rmtree(copy.root / "lake" / "warehouse" / "bronze")

    with pytest.raises(LakehouseError, match=r"bronze.shop cannot be relocated"):
        relocate_project(copy)
    with pytest.raises(LakehouseError):  # nothing was changed
        LocalLakehouse(copy).append(TABLE, rows(6))


def test_torn_files_that_no_snapshot_needs_are_skipped(original: Settings, tmp_path: Path) -> None:
    copy = copy_of(original, tmp_path / "copy")
    folder = copy.root / "lake" / "warehouse" / "gold" / "shop" / "metadata"
    manifest = next(file for file in folder.glob("*.avro") if not file.name.startswith("snap-"))
    for name, share in (("torn-m0.avro", 0.6), ("snap-1-0-torn.avro", 0.3), ("empty.avro", 0)):
        content = manifest.read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])
    (folder / "00009-torn.metadata.json").write_text('{"format-version": 2, "loc')

    assert relocate_project(copy).tables == 2

    shutil.rmtree(original.root)
    LocalLakehouse(copy).append(TABLE, rows(6))
    assert numbers(copy) == [4, 5, 6]


def test_manifest_that_is_gone_is_named_by_the_first_read_of_the_copy(
    original: Settings, tmp_path: Path
) -> None:
    copy = copy_of(original, tmp_path / "copy")
    for file in (copy.root / "lake" / "warehouse" / "bronze").rglob("*-m0.avro"):
        file.unlink()

    assert relocate_project(copy).tables == 2

    assert numbers(copy) == [4, 5]
    with pytest.raises(LakehouseError, match=r"bronze\.shop") as reading:
        numbers(copy, OTHER)
    assert str(copy.root) in reading.value.message  # and not the original's file
    assert "backup" in reading.value.fix


def test_manifest_of_an_unknown_compression_is_not_taken_for_a_torn_one(
    original: Settings, tmp_path: Path
) -> None:
    copy = copy_of(original, tmp_path / "copy")
    manifest = next((copy.root / "lake" / "warehouse").rglob("*-m0.avro"))
    content = manifest.read_bytes()
    assert content.count(b"\x0edeflate") == 1
    manifest.write_bytes(content.replace(b"\x0edeflate", b"\x0csnappy"))

    with pytest.raises(LakehouseError, match=r"avro\.codec is 'snappy'"):
        relocate_project(copy)


def test_torn_current_metadata_is_an_error_and_nothing_is_changed(
    original: Settings, tmp_path: Path
) -> None:
    copy = copy_of(original, tmp_path / "copy")
    folder = copy.root / "lake" / "warehouse" / "gold" / "shop" / "metadata"
    current = max(folder.glob("*.metadata.json"), key=lambda file: file.name)
    current.write_text(current.read_text()[:100])
    before = contents(copy.root)

    with pytest.raises(
        LakehouseError, match=r"is damaged .* gold.shop cannot be relocated"
    ) as torn:
        relocate_project(copy)

    assert "mv lake lake.damaged" in torn.value.fix
    assert contents(copy.root) == before


def test_same_folder_under_another_name_is_no_copy(original: Settings, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(original.root)
    linked = original.model_copy(update={"root": tmp_path / "link"})

    LocalLakehouse(linked).append(TABLE, rows(6))

    assert numbers(original) == [4, 5, 6]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_copied_registry_is_not_written_to_until_it_is_relocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_registry(tmp_path / "one")
    add_version(first)
    before, said = contents(first.settings.root), scores(first, "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copied = MLflowManager(copy_of(first.settings, tmp_path / "two"), CONTRACT)
    for write in (
        lambda: add_version(copied, seed="2"),
        lambda: copied.collect_garbage(),
        lambda: start_mlflow(copied.settings),
    ):
        with pytest.raises(RegistryError) as refused:
            write()
        assert str(tmp_path / "one") in refused.value.message
        assert str(tmp_path / "two") in refused.value.message
        assert "make relocate" in refused.value.fix
    assert contents(first.settings.root) == before

    assert relocate_project(copied.settings).places > 0
    copied = MLflowManager(copied.settings, CONTRACT)
    add_version(copied, seed="2")
    assert contents(first.settings.root) == before
    shutil.rmtree(first.settings.root)
    assert scores(copied, "1") == said
    assert len(scores(copied, "2")) == 50
