"""Forests, as the search knows them."""

from typing import TYPE_CHECKING, Any

from goldpath.automl.families.family import FEW_ROWS, MANY_ROWS, SearchFamily, Shape
from goldpath.automl.learners.scikit import ForestModel

if TYPE_CHECKING:
    from optuna import Trial


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


FORESTS = (
    SearchFamily(
        "extra_trees",
        "trees",
        ForestModel,
        _forest_suggest("extra_trees"),
        _forest_first("extra_trees", 3),
    ),
    SearchFamily(
        "random_forest",
        "trees",
        ForestModel,
        _forest_suggest("random_forest"),
        _forest_first("random_forest", 5.5),
    ),
)
