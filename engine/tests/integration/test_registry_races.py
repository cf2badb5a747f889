"""Promotion: one of two racing processes wins, the log survives kill -9, rollback is at once."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from goldpath.errors import CheckFailedError, NothingToDoError
from goldpath.jobs.promotion.registry_audit import champion_at, verify_audit
from goldpath.jobs.promotion.rollback import rollback
from goldpath.registry.alias_moves import move_alias, position
from goldpath.registry.mlflow_manager import CHAMPION, MLflowManager, RegistryError
from goldpath.trust.audit import history

from ..counts import times
from ..mlflow_servers import MlflowServer
from ..registry_projects import CONTRACT, add_version, make_registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("registry"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

# Decides for its version, waits until the other has decided too, and then moves the alias.
RACER = """
import sys, time
from pathlib import Path
from goldpath.contract import load_contract
from goldpath.errors import ProjectError
from goldpath.registry.alias_moves import move_alias, position
from goldpath.registry.mlflow_manager import CHAMPION, MLflowManager
from goldpath.settings import load_settings

root, model, version, me = sys.argv[1:]
settings = load_settings(Path(root))
manager = MLflowManager(settings, load_contract(settings.root), model)
start = position(manager.store, model, CHAMPION)
meeting = settings.root.parent / f"meeting-{model}"
(meeting / me).touch()
while len(list(meeting.iterdir())) < 2:
    time.sleep(0.005)
try:
    move_alias(settings, manager.store, start, version, "promoted")
except ProjectError as error:
    print(f"refused {error.exit_code} {error.message}")
else:
    print("moved")
assert "mlflow" not in sys.modules
"""

MOVER = """
import itertools, sys
from pathlib import Path
from goldpath.contract import load_contract
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.settings import load_settings

settings = load_settings(Path(sys.argv[1]))
manager = MLflowManager(settings, load_contract(settings.root))
for number in itertools.count():
    manager.set_champion(str(1 + number % 2))
    print(number, flush=True)
