"""Projects with a registry, and versions in it that are really fitted and signed."""

import os
from collections.abc import Mapping
from pathlib import Path

from goldpath.learning.frames import model_frame
from goldpath.model_version import ModelVersion
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.settings import load_settings

from .api.examples import contract_of, fitted, random_rows, write_project
from .ready_made import add_ready_made

CONTRACT = contract_of("binary")
EXAMPLE = random_rows(CONTRACT, 50)


def make_registry(
    root: Path, uri: str | None = None, model: str | None = None, *, exists: bool = True
) -> MLflowManager:
    """A project's registry, at `uri` or in a SQLite file, which `exists` from the start or not."""
    write_project(root)
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it to the registry it used last
    settings = load_settings(root)
    if exists:
        add_ready_made(settings)
    if uri is not None:
        settings = settings.model_copy(update={"tracking_uri": uri})
    return MLflowManager(settings, CONTRACT, model)


def add_version(
    manager: MLflowManager,
    tags: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    seed: str = "1",
) -> ModelVersion:
    """Train, log and register a version."""
    with manager.run(f"run-{seed}", {}) as run_id:
        manager.log_parameters(run_id, {"family": "linear", "seed": seed})
        manager.log_metrics(run_id, metrics or {"accuracy": 0.85, "f1_score": 0.8})
        example = model_frame(EXAMPLE, CONTRACT)
        return manager.register(run_id, fitted("binary", seed, "linear"), example, tags or {})


def scores(manager: MLflowManager, reference: str) -> list[float]:
    """What a version says about the example rows."""
    return manager.load_version(reference).predict(EXAMPLE).scores
