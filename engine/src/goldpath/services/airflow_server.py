"""The local Airflow: four processes in an environment of their own, on 127.0.0.1 only."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from goldpath.presentation import progress_console, step
from goldpath.services.airflow_api import AirflowApi, AirflowApiError
from goldpath.services.alerting.alertmanager import alertmanager_url
from goldpath.services.otlp.airflow_metrics import receiver_of, show_to_prometheus
from goldpath.services.processes import (
    HOST,
    ServerError,
    ServerSpec,
    ServerStatus,
    require_free_port,
    server_status,
    start_server,
    stop_server,
    tail,
)
from goldpath.services.supervision import Heartbeats
from goldpath.settings import Settings

NAME = "airflow"
PORT_SETTING = "servers.airflow_port"
ENVIRONMENT_VARIABLE = "MLOPS_AIRFLOW_VENV"
PASSWORD_VARIABLE = "AIRFLOW_ADMIN_PASSWORD"  # noqa: S105  a variable's name
USERNAME = "admin"
OWN_VARIABLE = "AIRFLOW__"
ALERTS_VARIABLE = "ALERTMANAGER_URL"
LOCK_SECONDS = 60
LINEAGE = "logs/openlineage.jsonl"
"""Where OpenLineage's events go by default, if its provider is in Airflow's environment."""

LINEAGE_VARIABLE = "AIRFLOW__OPENLINEAGE__TRANSPORT"
# Whoever sets these otherwise gets an Airflow that airflow-up cannot sign in to, or that is not the
# one at the printed address.
OVERRULED = frozenset(
    {
        "AIRFLOW__API__BASE_URL",
        "AIRFLOW__CORE__DAGS_FOLDER",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS",
    }
)
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
DATABASE, *WORKING = COMPONENTS
"""What the others' health is read from, and the components that are processes of their own."""


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
        ServerError: If the port is taken, the environment cannot be made, or Airflow does not
            come up. A DAG file that does not import is named in the message; the others run.
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
    (settings.root / LINEAGE).parent.mkdir(exist_ok=True)
    password = _password(installation.passwords, starting)
    airflow = [str(_airflow_python(settings.root)), "-m", "airflow"]
    receiver = receiver_of(settings)
    environment = _environment(installation, Path(airflow[0]).parent, receiver.variables)
    # Whom the DAGs tell of a failed run: the local Alertmanager, or the one of one's own.
    environment[ALERTS_VARIABLE] = os.environ.get(ALERTS_VARIABLE) or alertmanager_url(settings)
    if starting:
        _say_overruled(environment)
        for setting, number in receiver.ports.items():
            require_free_port(number, setting)
        _migrate(airflow, environment, installation, settings.run_directory)
    readiness = _Readiness(installation, password)
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
            **receiver.commands,
        },
        port=port,
        ready_url=(health := f"{installation.url}/api/v2/monitor/health"),
        url=installation.url,
        port_setting=PORT_SETTING,
        environment=environment,
        # Not the project's root: Python would find its folder `airflow` there.
        working_directory=home,
        ready_timeout=400,
        missing=readiness.missing,
        message=_sign_in(password),
        supervised=True,
        heartbeats=Heartbeats(
            health, {name.replace("_", "-"): name for name in WORKING}, read_from=DATABASE
        ),
        further_ports=receiver.ports,
    )
    status = start_server(spec, settings.run_directory)
    show_to_prometheus(settings, is_up=bool(receiver.ports))
    said = [*readiness.broken_files(), *readiness.missing_pool(settings.airflow.pool)]
    return replace(status, message="\n".join([status.message, *said]))


def stop_airflow(settings: Settings) -> ServerStatus:
    """Stop Airflow; Prometheus is told first, so that nobody is told of an Airflow that is down.

    Raises:
        ServerError: If a process survives.
    """
    show_to_prometheus(settings, is_up=False)
    return stop_server(NAME, settings.run_directory)


def running_airflow(settings: Settings, dag_id: str) -> AirflowApi | None:
    """The local Airflow, where it runs and has this DAG; None otherwise, which is said."""
    if server_status(NAME, settings.run_directory).state == "not running":
        return None
    password = _password(settings.root / ".airflow" / "passwords.json", starting=False)
    api = AirflowApi(f"http://{HOST}:{settings.servers.airflow_port}", USERNAME, password)
    try:
        if api.get(f"dags/{dag_id}")["is_paused"]:
            step(f"Airflow runs, and its DAG {dag_id} is paused: not used")
            return None
    except (AirflowApiError, KeyError) as error:
        step(f"Airflow runs, and cannot be asked for {dag_id}: {error}")
        return None
    return api


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


