"""What is searched over for one's own estimator, by the kind of model.

A space lists parameters of several libraries; those that an estimator does not have are left out,
so `gradient_boosting` fits scikit-learn's, LightGBM's and XGBoost's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldpath.errors import ProjectError

if TYPE_CHECKING:
    from optuna import Trial


class TuningError(ProjectError):
    """An estimator, a method or a search space that cannot be used."""


@dataclass(frozen=True)
class Dimension:
    """One parameter.

    Attributes:
        choices: What it may be; empty for a range.
        low: Smallest value of a range.
        high: Largest value.
        log: Whether small values are searched as closely as large ones.
        whole: Whether it is an integer.
        grid: What a grid search tries; empty: it leaves the parameter as it is.
    """

    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    grid: tuple[Any, ...] = ()

    def suggest(self, trial: "Trial", name: str) -> Any:
        """A value for an Optuna trial.

        Choices are drawn by number, since Optuna's own storage knows plain values only.
        """
        if self.choices:
            return self.choices[trial.suggest_categorical(name, list(range(len(self.choices))))]
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


def _whole(low: int, high: int, *grid: int, log: bool = True) -> Dimension:
    return Dimension(low=low, high=high, log=log, whole=True, grid=grid)


def _real(low: float, high: float, *grid: float, log: bool = True) -> Dimension:
    return Dimension(low=low, high=high, log=log, grid=grid)


def _one_of(*choices: Any, grid: tuple[Any, ...] = ()) -> Dimension:
    return Dimension(choices=choices, grid=grid)


_FOREST = {
    "n_estimators": _whole(50, 400, 100, 300),
    "max_depth": _one_of(None, 4, 8, 16, grid=(None, 8)),
    "min_samples_leaf": _whole(1, 20, 1, 5),
    "max_features": _one_of("sqrt", 0.5, 1.0, grid=("sqrt", 1.0)),
}
_BOOSTING = {
    "learning_rate": _real(0.01, 0.3, 0.03, 0.1),
    "n_estimators": _whole(50, 400, 100, 300),
    "max_iter": _whole(50, 400, 100, 300),
    "max_depth": _whole(2, 8, 3, 6, log=False),
    "num_leaves": _whole(7, 63),
    "max_leaf_nodes": _whole(7, 63),
    "min_samples_leaf": _whole(1, 50),
    "min_child_samples": _whole(5, 50),
    "min_child_weight": _real(0.5, 20),
    "subsample": _real(0.5, 1.0, log=False),
    "colsample_bytree": _real(0.5, 1.0, log=False),
    "l2_regularization": _real(1e-6, 10),
    "reg_lambda": _real(1e-3, 10),
}
SPACES: Mapping[str, Mapping[str, Dimension]] = {
    "random_forest": _FOREST,
    "extra_trees": _FOREST,
    "gradient_boosting": _BOOSTING,
    "decision_tree": {
        "max_depth": _one_of(None, 2, 4, 8, 16, grid=(None, 4, 8)),
        "min_samples_leaf": _whole(1, 50, 1, 5, 20),
        "ccp_alpha": _real(1e-6, 0.05),
    },
    "logistic_regression": {"C": _real(1e-3, 100, 0.01, 0.1, 1, 10)},
    "ridge": {"alpha": _real(1e-3, 1e3, 0.01, 0.1, 1, 10, 100)},
    "lasso": {"alpha": _real(1e-4, 10, 0.001, 0.01, 0.1, 1)},
    "elastic_net": {
        "alpha": _real(1e-4, 10, 0.001, 0.01, 0.1, 1),
        "l1_ratio": _real(0.05, 0.95, 0.2, 0.5, 0.8, log=False),
    },
    "sgd": {"alpha": _real(1e-6, 0.1, 1e-5, 1e-4, 1e-3, 1e-2)},
    "svm": {
        "C": _real(1e-2, 100, 0.1, 1, 10),
        "gamma": _real(1e-4, 10, 0.01, 0.1, 1),
        "epsilon": _real(1e-3, 1),
    },
    "neighbours": {
        "n_neighbors": _whole(1, 50, 3, 5, 11, 21),
        "weights": _one_of("uniform", "distance", grid=("uniform", "distance")),
    },
    "neural_network": {
        "hidden_layer_sizes": _one_of((32,), (64,), (128,), (64, 32), grid=((32,), (64, 32))),
        "alpha": _real(1e-6, 1e-1, 1e-4, 1e-2),
        "learning_rate_init": _real(1e-4, 1e-2, 1e-3, 1e-2),
    },
}
ALIASES = {
    "xgboost": "gradient_boosting", "xgb": "gradient_boosting", "lightgbm": "gradient_boosting",
    "lgbm": "gradient_boosting", "hist_gradient_boosting": "gradient_boosting",
    "logistic": "logistic_regression", "svc": "svm", "svr": "svm", "linear_svc": "svm",
    "linear_svr": "svm", "knn": "neighbours", "k_neighbors": "neighbours",
    "neighbors": "neighbours", "mlp": "neural_network", "rf": "random_forest",
}  # fmt: skip
CLASSES = {
    "RandomForest": "random_forest", "ExtraTrees": "extra_trees",
    "GradientBoosting": "gradient_boosting", "HistGradientBoosting": "gradient_boosting",
    "XGB": "gradient_boosting", "LGBM": "gradient_boosting", "DecisionTree": "decision_tree",
    "LogisticRegression": "logistic_regression", "Ridge": "ridge", "RidgeClassifier": "ridge",
    "Lasso": "lasso", "ElasticNet": "elastic_net", "SGD": "sgd", "SVC": "svm", "SVR": "svm",
    "LinearSVC": "svm", "LinearSVR": "svm", "NuSVC": "svm", "KNeighbors": "neighbours",
    "MLP": "neural_network",
}  # fmt: skip
"""Names of estimators, without `Classifier` or `Regressor` at their end."""
ITERATIONS = {
    "random_forest": ("n_estimators",),
    "extra_trees": ("n_estimators",),
    "gradient_boosting": ("n_estimators", "max_iter"),
    "neural_network": ("max_iter",),
}
"""What Hyperband may spend less of: a fit with a third of the trees says something already."""


def kind_of(model: Any, model_type: str | None) -> str:
    """The name of the space for an estimator: as it was called, or by its class.

    Raises:
        TuningError: If neither is known.
    """
    name = (model_type or "").strip().lower().replace("-", "_").replace(" ", "_")
    bare = name.removesuffix("_classifier").removesuffix("_regressor")
    bare = ALIASES.get(bare, bare)
    if bare in SPACES:
        return bare
    of_class = type(last_step(model)[0]).__name__
    for ending in ("Classifier", "Regressor", ""):
        if of_class.removesuffix(ending) in CLASSES:
            return CLASSES[of_class.removesuffix(ending)]
    raise TuningError(
        f"there is no search space for {model_type or of_class!r}",
        f"say one of {', '.join([*SPACES, *ALIASES])}, or give search_space=…",
    )


def space_of(model: Any, kind: str | None, own: Mapping[str, Any] | None) -> dict[str, Dimension]:
    """The parameters to search over, by the name that `set_params` takes.

    Args:
        model: An estimator, or a pipeline whose last step is searched.
        kind: A name in `SPACES`; None with a space of one's own.
        own: By name: a list of choices, or a tuple of the smallest and the largest value.

    Raises:
        TuningError: If the estimator has none of them, or a range is none.
    """
    known = model.get_params()
    if own is not None:
        unknown = sorted(set(own) - set(known))
        if unknown or not own:
            raise TuningError(
                f"{type(model).__name__} has no parameter {', '.join(unknown) or '(none given)'}",
                f"it has {', '.join(sorted(known)[:20])}",
            )
        return {name: _own(name, values) for name, values in own.items()}
    prefix = last_step(model)[1]
    found = {
        f"{prefix}{name}": dimension
        for name, dimension in SPACES[kind or ""].items()
        if f"{prefix}{name}" in known
    }
    if not found:
        raise TuningError(
            f"{type(model).__name__} has none of the parameters of {kind!r}: "
            f"{', '.join(SPACES[kind or ''])}",
            "say another model_type, or give search_space=…",
        )
    return found


def grid_of(space: Mapping[str, Dimension], *, own: bool) -> dict[str, tuple[Any, ...]]:
    """What a grid search tries of each parameter: two or three values of the important ones."""
    grid = {name: item.grid or (item.choices if own else ()) for name, item in space.items()}
    return {name: values for name, values in grid.items() if values}


def last_step(model: Any) -> tuple[Any, str]:
    """The estimator itself, and what stands before its parameters' names."""
    steps = getattr(model, "steps", None)
    return (steps[-1][1], f"{steps[-1][0]}__") if steps else (model, "")


def _own(name: str, values: Any) -> Dimension:
    if isinstance(values, tuple) and len(values) == 2:
        low, high = values
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        if numbers and low < high:
            whole = isinstance(low, int) and isinstance(high, int)
            log = low > 0 and high / low >= 100
            middle = math.sqrt(low * high) if log else (low + high) / 2
            grid = (low, round(middle) if whole else middle, high)
            return Dimension(low=low, high=high, log=log, whole=whole, grid=grid)
    if isinstance(values, Sequence) and not isinstance(values, str | tuple) and len(values):
        return Dimension(choices=tuple(values))
    raise TuningError(
        f"the search space of {name!r} is {values!r}",
        "give a list of choices, or a tuple (smallest, largest)",
    )
