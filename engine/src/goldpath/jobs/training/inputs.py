"""What a training is rebuilt from: contract, settings, library versions, lock and commit."""

import hashlib
import inspect
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from goldpath.contract import Contract, dump_contract
from goldpath.jobs.step_order import Step
from goldpath.learning.segments.limits import least
from goldpath.registry.layout import CONTRACT_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.settings import Settings

FLOORS = "floors"
INPUTS_FILE = "inputs/training.json"
LOCK_FILE = "inputs/requirements.txt"
LIBRARIES = (
    *("goldpath", "lightgbm", "mlflow", "numpy", "optuna", "pandas"),
    *("scikit-learn", "scipy", "skops"),
)


def inputs_digest(
    settings: Settings, contract: Contract, snapshot_id: int, preparing: Sequence[Step]
) -> str:
    """SHA-256 of everything that decides a training's outcome on one machine.

    Args:
        settings: Of the search, the split and the evaluation.
        contract: What a row is.
        snapshot_id: Of the gold table.
        preparing: The project's own steps before the search, which may change what is learned from.
    """
    values = {
        "snapshot": snapshot_id,
        "contract": dump_contract(contract),
        "settings": deciding_settings(settings),
        "decision": settings.decision.model_dump(mode="json"),
        **_floors(settings, contract),
        "libraries": library_versions(),
        "steps": [_source(each) for each in preparing],
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def log_inputs(
    manager: MLflowManager,
    run_id: str,
    settings: Settings,
    contract: Contract,
    preparing: Sequence[Step],
) -> None:
    """Log them to the run."""
    manager.log_text(run_id, dump_contract(contract), CONTRACT_FILE)
    inputs = {
        "settings": deciding_settings(settings),
        "decision": settings.decision.model_dump(mode="json"),
        **_floors(settings, contract),
        "libraries": dict(library_versions()),
        "steps": [each.__name__ for each in preparing],
        "commit": commit(settings.root),
    }
    manager.log_text(run_id, json.dumps(inputs, indent=2), INPUTS_FILE)
    if lock := lock_text(settings):
        manager.log_text(run_id, lock, LOCK_FILE)


def deciding_settings(settings: Settings) -> dict[str, Any]:
    """The settings of the search, the split and the evaluation."""
    return settings.training.model_dump(mode="json")


def _floors(settings: Settings, contract: Contract) -> dict[str, Any]:
    """Of a clustering the limits by which the number of its segments is chosen."""
    return {} if contract.has_target else {FLOORS: least(settings.validation.thresholds)}


def library_versions() -> Mapping[str, str]:
    """The versions of what a model is made with."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def lock_text(settings: Settings) -> str:
    """The locks of the environment, the engine's last; empty without them, as in an image."""
    locks = (settings.root / "requirements" / name for name in ("dev.txt", "engine.txt"))
    return "".join(lock.read_text(encoding="utf-8") for lock in locks if lock.is_file())


def commit(root: Path) -> str:
    """The project's git commit, with a plus where files differ from it; empty without git."""
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain"])
    try:
        head, changed = (
            subprocess.run(
                command, cwd=root, capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{head}+" if changed else head


def _source(step: Step) -> str:
    """The step's own text; what the functions do that it calls is not seen."""
    try:
        return inspect.getsource(step)
    except (OSError, TypeError):  # defined at a prompt
        return step.__name__
