"""A fitted pipeline on the disk: how it is read, and what it needs to be read."""

import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from goldpath.contract import Contract
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
        RegistryError: If the file is missing, holds a type that is not allowed, or needs code that
            was moved or renamed.
    """
    from skops.io import get_untrusted_types, load
    from skops.io.exceptions import UntrustedTypesFoundException

    if not file.is_file():
        raise RegistryError(
            f"{uri} holds no {file.name}",
            "register it with: make train-local (pickled models are refused)",
        )
    try:
        return load(file, trusted=list(trusted_types()))
    except UntrustedTypesFoundException as error:
        unknown = sorted(set(get_untrusted_types(file=file)) - set(trusted_types()))
        if lacking := [name for name in unknown if _is_gone(name)]:
            raise _lacks_code(uri, ", ".join(lacking)) from error
        raise RegistryError(
            f"{uri} holds types that are not allowed: {', '.join(unknown)}",
            "if you know them to be safe, name them in trusted= of the family that makes them",
        ) from error
    except (ImportError, AttributeError) as error:
        raise _lacks_code(uri, str(error)) from error


def _is_gone(name: str) -> bool:
    """Whether a type's module or class is not there; only the project's own code is imported."""
    module, _, attribute = name.rpartition(".")
    top = module.partition(".")[0]
    if module not in sys.modules and top != running_project().name:
        return bool(top) and find_spec(top) is None
    try:
        return not hasattr(import_module(module), attribute)
    except ImportError:
        return True


def _lacks_code(uri: str, what: str) -> RegistryError:
    return RegistryError(
        f"{uri} needs code that this project does not have under that name: {what}",
        "it was moved, renamed or removed since the version was trained: bring it back under its "
        "former name (an import of the new one will do), or train again: make train-local",
    )


def model_signature(pipeline: Any, example: Any, contract: Contract) -> Any:
    """What MLflow's pyfunc takes: what the contract takes.

    MLflow infers the types of the frame that the pipeline learnt from, whose numbers are all
    float64, and would then refuse the whole numbers and booleans that pandas reads from a file.
    """
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    found = infer_signature(example, pipeline.predict(example))
    numeric = {feature.name for feature in contract.features if feature.is_numeric}
    columns = [
        ColSpec(AnyType(), column.name, required=column.required)
        if column.name in numeric
        else column
        for column in found.inputs.inputs
    ]
    return ModelSignature(inputs=Schema(columns), outputs=found.outputs)


def model_requirements(pipeline: Any) -> list[str]:
    """The packages, with versions, that reading the pipeline takes."""
    steps = [step for _, step in getattr(pipeline, "steps", [("", pipeline)])]
    modules = {type(step).__module__.partition(".")[0] for step in steps}
    # An AutoML ensemble's members hold their library's model as text and name their family.
    modules |= {member.family for member in getattr(pipeline, "members", ())}
    boosting = [package for module, package in BOOSTING.items() if module in modules]
    return [f"{name}=={version(name)}" for name in (*ALWAYS, *boosting)]
