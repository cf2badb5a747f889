"""Servers and projects that several files of tests share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldpath.services.relocation import relocate_project
from goldpath.settings import Settings, load_settings

from ..conftest import Trained
from ..mlflow_servers import MlflowServer, mlflow_server


@pytest.fixture(scope="session")
def registry_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """An MLflow server on SQLite; each test works with models of its own name."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow-server")) as server:
        yield server


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Settings:
    """The trained project, where a test may write, without what its service has predicted."""
    root = tmp_path / "project"
    shutil.copytree(trained.settings.root, root, ignore=shutil.ignore_patterns("logs"))
    settings = load_settings(root)
    relocate_project(settings)
    return settings