def _environment(
    installation: _Installation, binaries: Path, metrics: Mapping[str, str]
) -> dict[str, str]:
    home, url = installation.home, installation.url
    own = {
        **metrics,
        **_lineage(installation.root),
        "AIRFLOW_HOME": str(home),
        # Airflow writes these paths into its airflow.cfg once; here they follow a moved project.
        # Its keys stay in that file, which only its owner can read.
        "AIRFLOW__CORE__DAGS_FOLDER": str(installation.dags),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": own_database(home),
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
        # How soon another scheduler takes up what a killed one was at; the default is five minutes.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        # A worker's call of the API server; on a small machine under load, the default of 5 s fails
        # tasks that are doing well.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        # A schedule that is due, or what a stop interrupted, starts before the API server answers,
        # and a killed one is back after a while: a task waits for a minute or two, not ten seconds.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "20",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "10",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PROJECT_ROOT": str(installation.root),
        "PROJECT_PYTHON": sys.executable,
        "PATH": os.pathsep.join([str(binaries), os.environ.get("PATH", "")]),
        # The workers call the API server over HTTP; a proxy must not come between.
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"])),
        "no_proxy": ",".join(filter(None, [os.environ.get("no_proxy"), HOST, "localhost"])),
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(OWN_VARIABLE) and name not in OVERRULED
    }
    return {**own, **kept}


def own_database(home: Path) -> str:
    """The URL of Airflow's SQLite file: who writes waits for the others, longer than the usual 5 s.

    On a busy machine Airflow answers with "Database is locked" otherwise, to a backfill first.

    Args:
        home: Airflow's home, absolute.
    """
    return f"sqlite:///{home / 'airflow.db'}?timeout={LOCK_SECONDS}"


def _lineage(root: Path) -> dict[str, str]:
    """Where lineage goes; its client's own variables, `OPENLINEAGE_…`, come before."""
    if any(name.startswith("OPENLINEAGE_") for name in os.environ):
        return {}
    transport = {"type": "file", "log_file_path": str(root / LINEAGE), "append": True}
    return {LINEAGE_VARIABLE: json.dumps(transport)}


def _say_overruled(environment: dict[str, str]) -> None:
    for name in sorted(OVERRULED):
        if os.environ.get(name, environment[name]) != environment[name]:
            step(f"{name} of the environment is not used: airflow-up sets it itself")


def _migrate(
    airflow: list[str],
    environment: dict[str, str],
    installation: _Installation,
    run_directory: Path,
) -> None:
    """Create Airflow's database or bring it up to date, once for each lock."""
    stamp = installation.home / "migrated.sha256"
    lock = installation.root / "requirements" / "airflow.txt"
    database = environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    digest = hashlib.sha256(lock.read_bytes() + database.encode()).hexdigest()
    own = installation.home / "airflow.db"
    is_there = own.is_file() or database != own_database(installation.home)
    if is_there and stamp.is_file() and stamp.read_text() == digest:
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
    """Ready is more than healthy: every DAG file has been read, and what imports can be triggered.

    A file that does not import is no reason to stop the others.
    """

    def __init__(self, installation: _Installation, password: str) -> None:
        self._api = AirflowApi(installation.url, USERNAME, password)
        # A file of the project's holds the DAG that it is named after; of others, who knows.
        self._dag_ids = {
            file.name: file.stem
            for file in sorted(installation.dags.glob("*.py"))
            if f'"{file.stem}"' in file.read_text(encoding="utf-8", errors="replace")
        }
        self._began = datetime.now(UTC)

    def missing(self) -> str:
        """What Airflow still lacks, empty when it is ready."""
        try:
            health = self._api.get("monitor/health")
            for component in COMPONENTS:
                if health[component]["status"] != "healthy":
                    return f"the {component}"
            broken = set()
            for error in self._import_errors():
                # An older one is what the last session left; the file may have been mended since.
                if datetime.fromisoformat(error["timestamp"]) < self._began:
                    return f"{error['filename']}, which did not import the last time"
                broken.add(Path(error["filename"]).name)
            for file, dag_id in self._dag_ids.items():
                if file not in broken:
                    self._api.get(f"dags/{dag_id}")
        except AirflowApiError as error:
            return str(error)
        return ""

    def broken_files(self) -> list[str]:
        """A line for each DAG file that does not import, with the last line of its traceback."""
        try:
            return [
                f"{error['filename']} does not import, and its DAGs do not run: "
                f"{error['stack_trace'].strip().splitlines()[-1]}"
                for error in self._import_errors()
            ]
        except AirflowApiError as error:
            return [f"whether every DAG file imports is not known: {error}"]

    def missing_pool(self, pool: str) -> list[str]:
        """A line where the tasks' pool does not exist, so that none of them would ever start."""
        try:
            self._api.get(f"pools/{quote(pool, safe='')}")
        except AirflowApiError as error:
            return [
                f"the tasks' pool {pool} (config/airflow.yaml) cannot be used: {error}; make it in "
                "Airflow (Admin, Pools), or they wait for ever"
            ]
        return []

    def _import_errors(self) -> list[dict[str, str]]:
        errors: list[dict[str, str]] = self._api.get("importErrors")["import_errors"]
        return errors
