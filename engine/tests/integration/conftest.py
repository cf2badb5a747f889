"""Servers that several files of tests share."""

from collections.abc import Iterator

import pytest

from ..mlflow_servers import MlflowServer, mlflow_server


@pytest.fixture(scope="session")
def registry_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """An MLflow server on SQLite; each test works with models of its own name."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow-server")) as server:
        yield server
