"""Several processes and hosts share one search."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldpath.automl.budget import Budget
from goldpath.automl.engine import find_model
from goldpath.automl.result import HistoryPoint
from goldpath.automl.sharing import find_model_parallel
from goldpath.automl.storage import open_storage
from goldpath.errors import ProjectError
from goldpath.services.process_table import process_table

from ..ports import free_port

FAMILIES = ("lightgbm", "linear")
SEARCH_OF_TWO = """
import json, multiprocessing
import numpy as np, pandas as pd
from goldpath.automl.budget import Budget
from goldpath.automl.sharing import find_model_parallel

if __name__ == "__main__":
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(300, 4)), columns=list("abcd"))
    target = np.where(frame["a"] > 0, "yes", "no")

    def tell(_):
        print(json.dumps([each.pid for each in multiprocessing.active_children()]), flush=True)

    find_model_parallel(
        frame, target, "classification", Budget(seconds=60), processes=2,
        families={families!r}, on_progress=tell,
    )
"""


def rows() -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(300, 4)), columns=list("abcd"))
    return frame, np.where(frame["a"] + frame["b"] > 0, "yes", "no")


@pytest.mark.parametrize("address", ["sqlite:///search.db", "sqlite+pysqlite:///search.db"])
def test_sqlite_is_refused_for_a_shared_search(address: str) -> None:
    with pytest.raises(ProjectError, match="SQLite loses trials") as caught:
        find_model_parallel(
            *rows(), "classification", Budget(trials=2), processes=2, storage=address
        )
    assert "journal" in caught.value.fix
    with pytest.raises(ProjectError, match="SQLite"):
        open_storage(address)


def test_a_database_is_no_storage_for_a_search() -> None:
    with pytest.raises(ProjectError, match="no storage for a shared search"):
        open_storage("postgresql://host/db")


@pytest.mark.slow
def test_two_processes_share_a_search_through_a_journal(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    frame, target = rows()

    result = find_model_parallel(
        frame,
        target,
        "classification",
        Budget(trials=16),
        processes=2,
        storage=journal,
        families=FAMILIES,
    )

    # The portfolio was dealt out: no configuration was tried twice.
    tried = [(entry.family, str(entry.parameters)) for entry in result.leaderboard]
    assert len(set(tried)) == len(tried)
    assert journal.stat().st_size > 0
    assert np.mean(result.model.predict(frame) == target) > 0.9


@pytest.mark.slow
def test_a_budget_that_is_over_before_other_processes_have_started_gives_a_model() -> None:
    frame, target = rows()

    result = find_model_parallel(frame, target, "classification", Budget(seconds=1), processes=3)

    assert np.mean(result.model.predict(frame) == target) > 0.9


@pytest.mark.slow
def test_a_killed_process_does_not_end_the_search(capfd: pytest.CaptureFixture[str]) -> None:
    frame, target = rows()

    def kill_workers(_: HistoryPoint) -> None:
        for worker in multiprocessing.active_children():
            with suppress(ProcessLookupError):  # it is dead already, and waited for meanwhile
                os.kill(worker.pid or 0, signal.SIGKILL)

    result = find_model_parallel(
        frame,
        target,
        "classification",
        Budget(trials=4),
        processes=2,
        families=FAMILIES,
        on_progress=kill_workers,
    )

    assert np.mean(result.model.predict(frame) == target) > 0.9
    assert "process 1 failed" in capfd.readouterr().err


@pytest.mark.slow
def test_a_killed_search_leaves_no_worker(tmp_path: Path) -> None:
    script = tmp_path / "search.py"
    script.write_text(SEARCH_OF_TWO.format(families=FAMILIES), encoding="utf-8")
    search = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert search.stdout is not None
    workers = json.loads(search.stdout.readline())
    assert workers
    assert set(workers) <= set(process_table())

    search.kill()
    search.wait()

    assert eventually(lambda: not set(workers) & set(process_table()))


def eventually(holds: Callable[[], bool]) -> bool:
    for _ in range(100):
        if holds():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_hosts_share_a_search_through_the_grpc_proxy(tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    port = free_port()
    code = (
        "from pathlib import Path; "
        "from goldpath.automl.storage import serve_storage; "
        f"serve_storage(Path({str(tmp_path / 'journal.log')!r}), '127.0.0.1', {port})"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) as server:
        try:
            storage = f"grpc://127.0.0.1:{port}"
            wait_until_ready(storage)
            frame, target = rows()
            first, second = (
                find_model(
                    frame,
                    target,
                    "classification",
                    Budget(trials=6),
                    storage=storage,
                    families=FAMILIES,
                    seed=seed,
                )
                for seed in (1, 2)
            )
        finally:
            server.terminate()
    tried = [
        (entry.family, str(entry.parameters))
        for result in (first, second)
        for entry in result.leaderboard
        if entry.in_portfolio
    ]
    assert len(set(tried)) == len(tried) >= 8


def wait_until_ready(storage: str) -> None:
    for _ in range(120):
        try:
            open_storage(storage).get_all_studies()
        except Exception:  # noqa: BLE001  gRPC's errors have no common ancestor worth naming
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(storage)
