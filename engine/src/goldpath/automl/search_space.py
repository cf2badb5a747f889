"""The families of models: how each is built, what is searched over, and what is tried first.

The portfolio holds configurations that do well on tables of many kinds, the most promising per
second first; it needs no search, so that a small budget already gives several unlike models.
"""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldpath.automl.boosting import HistogramModel, LightGBMModel, XGBoostModel
from goldpath.automl.learners import ForestModel, KernelModel, LinearModel, NeighboursModel
from goldpath.automl.learning import Learner
from goldpath.automl.neural import NetworkModel
from goldpath.automl.preparation import Form
from goldpath.automl.task import Task
from goldpath.errors import ProjectError

if TYPE_CHECKING:
    from optuna import Trial

MOST_ROUNDS = 4_000
MANY_ROWS, FEW_ROWS = 20_000, 2_500


@dataclass(frozen=True)
class Shape:
    """What a configuration may depend on: the training part of a fold, encoded, and the target."""

    rows: int
    columns: int
    outputs: int
    categorical: bool
    counts: bool


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        name: As it is reported.
        form: How its rows are encoded.
        build: Makes an unfitted learner.
        suggest: Draws parameters for an Optuna trial.
        first: Its configurations in the portfolio, each with its place in the order.
        units: How much work a fit is that cannot be stopped; None where it watches the deadline.
        most_rows: Of a table that suits it.
        library: What must be importable.
        exact: Whether another seed gives the same model.
    """

    name: str
    form: Form
    build: Callable[[dict[str, Any], Task], Learner]
    suggest: "Callable[[Trial, Shape], dict[str, Any]]"
    first: Callable[[Shape], Sequence[tuple[float, dict[str, Any]]]]
    units: Callable[[dict[str, Any], Shape], float] | None = None
    most_rows: float = math.inf
    library: str = "sklearn"
    exact: bool = False


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


def _forest_first(kind: str, place: float) -> Any:
    def first(shape: Shape) -> list[tuple[float, dict[str, Any]]]:
        leaf = 1 if shape.outputs > 1 and shape.rows < MANY_ROWS else 2
        columns = 0.5 if shape.outputs == 1 else "sqrt"
        return [
            (place, _forest(kind, leaf, columns, shape)),
            (place + 11, _forest(kind, 5, 0.7, shape)),
        ]

    return first


def _forest(kind: str, leaf: int, columns: Any, shape: Shape) -> dict[str, Any]:
    # Of a small table many folds' forests are averaged.
    rounds = 80 if shape.rows < FEW_ROWS else 150
    return {"kind": kind, "min_samples_leaf": leaf, "max_features": columns, "rounds": rounds}


def _forest_suggest(kind: str) -> Any:
    def suggest(trial: "Trial", shape: Shape) -> dict[str, Any]:
        return _forest(
            kind,
            trial.suggest_int("min_samples_leaf", 1, 30, log=True),
            trial.suggest_float("max_features", 0.1, 1.0),
            shape,
        )

    return suggest


def _linear_first(shape: Shape) -> list[tuple[float, dict[str, Any]]]:
    first: list[tuple[float, dict[str, Any]]] = [
        (1, {"basis": "columns", "strength": 1.0}),
        (1.5, {"basis": "columns", "strength": 30.0}),
    ]
    if shape.columns <= _widest_basis(shape):
        first.append((3.5, {"basis": "products", "strength": 30.0}))
        first.append((3.6, {"basis": "splines", "strength": 10.0}))
    return first


def _linear_suggest(trial: "Trial", shape: Shape) -> dict[str, Any]:
    bases = ["columns", "products", "splines"]
    if shape.columns > _widest_basis(shape):
        bases = bases[:1]
    parameters = {
        "basis": trial.suggest_categorical("basis", bases),
        "strength": trial.suggest_float("strength", 1e-2, 1e4, log=True),
    }
    if shape.outputs == 1:
        parameters["mixture"] = trial.suggest_categorical("mixture", [0.0, 0.5, 1.0])
    return parameters


def _widest_basis(shape: Shape) -> int:
    """Products of columns grow with the square; with more they take longer than they are worth."""
    return 30 if shape.rows < MANY_ROWS else 15


def _linear_units(parameters: dict[str, Any], shape: Shape) -> float:
    growth = {
        "columns": 1.0,
        "products": (shape.columns + 3) / 2,
        "splines": 8.0,
    }[parameters["basis"]]
    width = shape.columns * growth
    if shape.outputs == 1:
        sweeps = 100 * width if parameters.get("mixture") else width**2
        return shape.rows * sweeps + width**3
    return shape.rows * width * shape.outputs * 100


def _kernel_first(shape: Shape) -> list[tuple[float, dict[str, Any]]]:
    components = 300
    strength = 0.03 if shape.outputs > 1 else 0.3
    return [
        (3.8, {"width": 0.3, "components": components, "strength": strength}),
        (9.5, {"width": 0.1, "components": 2 * components, "strength": strength}),
    ]


def _kernel_suggest(trial: "Trial", shape: Shape) -> dict[str, Any]:
    return {
        "width": trial.suggest_float("width", 0.01, 5.0, log=True),
        "components": 800 if shape.rows < 5_000 else 400,
        "strength": trial.suggest_float("strength", 1e-4, 30, log=True),
    }


def _kernel_units(parameters: dict[str, Any], shape: Shape) -> float:
    size = min(shape.rows, parameters["components"])
    solve = 100 * shape.outputs if shape.outputs > 1 else size
    return float(shape.rows * size * (shape.columns + size / 4 + solve) + 2 * size**3)


def _network_first(shape: Shape) -> list[tuple[float, dict[str, Any]]]:
    # A classifier that is trained long grows too certain; dropout and decay hold it back.
    dropout = 0.3 if shape.outputs > 1 else 0.1
    batch = 64 if shape.rows < 5_000 else 128
    return [
        (4.5, _network(128, 2, 3e-3, 0.3, dropout, batch, 30)),
        (8.5, _network(128, 2, 5e-3, 1.0, dropout / 2, batch, 40)),
    ]


def _network(
    width: int, depth: int, rate: float, decay: float, dropout: float, batch: int, epochs: int
) -> dict[str, Any]:
    return {
        "width": width,
        "depth": depth,
        "learning_rate": rate,
        "weight_decay": decay,
        "dropout": dropout,
        "batch": batch,
        "epochs": epochs,
    }


def _network_suggest(trial: "Trial", shape: Shape) -> dict[str, Any]:
    return _network(
        trial.suggest_int("width", 32, 256, log=True),
        trial.suggest_int("depth", 1, 3),
        trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
        trial.suggest_float("weight_decay", 0.01, 3.0, log=True),
        trial.suggest_float("dropout", 0.0, 0.5),
        trial.suggest_categorical("batch", [32, 64, 128] if shape.rows < 5_000 else [64, 128, 256]),
        trial.suggest_int("epochs", 15, 100 if shape.rows < 5_000 else 50, log=True),
    )


def _neighbours_first(shape: Shape) -> list[tuple[float, dict[str, Any]]]:
    return [(3.2, {"neighbours": 5 if shape.outputs > 2 else 20})]


def _neighbours_suggest(trial: "Trial", shape: Shape) -> dict[str, Any]:  # noqa: ARG001
    return {"neighbours": trial.suggest_int("neighbours", 2, 60, log=True)}


def _neighbours_units(parameters: dict[str, Any], shape: Shape) -> float:  # noqa: ARG001
    return shape.rows**2 / 3 * (shape.columns + 20)


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "lightgbm",
            "trees",
            LightGBMModel,
            _lightgbm_suggest,
            _lightgbm_first,
            library="lightgbm",
        ),
        Family(
            "xgboost", "trees", XGBoostModel, _xgboost_suggest, _xgboost_first, library="xgboost"
        ),
        Family("hist_boosting", "trees", HistogramModel, _histogram_suggest, _histogram_first),
        Family(
            "extra_trees",
            "trees",
            ForestModel,
            _forest_suggest("extra_trees"),
            _forest_first("extra_trees", 3),
        ),
        Family(
            "random_forest",
            "trees",
            ForestModel,
            _forest_suggest("random_forest"),
            _forest_first("random_forest", 5.5),
        ),
        Family(
            "linear",
            "dense",
            LinearModel,
            _linear_suggest,
            _linear_first,
            _linear_units,
            exact=True,
        ),
        Family(
            "kernel",
            "dense",
            KernelModel,
            _kernel_suggest,
            _kernel_first,
            _kernel_units,
            most_rows=50_000,
        ),
        Family("network", "dense", NetworkModel, _network_suggest, _network_first),
        Family(
            "neighbours",
            "dense",
            NeighboursModel,
            _neighbours_suggest,
            _neighbours_first,
            _neighbours_units,
            most_rows=30_000,
            exact=True,
        ),
    )
}


def usable_families(
    names: Sequence[str] | None, rows: int
) -> tuple[dict[str, Family], dict[str, str]]:
    """The families that can be searched, and why the others cannot.

    LightGBM and XGBoost are native libraries: where OpenMP's own (libgomp, libomp) is missing, the
    import fails with an OSError, and the search goes on without them.

    Raises:
        ProjectError: For an unknown name, or where no family is left.
    """
    unknown = [name for name in names or () if name not in FAMILIES]
    if unknown:
        raise ProjectError(
            f"unknown families: {', '.join(unknown)}", f"choose from {', '.join(FAMILIES)}"
        )
    usable, left_out = {}, {}
    for name, family in FAMILIES.items():
        if names is not None and name not in names:
            continue
        try:
            importlib.import_module(family.library)
        except (ImportError, OSError) as error:
            left_out[name] = f"{family.library} cannot be imported: {error}"
            continue
        if rows > family.most_rows:
            left_out[name] = f"too slow for {rows} rows"
            continue
        usable[name] = family
    if names is None and "lightgbm" in usable and "hist_boosting" in usable:
        del usable["hist_boosting"]
        left_out["hist_boosting"] = "LightGBM is there, which does the same in less time"
    if not usable:
        raise ProjectError(f"no family can be used: {left_out}", "name other families")
    return usable, left_out


def portfolio(
    families: Mapping[str, Family], shapes: Mapping[str, Shape]
) -> list[tuple[str, dict[str, Any]]]:
    """Configurations to try before any search, the most promising per second first."""
    entries = [
        (place, name, parameters)
        for name, family in families.items()
        for place, parameters in family.first(shapes[name])
    ]
    return [(name, parameters) for _, name, parameters in sorted(entries, key=lambda e: e[:2])]
