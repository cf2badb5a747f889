"""LightGBM and XGBoost as scikit-learn estimators whose trees are stored as text.

LightGBM's own estimator takes category columns as an argument of `fit`, which a pipeline's step
does not get, and XGBoost's takes no labels but 0, 1, 2. Their text holds every digit and no code,
so that a stored model needs to trust these classes only.
"""

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator  # noqa: TID253  imported where a model is built or loaded

from goldpath.errors import ProjectError


class _Booster(BaseEstimator, ABC):  # type: ignore[misc]
    """Gradient-boosted trees of a library.

    Args:
        parameters: The library's own.
        rounds: How many trees, for each class where there are more than two.
        classify: Whether the target is a class.
        seed: Of whatever is random.
        categories: Columns that hold codes of categories.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        rounds: int,
        classify: bool,
        seed: int,
        categories: list[int] | None = None,
    ) -> None:
        self.parameters = parameters
        self.rounds = rounds
        self.classify = classify
        self.seed = seed
        self.categories = categories

    def fit(self, rows: Any, target: Any) -> Self:
        """Learn from rows of shape (rows, columns)."""
        values = np.asarray(target)
        if self.classify:
            self.classes_, values = np.unique(values, return_inverse=True)
        self.text_ = self._trained(np.asarray(rows), values)
        self._loaded: Any = None
        return self

    def predict_proba(self, rows: Any) -> np.ndarray:
        """Probabilities of shape (rows, classes)."""
        raw = self._scores(np.asarray(rows))
        if len(self.classes_) == 2:
            return np.column_stack([1 - raw, raw])
        return raw

    def predict(self, rows: Any) -> np.ndarray:
        """Labels, or values."""
        if self.classify:
            labels: np.ndarray = self.classes_[self.predict_proba(rows).argmax(axis=1)]
            return labels
        return self._scores(np.asarray(rows))

    @abstractmethod
    def _trained(self, rows: np.ndarray, target: np.ndarray) -> str:
        """The trees that were learned, as the library's text."""

    @abstractmethod
    def _scores(self, rows: np.ndarray) -> np.ndarray:
        """What the trees say: a probability a row (of two classes), several, or a value."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_loaded"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._loaded = None


class LightGBMTrees(_Booster):
    """LightGBM's trees."""

    def _trained(self, rows: np.ndarray, target: np.ndarray) -> str:
        lightgbm = _library("lightgbm")
        objective: dict[str, Any] = {"objective": "regression"}
        if self.classify:
            many = len(self.classes_) > 2
            objective = (
                {"objective": "multiclass", "num_class": len(self.classes_)}
                if many
                else {"objective": "binary"}
            )
        fixed = {"seed": self.seed, "verbosity": -1, "deterministic": True, "force_row_wise": True}
        categories = self.categories or []
        data = lightgbm.Dataset(rows, target, categorical_feature=categories)
        booster = lightgbm.train({**self.parameters, **objective, **fixed}, data, self.rounds)
        return str(booster.model_to_string())

    def _scores(self, rows: np.ndarray) -> np.ndarray:
        if self._loaded is None:
            self._loaded = _library("lightgbm").Booster(model_str=self.text_)
        return np.asarray(self._loaded.predict(rows, num_threads=1))


class XGBoostTrees(_Booster):
    """XGBoost's trees; it computes in float32. Codes of categories are numbers to it."""

    def _trained(self, rows: np.ndarray, target: np.ndarray) -> str:
        xgboost = _library("xgboost")
        objective: dict[str, Any] = {"objective": "reg:squarederror"}
        if self.classify:
            many = len(self.classes_) > 2
            objective = (
                {"objective": "multi:softprob", "num_class": len(self.classes_)}
                if many
                else {"objective": "binary:logistic"}
            )
        fixed = {"seed": self.seed, "verbosity": 0, "tree_method": "hist"}
        data = xgboost.QuantileDMatrix(rows, target)
        booster = xgboost.train({**self.parameters, **objective, **fixed}, data, self.rounds)
        return str(booster.save_raw("json").decode())

    def _scores(self, rows: np.ndarray) -> np.ndarray:
        if self._loaded is None:
            booster = _library("xgboost").Booster({"nthread": 1})
            booster.load_model(bytearray(self.text_, "utf-8"))
            self._loaded = booster
        return np.asarray(self._loaded.inplace_predict(rows), dtype=np.float64)


def _library(name: str) -> Any:
    """The library, imported where a model is fitted or asked.

    Raises:
        ProjectError: If it is not there, as in an image that serves compiled models only.
    """
    try:
        return import_module(name)
    except (ImportError, OSError) as error:
        raise ProjectError(
            f"the model was trained with {name}, which cannot be imported: {error}",
            "install the version that the model's requirements.txt names",
        ) from error
