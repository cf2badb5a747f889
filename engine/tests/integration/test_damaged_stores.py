"""Lost, damaged, locked or unreachable stores: an answer in seconds, with its fix, no traceback."""

import errno
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pytest

from goldpath.contract import load_contract
from goldpath.jobs.upkeep.status import project_status
from goldpath.lake.lakehouse import LakehouseError, TableName
from goldpath.lake.local.damage import catalog_errors, file_errors
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.registry.connection import RegistryConnection
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.registry.stores import answering, artifact_root
from goldpath.registry.stores.answering import require_answer
from goldpath.services import relocation
from goldpath.serving.predictor import Predictor
from goldpath.settings import Settings, load_settings

from ..api.examples import contract_of
from ..ports import free_port
from ..registry_projects import make_registry

SOON = 10.0
TABLE = TableName("gold", "shop")


def rows(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


@pytest.fixture
def lake(project: Settings) -> Settings:
    lakehouse = LocalLakehouse(project)
    lakehouse.append(TABLE, rows(1))
    lakehouse.append(TABLE, rows(2))
    return project


def newest(folder: Path, pattern: str) -> Path:
    return max(folder.rglob(pattern), key=lambda file: (file.stat().st_mtime_ns, file.name))


def catalog(settings: Settings) -> Path:
    return settings.root / "lake" / "catalog.db"


def cut(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def every(pattern: str, damage: Callable[[Path], object]) -> Callable[[Path], None]:
    def work(lake: Path) -> None:
        for file in list(lake.rglob(pattern)):
            damage(file)

    return work


def overwrite(file: Path) -> None:
    file.write_text("x" * 5000)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "metadata is missing": lambda lake: newest(lake, "*.metadata.json").unlink(),
    "metadata is cut": lambda lake: cut(newest(lake, "*.metadata.json"), 0.5),
    "metadata is empty": lambda lake: cut(newest(lake, "*.metadata.json"), 0),
    "manifests are missing": every("*.avro", Path.unlink),
    "manifests are cut": every("*.avro", lambda file: cut(file, 0.6)),
    "rows are missing": every("*.parquet", Path.unlink),
    "rows are cut": every("*.parquet", lambda file: cut(file, 0.5)),
    "catalog is cut": lambda lake: cut(lake / "catalog.db", 0.5),
    "catalog is cut short": lambda lake: cut(lake / "catalog.db", 0.05),
    "catalog is empty": lambda lake: cut(lake / "catalog.db", 0),
    "catalog is missing": lambda lake: (lake / "catalog.db").unlink(),
    "catalog is no database": lambda lake: overwrite(lake / "catalog.db"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_lake_is_named_with_a_way_out(lake: Settings, damage: str) -> None:
    DAMAGES[damage](lake.root / "lake")
    before = sorted(str(file) for file in (lake.root / "lake" / "warehouse").rglob("*"))
    lakehouse = LocalLakehouse(lake)

    with pytest.raises(LakehouseError) as reading:
        lakehouse.collect(lakehouse.read(TABLE))
    assert "backup" in reading.value.fix
    assert "mv lake lake.damaged; make data" in reading.value.fix
    assert "clean-all" not in reading.value.fix  # it deletes models, audit log and logs, too
    if "rows" not in damage and "manifests" not in damage:
        with pytest.raises(LakehouseError):
            lakehouse.append(TABLE, rows(3))
        assert sorted(str(f) for f in (lake.root / "lake" / "warehouse").rglob("*")) == before


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "free disk space"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "free disk space"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "chown"),
        (PermissionError("Cannot open file, access denied: n.avro"), "chown"),  # pyiceberg's
        (PermissionError(errno.EPERM, os.strerror(errno.EPERM)), "chown"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "mount the disk"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "ulimit"),
        (duckdb.IOException("spill.tmp: No space left on device"), "free disk space"),
        (duckdb.IOException('Cannot open "n.parquet": Permission denied'), "chown"),
    ],
)
def test_whole_lake_on_a_bad_disk_is_not_to_be_made_anew(error: Exception, fix: str) -> None:
    with pytest.raises(LakehouseError) as reading, file_errors("gold.shop"):
        raise error

    assert fix in reading.value.fix
    assert "nothing of" in reading.value.fix
    assert "lake.damaged" not in reading.value.fix


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("database or disk is full", "free disk space"),
        ("attempt to write a readonly database", "chown"),
        ("unable to open database file", "chown"),
        ("disk I/O error", "see that the disk answers"),
    ],
)
def test_catalog_on_a_bad_disk_is_not_to_be_made_anew(tmp_path: Path, text: str, fix: str) -> None:
    with pytest.raises(LakehouseError) as reading, catalog_errors(tmp_path / "catalog.db"):
        raise sqlite3.OperationalError(text)

    assert reading.value.fix.startswith(fix) or f": sudo {fix}" in reading.value.fix


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def test_locked_catalog_is_given_up_within_seconds(lake: Settings) -> None:
    lakehouse = LocalLakehouse(lake)
    with locked(catalog(lake)):
        for work in (lambda: lakehouse.read(TABLE), lambda: lakehouse.append(TABLE, rows(3))):
            started = time.monotonic()
            with pytest.raises(LakehouseError, match="has locked the catalog"):
                work()
            assert time.monotonic() - started < SOON
    lakehouse.append(TABLE, rows(3))


