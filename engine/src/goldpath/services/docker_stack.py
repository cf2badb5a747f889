"""The whole stack in containers: API, MLflow, Airflow, Prometheus, Alertmanager and Grafana.

What the containers are is in `infra/docker/compose.yaml`; this starts and stops them.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from goldpath.errors import ProjectError
from goldpath.presentation import progress_console, step
from goldpath.services.alerting.configuration import require_addresses
from goldpath.services.processes import HOST, answers, require_free_port
from goldpath.settings import (
    DEFAULT_PASSWORDS,
    ENVIRONMENT_PREFIX,
    SHORTEST_KEY,
    Settings,
    monitoring_of,
)

PASSWORDS = ("AIRFLOW_ADMIN_PASSWORD", "AIRFLOW_DATABASE_PASSWORD", "GRAFANA_ADMIN_PASSWORD")
READY_SECONDS = 600.0
POLL_SECONDS = 2.0
# Standard output belongs to the result (--json); compose's progress goes to the other stream.
STANDARD_ERROR = 2


class DockerError(ProjectError):
    """Docker is missing or does not run, a password is missing, or a container failed."""


@dataclass(frozen=True)
class StackStatus:
    """What became of the stack."""

    state: Literal["started", "stopped"]
    urls: Mapping[str, str]
    message: str


def start_stack(settings: Settings) -> StackStatus:
    """Build the images, start the containers and wait until each of them answers.

    Args:
        settings: Names the ports on 127.0.0.1 that the containers are published at.

    Returns:
        The URLs.

    Raises:
        DockerError: If a password or Docker is missing, or a container does not come up.
        RouteError: If a route of alerts could tell nobody.
        ServerError: If another program holds one of the ports.
    """
    require_passwords(os.environ)
    environment = compose_environment(settings).get("MLOPS_ENVIRONMENT") or "production"
    require_addresses(monitoring_of(settings, environment).alerts)
    compose = find_compose()
    if not _is_running(compose, settings):
        for setting, port in _ports(settings).values():
            require_free_port(port, setting)
    if not settings.service_key:
        raise DockerError(
            "the service has no key, and its container is closed to callers without one",
            "make setup makes .secrets/api.key, or set MLOPS_SERVING__API_KEY in .env",
        )
    if len(settings.service_key) < SHORTEST_KEY and environment != "development":
        raise DockerError(
            f"the key of the service has {len(settings.service_key)} characters, and its container "
            f"refuses less than {SHORTEST_KEY}, since it is {environment}",
            "choose a longer MLOPS_SERVING__API_KEY, or remove it: make setup makes a key",
        )
    # Compose mounts a volume over this folder; where it were missing, Docker would make it as root.
    (settings.root / "data" / "sample").mkdir(parents=True, exist_ok=True)
    step("Building the images and starting the containers; the first time takes minutes")
    _compose(compose, settings, "up", "--detach", "--build")
    urls = _urls(settings)
    _wait_until_ready(settings)
    return StackStatus("started", urls, "Stop with: make docker-down. Logs: docker logs CONTAINER")


def stop_stack(settings: Settings) -> StackStatus:
    """Stop and remove the containers; their volumes stay.

    Raises:
        DockerError: If Docker is missing or its engine does not run.
    """
    _compose(find_compose(), settings, "down")
    return StackStatus("stopped", {}, "The volumes with data and models stay.")


def require_passwords(environment: Mapping[str, str]) -> None:
    """Insist on passwords that a person chose, in development too: containers outlive a terminal.

    Args:
        environment: The variables; `.env` is already among them.

    Raises:
        DockerError: Names the variables that are missing or hold a default.
    """
    weak = [name for name in PASSWORDS if environment.get(name, "").lower() in DEFAULT_PASSWORDS]
    if weak:
        raise DockerError(
            f"missing or default passwords: {', '.join(weak)}",
            "copy .env.example to .env and choose them there",
        )


def find_compose() -> list[str]:
    """The compose command, once the engine has answered.

    Returns:
        `docker compose` (version 2), else `docker-compose`.

    Raises:
        DockerError: If the client, the engine or compose is missing; says which.
    """
    docker = shutil.which("docker")
    if docker is None:
        raise DockerError(
            "the program `docker` is not on the PATH",
            "install Docker Engine and its compose plugin, or work without it: make serve",
        )
    engine = _ask([docker, "info", "--format", "json"])
    if engine.returncode != 0:
        last = (engine.stderr.strip().splitlines() or ["no answer"])[-1]
        raise DockerError(
            f"the Docker engine does not answer: {last}",
            "start it (sudo systemctl start docker), or work without it: make serve",
        )
    if _ask([docker, "compose", "version"]).returncode == 0:
        return [docker, "compose"]
    if standalone := shutil.which("docker-compose"):
        return [standalone]
    raise DockerError("Docker has no compose command", "install its plugin: docker-compose-plugin")


def compose_arguments(root: Path) -> list[str]:
    """The arguments that every compose call takes: this project's file, and a name of its own."""
    # Compose's own default is the folder of the file, so two projects would share their containers.
    name = re.sub(r"[^a-z0-9_-]+", "-", root.name.lower()).strip("-_") or "project"
    return ["--project-name", name, "--file", str(root / "infra" / "docker" / "compose.yaml")]


