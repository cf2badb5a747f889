"""The MLflow server shows what was logged without it, and the other way round."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from goldpath.services.mlflow_server import start_mlflow
from goldpath.services.processes import answers, require_free_port, stop_server
from goldpath.settings import ServersSettings, Settings

from ..ports import free_port

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    port = free_port()
    settings = Settings(root=tmp_path, servers=ServersSettings(mlflow_port=port))
    yield settings
    stop_server("mlflow", settings.run_directory)


def test_runs_are_shared_between_the_server_and_the_file(settings: Settings) -> None:
    from mlflow import MlflowClient

    (settings.root / "mlflow").mkdir()
    direct = MlflowClient(settings.tracking_uri)
    before = direct.create_run(direct.create_experiment("before the server")).info.run_id
    direct.log_metric(before, "auc", 0.75)

    status = start_mlflow(settings)
    assert status.state == "started"
    assert f"MLFLOW_TRACKING_URI={status.url}" in status.message
    assert answers(f"{status.url}/health")
    served = MlflowClient(status.url)
    assert served.get_run(before).data.metrics == {"auc": 0.75}
    after = served.create_run(served.create_experiment("through the server")).info.run_id
    served.log_text(after, "kept", "note.txt")
    query = f"{status.url}/ajax-api/2.0/mlflow/artifacts/list?run_id={after}"
    with urlopen(query) as response:
        assert [file["path"] for file in json.load(response)["files"]] == ["note.txt"]
    assert start_mlflow(settings).state == "already running"

    assert stop_server("mlflow", settings.run_directory).state == "stopped"
    require_free_port(settings.servers.mlflow_port, "servers.mlflow_port")
    note = direct.download_artifacts(after, "note.txt")
    assert Path(note).read_text() == "kept"