def test_status_names_a_store_that_does_not_answer(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = load_contract(project.root)
    catalog(project).parent.mkdir()
    catalog(project).write_text("x" * 5000)

    found = project_status(project, contract)

    assert "is damaged" in found.tables["lake"]
    assert "backup" in found.next_command
    catalog(project).unlink()
    away = project.model_copy(
        update={"tracking_uri": f"postgresql://anna:secret@127.0.0.1:{free_port()}/mlflow"}
    )
    LocalLakehouse(project).append(TableName("gold", contract.dataset), rows(1))
    found = project_status(away, contract)
    assert "does not answer" in found.champion
    assert "secret" not in found.champion
    assert "MLFLOW_TRACKING_URI" in found.next_command


@pytest.mark.parametrize("kind", ["cut", "empty", "no database", "locked"])
def test_damaged_or_locked_registry_is_named_within_seconds(tmp_path: Path, kind: str) -> None:
    manager = make_registry(tmp_path)
    file = Path(manager.settings.tracking_uri.removeprefix("sqlite:///"))
    if kind == "no database":
        file.write_text("x" * 5000)
    elif kind != "locked":
        cut(file, 0.5 if kind == "cut" else 0)
    size = file.stat().st_size

    def look() -> None:
        for work in (
            lambda: MLflowManager(manager.settings, manager.contract).champion_version(),
            lambda: MLflowManager(manager.settings, manager.contract).experiment_id(),
        ):
            started = time.monotonic()
            with pytest.raises(RegistryError) as refused:
                work()
            assert str(file) in refused.value.message
            assert refused.value.fix
            assert time.monotonic() - started < SOON

    if kind == "locked":
        with locked(file):
            look()
    else:
        look()
        assert file.stat().st_size == size  # nothing was made in its place


def test_locked_registry_is_waited_for_once_and_not_taken_for_this_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_registry(tmp_path).settings
    monkeypatch.setattr(answering, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr(artifact_root, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr(relocation, "WAIT_SECONDS", 0.5)
    with locked(Path(settings.tracking_uri.removeprefix("sqlite:///"))):
        with pytest.raises(RegistryError, match="has locked the registry"):
            artifact_root.require_own_artifacts(settings.tracking_uri, settings.root)
        with pytest.raises(RegistryError, match="has locked the registry"):
            relocation.relocate(settings.tracking_uri, "/before", "/after")
        monkeypatch.setattr(artifact_root, "WAIT_SECONDS", 60)
        started = time.monotonic()
        with pytest.raises(RegistryError, match="has locked the registry"):
            _ = RegistryConnection(settings).client
        assert time.monotonic() - started < SOON


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that takes connections and says nothing, as one that hangs."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_database_server_that_hangs_is_given_up_within_seconds() -> None:
    with silent_server() as port:
        started = time.monotonic()
        with pytest.raises(RegistryError, match="does not answer") as refused:
            require_answer(f"postgresql+psycopg://anna:secret@127.0.0.1:{port}/mlflow")
        assert time.monotonic() - started < SOON
        assert "secret" not in str(refused.value)


def test_kept_copy_takes_over_while_the_registrys_database_is_away(tmp_path: Path) -> None:
    settings = make_registry(tmp_path).settings.model_copy(
        update={"tracking_uri": f"postgresql://127.0.0.1:{free_port()}/mlflow"}
    )
    predictor = Predictor(settings, contract_of("binary"))
    asked = []
    manager = MLflowManager(settings, contract_of("binary"))
    manager.load_kept = lambda: asked.append("kept")  # type: ignore[method-assign]
    predictor._source = manager
    started = time.monotonic()

    predictor.refresh()

    assert time.monotonic() - started < SOON
    assert asked == ["kept"]
    assert "does not answer" in predictor.status().missing[0]


def test_ready_names_promotion_where_only_the_alias_is_gone(project: Settings) -> None:
    source = SimpleNamespace(version_by_alias=lambda _: None, newest_version=lambda: "2")
    predictor = Predictor(project, contract_of("binary"), source)
    predictor.refresh()
    assert predictor.status().fix == "make promote"

    empty = SimpleNamespace(version_by_alias=lambda _: None, newest_version=lambda: None)
    predictor = Predictor(project, contract_of("binary"), empty)
    predictor.refresh()
    assert predictor.status().fix == "make train-local"


@pytest.mark.slow
def test_commands_answer_with_error_and_fix_and_no_traceback(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    LocalLakehouse(project).append(TABLE, rows(1))
    cut(catalog(project), 0.5)
    environment = {**os.environ, "MLOPS_ROOT": str(project.root)}
    environment["MLFLOW_TRACKING_URI"] = f"postgresql://127.0.0.1:{free_port()}/mlflow"
    for command in (["status"], ["data"], ["train"], ["registry", "show"]):
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "goldpath", *command, "--json"],
            cwd=project.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert time.monotonic() - started < 3 * SOON  # a loaded machine imports slowly
        assert "Traceback" not in done.stderr + done.stdout
        answer = json.loads(done.stdout)
        assert answer.get("fix") or answer["next_command"]
        assert done.returncode == (0 if command == ["status"] else 2)


def test_catalog_of_a_project_without_tables_is_no_loss(project: Settings) -> None:
    shutil.rmtree(project.root / "lake", ignore_errors=True)
    lakehouse = LocalLakehouse(load_settings(project.root))
    assert not lakehouse.exists(TABLE)
    lakehouse.append(TABLE, rows(1))
    assert lakehouse.exists(TABLE)
