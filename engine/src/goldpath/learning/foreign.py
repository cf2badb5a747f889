"""A project's model that is none of scikit-learn's, as an estimator among others.

skops stores the wrapper alone: what it wraps is saved by its own `save`, below the model's folder,
and put back by whoever reads the version.
"""

import copy
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator  # noqa: TID253  imported where a model is built or loaded

from goldpath.errors import ProjectError
from goldpath.handed_over import ProjectDefinitionError, place_of_class
from goldpath.learning.stored import StoredClass, stored_class_of
from goldpath.project import naming


class ForeignModel(BaseEstimator):  # type: ignore[misc]
    """An object of a class with a stored name that saves and loads itself.

    Args:
        model: The object; each fit takes a copy of it.
        classify: Whether the target is a class.

    Attributes:
        stored_name: Of its class, as the version knows it.
        classes_: Labels in the order of the probabilities' columns; not in a regression.
        fitted_: The fitted object.
    """

    def __init__(self, model: Any, classify: bool) -> None:
        self.model = model
        self.classify = classify

    @property
    def stored_class(self) -> StoredClass:
        """The class.

        Raises:
            ProjectError: If the model was not put back after the wrapper was read.
        """
        found = stored_class_of(self.model)
        if found is None:
            raise ProjectError(
                f"the model {vars(self).get('stored_name', '')!r} of the project's own is saved "
                "beside model.skops and was not read",
                "load the version through the engine: MLflowManager(…).load(version)",
            )
        return found

    def fit(self, rows: Any, target: Any) -> Self:
        """Fit a copy of the model."""
        self.stored_name = self.stored_class.name
        fitted = copy.deepcopy(self.model)
        with naming(type(fitted).fit):
            fitted.fit(rows, target)
        self.fitted_ = fitted
        if self.classify:
            labels = getattr(fitted, "classes_", None)
            self.classes_ = np.unique(target) if labels is None else np.asarray(labels)
        return self

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Probabilities of shape (rows, classes); 0 and 1 where the model gives labels only.

        Raises:
            ProjectDefinitionError: If the model's answer has another shape, or an unknown label.
        """
        kind = self.stored_class.kind
        if not hasattr(kind, "predict_proba"):
            return self._of_labels(rows)
        with naming(kind.predict_proba):
            raw = np.asarray(self.fitted_.predict_proba(rows), dtype=np.float64)
        expected = (len(rows), len(self.classes_))
        if raw.shape != expected:
            raise ProjectDefinitionError(
                f"{place_of_class(kind)}: predict_proba gives an array of shape {raw.shape} for "
                f"{len(rows)} rows and the classes {', '.join(map(str, self.classes_))}",
                f"give shape {expected}, the columns in the order of these classes",
            )
        return raw

    def predict(self, rows: Any) -> np.ndarray:
        """Labels, or values of shape (rows,).

        Raises:
            ProjectDefinitionError: If the model's answer has another shape.
        """
        if self.classify:
            labels: np.ndarray = self.classes_[self.predict_proba(rows).argmax(axis=1)]
            return labels
        kind = self.stored_class.kind
        if not hasattr(kind, "predict"):
            raise ProjectDefinitionError(
                f"{place_of_class(kind)} has no predict, and the target is a number",
                "write predict(self, rows), which gives numbers",
            )
        with naming(kind.predict):
            values = np.asarray(self.fitted_.predict(rows), dtype=np.float64)
        if values.shape not in ((len(rows),), (len(rows), 1)):
            raise ProjectDefinitionError(
                f"{place_of_class(kind)}: predict gives an array of shape {values.shape} for "
                f"{len(rows)} rows",
                f"give shape ({len(rows)},)",
            )
        return values.reshape(len(rows))

    def put_back(self, fitted: Any) -> None:
        """Take the object that the class has loaded."""
        self.model = self.fitted_ = fitted

    def _of_labels(self, rows: Any) -> np.ndarray:
        kind: Any = self.stored_class.kind
        with naming(kind.predict):
            labels = np.asarray(self.fitted_.predict(rows)).astype(str)
        if labels.shape != (len(rows),):
            raise ProjectDefinitionError(
                f"{place_of_class(kind)}: predict gives an array of shape {labels.shape} for "
                f"{len(rows)} rows",
                f"give shape ({len(rows)},)",
            )
        known = self.classes_.astype(str)
        chosen: np.ndarray = labels[:, None] == known
        if not chosen.any(axis=1).all():
            strange = labels[~chosen.any(axis=1)][0]
            raise ProjectDefinitionError(
                f"{place_of_class(kind)}: predict gives the label {strange!r}; the classes are "
                f"{', '.join(known)}",
                "give one of these labels for each row",
            )
        return chosen.astype(np.float64)

    def __getstate__(self) -> dict[str, Any]:
        """What skops stores: nothing of the model itself."""
        state = {"classify": self.classify, "stored_name": vars(self).get("stored_name", "")}
        if "classes_" in vars(self):
            state["classes_"] = [str(label) for label in self.classes_]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.model = None
        if "classes_" in state:
            self.classes_ = np.asarray(state["classes_"], dtype=object)

    def __deepcopy__(self, memo: dict[int, Any]) -> "ForeignModel":
        twin = ForeignModel(copy.deepcopy(self.model, memo), self.classify)
        others = {name: value for name, value in vars(self).items() if name != "model"}
        twin.__dict__.update(copy.deepcopy(others, memo))
        return twin


def foreign_part(pipeline: Any) -> ForeignModel | None:
    """The foreign model of a pipeline: its last step, or itself."""
    steps = getattr(pipeline, "steps", None)
    last = steps[-1][1] if steps else pipeline
    return last if isinstance(last, ForeignModel) else None
