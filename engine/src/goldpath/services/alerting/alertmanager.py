"""The local Alertmanager: its program, its files, and its command beside Prometheus."""

import shutil
import sys
from pathlib import Path

from goldpath.services.alerting.configuration import (
    as_text,
    configuration,
    needs_receiver,
    token_file,
)
from goldpath.services.alerting.private_file import write_private
from goldpath.services.processes import HOST, answers
from goldpath.settings import Settings

PROGRAMS = ("prometheus-alertmanager", "alertmanager")
"""Debian's name, and the project's own."""

COMMAND, RECEIVER = "alertmanager", "receiver"
CONFIGURATION = "alertmanager.yml"
INSTALL = (
    "install it (sudo apt-get install prometheus-alertmanager; macOS: brew install alertmanager)"
)


def find_alertmanager() -> str | None:
    """The path of Alertmanager's program; None where it is not on the PATH."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def alertmanager_url(settings: Settings) -> str:
    """Where Alertmanager answers."""
    return f"http://{HOST}:{settings.monitoring.alertmanager_port}"


def receiver_url(settings: Settings) -> str:
    """Where the receiver of alerts answers."""
    return f"http://{HOST}:{settings.monitoring.receiver_port}"


def alerting_commands(settings: Settings, program: str, folder: Path) -> dict[str, list[str]]:
    """The processes beside Prometheus: Alertmanager, and the receiver where an alert needs it.

    Args:
        settings: The project's settings.
        program: Alertmanager's path.
        folder: Where its configuration is, and its silences are kept.
    """
    commands = {
        COMMAND: [
            program,
            f"--config.file={folder / CONFIGURATION}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={HOST}:{settings.monitoring.alertmanager_port}",
            f"--web.external-url={alertmanager_url(settings)}",
            "--cluster.listen-address=",
        ]
    }
    if needs_receiver(settings.monitoring):
        commands[RECEIVER] = [sys.executable, "-m", settings.project.name, "alerts", "receive"]
    return commands


def alerting_ports(settings: Settings) -> dict[str, int]:
    """The ports of these processes, by the setting that chose them."""
    ports = {"monitoring.alertmanager_port": settings.monitoring.alertmanager_port}
    if needs_receiver(settings.monitoring):
        ports["monitoring.receiver_port"] = settings.monitoring.receiver_port
    return ports


def write_configuration(settings: Settings, folder: Path) -> str:
    """Write Alertmanager's configuration, which only its owner can read.

    Returns:
        What was written.

    Raises:
        RouteError: If a route could tell nobody.
    """
    text = as_text(configuration(settings.monitoring, token_file(settings)))
    write_private(folder / CONFIGURATION, text)
    return text


def missing_parts(settings: Settings) -> str:
    """What does not answer yet; empty where all of it does."""
    if not answers(f"{alertmanager_url(settings)}/-/ready"):
        return "Alertmanager"
    if needs_receiver(settings.monitoring) and not answers(f"{receiver_url(settings)}/ready"):
        return "the receiver of alerts"
    return ""


def who_is_told(settings: Settings) -> str:
    """What comes of an alert, as a sentence."""
    monitoring = settings.monitoring
    told = ", ".join(f"{route.to} {route.address}".strip() for route in monitoring.alerts.routes)
    people = (
        f"Alerts are sent to: {told}."
        if told
        else "Nobody is told of alerts: monitoring.alerts.routes is empty."
    )
    if not monitoring.retrain.automatic:
        return f"{people} They set off no retraining (monitoring.retrain.automatic is off)."
    return f"{people} Drift asks for a retraining (monitoring.retrain)."
