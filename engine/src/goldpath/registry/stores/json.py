"""The answers of MLflow's HTTP API as the project's own types."""

from collections.abc import Mapping
from typing import Any

from goldpath.model_version import ModelVersion
from goldpath.registry.stores.store import RegisteredModel, RunRecord


def pairs_of(items: Any) -> dict[str, str]:
    """Tags or parameters."""
    return {item["key"]: item.get("value", "") for item in items or ()}


def model_of(item: Mapping[str, Any]) -> RegisteredModel:
    """A registered model."""
    return RegisteredModel(
        name=item["name"],
        description=item.get("description", ""),
        tags=pairs_of(item.get("tags")),
        aliases={pair["alias"]: str(pair["version"]) for pair in item.get("aliases", ())},
        created=int(item.get("creation_timestamp", 0)) / 1000,
    )


def version_of(item: Mapping[str, Any], aliases: Mapping[str, str] | None = None) -> ModelVersion:
    """A version; aliases by alias where the answer carries none."""
    number = str(item["version"])
    known = item.get("aliases") or [
        alias for alias, version in (aliases or {}).items() if version == number
    ]
    return ModelVersion(
        name=item["name"],
        version=number,
        run_id=item.get("run_id", ""),
        aliases=tuple(sorted(known)),
        tags=pairs_of(item.get("tags")),
        description=item.get("description", ""),
        source=item.get("source", ""),
        created=int(item.get("creation_timestamp", 0)) / 1000,
        mlflow_stage=item.get("current_stage", "None") or "None",
    )


def run_of(run_id: str, item: Mapping[str, Any]) -> RunRecord:
    """A run."""
    info, data = item["info"], item.get("data", {})
    return RunRecord(
        run_id=run_id,
        name=info.get("run_name", ""),
        status=info.get("status", ""),
        deleted=info.get("lifecycle_stage") == "deleted",
        parameters=pairs_of(data.get("params")),
        metrics={entry["key"]: float(entry["value"]) for entry in data.get("metrics", ())},
        tags=pairs_of(data.get("tags")),
        artifact_uri=info.get("artifact_uri", ""),
    )
