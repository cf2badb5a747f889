"""The local Airflow: four processes in an environment of their own, on 127.0.0.1 only."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from goldpath.presentation import progress_console, step
from goldpath.services.airflow_api import AirflowApi, AirflowApiError
from goldpath.services.processes import (
    HOST,
    ServerError,
    ServerSpec,
    ServerStatus,
    require_free_port,
    server_status,
    start_server,
    tail,
)
from goldpath.settings import Settings

NAME = "airflow"
PORT_SETTING = "servers.airflow_port"
ENVIRONMENT_VARIABLE = "MLOPS_AIRFLOW_VENV"
PASSWORD_VARIABLE = "AIRFLOW_ADMIN_PASSWORD"  # noqa: S105  a variable's name
USERNAME = "admin"
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


@dataclass(frozen=True)
class _Installation:
    """Where this project's Airflow keeps what."""

    root: Path
    home: Path
    dags: Path
    passwords: Path
    url: str


def start_airflow(settings: Settings) -> ServerStatus:
    """Start Airflow, creating its environment and its database where they are missing.

    Args:
        settings: The project's settings.

    Returns:
        What became of the server, where it answers and how to sign in.

    Raises:
        ServerError: If the port is taken, the environment cannot be made, or Airflow or one of
            the DAG files does not come up.
    """
    home = settings.root / ".airflow"
    port = settings.servers.airflow_port
    installation = _Installation(
        settings.root,
        home,
        settings.root / "airflow" / "dags",
        home / "passwords.json",
        f"http://{HOST}:{port}",
    )
    starting = server_status(NAME, settings.run_directory).state == "not running"
    if starting:
        require_free_port(port, PORT_SETTING)
    home.mkdir(mode=0o700, exist_ok=True)
    password = _password(installation.passwords, starting)
    airflow = [str(_airflow_python(settings.root)), "-m", "airflow"]
    environment = _environment(installation, Path(airflow[0]).parent)
    if starting:
        _migrate(airflow, environment, installation, settings.run_directory)
    # `airflow standalone` would do, but it leaves its children behind on SIGTERM, and the log
    # servers of its scheduler and triggerer listen on every address.
    spec = ServerSpec(
        name=NAME,
        commands={
            "api-server": [
                *airflow,
                "api-server",
                "--host",
                HOST,
                "--port",
                str(port),
                "--workers",
                "1",
            ],
            "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
            "dag-processor": [*airflow, "dag-processor"],
            "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
        },
        port=port,
        ready_url=f"{installation.url}/api/v2/monitor/health",
        url=installation.url,
        port_setting=PORT_SETTING,
        environment=environment,
        # Not the project's root: Python would find its folder `airflow` there.
        working_directory=home,
        ready_timeout=400,
        missing=_Readiness(installation, password).missing,
        message=_sign_in(password),
    )
    return start_server(spec, settings.run_directory)


def _sign_in(password: str) -> str:
    if os.environ.get(PASSWORD_VARIABLE) == password:
        return f"sign in as {USERNAME} with the password in {PASSWORD_VARIABLE}"
    return f"sign in as {USERNAME} with the password {password}"


def _airflow_python(root: Path) -> Path:
    """The interpreter of Airflow's environment, which is created or brought up to date first."""
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        python = Path(named) / "bin" / "python"
        if not python.exists():
            raise ServerError(
                f"{ENVIRONMENT_VARIABLE} is {named}, which holds no bin/python",
                f"unset {ENVIRONMENT_VARIABLE}: then make airflow-up creates the environment",
            )
        return python
    folder = root / ".venv-airflow"
    if not folder.exists():
        step("Creating Airflow's environment, .venv-airflow (once, a minute or two)")
    # A second call compares the lock's hash and changes nothing. Standard output is the result's.
    done = subprocess.run(
        [sys.executable, str(root / "bootstrap.py"), "airflow"], stdout=sys.stderr, check=False
    )
    if done.returncode != 0:
        raise ServerError("Airflow's environment could not be made", "make airflow-setup shows why")
    return folder / "bin" / "python"


def _password(file: Path, starting: bool) -> str:
    """The administrator's password: the environment's, else one made once and kept."""
    known = json.loads(file.read_text())[USERNAME] if file.is_file() else ""
    password = os.environ.get(PASSWORD_VARIABLE) or known or secrets.token_urlsafe(12)
    if starting and password != known:
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as output:
            json.dump({USERNAME: password}, output)
    return str(password if starting else known)


def _environment(installation: _Installation, binaries: Path) -> dict[str, str]:
    home, url = installation.home, installation.url
    return {
        "AIRFLOW_HOME": str(home),
        # Airflow writes these paths into its airflow.cfg once; here they follow a moved project.
        # Its keys stay in that file, which only its owner can read.
        "AIRFLOW__CORE__DAGS_FOLDER": str(installation.dags),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # Airflow keeps this many idle workers in memory; the default is 32.
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(installation.passwords),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PROJECT_ROOT": str(installation.root),
        "PROJECT_PYTHON": sys.executable,
        "PATH": os.pathsep.join([str(binaries), os.environ.get("PATH", "")]),
        # The workers call the API server over HTTP; a proxy must not come between.
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"])),
        "no_proxy": ",".join(filter(None, [os.environ.get("no_proxy"), HOST, "localhost"])),
    }


def _migrate(
    airflow: list[str],
    environment: dict[str, str],
    installation: _Installation,
    run_directory: Path,
) -> None:
    """Create Airflow's database or bring it up to date, once for each lock."""
    stamp = installation.home / "migrated.sha256"
    lock = installation.root / "requirements" / "airflow.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    database = installation.home / "airflow.db"
    if database.is_file() and stamp.is_file() and stamp.read_text() == digest:
        return
    run_directory.mkdir(parents=True, exist_ok=True)
    log = run_directory / f"{NAME}-migrate.log"
    with progress_console.status("airflow: preparing its database"), log.open("wb") as output:
        done = subprocess.run(
            [*airflow, "db", "migrate"],
            cwd=installation.home,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise ServerError(
            f"airflow db migrate ended with {done.returncode}.\n{tail(log)}", f"read {log}"
        )
    stamp.write_text(digest)


class _Readiness:
    """Ready is more than healthy: every DAG of the project has been read and can be triggered."""

    def __init__(self, installation: _Installation, password: str) -> None:
        self._api = AirflowApi(installation.url, USERNAME, password)
        self._dag_ids = sorted(file.stem for file in installation.dags.glob("ml_*.py"))
        self._began = datetime.now(UTC)

    def missing(self) -> str:
        """What Airflow still lacks, empty when it is ready.

        Raises:
            ServerError: If a DAG file does not import.
        """
        try:
            health = self._api.get("monitor/health")
            for component in COMPONENTS:
                if health[component]["status"] != "healthy":
                    return f"the {component}"
            self._refuse_broken_files()
            for dag_id in self._dag_ids:
                self._api.get(f"dags/{dag_id}")
        except AirflowApiError as error:
            return str(error)
        return ""

    def _refuse_broken_files(self) -> None:
        errors = self._api.get("importErrors")["import_errors"]
        for error in errors:
            # An older one is what the last session left; the file may have been mended since.
            if datetime.fromisoformat(error["timestamp"]) >= self._began:
                raise ServerError(
                    f"{error['filename']} does not import:\n{error['stack_trace']}", "mend the file"
                )
        if errors:
            raise AirflowApiError(f"{errors[0]['filename']}, which did not import the last time")
