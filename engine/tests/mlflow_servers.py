"""Real MLflow servers for tests, on free ports of 127.0.0.1."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from goldpath.services.processes import ServerSpec, start_server, stop_server

from .ports import free_port
from .ready_made import empty_registry

# Tests receive webhooks on 127.0.0.1, which MLflow refuses by default, and do not wait the minute
# that MLflow takes to notice a new one.
WEBHOOKS = {
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "8OBn5eAbqEKXHGQFOoWYrjZ0dyYr0rkx5C2n9dVzCbg=",
}


@dataclass(frozen=True)
class MlflowServer:
    """A running server.

    Attributes:
        url: Where it answers.
        database: What it keeps its tables in.
        artifacts: The folder of its files.
    """

    url: str
    database: str
    artifacts: Path


@contextmanager
def mlflow_server(
    folder: Path,
    database: str | None = None,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[MlflowServer]:
    """A server that serves its files too, so that clients need nothing but its address."""
    port = free_port()
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    if database is None:
        database = f"sqlite:///{shutil.copy(empty_registry(), folder / 'mlflow.db')}"
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database),
        *("--artifacts-destination", str(artifacts), "--serve-artifacts"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", *options),
    ]
    spec = ServerSpec(
        name="mlflow",
        commands={"server": command},
        port=port,
        ready_url=f"{url}/health",
        url=url,
        port_setting="servers.mlflow_port",
        environment={
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **WEBHOOKS,
            **(environment or {}),
        },
        working_directory=folder,
        ready_timeout=240,
    )
    start_server(spec, folder / "run")
    try:
        yield MlflowServer(url, database, artifacts)
    finally:
        stop_server("mlflow", folder / "run")