"""


@pytest.fixture(params=["sqlite", "server", "machines"])
def projects(
    request: pytest.FixtureRequest,
    registry_server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[MLflowManager, MLflowManager]:
    """Two projects on one registry; on one machine they share audit log and lock, on two they do
    not, and only the server is between them."""
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    # The server is shared: what another test does to a model must not be seen here.
    name = f"{request.function.__name__}_{request.param}"
    uri = None if request.param == "sqlite" else registry_server.url
    first = make_registry(tmp_path / "one", uri, name)
    other = tmp_path / ("two" if request.param == "machines" else "one")
    second = make_registry(other, uri or first.settings.tracking_uri, name)
    (tmp_path / f"meeting-{name}").mkdir()
    if first.registered_model() is None:
        first.ensure_model()
    return first, second


def race(first: MLflowManager, second: MLflowManager, versions: list[str]) -> list[str]:
    running = []
    for manager, version, name in zip((first, second), versions, "ab", strict=True):
        root = manager.settings.root
        environment = {
            **os.environ,
            "MLOPS_ROOT": str(root),
            "MLFLOW_TRACKING_URI": manager.settings.tracking_uri,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        command = [sys.executable, "-c", RACER, str(root), manager.model_name, version, name]
        running.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    said = [process.communicate(timeout=120)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    return said


def test_one_of_two_racing_promotions_wins(
    projects: tuple[MLflowManager, MLflowManager],
) -> None:
    first, second = projects
    versions = [add_version(first, seed=seed).version for seed in ("1", "2", "3")]

    for champion in (None, versions[0]):  # without a ledger and a champion, then with both
        if champion is not None:
            first.set_champion(champion)
        meeting = first.settings.root.parent / f"meeting-{first.model_name}"
        for file in meeting.iterdir():
            file.unlink()
        said = race(first, second, versions[1:])

        winner = said.index("moved")
        loser = said[1 - winner]
        assert loser.startswith("refused 1 ")
        was = f"version {champion}" if champion else "no version"
        assert f"changed from {was} to" in loser or "is being moved by somebody else" in loser
        found = first.champion_version()
        assert found is not None
        assert found.version == versions[1:][winner]
    for manager in projects:
        assert verify_audit(manager.settings, CONTRACT).problems == ()
    if first.settings.root == second.settings.root:
        moved = [record.action for record in history(first.settings) if record.alias]
        assert moved.count("promoted") == 2


def test_alias_moved_in_mlflows_own_pages_refuses_the_promotion(
    projects: tuple[MLflowManager, MLflowManager],
) -> None:
    manager, _ = projects
    versions = [add_version(manager, seed=seed).version for seed in ("1", "2", "3")]
    manager.set_champion(versions[0])
    start = position(manager.store, manager.model_name, CHAMPION)
    manager.client.set_registered_model_alias(manager.model_name, CHAMPION, versions[1])

    with pytest.raises(
        CheckFailedError, match=f"changed from version {versions[0]} to version {versions[1]} while"
    ):
        move_alias(manager.settings, manager.store, start, versions[2], "promoted")

    found = manager.champion_version()
    assert found is not None
    assert found.version == versions[1]


@pytest.mark.soak
def test_mover_killed_at_any_moment_leaves_log_and_alias_in_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    manager = make_registry(tmp_path)
    for seed in ("1", "2"):
        add_version(manager, seed=seed)
    environment = {
        **os.environ,
        "MLOPS_ROOT": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    delays = (0.0, 0.009, 0.021, 0.004, 0.013, 0.034)
    for delay in delays[: times(3, 6)]:
        process = subprocess.Popen(
            [sys.executable, "-c", MOVER, str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

        found = manager.champion_version()
        assert found is not None
        other = {"1": "2", "2": "1"}[found.version]
        manager.set_champion(other)  # settles what was left, and moves
        report = verify_audit(manager.settings, CONTRACT)
        assert report.intact, report


def test_rollback_goes_to_the_champion_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    manager = make_registry(tmp_path)
    settings = manager.settings
    for seed in ("1", "2", "3", "4"):
        add_version(manager, seed=seed)
    with pytest.raises(RegistryError, match="has no champion"):
        rollback(settings, CONTRACT)
    for version in ("1", "2", "3"):
        manager.set_champion(version)
    before = datetime.now(UTC)

    first = rollback(settings, CONTRACT)
    assert (first.rolled_back, first.model_version) == ("3", "2")
    second = rollback(settings, CONTRACT)
    assert (second.rolled_back, second.model_version) == ("2", "1")
    with pytest.raises(RegistryError, match="knows no champion of small before version 1"):
        rollback(settings, CONTRACT)
    assert rollback(settings, CONTRACT, to="3").model_version == "3"
    with pytest.raises(NothingToDoError):
        rollback(settings, CONTRACT, to="3")
    with pytest.raises(RegistryError, match="version 4 of small never was champion"):
        rollback(settings, CONTRACT, to="4")

    # A version that is champion again is not archived any more, in MLflow's own pages either.
    assert "stage" not in manager.version("3").tags
    assert manager.version("1").tags["stage"] == "Archived"
    assert champion_at(settings, CONTRACT, before).version == "3"
    now = champion_at(settings, CONTRACT, datetime.now(UTC))
    assert (now.version, now.action) == ("3", "rolled back")
    assert verify_audit(settings, CONTRACT).intact


def test_rollback_skips_a_deleted_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    manager = make_registry(tmp_path)
    for seed in ("1", "2", "3"):
        add_version(manager, seed=seed)
        manager.set_champion(seed)
    manager.delete_version("2")

    assert rollback(manager.settings, CONTRACT).model_version == "1"


def test_rollback_needs_no_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    manager = make_registry(tmp_path)
    for seed in ("1", "2"):
        add_version(manager, seed=seed)
        manager.set_champion(seed)
    code = (
        "import json, sys\n"
        "from goldpath.cli.registry import app\n"
        "app(['rollback', '--json'], standalone_mode=False)\n"
        "print(json.dumps([m for m in ('mlflow', 'pandas', 'sklearn') if m in sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MLOPS_ROOT": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    result, imported = map(json.loads, done.stdout.splitlines())
    assert (result["model_version"], result["rolled_back"]) == ("1", "2")
    assert imported == []
