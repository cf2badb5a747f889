"""`clean` deletes what the project made, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from goldpath.services.cleaning import CleaningError, clean_project
from goldpath.services.process_table import start_time
from goldpath.settings import Settings, load_settings

from ..locations import PROJECT

MADE = ["reports/drift.json", ".pytest_cache/x", "src/pkg/__pycache__/a.pyc"]
STATE = [
    "lake/catalog.db",
    "mlflow/mlflow.db",
    "logs/a.log",
    "run/a.log",
    "data/sample/customers.csv",
    ".airflow/airflow.cfg",
]
MINE = [
    "data/mine.csv",
    ".env",
    ".venv/lib/__pycache__/a.pyc",
    "src/pkg/a.py",
    "config/project.yaml",
]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    root = tmp_path / "project"
    shutil.copytree(PROJECT / "config", root / "config")
    for name in (*MADE, *STATE, *MINE):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text("" if name == ".env" else "12345")
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    return load_settings(root)


def existing(root: Path, names: list[str]) -> list[str]:
    return [name for name in names if (root / name).exists()]


def test_clean_deletes_caches_and_reports_only(settings: Settings) -> None:
    result = clean_project(settings, everything=False)

    assert existing(settings.root, MADE) == []
    assert existing(settings.root, STATE + MINE) == STATE + MINE
    assert set(result.deleted) == {"reports", ".pytest_cache", "src/pkg/__pycache__"}


def test_clean_all_keeps_your_data_secrets_answers_and_environments(settings: Settings) -> None:
    clean_project(settings, everything=True)

    assert existing(settings.root, MADE + STATE) == []
    assert existing(settings.root, MINE) == MINE


def test_clean_all_deletes_the_logs_of_every_model_wherever_they_are(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = settings.root / "models/calls/project.yaml"
    model.parent.mkdir(parents=True)
    model.write_text("problem: regression\ntarget: {column: calls}\n")
    monkeypatch.setenv("MLOPS_SERVING__PREDICTION_LOG", "moved/predictions")
    monkeypatch.setenv("MLOPS_PREDICTION_LOG__FEEDBACK", "moved/feedback")
    folders = [f"moved/{log}{end}" for log in ("predictions", "feedback") for end in ("", "-calls")]
    for folder in (*folders, "moved/predictions-gone"):  # of a model whose folder was deleted
        (settings.root / folder).mkdir(parents=True)

    clean_project(load_settings(settings.root), everything=True)

    assert list((settings.root / "moved").iterdir()) == []


def test_clean_says_how_much_it_freed(settings: Settings) -> None:
    (settings.reports / "big.html").write_bytes(b"x" * 3_000_000)

    assert clean_project(settings, everything=False).freed_megabytes == pytest.approx(3.0, abs=0.1)


def test_cleaning_twice_is_fine(settings: Settings) -> None:
    clean_project(settings, everything=True)

    assert clean_project(settings, everything=True).deleted == ()


def test_a_link_goes_and_what_it_points_at_stays(settings: Settings, tmp_path: Path) -> None:
    precious = tmp_path / "elsewhere" / "table.parquet"
    precious.parent.mkdir()
    precious.write_text("precious")
    shutil.rmtree(settings.root / "lake")
    (settings.root / "lake").symlink_to(precious.parent)
    (settings.reports / "link").symlink_to(precious.parent)

    clean_project(settings, everything=True)

    assert precious.read_text() == "precious"
    assert not os.path.lexists(settings.root / "lake")


def test_a_folder_behind_a_linked_parent_stays(settings: Settings, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    shutil.move(settings.root / "data", disk)
    (settings.root / "data").symlink_to(disk)

    result = clean_project(settings, everything=True)

    assert (disk / "sample" / "customers.csv").exists()
    assert result.kept == ("data/sample: outside the project",)


@pytest.mark.parametrize("catalog", ["/tmp/../../etc/hostname", "../shared/catalog.db", "."])  # noqa: S108
def test_a_lake_outside_the_project_or_the_project_itself_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, catalog: str
) -> None:
    shared = settings.root.parent / "shared" / "catalog.db"
    shared.parent.mkdir()
    shared.write_text("shared")
    monkeypatch.setenv("MLOPS_LAKE__CATALOG", catalog)

    result = clean_project(load_settings(settings.root), everything=True)

    assert shared.exists()
    assert (settings.root / "config" / "project.yaml").exists()
    assert len(result.kept) == 1


def test_clean_refuses_while_a_server_runs(settings: Settings) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        leader = {"command": "server", "pid": server.pid, "started": start_time(server.pid)}
        pid_file = settings.run_directory / "mlflow.json"
        pid_file.write_text(json.dumps({"url": "", "log": "", "leaders": [leader]}))

        with pytest.raises(CleaningError) as refusal:
            clean_project(settings, everything=True)
    finally:
        server.kill()
        server.communicate()

    assert "mlflow" in refusal.value.message
    assert "make mlflow-down" in refusal.value.fix
    assert existing(settings.root, MADE + STATE) == MADE + STATE


def test_a_pid_file_of_a_dead_server_does_not_hinder(settings: Settings) -> None:
    leader = {"command": "server", "pid": 2**22 + 1, "started": "0"}
    (settings.run_directory / "mlflow.json").write_text(
        json.dumps({"url": "", "log": "", "leaders": [leader]})
    )

    clean_project(settings, everything=True)

    assert not settings.run_directory.exists()