def compose_environment(settings: Settings) -> dict[str, str]:
    """The variables that `compose.yaml` reads; a port may also come from `config/*.yaml`."""
    ports = {_variable(setting): str(port) for setting, port in _ports(settings).values()}
    named = {"MLOPS_SERVING__API_KEY": settings.service_key}
    if "environment" in settings.model_fields_set:
        named["MLOPS_ENVIRONMENT"] = settings.environment  # else the service's is production
    return {**os.environ, **ports, **named}


def _compose(command: Sequence[str], settings: Settings, *arguments: str) -> None:
    done = subprocess.run(
        [*command, *compose_arguments(settings.root), *arguments],
        cwd=settings.root,
        env=compose_environment(settings),
        stdout=STANDARD_ERROR,
        check=False,
    )
    if done.returncode != 0:
        raise DockerError(
            f"docker compose {arguments[0]} ended with {done.returncode}",
            "its own message is above",
        )


def _ask(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _is_running(command: Sequence[str], settings: Settings) -> bool:
    listing = subprocess.run(
        [*command, *compose_arguments(settings.root), "ps", "--quiet"],
        env=compose_environment(settings),
        capture_output=True,
        check=False,
    )
    return bool(listing.stdout.strip())


def _ports(settings: Settings) -> dict[str, tuple[str, int]]:
    """Each container's setting and its port on 127.0.0.1."""
    return {
        "api": ("serving.port", settings.serving.port),
        "mlflow": ("servers.mlflow_port", settings.servers.mlflow_port),
        "airflow": ("servers.airflow_port", settings.servers.airflow_port),
        "prometheus": ("monitoring.prometheus_port", settings.monitoring.prometheus_port),
        "alertmanager": ("monitoring.alertmanager_port", settings.monitoring.alertmanager_port),
        "grafana": ("monitoring.grafana_port", settings.monitoring.grafana_port),
    }


def _variable(setting: str) -> str:
    return ENVIRONMENT_PREFIX + setting.upper().replace(".", "__")


def _urls(settings: Settings) -> dict[str, str]:
    return {name: f"http://{HOST}:{port}" for name, (_, port) in _ports(settings).items()}


def _wait_until_ready(settings: Settings) -> None:
    health = {
        "api": "/health",
        "mlflow": "/health",
        "airflow": "/api/v2/monitor/health",
        "prometheus": "/-/ready",
        "alertmanager": "/-/ready",
        "grafana": "/api/health",
    }
    waiting = {name: url + health[name] for name, url in _urls(settings).items()}
    deadline = time.monotonic() + READY_SECONDS
    with progress_console.status("") as spinner:
        while waiting:
            spinner.update(f"Waiting for {', '.join(waiting)}")
            waiting = {name: url for name, url in waiting.items() if not answers(url)}
            if waiting and time.monotonic() > deadline:
                raise DockerError(
                    f"no answer after {READY_SECONDS:.0f} s from {', '.join(waiting)}",
                    "see why: docker ps, then docker logs CONTAINER; stop with make docker-down",
                )
            if waiting:
                time.sleep(POLL_SECONDS)
