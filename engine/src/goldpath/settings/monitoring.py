"""The drift check, and the ports of Prometheus and Grafana."""

from typing import ClassVar

from pydantic import Field

from goldpath.settings.section import Section


class MonitoringSettings(Section):
    """Drift checks, and the local Prometheus."""

    config_file: ClassVar[str] = "monitoring.yaml"

    minimum_rows: int = Field(default=200, ge=20)
    false_discovery_rate: float = Field(default=0.01, gt=0, lt=1)
    effect_floor: float = Field(
        default=0.1,
        gt=0,
        description="smallest shift that counts: sd of a number, JS of a category",
    )
    reference_rows: int = Field(default=20_000, ge=1000)
    report_rows: int = Field(default=5_000, ge=500)
    prometheus_port: int = Field(default=9090, ge=1, le=65535)
    grafana_port: int = Field(default=3000, ge=1, le=65535)
