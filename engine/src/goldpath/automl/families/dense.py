"""Families that learn from scaled numbers: linear, kernel, network and neighbours."""

from typing import TYPE_CHECKING, Any

from goldpath.automl.families.family import MANY_ROWS, SearchFamily, Shape
from goldpath.automl.learners.neural import NetworkModel
from goldpath.automl.learners.scikit import (
    ConstantModel,
    KernelModel,
    LinearModel,
    NeighboursModel,
)

if TYPE_CHECKING:
    from optuna import Trial


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


DENSE = (
    SearchFamily(
        "linear",
        "dense",
        LinearModel,
        _linear_suggest,
        _linear_first,
        _linear_units,
        exact=True,
    ),
    SearchFamily(
        "kernel",
        "dense",
        KernelModel,
        _kernel_suggest,
        _kernel_first,
        _kernel_units,
        most_rows=50_000,
    ),
    SearchFamily("network", "dense", NetworkModel, _network_suggest, _network_first),
    SearchFamily(
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

BASELINE = SearchFamily(
    "baseline",
    "dense",
    ConstantModel,
    lambda trial, shape: {},  # noqa: ARG005
    lambda shape: [(0, {})],  # noqa: ARG005
    exact=True,
)
"""No family of the search: what it ends with where there was no time for any."""
