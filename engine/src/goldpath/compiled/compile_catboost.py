"""From CatBoost's own JSON of a model to arrays of nodes.

A symmetric tree asks the same question at all nodes of a level, so that its leaves are numbered by
the answers. Here it becomes a tree like any other. CatBoost compares float32 and adds float64.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from goldpath.compiled.compile_columns import Column, NotCompilableError, make_form
from goldpath.compiled.compile_trees import Grower
from goldpath.compiled.form import NAN_RIGHT, CompiledForm, Link

LOSSES: Mapping[str, Link] = {
    "Logloss": "logistic",
    "CrossEntropy": "logistic",
    "MultiClass": "softmax",
    "RMSE": "identity",
    "MAE": "identity",
    "Quantile": "identity",
    "Poisson": "exponential",
}


def compile_catboost(model: Any, columns: list[Column]) -> CompiledForm:
    """CatBoost's classifier or regressor.

    Raises:
        NotCompilableError: For a loss or a kind of tree that has no compiled form.
    """
    loss = str(model.get_all_params()["loss_function"]).partition(":")[0]
    if loss not in LOSSES:
        raise NotCompilableError(f"CatBoost's loss {loss}")
    described = _as_json(model)
    features = described["features_info"]
    if "oblivious_trees" not in described or set(features) - {"float_features"}:
        raise NotCompilableError("CatBoost's trees that are not symmetric, or with other columns")
    scale, start = described["scale_and_bias"]
    margins = len(start)
    grower = Grower()
    for tree in described["oblivious_trees"]:
        _add(grower, tree, features["float_features"], margins, float(scale))
    trees = replace(grower.trees(margins), single=True)
    return make_form(columns, trees, start, LOSSES[loss])


def _as_json(model: Any) -> dict[str, Any]:
    with TemporaryDirectory(prefix="catboost-") as folder:
        file = Path(folder) / "model.json"
        model.save_model(str(file), format="json")
        described: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return described


def _add(
    grower: Grower,
    tree: Mapping[str, Any],
    features: Sequence[Mapping[str, Any]],
    margins: int,
    scale: float,
) -> None:
    splits = tree["splits"] or []
    if any(each["split_type"] != "FloatFeature" for each in splits):
        raise NotCompilableError("CatBoost's splits of categories")
    leaves = np.array(tree["leaf_values"], dtype=np.float64).reshape(-1, margins) * scale
    by_index = {each["feature_index"]: each for each in features}

    # A node is named by the answers that lead to it: its level's first name, and they as bits.
    def split(at: int) -> tuple[float, int, int, int, int] | None:
        level = (at + 1).bit_length() - 1
        if level == len(splits):
            return None
        asked = by_index[splits[level]["float_feature_index"]]
        flags = NAN_RIGHT if asked["nan_value_treatment"] == "AsTrue" else 0
        answers, below = at + 1 - (1 << level), (1 << (level + 1)) - 1
        threshold = float(np.float32(splits[level]["border"]))
        column = int(asked["flat_feature_index"])
        return threshold, column, flags, below + answers, below + answers + (1 << level)

    def leaf(at: int) -> np.ndarray:
        values: np.ndarray = leaves[at + 1 - (1 << len(splits))]
        return values

    grower.add_nodes(0, split, leaf)
