"""The registry on a real MLflow server over HTTP; the other tests use its SQLite file."""

import tempfile
from pathlib import Path

import pytest

from goldpath.contract import load_contract
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.stages import train
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.sample.customers import write_sample
from goldpath.services.mlflow_server import start_mlflow
from goldpath.services.processes import stop_server
from goldpath.settings import Settings, load_settings

from ..ports import free_port

pytestmark = pytest.mark.slow


def test_train_promote_and_score_through_a_server(
    project: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    port = free_port()
    monkeypatch.setenv("MLOPS_SERVERS__MLFLOW_PORT", str(port))
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "2")
    settings = load_settings(project.root)
    contract = load_contract(project.root)
    write_sample(settings.root / contract.source.path, 1500, 5, {})
    refresh(settings, contract)
    start_mlflow(settings)
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        settings = load_settings(project.root)
        assert MLflowManager(settings, contract).initialise().champion is None
        candidate = train(settings, contract, "over-http")
        assert promote(settings, contract, candidate.model_version).promoted
        batch = predict_batch(settings, contract)
        assert (batch.rows, batch.model_version) == (1500, candidate.model_version)
        assert train(settings, contract, "over-http") == candidate
        assert list(scratch.iterdir()) == []  # what was read of the server is not left behind
    finally:
        stop_server("mlflow", settings.run_directory)

    with pytest.raises(RegistryError, match="make mlflow-up"):
        MLflowManager(settings, contract).champion_version()

    # The server kept everything in the project's own file, which works without it too.
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    champion = MLflowManager(load_settings(project.root), contract).champion_version()
    assert champion is not None
    assert champion.version == candidate.model_version
