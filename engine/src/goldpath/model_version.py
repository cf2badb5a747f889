"""A version in the registry; a module of its own, since looking at one needs no numpy."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelVersion:
    """A version in the registry.

    Attributes:
        name: The registered model.
        version: Its number, as text.
        run_id: The run that made it.
        aliases: What points at it.
        tags: Its tags.
        description: What people wrote about it.
        source: Where its files are.
        created: When, in seconds since 1970.
        mlflow_stage: MLflow's own, deprecated stage.
    """

    name: str
    version: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    description: str = ""
    source: str = ""
    created: float = 0.0
    mlflow_stage: str = "None"
