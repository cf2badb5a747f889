"""Boosted trees of three libraries, as the search knows them."""

from typing import TYPE_CHECKING, Any

from goldpath.automl.families.family import SearchFamily, Shape
from goldpath.automl.learners.boosting import HistogramModel, LightGBMModel, XGBoostModel

if TYPE_CHECKING:
    from optuna import Trial

MOST_ROUNDS = 4_000


def _lightgbm_first(shape: Shape) -> list[tuple[float, dict[str, Any]]]:
    small = shape.rows < 1_000
    few = {"min_data_in_leaf": 5 if small else 20}
    first: list[tuple[float, dict[str, Any]]] = [
        (2, _lightgbm(0.1, 15 if small else 31, **few, feature_fraction=0.9)),
        (4, _lightgbm(0.06, 7, **few, feature_fraction=0.6, bagging_fraction=0.8)),
        (6, _lightgbm(0.05, 31, **few, feature_fraction=0.5, bagging_fraction=0.8, lambda_l2=1.0)),
        (8, _lightgbm(0.05, 63, **few, feature_fraction=0.7, bagging_fraction=0.8)),
        (5, _lightgbm(0.05, 31, **few, feature_fraction=0.8, extra_trees=True)),
        (13, _lightgbm(0.03, 5, **few, feature_fraction=0.4, bagging_fraction=0.6, lambda_l2=10)),
        (15, _lightgbm(0.03, 127, min_data_in_leaf=40, feature_fraction=0.6, lambda_l2=3.0)),
    ]
    if shape.counts:
        first.append((4.2, _lightgbm(0.05, 31, **few, feature_fraction=0.8, objective="poisson")))
    if shape.categorical:
        first.append((9, _lightgbm(0.05, 15, **few, feature_fraction=0.7, categories=True)))
    return first


def _lightgbm(rate: float, leaves: int, **others: Any) -> dict[str, Any]:
    return {"learning_rate": rate, "num_leaves": leaves, "rounds": MOST_ROUNDS, **others}


def _lightgbm_suggest(trial: "Trial", shape: Shape) -> dict[str, Any]:
    parameters = {
        "learning_rate": trial.suggest_float("learning_rate", 0.015, 0.15, log=True),
        "num_leaves": trial.suggest_int(
            "num_leaves", 4, 200 if shape.rows > 2000 else 48, log=True
        ),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 2, 100, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.25, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
        "lambda_l1": trial.suggest_float("lambda_l1", 1e-6, 10, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 1e-6, 30, log=True),
        "extra_trees": trial.suggest_categorical("extra_trees", [False, True]),
        "rounds": MOST_ROUNDS,
    }
    if shape.counts:
        parameters["objective"] = trial.suggest_categorical("objective", ["l2", "poisson"])
    if shape.categorical:
        parameters["categories"] = trial.suggest_categorical("categories", [False, True])
    return parameters


def _xgboost_first(shape: Shape) -> list[tuple[float, dict[str, Any]]]:
    shared = {"rounds": MOST_ROUNDS}
    weight = 1 if shape.rows < 1_000 else 3
    return [
        (7, _xgboost(0.06, 4, weight, 0.8, 0.8, 1.0) | shared),
        (14, _xgboost(0.04, 9, 8, 0.8, 0.5, 3.0) | shared),
    ]


def _xgboost(
    rate: float, depth: int, weight: float, rows: float, columns: float, penalty: float
) -> dict[str, Any]:
    return {
        "learning_rate": rate,
        "max_depth": depth,
        "min_child_weight": weight,
        "subsample": rows,
        "colsample_bytree": columns,
        "reg_lambda": penalty,
    }


def _xgboost_suggest(trial: "Trial", shape: Shape) -> dict[str, Any]:
    return _xgboost(
        trial.suggest_float("learning_rate", 0.015, 0.15, log=True),
        trial.suggest_int("max_depth", 3, 11 if shape.rows > 2000 else 7),
        trial.suggest_float("min_child_weight", 0.3, 60, log=True),
        trial.suggest_float("subsample", 0.5, 1.0),
        trial.suggest_float("colsample_bytree", 0.3, 1.0),
        trial.suggest_float("reg_lambda", 0.01, 30, log=True),
    ) | {"rounds": MOST_ROUNDS}


def _histogram_first(shape: Shape) -> list[tuple[float, dict[str, Any]]]:
    few = 5 if shape.rows < 1_000 else 20
    return [
        (4, _histogram(0.1, 31, few, 1e-3, 1.0)),
        (12, _histogram(0.05, 15, few, 1.0, 0.5)),
    ]


def _histogram(
    rate: float, leaves: int, few: int, penalty: float, columns: float
) -> dict[str, Any]:
    return {
        "learning_rate": rate,
        "max_leaf_nodes": leaves,
        "min_samples_leaf": few,
        "l2_regularization": penalty,
        "max_features": columns,
        "rounds": 1_000,
    }


def _histogram_suggest(trial: "Trial", shape: Shape) -> dict[str, Any]:
    return _histogram(
        trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
        trial.suggest_int("max_leaf_nodes", 4, 128 if shape.rows > 2000 else 32, log=True),
        trial.suggest_int("min_samples_leaf", 2, 100, log=True),
        trial.suggest_float("l2_regularization", 1e-6, 10, log=True),
        trial.suggest_float("max_features", 0.3, 1.0),
    )


BOOSTING = (
    SearchFamily(
        "lightgbm",
        "trees",
        LightGBMModel,
        _lightgbm_suggest,
        _lightgbm_first,
        library="lightgbm",
    ),
    SearchFamily(
        "xgboost", "trees", XGBoostModel, _xgboost_suggest, _xgboost_first, library="xgboost"
    ),
    SearchFamily("hist_boosting", "trees", HistogramModel, _histogram_suggest, _histogram_first),
)
