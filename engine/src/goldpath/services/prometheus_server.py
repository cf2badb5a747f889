"""The local Prometheus: watches the service and the drift checks, and evaluates the alert rules.

Alertmanager is started with it, and tells people of alerts that fire; where its program is missing,
that is said. So is the monitoring page, as there is no Grafana outside of containers.

It comes up before the service or a model exists. Where the service answers is a file that
Prometheus reads again whenever it changes, so the same configuration serves here and in compose.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from goldpath.errors import ProjectError
from goldpath.presentation import step
from goldpath.services.alerting.alertmanager import (
    INSTALL,
    alerting_commands,
    alerting_ports,
    alertmanager_url,
    find_alertmanager,
    missing_parts,
    who_is_told,
    write_configuration,
)
from goldpath.services.alerting.private_file import write_private
from goldpath.services.processes import (
    HOST,
    ServerSpec,
    ServerStatus,
    answers,
    server_status,
    start_server,
    stop_server,
)
from goldpath.settings import Settings

NAME, PAGE = "prometheus", "page"
RETENTION = "15d"
DEBIAN, CLASSIC = "+ds", "/classic"
STARTED = "started.sha256"
"""Digest of all that the running servers were started with."""


class MonitoringError(ProjectError):
    """Prometheus is not installed, or its configuration is missing."""


def start_prometheus(settings: Settings) -> ServerStatus:
    """Start Prometheus, Alertmanager and the monitoring page in the background, on 127.0.0.1 only.

    Where they would be started otherwise than they were, they are started again: another port,
    other people, another secret, or another `.env`, which retrainings inherit.

    Args:
        settings: Names the ports, the service's too, and who is told of alerts.

    Returns:
        `started`, or `already running`; then it watches the service's port as it is set now.

    Raises:
        MonitoringError: If the program or its configuration is missing.
        ServerError: If the port is taken or the start fails.
    """
    program = find_prometheus()
    configuration = settings.root / "infra" / "prometheus" / "prometheus.yml"
    if not configuration.is_file():
        raise MonitoringError(
            f"{configuration} is missing", "restore it: git checkout -- infra/prometheus"
        )
    folder = settings.run_directory / NAME
    write_targets(folder / "targets.json", settings.serving.port, settings.environment)
    port = settings.monitoring.prometheus_port
    url = f"http://{HOST}:{port}"
    pages = pages_of(program)
    commands = {
        NAME: [
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--web.listen-address={HOST}:{port}",
        ],
    }
    if settings.monitoring.page:
        commands[PAGE] = [sys.executable, "-m", settings.project.name, "monitor-page", "--serve"]
    alertmanager, written = find_alertmanager(), ""
    if alertmanager is None:
        told = f"Nobody is told of alerts: Alertmanager is not on the PATH; {INSTALL}."
    else:
        told = f"Alertmanager: {alertmanager_url(settings)}. {who_is_told(settings)}"
        commands |= alerting_commands(settings, alertmanager, folder)
        written = write_configuration(settings, folder)
    digest = _digest(settings, commands, written)
    if _runs_otherwise(settings, folder / STARTED, digest):
        step(
            "Ports, alerts or .env are not what they were at the last start: starting it again. A "
            "retraining that an alert set off ends with it; it counts for no limit"
        )
        stop_server(NAME, settings.run_directory)
    write_alertmanagers(folder, settings.monitoring.alertmanager_port if alertmanager else None)
    write_private(folder / STARTED, digest)
    spec = ServerSpec(
        name=NAME,
        commands=commands,
        port=port,
        ready_url=f"{url}/-/ready",
        url=url,
        port_setting="monitoring.prometheus_port",
        ready_timeout=60,
        missing=lambda: _missing(settings, has_alertmanager=alertmanager is not None),
        message=f"{_about_page(settings)} Targets: {url}{pages}/targets. "
        f"Alerts: {url}{pages}/alerts. {told} "
        "Start the service with: make serve",
        supervised=True,
        further_ports={
            **_port_of_page(settings),
            **(alerting_ports(settings) if alertmanager else {}),
        },
    )
    return start_server(spec, settings.run_directory)


def page_url(settings: Settings) -> str:
    """Where the monitoring page is."""
    return f"http://{HOST}:{settings.monitoring.page_port}"


def _about_page(settings: Settings) -> str:
    if settings.monitoring.page:
        return f"Monitoring page: {page_url(settings)}."
    return "No monitoring page (monitoring.page: false); as a file: make monitor-page."


def _port_of_page(settings: Settings) -> dict[str, int]:
    """The port that the page takes, by its setting; none without a page."""
    monitoring = settings.monitoring
    return {"monitoring.page_port": monitoring.page_port} if monitoring.page else {}


def _missing(settings: Settings, *, has_alertmanager: bool) -> str:
    """What does not answer yet beside Prometheus; empty where all of it does."""
    if settings.monitoring.page and not answers(f"{page_url(settings)}/ready"):
        return "the monitoring page"
    return missing_parts(settings) if has_alertmanager else ""


def _digest(settings: Settings, commands: Mapping[str, Sequence[str]], written: str) -> str:
    """Of everything that a start hands on: commands with ports, configuration, secrets, `.env`."""
    alerts = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in settings.monitoring.alerts
    }
    file = settings.root / ".env"
    variables = file.read_bytes().hex() if file.is_file() else ""
    parts = json.dumps([commands, written, alerts, variables], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def _runs_otherwise(settings: Settings, started: Path, digest: str) -> bool:
    if server_status(NAME, settings.run_directory).state != "running":
        return False
    return not started.is_file() or started.read_text(encoding="utf-8") != digest


def pages_of(program: str) -> str:
    """Where a program's pages begin: Debian leaves out the newer ones, and keeps /classic."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return CLASSIC if DEBIAN in said.stdout + said.stderr else ""


def find_prometheus() -> str:
    """The path of the `prometheus` program.

    Raises:
        MonitoringError: If it is not on the PATH; says how to get it.
    """
    program = shutil.which(NAME)
    if program is None:
        raise MonitoringError(
            "the program `prometheus` is not on the PATH",
            "install it (sudo apt-get install prometheus; macOS: brew install prometheus), "
            "or run it in a container: make docker-up; the monitoring page runs without it: "
            "make monitor-page ARGS=--serve",
        )
    return program


def write_targets(file: Path, port: int, environment: str) -> None:
    """Say where the service answers.

    The file is replaced in one step: Prometheus may read it at any moment.

    Args:
        file: What `file_sd_configs` in `prometheus.yml` names.
        port: The service's port on 127.0.0.1.
        environment: A label of every series.
    """
    write_groups(file, [{"targets": [f"{HOST}:{port}"], "labels": {"environment": environment}}])


def write_alertmanagers(folder: Path, port: int | None) -> None:
    """Say where Alertmanager takes alerts; `prometheus.yml` names the file. None: nowhere."""
    groups = [] if port is None else [{"targets": [f"{HOST}:{port}"]}]
    write_groups(folder / "alertmanagers.json", groups)


def write_groups(file: Path, groups: list[dict[str, Any]]) -> None:
    """Replace a file of addresses, which Prometheus may read at any moment, in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(json.dumps(groups) + "\n", encoding="utf-8")
    draft.replace(file)
