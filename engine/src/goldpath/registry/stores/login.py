"""User and password for MLflow's server, where its own client looks for them."""

import configparser
import os
from pathlib import Path


def read_credentials() -> tuple[str, str]:
    """From the environment, else from `~/.mlflow/credentials`; empty where neither has them."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if user:
        return user, password
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(Path.home() / ".mlflow" / "credentials")
    except (configparser.Error, OSError, RuntimeError):
        return "", ""
    section = parser["mlflow"] if parser.has_section("mlflow") else {}
    return (
        str(section.get("mlflow_tracking_username", "")),
        str(section.get("mlflow_tracking_password", "")),
    )


def shown_uri(uri: str) -> str:
    """The URI without the password that it may hold."""
    head, at, tail = uri.rpartition("@")
    scheme = head.partition("://")[0]
    return f"{scheme}://…@{tail}" if at else uri
