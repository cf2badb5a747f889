"""From XGBoost's own JSON of a model to arrays of nodes.

XGBoost computes in float32: columns, thresholds, leaves and their sum, which is rounded after each
tree. The compiled form does the same, so that a row has the same margin to the last bit.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from goldpath.compiled.compile_columns import Column, NotCompilableError, make_form
from goldpath.compiled.compile_trees import Grower
from goldpath.compiled.form import NAN_RIGHT, CompiledForm, Link

OBJECTIVES: Mapping[str, Link] = {
    "binary:logistic": "logistic",
    "multi:softprob": "softmax",
    "reg:squarederror": "identity",
    "count:poisson": "exponential",
}
SIMPLE_LEAVES = ("0", "1")


def compile_xgboost(text: str, columns: list[Column]) -> CompiledForm:
    """A booster.

    Args:
        text: `Booster.save_raw("json")`.
        columns: What the booster saw.

    Raises:
        NotCompilableError: For an objective or a kind of tree that has no compiled form.
    """
    learner = json.loads(text)["learner"]
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    link = OBJECTIVES.get(objective)
    if link is None or booster["name"] != "gbtree":
        raise NotCompilableError(f"XGBoost's {booster['name']} for the objective {objective!r}")
    facts = learner["learner_model_param"]
    if facts.get("num_target", "1") not in SIMPLE_LEAVES:
        raise NotCompilableError("XGBoost's trees for several targets")
    margins = max(int(facts["num_class"]), 1)
    grower = Grower()
    for tree, target in zip(booster["model"]["trees"], booster["model"]["tree_info"], strict=True):
        _add(grower, tree, int(target))
    trees = replace(grower.trees(margins), single=True, single_sums=True)
    return make_form(columns, trees, _start(facts["base_score"], margins, link), link)


def _start(written: str, margins: int, link: Link) -> np.ndarray:
    """Where the margins begin: the base score, which is given as an answer."""
    scores = np.array(json.loads(written), dtype=np.float32).reshape(-1)
    if link == "logistic":
        scores = -np.log(np.float32(1) / scores - np.float32(1))
    elif link == "exponential":
        scores = np.log(scores)
    return np.broadcast_to(scores, margins).astype(np.float64)


def _add(grower: Grower, tree: Mapping[str, Any], target: int) -> None:
    if any(tree["split_type"]):
        raise NotCompilableError("XGBoost's sets of categories")
    if tree["tree_param"]["size_leaf_vector"] not in SIMPLE_LEAVES:
        raise NotCompilableError("XGBoost's leaves of several values")
    left, right = tree["left_children"], tree["right_children"]
    # A leaf's value stands where another node has its threshold.
    numbers = np.array(tree["split_conditions"], dtype=np.float32)
    # XGBoost goes left below the threshold, the compiled form up to it.
    thresholds = np.nextafter(numbers, np.float32(-np.inf)).astype(np.float64)
    features, goes_left = tree["split_indices"], tree["default_left"]

    def split(at: int) -> tuple[float, int, int, int, int] | None:
        if left[at] == -1:
            return None
        flags = 0 if goes_left[at] else NAN_RIGHT
        return float(thresholds[at]), int(features[at]), flags, int(left[at]), int(right[at])

    grower.add_nodes(target, split, lambda at: numbers[at : at + 1].astype(np.float64))
