"""A fitted pipeline on the disk: how it is read, and what it needs to be read."""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from goldpath.contract import Contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.learning.stored import stored_class_of
from goldpath.project import running_project
from goldpath.registry.files.own_classes import (
    OWN_FOLDER,
    load_foreign,
    moved_classes,
    read_own_classes,
    with_moved_classes,
)
from goldpath.registry.stores.store import RegistryError

ALWAYS = ("numpy", "pandas", "scikit-learn", "skops")
BOOSTING = {"lightgbm": "lightgbm", "xgboost": "xgboost", "catboost": "catboost"}
FIRST_ROWS = 1000
OF_TREES = {"LightGBMTrees": "lightgbm", "XGBoostTrees": "xgboost"}
"""Whose trees the engine's own estimators hold."""


def trusted_types() -> tuple[str, ...]:
    """The types that a stored pipeline may hold: the engine's, and what the families declare."""
    from goldpath.learning import families

    return families.trusted_types(running_project().families_of_all)


def read_pipeline(file: Path, uri: str) -> Any:
    """A stored pipeline, read with the allow-list of `trusted_types`.

    The list that MLflow stores beside the model is ignored, since whoever can write the model can
    write that list. A foreign model that lies beside the file is loaded by its own class.

    Raises:
        RegistryError: If the file is missing, holds a type that is not allowed, or needs code that
            was moved or renamed.
    """
    from skops.io import get_untrusted_types, load, loads
    from skops.io.exceptions import UntrustedTypesFoundException

    if not file.is_file():
        raise RegistryError(
            f"{uri} holds no {file.name}",
            "register it with: make train-local (pickled models are refused)",
        )
    known = read_own_classes(file.parent)
    moved = moved_classes(known, uri)
    try:
        trusted = list(trusted_types())
        if moved:
            pipeline = loads(with_moved_classes(file, moved), trusted=trusted)
        else:
            pipeline = load(file, trusted=trusted)
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
    if known is not None and known.foreign:
        from goldpath.learning.foreign import foreign_part

        part = foreign_part(pipeline)
        if part is None:
            raise RegistryError(f"{uri} names a model {known.foreign!r} and has no place for it")
        part.put_back(load_foreign(known.foreign, known, file.parent / OWN_FOLDER, uri))
    return pipeline


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

    example = _telling_rows(example)
    found = infer_signature(example, pipeline.predict(example))
    numeric = {feature.name for feature in contract.features if feature.is_numeric}
    columns = [
        ColSpec(AnyType(), column.name, required=column.required)
        if column.name in numeric
        else column
        for column in found.inputs.inputs
    ]
    return ModelSignature(inputs=Schema(columns), outputs=found.outputs)


def _telling_rows(frame: Any) -> Any:
    """The first rows, and of each column one with a value and one without, where there are any.

    MLflow looks at each value as a Python object; these rows tell it the same as all.
    """
    places = set(range(min(len(frame), FIRST_ROWS)))
    for name in frame:
        missing = frame[name].isna().to_numpy()
        places |= {int(missing.argmax()), int(missing.argmin())}
    return frame.iloc[sorted(places)]


def model_requirements(pipeline: Any) -> list[str]:
    """The packages, with versions, that reading the pipeline takes."""
    steps = [step for _, step in getattr(pipeline, "steps", [("", pipeline)])]
    modules = {type(step).__module__.partition(".")[0] for step in steps}
    # An AutoML ensemble's members hold their library's model as text and name their family.
    modules |= {member.family for member in getattr(pipeline, "members", ())}
    modules |= {OF_TREES.get(type(step).__name__, "") for step in steps}
    boosting = [package for module, package in BOOSTING.items() if module in modules]
    return [_requirement(name) for name in (*ALWAYS, *boosting, *_own_needs(steps))]


def _own_needs(steps: list[Any]) -> list[str]:
    """What the project's own classes say that loading them takes."""
    own = (stored_class_of(getattr(step, "model", step)) for step in steps)
    return [package for each in own if each is not None for package in each.requires]


def _requirement(package: str) -> str:
    """The package in its installed version; XGBoost is one module of two packages."""
    for name in (package, f"{package}-cpu"):
        try:
            return f"{name}=={version(name)}"
        except PackageNotFoundError:
            continue
    raise ProjectDefinitionError(
        f"the model needs the package {package}, which is not installed under that name",
        "name the package as an index does in @stored(requires=[…])",
    )
