"""Classes of a project that a model version holds, under a name that outlives moving and renaming.

A version stores this name and not where the class stood. A class that saves and loads itself is a
foreign model: the engine asks nothing of its library and reads no pickle. Any other scikit-learn
class is stored by skops like the rest of the pipeline.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from goldpath.handed_over import ProjectDefinitionError, place_of_class

Kind = TypeVar("Kind", bound=type)


@dataclass(frozen=True)
class StoredClass:
    """A class that versions may hold.

    Attributes:
        name: As versions know it.
        kind: The class.
        version: Of the form in which it is saved.
        reads: Former versions that its `load` reads.
        requires: What must be importable to load it, as packages are named on an index.
        saves: Whether it saves and loads itself.
    """

    name: str
    kind: type
    version: str
    reads: tuple[str, ...]
    requires: tuple[str, ...]
    saves: bool

    @property
    def path(self) -> str:
        """Where the class is, as skops writes it."""
        return f"{self.kind.__module__}.{self.kind.__name__}"


_classes: dict[str, StoredClass] = {}


def stored(
    name: str, *, version: str = "1", reads: Sequence[str] = (), requires: Sequence[str] = ()
) -> Callable[[Kind], Kind]:
    """Name a class of one's own for the model versions that hold it.

    A family may return an object of the class, or have it as the last step of a `Pipeline`. With
    `save` and `load` it needs nothing of scikit-learn:

    - `fit(self, rows, target)` starts anew each time; labels are text.
    - `predict_proba(self, rows)` gives an array of shape (rows, classes), the classes in sorted
      order (or in that of an attribute `classes_`). With `predict` alone, which gives labels, the
      probabilities are 0 and 1. A regression has `predict`, which gives numbers.
    - `save(self, folder)` writes files below a folder, none of them a pickle.
    - `load(cls, folder)`, a class method, reads all of them: the folder is gone afterwards.

    Without the two it must be a scikit-learn estimator or transformer, which skops stores.

    Args:
        name: As versions know it: keep it when the class is moved or renamed.
        version: Of the form in which it is saved; change it when `load` cannot read former files.
        reads: Former versions that `load` still reads.
        requires: Packages that loading takes, named in the version's requirements.

    Returns:
        The decorator; the class stays what it is.

    Raises:
        ProjectDefinitionError: If a method is missing or takes other parameters, or another class
            has the name.

    Example:
        >>> import numpy as np
        >>> from goldpath import stored
        >>> @stored("mean_of_training")
        ... class Mean:
        ...     def fit(self, rows, target):
        ...         self.value = float(np.mean(target))
        ...     def predict(self, rows):
        ...         return np.full(len(rows), self.value)
        ...     def save(self, folder):
        ...         (folder / "mean.txt").write_text(repr(self.value))
        ...     @classmethod
        ...     def load(cls, folder):
        ...         model = cls()
        ...         model.value = float((folder / "mean.txt").read_text())
        ...         return model
        >>> Mean.__name__
        'Mean'
    """

    def decorate(kind: Kind) -> Kind:
        place = place_of_class(kind)
        former = _classes.get(name)
        if former is not None and _spelled(former.kind) != _spelled(kind):
            raise ProjectDefinitionError(
                f"{place}: the name {name!r} is that of {_spelled(former.kind)} already",
                "give each class a stored name of its own",
            )
        saves = _check_methods(kind, place)
        found = StoredClass(name, kind, version, tuple(reads), tuple(requires), saves)
        _classes[name] = found
        return kind

    return decorate


def stored_classes() -> Mapping[str, StoredClass]:
    """The classes of modules that were imported, by name."""
    return _classes


def stored_types() -> tuple[str, ...]:
    """Paths of those that skops stores: the project itself has named them."""
    return tuple(each.path for each in _classes.values() if not each.saves)


def stored_class_of(item: Any) -> StoredClass | None:
    """The entry of an object's class; None where it has none."""
    return next((each for each in _classes.values() if each.kind is type(item)), None)


def _spelled(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_methods(kind: type, place: str) -> bool:
    """Whether the class saves and loads itself."""
    has = {name: callable(getattr(kind, name, None)) for name in ("save", "load")}
    if has["save"] != has["load"]:
        there, lacking = ("save", "load") if has["save"] else ("load", "save")
        raise ProjectDefinitionError(
            f"{place} has {there} and no {lacking}: a version could not be "
            + ("read again" if has["save"] else "stored"),
            "write load(cls, folder) as a class method"
            if has["save"]
            else "write save(self, folder)",
        )
    if not has["save"]:
        if not hasattr(kind, "get_params"):
            raise ProjectDefinitionError(
                f"{place} has neither save and load nor scikit-learn's get_params",
                "write save(self, folder) and a class method load(cls, folder), or derive it from "
                "sklearn.base.BaseEstimator",
            )
        return False
    if not any(callable(getattr(kind, name, None)) for name in ("predict", "predict_proba")):
        raise ProjectDefinitionError(
            f"{place} has neither predict nor predict_proba", "write predict_proba(self, rows)"
        )
    for name, parameters in (
        ("fit", ("rows", "target")),
        ("predict", ("rows",)),
        ("predict_proba", ("rows",)),
        ("save", ("folder",)),
        ("load", ("folder",)),
    ):
        _check_signature(kind, name, parameters, place)
    return True


def _check_signature(kind: type, name: str, parameters: tuple[str, ...], place: str) -> None:
    method = getattr(kind, name, None)
    written = f"{name}({', '.join(('cls' if name == 'load' else 'self', *parameters))})"
    if method is None:
        if name == "fit":
            raise ProjectDefinitionError(f"{place} has no method fit", f"write {written}")
        return
    static = inspect.getattr_static(kind, name)
    if name == "load" and not isinstance(static, classmethod | staticmethod):
        raise ProjectDefinitionError(
            f"{place}: load is no class method, and there is no object to call it on",
            f"write @classmethod above it: {written}",
        )
    given = parameters if name == "load" else (None, *parameters)
    try:
        inspect.signature(method).bind(*given)
    except TypeError as error:
        raise ProjectDefinitionError(
            f"{place}: {name} takes {inspect.signature(method)}: {error}", f"write {written}"
        ) from error
