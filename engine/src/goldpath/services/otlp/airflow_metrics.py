"""Airflow's own metrics: which of them it pushes, where to, and where Prometheus finds them."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from goldpath.presentation import step
from goldpath.services.processes import HOST
from goldpath.services.prometheus_server import write_groups
from goldpath.settings import Settings

NAME = "metrics"
"""The receiver among Airflow's processes."""

PORT_SETTING = "servers.airflow_metrics_port"
KEPT = (
    r"^(scheduler|dag_processor|triggerer)_heartbeat$",
    r"^dagrun\.duration\.(success|failed)$",
    r"^ti_(failures|successes)$",
    r"^pool\.(open|queued|running|scheduled|deferred)_slots$",
    r"^dag_processing\.import_errors$",
)
"""Airflow has a hundred more, some with a series for each task; these are what the rules and a
first look need."""

SWITCHES = (
    "AIRFLOW__METRICS__OTEL_ON",
    "AIRFLOW__METRICS__STATSD_ON",
    "AIRFLOW__METRICS__STATSD_DATADOG_ENABLED",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
"""Whoever sets one of these has a place for Airflow's metrics, or wants none."""

PUSHED_EVERY_SECONDS = 10


def go_elsewhere(environment: Mapping[str, str] = os.environ) -> str:
    """The variable by which a user sends Airflow's metrics elsewhere; empty where there is none."""
    return next((name for name in SWITCHES if environment.get(name)), "")


def metrics_variables(port: int) -> dict[str, str]:
    """What makes Airflow's processes push to the receiver."""
    otlp = "OTEL_EXPORTER_OTLP_METRICS"
    return {
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "AIRFLOW__METRICS__METRICS_ALLOW_LIST": ",".join(KEPT),
        "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
        f"{otlp}_ENDPOINT": f"http://{HOST}:{port}/v1/metrics",
        f"{otlp}_PROTOCOL": "http/protobuf",
        f"{otlp}_TEMPORALITY_PREFERENCE": "delta",
        # Of a receiver that is being started again, a task that ends waits for this long.
        f"{otlp}_TIMEOUT": "2",
        "OTEL_METRIC_EXPORT_INTERVAL": str(PUSHED_EVERY_SECONDS * 1000),
    }


@dataclass(frozen=True)
class Receiver:
    """What Airflow is started with for its metrics; nothing where they go elsewhere.

    Attributes:
        commands: The receiver's command, by name.
        variables: What makes Airflow's processes push to it.
        ports: The receiver's port, by its setting.
    """

    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


def receiver_of(settings: Settings) -> Receiver:
    """The receiver of Airflow's metrics; an empty one where a user sends them elsewhere."""
    if name := go_elsewhere():
        step(f"{name} is set: Airflow's metrics are not shown to the local Prometheus")
        return Receiver()
    port = settings.servers.airflow_metrics_port
    command = [sys.executable, "-m", "goldpath.services.otlp.receiver", str(port)]
    return Receiver({NAME: command}, metrics_variables(port), {PORT_SETTING: port})


def show_to_prometheus(settings: Settings, *, is_up: bool) -> None:
    """Say where Airflow's metrics are, or that there are none; `prometheus.yml` names the file."""
    port = settings.servers.airflow_metrics_port
    group = {"targets": [f"{HOST}:{port}"], "labels": {"environment": settings.environment}}
    file = settings.run_directory / "prometheus" / "airflow.json"
    write_groups(file, [group] if is_up else [])
