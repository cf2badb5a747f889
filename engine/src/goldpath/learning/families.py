"""The model families: what they do with numbers and categories, and what is searched over.

Only scikit-learn's own classes are used, so that a model is stored by skops and loaded with the
allow-list below, never with pickle. The list also holds what AutoML's ensembles are made of.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.contract import Contract

if TYPE_CHECKING:
    from optuna import Trial
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

TRUSTED_TYPES = (
    "goldpath.automl.boosting.HistogramModel",
    "goldpath.automl.boosting.LightGBMModel",
    "goldpath.automl.boosting.XGBoostModel",
    "goldpath.automl.clustering.ClusterModel",
    "goldpath.automl.ensemble.EnsembleClassifier",
    "goldpath.automl.ensemble.EnsembleRegressor",
    "goldpath.automl.ensemble.Member",
    "goldpath.automl.learners.ForestModel",
    "goldpath.automl.learners.KernelModel",
    "goldpath.automl.learners.LinearModel",
    "goldpath.automl.learners.NeighboursModel",
    "goldpath.automl.neural.NetworkModel",
    "goldpath.automl.preparation.TablePreparation",
    "functools.partial",  # of a trusted function only: skops audits what is inside
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
"""The types beyond skops's own list that a model of ours holds. A model's file cannot add to it."""

MOST_CATEGORIES = 255
"""scikit-learn's histogram gradient boosting takes no more categories in a column."""


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        name: As it is logged.
        build: Makes an unfitted pipeline from parameters.
        defaults: The library's defaults for the searched parameters: every search tries them first.
        suggest: Draws parameters for an Optuna trial.
    """

    name: str
    build: "Callable[[Contract, Mapping[str, Any], int], Pipeline]"
    defaults: Mapping[str, Any]
    suggest: "Callable[[Trial], dict[str, Any]]"


def closed_categories(contract: Contract) -> list[str]:
    """Category features whose values the contract lists, few enough for one code each."""
    return [
        feature.name
        for feature in contract.features
        if feature.categories is not None and len(feature.categories) < MOST_CATEGORIES
    ]


def open_categories(contract: Contract) -> list[str]:
    """Category features with an open or a long list of values; they are encoded by the target."""
    closed = set(closed_categories(contract))
    return [name for name in contract.category_features if name not in closed]


def _boosting(contract: Contract, parameters: Mapping[str, Any], seed: int) -> "Pipeline":
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    closed = closed_categories(contract)
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    numbers = contract.numeric_features
    columns = _columns(contract, numbers="passthrough", categories=encoder, seed=seed)
    model_class = (
        HistGradientBoostingClassifier
        if contract.problem == "classification"
        else HistGradientBoostingRegressor
    )
    model = model_class(
        random_state=seed,
        categorical_features=list(range(len(numbers), len(numbers) + len(closed))) or None,
        **parameters,
    )
    return Pipeline([("columns", columns), ("model", model)])


def _linear(contract: Contract, parameters: Mapping[str, Any], seed: int) -> "Pipeline":
    from sklearn.feature_selection import SelectPercentile, f_classif, f_regression
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = _columns(contract, numbers=numbers, categories=encoder, seed=seed)
    steps = [("columns", columns)]
    if parameters["kept_share"] < 1:
        test = f_classif if contract.problem == "classification" else f_regression
        steps.append(
            ("selection", SelectPercentile(test, percentile=100 * parameters["kept_share"]))
        )
    strength = parameters["regularisation"]
    model = (
        LogisticRegression(C=1 / strength, max_iter=500)
        if contract.problem == "classification"
        else Ridge(alpha=strength)
    )
    return Pipeline([*steps, ("model", model)])


def _columns(
    contract: Contract, *, numbers: Any, categories: Any, seed: int
) -> "ColumnTransformer":
    from sklearn.compose import ColumnTransformer
    from sklearn.model_selection import KFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler, TargetEncoder

    parts: list[tuple[str, Any, list[str]]] = []
    if contract.numeric_features:
        parts.append(("numbers", numbers, contract.numeric_features))
    if closed := closed_categories(contract):
        parts.append(("categories", categories, closed))
    if opened := open_categories(contract):
        # Cross-fitted inside fit_transform, so a row's own target does not leak into its code.
        folds = StratifiedKFold if contract.problem == "classification" else KFold
        encoder = TargetEncoder(cv=folds(5, shuffle=True, random_state=seed))
        parts.append(("open_categories", make_pipeline(encoder, StandardScaler()), opened))
    return ColumnTransformer(parts, sparse_threshold=0)


def _suggest_boosting(trial: "Trial") -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "max_iter": trial.suggest_int("max_iter", 50, 400, log=True),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 5, 63, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 5, 100, log=True),
        "l2_regularization": trial.suggest_float("l2_regularization", 1e-6, 10, log=True),
    }


def _suggest_linear(trial: "Trial") -> dict[str, Any]:
    return {
        "regularisation": trial.suggest_float("regularisation", 1e-3, 1e3, log=True),
        # Selection by an F test on the encoded columns, inside the pipeline, so that a fold's
        # validation rows have no say. Boosting selects by its splits.
        "kept_share": trial.suggest_categorical("kept_share", [1.0, 0.5, 0.25]),
    }


FAMILIES: Mapping[str, Family] = {
    "boosting": Family(
        name="boosting",
        build=_boosting,
        defaults={
            "learning_rate": 0.1,
            "max_iter": 100,
            "max_leaf_nodes": 31,
            "min_samples_leaf": 20,
            "l2_regularization": 1e-6,
        },
        suggest=_suggest_boosting,
    ),
    "linear": Family(
        name="linear",
        build=_linear,
        defaults={"regularisation": 1.0, "kept_share": 1.0},
        suggest=_suggest_linear,
    ),
}
