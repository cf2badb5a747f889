"""A backup comes back whole, elsewhere too; a damaged one does not come back at all."""

import shutil
from pathlib import Path

import pytest

from goldpath.jobs.promotion.registry_audit import verify_audit
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.services.backup import BackupError, backup, project_registry, restore

from ..registry_projects import CONTRACT, add_version, make_registry, scores

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MLflowManager:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path / "one"))
    manager = make_registry(tmp_path / "one")
    for seed in ("1", "2"):
        add_version(manager, seed=seed)
    manager.set_champion("2")
    return manager


@pytest.mark.parametrize("name", ["saved", "saved.tar"])
def test_backup_comes_back_in_its_place_and_at_another(
    manager: MLflowManager, tmp_path: Path, name: str
) -> None:
    before = scores(manager, "champion")
    here = project_registry(manager.settings)
    saved = backup(here, tmp_path / name)
    with pytest.raises(BackupError, match="exists"):
        backup(here, tmp_path / name)
    with pytest.raises(BackupError, match="there is a registry already"):
        restore(tmp_path / name, here)

    add_version(manager, seed="3")
    restored = restore(tmp_path / name, here, force=True)
    assert (restored.files, restored.relocated) == (saved.files, 0)
    assert [version.version for version in manager.versions()] == ["1", "2"]
    assert scores(manager, "champion") == before
    assert verify_audit(manager.settings, CONTRACT).intact

    moved = make_registry(tmp_path / "two", exists=False)
    for folder in ("config", ".secrets"):
        shutil.copytree(tmp_path / "one" / folder, tmp_path / "two" / folder, dirs_exist_ok=True)
    assert restore(tmp_path / name, project_registry(moved.settings)).relocated > 0
    shutil.rmtree(tmp_path / "one")
    assert scores(moved, "champion") == before
    assert verify_audit(moved.settings, CONTRACT).intact
    assert add_version(moved, seed="3").version == "3"
    assert (tmp_path / "two" / "mlflow" / "artifacts").is_dir()
    assert not (tmp_path / "one").exists()


def test_damaged_backup_is_refused_and_nothing_is_touched(
    manager: MLflowManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(project_registry(manager.settings), tmp_path / "saved")
    (file,) = list((tmp_path / "saved").rglob("MLmodel"))[:1]
    original = file.read_bytes()
    target = project_registry(make_registry(tmp_path / "two", exists=False).settings)

    file.write_bytes(original + b" ")
    with pytest.raises(BackupError, match="MLmodel was altered"):
        restore(tmp_path / "saved", target)
    file.unlink()
    with pytest.raises(BackupError, match="MLmodel is missing"):
        restore(tmp_path / "saved", target)
    file.write_bytes(original)
    (tmp_path / "saved" / "artifacts" / "more").write_text("")
    with pytest.raises(BackupError, match="more is not in the manifest"):
        restore(tmp_path / "saved", target)

    assert not (tmp_path / "two" / "mlflow").exists()
