"""The families of models that the search chooses from.

A family draws its parameters from a trial, as with Optuna, and returns an unfitted scikit-learn
estimator. The search tries the `defaults` first. `columns` makes encoders for the contract's
features: `coded()` for trees, `encoded()` for linear models, `transformed(…)` for your own.
"""

from goldpath import Columns, Trial, family
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline


@family(
    defaults={
        "learning_rate": 0.1,
        "max_iter": 100,
        "max_leaf_nodes": 31,
        "min_samples_leaf": 20,
        "l2_regularization": 1e-6,
    }
)
def boosting(trial: Trial, columns: Columns) -> Pipeline:
    """Gradient boosting on histograms: takes gaps as they are, finds interactions."""
    kind = (
        HistGradientBoostingClassifier
        if columns.is_classification
        else HistGradientBoostingRegressor
    )
    model = kind(
        random_state=columns.seed,
        categorical_features=columns.coded_categories,
        learning_rate=trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        max_iter=trial.suggest_int("max_iter", 50, 400, log=True),
        max_leaf_nodes=trial.suggest_int("max_leaf_nodes", 5, 63, log=True),
        min_samples_leaf=trial.suggest_int("min_samples_leaf", 5, 100, log=True),
        l2_regularization=trial.suggest_float("l2_regularization", 1e-6, 10, log=True),
    )
    return Pipeline([("columns", columns.coded()), ("model", model)])


@family(defaults={"regularisation": 1.0})
def linear(trial: Trial, columns: Columns) -> Pipeline:
    """Logistic or ridge regression on scaled numbers and one-hot categories."""
    strength = trial.suggest_float("regularisation", 1e-3, 1e3, log=True)
    model = (
        LogisticRegression(C=1 / strength, max_iter=500)
        if columns.is_classification
        else Ridge(alpha=strength)
    )
    return Pipeline([("columns", columns.encoded()), ("model", model)])
