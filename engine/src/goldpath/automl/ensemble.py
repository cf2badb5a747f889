"""The model that a search returns: one object that predicts for a table as it comes.

It holds plain arrays, scikit-learn's classes and our own, so that skops stores it without pickle;
`learning.families.TRUSTED_TYPES` lists what loading it takes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import (  # noqa: TID253  imported only where a model is fitted or loaded
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
)

from goldpath.automl.columns import PlainColumns
from goldpath.automl.learners.learner import Learner
from goldpath.automl.preparation import Numbers, TablePreparation
from goldpath.automl.selection import temper
from goldpath.errors import ProjectError


class Member:
    """One configuration of an ensemble: a bag of fitted learners.

    Attributes:
        family: Its family's name.
        weight: Its share of the prediction.
        temperature: Its calibration; 1 for none.
        models: Fitted learners, each with the number of the preparation that it was fitted behind.
    """

    def __init__(
        self, family: str, weight: float, temperature: float, models: list[tuple[int, Learner]]
    ) -> None:
        self.family = family
        self.weight = weight
        self.temperature = temperature
        self.models = [learner for _, learner in models]
        self.preparations = [number for number, _ in models]


class _Ensemble(BaseEstimator):  # type: ignore[misc]
    """Members that share preparations; see `EnsembleClassifier` and `EnsembleRegressor`."""

    def __init__(
        self,
        members: Sequence[Member] = (),
        preparations: Sequence[TablePreparation] = (),
        feature_names: Sequence[str] = (),
    ) -> None:
        self.members = list(members)
        self.preparations = list(preparations)
        self.feature_names = list(feature_names)
        self.feature_names_in_ = np.asarray([str(name) for name in feature_names], dtype=str)
        self.n_features_in_ = len(self.feature_names)

    def fit(self, X: Any, y: Any) -> "_Ensemble":  # noqa: ARG002, N803
        """Refused: scikit-learn's inspection asks for the method, but a search fits the model."""
        raise ProjectError(
            "an ensemble that a search found cannot be fitted again", "call find_model on the rows"
        )

    def _raw(self, rows: Any) -> np.ndarray:
        """Weighted mean of the members; each preparation encodes the rows once."""
        # The service has no pandas table, but what knows the columns in the same way.
        is_plain = not isinstance(rows, pd.DataFrame) and hasattr(rows, "time_parts")
        table = rows if is_plain else PlainColumns(self._table(rows))
        encoded: dict[int, np.ndarray] = {}
        shared: Numbers = {}
        total: np.ndarray | float = 0.0
        for member in self.members:
            outputs: np.ndarray | float = 0.0
            for number, learner in zip(member.preparations, member.models, strict=True):
                if number not in encoded:
                    encoded[number] = self.preparations[number].encode(table, shared)
                outputs = outputs + learner.predict(encoded[number])
            mean = np.asarray(outputs) / len(member.models)
            if member.temperature != 1:
                mean = temper(mean, member.temperature)
            total = total + member.weight * mean
        return np.asarray(total)

    def _table(self, rows: Any) -> pd.DataFrame:
        if isinstance(rows, pd.DataFrame):
            return rows
        values = np.asarray(rows)
        if values.ndim != 2 or values.shape[1] != self.n_features_in_:
            raise ProjectError(
                f"the rows have the shape {values.shape}; expected {self.n_features_in_} columns",
                f"give a DataFrame with the columns {', '.join(self.feature_names_in_)}",
            )
        return pd.DataFrame(values, columns=self.feature_names)


class EnsembleClassifier(ClassifierMixin, _Ensemble):  # type: ignore[misc]
    """Predicts classes.

    Attributes:
        classes_: The labels, in the order of `predict_proba`'s columns.
        temperature: Calibration of the members' mean.
    """

    def __init__(
        self,
        members: Sequence[Member] = (),
        preparations: Sequence[TablePreparation] = (),
        feature_names: Sequence[str] = (),
        classes: Any = (),
        temperature: float = 1.0,
    ) -> None:
        super().__init__(members, preparations, feature_names)
        self.classes = classes
        self.classes_ = np.asarray(classes)
        self.temperature = temperature

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities of shape (rows, classes)."""
        return temper(self._raw(X), self.temperature)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable label of each row."""
        labels: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels


class EnsembleRegressor(RegressorMixin, _Ensemble):  # type: ignore[misc]
    """Predicts values.

    Attributes:
        shift: Added to the members' output, after it is multiplied by `scale`.
        lowest: No prediction is below; None without a limit.
    """

    def __init__(
        self,
        members: Sequence[Member] = (),
        preparations: Sequence[TablePreparation] = (),
        feature_names: Sequence[str] = (),
        shift: float = 0.0,
        scale: float = 1.0,
        lowest: float | None = None,
    ) -> None:
        super().__init__(members, preparations, feature_names)
        self.shift = shift
        self.scale = scale
        self.lowest = lowest

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The value of each row."""
        values = self._raw(X) * self.scale + self.shift
        return values if self.lowest is None else np.maximum(values, self.lowest)
