"""The MLflow server dies while a version is being registered: a clear error, and then one version.

The training talks to the server over a line that kills it, with SIGKILL, at a chosen request.
Whoever runs `train` again goes on where it stopped.
"""

import json
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

import pytest

from goldpath.contract import load_contract
from goldpath.errors import ProjectError
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.promotion.registry_audit import verify_audit
from goldpath.jobs.training.stages import train
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings
from goldpath.trust.audit import history

from ..conftest import make_project
from ..mlflow_servers import MlflowServer, mlflow_server
from ..ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]

CHUNK = 1 << 16
CREATE = b"POST /api/2.0/mlflow/model-versions/create"


@dataclass(frozen=True)
class Moment:
    """When the server dies.

    Attributes:
        request: How the request begins.
        answered: Whether the server carries it out first, and only its answer is lost.
    """

    request: bytes
    answered: bool


# In the order in which one training meets them, each time a little further.
MOMENTS = (
    Moment(b"/model.skops HTTP/1.1", answered=False),
    Moment(CREATE, answered=False),
    Moment(CREATE, answered=True),
)


class Line(ThreadingTCPServer):
    """Carries bytes between clients and a server; at the moment it kills the server and closes."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, server: MlflowServer, folder: Path, moment: Moment | None):
        super().__init__(("127.0.0.1", port), Carrier)
        self.target = ("127.0.0.1", urlsplit(server.url).port)
        self.folder = folder
        self.moment = moment
        self.cut = threading.Event()

    def kill_server(self) -> None:
        """Leave nothing that answers: neither the server nor this line's own port."""
        started = json.loads((self.folder / "run" / "mlflow.json").read_text())
        for leader in started["leaders"]:
            os.killpg(leader["pid"], signal.SIGKILL)
        self.cut.set()
        self.shutdown()
        self.server_close()


class Carrier(BaseRequestHandler):
    """One connection."""

    server: Line
    request: socket.socket

    def handle(self) -> None:
        moment, last_words = self.server.moment, False
        with socket.create_connection(self.server.target) as upstream:
            while not self.server.cut.is_set():
                ready, _, _ = select.select([self.request, upstream], [], [], 0.2)
                for side in ready:
                    try:
                        data = side.recv(CHUNK)
                    except ConnectionError:
                        return
                    due = moment is not None and moment.request in data
                    if (side is upstream and last_words) or (
                        due and moment is not None and not moment.answered
                    ):
                        self.server.kill_server()
                        return
                    if not data:
                        return
                    last_words = last_words or due
                    (upstream if side is self.request else self.request).sendall(data)


@contextmanager
def server_behind_a_line(folder: Path, port: int, moment: Moment | None) -> Iterator[Line]:
    """The same server again, on the database that the last one left."""
    with mlflow_server(folder) as server, Line(port, server, folder, moment) as line:
        carrier = threading.Thread(target=line.serve_forever, kwargs={"poll_interval": 0.05})
        carrier.start()
        try:
            yield line
        finally:
            line.shutdown()
            carrier.join()


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project with data whose registry is at a port where nothing listens yet."""
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # a dead server stays dead
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    make_project(tmp_path / "project")
    settings = load_settings(tmp_path / "project")
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, 1500, 5, {})
    refresh(settings, contract)
    return settings


def test_server_that_dies_during_registration_leaves_one_version(
    prepared: Settings, tmp_path: Path
) -> None:
    contract = load_contract(prepared.root)
    address = prepared.tracking_uri
    port = urlsplit(address).port
    assert port is not None
    with pytest.raises(ProjectError, match="cannot be reached") as absent:
        train(prepared, contract, "night")
    refusals = [absent.value]

    for moment in MOMENTS:
        with server_behind_a_line(tmp_path, port, moment) as line:
            with pytest.raises(ProjectError) as refused:
                train(prepared, contract, "night")
            assert line.cut.is_set(), f"{moment} never came: {refused.value}"
        refusals.append(refused.value)
    with server_behind_a_line(tmp_path, port, None):
        result = train(prepared, contract, "night")
        manager = MLflowManager(prepared, contract)
        (version,) = manager.versions()
        assert version.version == result.model_version == "1"
        assert manager.load(version).predict([dict.fromkeys(contract.feature_names)]).values
        # The server's answer was lost before the audit record and the run's end; the last call
        # made up for both.
        assert [record.action for record in history(prepared)] == ["registered"]
        assert verify_audit(prepared, contract).intact
        run = manager.run_record(version)
        assert run is not None
        assert run.status == "FINISHED"
        assert version.description.startswith(f"{result.family}: {result.metric} ")
        assert train(prepared, contract, "night") == result
        assert len(manager.versions()) == 1

    for error in refusals:
        assert address in error.message, error
        assert "make mlflow-up" in error.fix
        assert error.exit_code == 2
