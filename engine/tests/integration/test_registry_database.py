"""MLflow's database is made whole or not at all, whoever is killed meanwhile."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

from goldpath.registry.stores.database import ensure_database

pytestmark = pytest.mark.slow

MAKE = """
import sys
from pathlib import Path
from goldpath.registry.stores.database import ensure_database
ensure_database(Path(sys.argv[1]))
"""


def start(file: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", MAKE, str(file)], stderr=subprocess.DEVNULL)


def test_a_kill_in_the_middle_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    unfinished = tmp_path / "mlflow.db.new"
    with start(file) as process:
        deadline = time.monotonic() + 120
        # Some tables are there, and not all: a whole file has many times as much.
        while not (unfinished.exists() and unfinished.stat().st_size > 50_000):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert not file.exists()

    ensure_database(file)
    uri = f"sqlite:///{file}"
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model("churn")
    assert [model.name for model in client.search_registered_models()] == ["churn"]
    assert not unfinished.exists()


def test_two_processes_make_one_database(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    with start(file) as first, start(file) as second:
        assert (first.wait(), second.wait()) == (0, 0)
    uri = f"sqlite:///{file}"
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    assert client.search_registered_models() == []
