"""The local Prometheus: watches the service and the drift checks, and evaluates the alert rules.

It comes up before the service or a model exists. Where the service answers is a file that
Prometheus reads again whenever it changes, so the same configuration serves here and in compose.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from goldpath.errors import ProjectError
from goldpath.services.processes import HOST, ServerSpec, ServerStatus, start_server
from goldpath.settings import Settings

NAME = "prometheus"
RETENTION = "15d"
DEBIAN, CLASSIC = "+ds", "/classic"


class MonitoringError(ProjectError):
    """Prometheus is not installed, or its configuration is missing."""


def start_prometheus(settings: Settings) -> ServerStatus:
    """Start Prometheus in the background, on 127.0.0.1 only.

    Args:
        settings: Names the ports of Prometheus and of the service.

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
    spec = ServerSpec(
        name=NAME,
        commands={
            NAME: [
                program,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--storage.tsdb.retention.time={RETENTION}",
                f"--web.listen-address={HOST}:{port}",
            ]
        },
        port=port,
        ready_url=f"{url}/-/ready",
        url=url,
        port_setting="monitoring.prometheus_port",
        ready_timeout=60,
        message=f"Targets: {url}{pages}/targets. Alerts: {url}{pages}/alerts. "
        "Start the service with: make serve",
    )
    return start_server(spec, settings.run_directory)


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
            "or run it in a container: make docker-up",
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
    groups = [{"targets": [f"{HOST}:{port}"], "labels": {"environment": environment}}]
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(json.dumps(groups) + "\n", encoding="utf-8")
    draft.replace(file)
