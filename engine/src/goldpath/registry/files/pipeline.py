"""A fitted pipeline on the disk: how it is read, and what it needs to be read."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from goldpath.project import running_project
from goldpath.registry.stores.store import RegistryError

ALWAYS = ("numpy", "pandas", "scikit-learn", "skops")
BOOSTING = {"lightgbm": "lightgbm", "xgboost": "xgboost"}


def trusted_types() -> tuple[str, ...]:
    """The types that a stored pipeline may hold: the engine's, and what the families declare."""
    from goldpath.learning import families

    return families.trusted_types(running_project().definitions)


def read_pipeline(file: Path, uri: str) -> Any:
    """A stored pipeline, read with the allow-list of `trusted_types`.

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
            "if you know them to be safe, name them in trusted= of the family that makes them",
        ) from error


def model_requirements(pipeline: Any) -> list[str]:
    """The packages, with versions, that reading the pipeline takes."""
    steps = [step for _, step in getattr(pipeline, "steps", [("", pipeline)])]
    modules = {type(step).__module__.partition(".")[0] for step in steps}
    # An AutoML ensemble's members hold their library's model as text and name their family.
    modules |= {member.family for member in getattr(pipeline, "members", ())}
    boosting = [package for module, package in BOOSTING.items() if module in modules]
    return [f"{name}=={version(name)}" for name in (*ALWAYS, *boosting)]
