"""A fitted pipeline on the disk: how it is read, and what it needs to be read."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from goldpath.registry.stores.store import RegistryError

ALWAYS = ("numpy", "pandas", "scikit-learn", "skops")
BOOSTING = {"lightgbm": "lightgbm", "xgboost": "xgboost"}


def trusted_types() -> tuple[str, ...]:
    """The types that a stored pipeline may hold."""
    from goldpath.learning.families import TRUSTED_TYPES

    return tuple(TRUSTED_TYPES)


def read_pipeline(file: Path, uri: str) -> Any:
    """A stored pipeline, read with the allow-list in `estimators.py`.

    The list that MLflow stores beside the model is ignored, since whoever can write the model can
    write that list.

    Raises:
        RegistryError: If the file is missing or holds a type that is not allowed.
    """
    from skops.io import load
    from skops.io.exceptions import UntrustedTypesFoundException

    if not file.is_file():
        raise RegistryError(
            f"{uri} holds no {file.name}",
            "register it with: make train-local (pickled models are refused)",
        )
    try:
        return load(file, trusted=list(trusted_types()))
    except UntrustedTypesFoundException as error:
        raise RegistryError(
            f"{uri} holds types that are not allowed: {error}",
            "extend TRUSTED_TYPES in model/estimators.py if you know them to be safe",
        ) from error


def model_requirements(pipeline: Any) -> list[str]:
    """The packages, with versions, that reading the pipeline takes."""
    steps = [step for _, step in getattr(pipeline, "steps", [("", pipeline)])]
    modules = {type(step).__module__.partition(".")[0] for step in steps}
    # An AutoML ensemble's members hold their library's model as text and name their family.
    modules |= {member.family for member in getattr(pipeline, "members", ())}
    boosting = [package for module, package in BOOSTING.items() if module in modules]
    return [f"{name}=={version(name)}" for name in (*ALWAYS, *boosting)]
