"""The local MLflow server: a window on the very registry that the commands use without it."""

import os
import sys
from pathlib import Path

from goldpath.registry.stores.artifact_root import require_own_artifacts
from goldpath.registry.stores.database import ensure_database
from goldpath.services.processes import HOST, ServerSpec, ServerStatus, start_server
from goldpath.settings import Settings


def start_mlflow(settings: Settings) -> ServerStatus:
    """Start MLflow's server on the project's own database and artifacts.

    It serves the file that `settings.tracking_uri` names by default, so runs logged without a
    server show up in it, and runs logged through it stay readable without it.

    Args:
        settings: The project's settings.

    Returns:
        What became of the server, and where it answers.

    Raises:
        ServerError: If the port is taken or the server does not come up.
        RegistryError: If the registry is locked, or its files are those of another folder.
    """
    store = settings.root / "mlflow"
    require_own_artifacts(f"sqlite:///{store / 'mlflow.db'}", settings.root)
    artifacts = store / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    ensure_database(store / "mlflow.db")
    port = settings.servers.mlflow_port
    url = f"http://{HOST}:{port}"
    spec = ServerSpec(
        name="mlflow",
        commands={"server": _command(store / "mlflow.db", artifacts, port)},
        port=port,
        ready_url=f"{url}/health",
        url=url,
        port_setting="servers.mlflow_port",
        environment=_environment(),
        working_directory=settings.root,
        ready_timeout=240,
        message=f"commands use the same store directly; optional: export MLFLOW_TRACKING_URI={url}",
    )
    return start_server(spec, settings.run_directory)


def _command(database: Path, artifacts: Path, port: int) -> list[str]:
    options = {
        "--backend-store-uri": f"sqlite:///{database}",
        # A path, not the server's own mlflow-artifacts: scheme, which needs the server to be read.
        "--default-artifact-root": str(artifacts),
        "--artifacts-destination": str(artifacts),
        "--host": HOST,
        "--port": str(port),
        "--workers": "1",
    }
    pairs = [part for option in options.items() for part in option]
    return [sys.executable, "-m", "mlflow", "server", "--serve-artifacts", *pairs]


def _environment() -> dict[str, str]:
    return {
        # What the server runs by name must be this environment's, not one found earlier on PATH.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        # The job consumers are eight more processes and 600 MB, for features not used here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
