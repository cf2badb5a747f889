"""The ports of the local MLflow and Airflow servers."""

from typing import ClassVar

from pydantic import Field

from goldpath.settings.section import Section


class ServersSettings(Section):
    """Ports of the local MLflow and Airflow servers."""

    config_file: ClassVar[str] = "servers.yaml"

    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    airflow_port: int = Field(default=8080, ge=1, le=65535)
