"""Further families of the engine's own, chosen by name: `training.families` in the settings.

Each is what a project would write in its `model/families.py`: at most twenty lines. Trees take
`columns.coded()`: gaps as they are, one code for each closed category.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from goldpath.learning.columns import Columns
from goldpath.learning.family import Family, Trial, family

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TREES = 150
"""Of a forest: more change its answers little and make it larger and slower."""


@family(defaults={"min_samples_leaf": 3, "max_features": 0.5})
def forest(trial: Trial, columns: Columns) -> "Pipeline":
    """A random forest."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if columns.is_classification else RandomForestRegressor
    return _forest(kind, trial, columns)


@family(defaults={"min_samples_leaf": 3, "max_features": 0.5})
def extra_trees(trial: Trial, columns: Columns) -> "Pipeline":
    """Extremely randomised trees."""
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    kind = ExtraTreesClassifier if columns.is_classification else ExtraTreesRegressor
    return _forest(kind, trial, columns)


def _forest(kind: Any, trial: Trial, columns: Columns) -> "Pipeline":
    from sklearn.pipeline import Pipeline

    model = kind(
        n_estimators=TREES,
        min_samples_leaf=trial.suggest_int("min_samples_leaf", 2, 50, log=True),
        max_features=trial.suggest_float("max_features", 0.1, 1.0),
        random_state=columns.seed,
    )
    return Pipeline([("columns", columns.coded()), ("model", model)])


@family(
    defaults={"learning_rate": 0.1, "rounds": 100, "num_leaves": 31, "min_data_in_leaf": 20},
    requires=["lightgbm"],
)
def lightgbm(trial: Trial, columns: Columns) -> "Pipeline":
    """LightGBM, with closed categories as such."""
    from sklearn.pipeline import Pipeline

    from goldpath.learning.boosters import LightGBMTrees

    parameters = {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 5, 127, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 5, 100, log=True),
    }
    rounds = trial.suggest_int("rounds", 50, 400, log=True)
    is_classification, categories = columns.is_classification, columns.coded_categories
    model = LightGBMTrees(parameters, rounds, is_classification, columns.seed, categories)
    return Pipeline([("columns", columns.coded()), ("model", model)])


@family(
    defaults={"learning_rate": 0.1, "rounds": 150, "max_depth": 6, "min_child_weight": 3.0},
    requires=["xgboost"],
)
def xgboost(trial: Trial, columns: Columns) -> "Pipeline":
    """XGBoost, with the codes of closed categories as numbers."""
    from sklearn.pipeline import Pipeline

    from goldpath.learning.boosters import XGBoostTrees

    parameters = {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "max_depth": trial.suggest_int("max_depth", 2, 10),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.5, 50, log=True),
    }
    rounds = trial.suggest_int("rounds", 50, 400, log=True)
    model = XGBoostTrees(parameters, rounds, columns.is_classification, columns.seed)
    return Pipeline([("columns", columns.coded()), ("model", model)])


@family(
    defaults={"learning_rate": 0.08, "iterations": 300, "depth": 6, "l2_leaf_reg": 3.0},
    requires=["catboost"],
    trusted=["catboost.core.CatBoostClassifier", "catboost.core.CatBoostRegressor"],
)
def catboost(trial: Trial, columns: Columns) -> "Pipeline":
    """CatBoost's symmetric trees, with the codes of closed categories as numbers."""
    from catboost import CatBoostClassifier, CatBoostRegressor
    from sklearn.pipeline import Pipeline

    kind = CatBoostClassifier if columns.is_classification else CatBoostRegressor
    model = kind(
        learning_rate=trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        iterations=trial.suggest_int("iterations", 50, 600, log=True),
        depth=trial.suggest_int("depth", 3, 8),
        l2_leaf_reg=trial.suggest_float("l2_leaf_reg", 0.5, 30, log=True),
        random_seed=columns.seed,
        verbose=False,
        allow_writing_files=False,
    )
    return Pipeline([("columns", columns.coded()), ("model", model)])


LIBRARIES: Mapping[str, Family] = {
    each.name: each for each in (forest, extra_trees, lightgbm, xgboost, catboost)
}
"""The families beyond the two that are tried by default, by name."""
