"""From LightGBM's own text of a model to arrays of nodes.

The text holds every number with all its digits, and no code. LightGBM compares and adds float64, as
the compiled form does.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from goldpath.compiled.compile_columns import Column, NotCompilableError, make_form
from goldpath.compiled.compile_trees import Grower
from goldpath.compiled.form import CATEGORY, NAN_RIGHT, TABLE, CompiledForm, Link

IS_CATEGORY, DEFAULT_LEFT = 1, 2
NO_MISSING, ZERO_IS_MISSING = 0, 1
OBJECTIVES: Mapping[str, Link] = {
    "binary": "logistic",
    "multiclass": "softmax",
    "regression": "identity",
    "poisson": "exponential",
}
WORD_BITS = 32
ZERO = float(np.float32(1e-35))
"""Numbers up to here count as 0: LightGBM leaves them out before it compares."""


def compile_lightgbm(text: str, columns: list[Column], *, single: bool) -> CompiledForm:
    """A booster.

    Args:
        text: `Booster.model_to_string()`.
        columns: What the booster saw.
        single: Whether it saw them in float32.

    Raises:
        NotCompilableError: For an objective or a kind of tree that has no compiled form.
    """
    head, *blocks = text.split("\nTree=")
    facts = _facts(head)
    objective = facts.get("objective", "").split()
    link = OBJECTIVES.get(objective[0] if objective else "")
    others = [word for word in objective[1:] if not word.startswith("num_class:")]
    if link is None or others not in ([], ["sigmoid:1"]) or "average_output" in facts:
        raise NotCompilableError(f"LightGBM's objective {' '.join(objective)!r}")
    margins = int(facts.get("num_tree_per_iteration", "1"))
    trees = [_facts("Tree=" + block.partition("\n\n")[0]) for block in blocks]
    columns, missing = _with_codes(columns, trees)
    grower = Grower()
    for number, tree in enumerate(trees):
        _add(grower, tree, number % margins, missing)
    made = replace(grower.trees(margins), single=single)
    return make_form(columns, made, np.zeros(margins), link)


def _facts(block: str) -> dict[str, str]:
    lines = (line.partition("=") for line in block.splitlines())
    return {name: value for name, _, value in lines}


def _array(tree: Mapping[str, str], name: str, kind: Any) -> np.ndarray:
    return np.array(tree.get(name, "").split(), dtype=kind)


def _beside_zero(threshold: float) -> float:
    """A threshold that tells numbers apart as this one does once the smallest have become 0."""
    if -ZERO <= threshold < 0:
        return float(np.nextafter(-ZERO, -np.inf))
    return ZERO if 0 <= threshold < ZERO else threshold


def _with_codes(
    columns: list[Column], trees: list[dict[str, str]]
) -> tuple[list[Column], dict[int, int]]:
    """Columns that are asked for a set of codes: a missing one has a code of its own, in no set."""
    asked: set[int] = set()
    for tree in trees:
        kinds = _array(tree, "decision_type", np.int64)
        asked |= set(_array(tree, "split_feature", np.int64)[(kinds & IS_CATEGORY) != 0].tolist())
    made, missing = list(columns), {}
    for index in asked:
        column = columns[index]
        if column.kind != TABLE or column.values is None:
            raise NotCompilableError("LightGBM's set of categories on a column of numbers")
        values = np.asarray(column.values)
        present = values[~np.isnan(values)]
        missing[index] = int(present.max(initial=-1)) + 1
        made[index] = replace(column, values=np.where(np.isnan(values), missing[index], values))
    return made, missing


def _add(grower: Grower, tree: Mapping[str, str], target: int, missing: Mapping[int, int]) -> None:
    values = _array(tree, "leaf_value", np.float64)
    if tree.get("is_linear", "0") != "0":
        raise NotCompilableError("LightGBM's linear trees")
    if len(values) == 1:
        grower.add_nodes(target, lambda _: None, lambda _: values)
        return
    kinds = _array(tree, "decision_type", np.int64)
    features = _array(tree, "split_feature", np.int64)
    thresholds = _array(tree, "threshold", np.float64)
    left, right = _array(tree, "left_child", np.int64), _array(tree, "right_child", np.int64)
    bounds = _array(tree, "cat_boundaries", np.int64)
    words = _array(tree, "cat_threshold", np.uint64)

    def split(at: int) -> tuple[float, int, int, int, int] | None:
        if at < 0:
            return None
        kind, feature, threshold = int(kinds[at]), int(features[at]), float(thresholds[at])
        children = int(left[at]), int(right[at])
        if kind & IS_CATEGORY:
            first, last = bounds[int(threshold)], bounds[int(threshold) + 1]
            members = sum(
                int(word) << (WORD_BITS * place) for place, word in enumerate(words[first:last])
            )
            members &= (1 << missing[feature]) - 1
            start = grower.add_bits(members, missing[feature] + 1)
            return float(start), feature, CATEGORY, *children
        how = (kind >> 2) & 3
        if how == ZERO_IS_MISSING:
            raise NotCompilableError("LightGBM's zeros that count as missing")
        # Where training had no missing value, LightGBM takes one for 0.
        goes_left = threshold >= 0 if how == NO_MISSING else bool(kind & DEFAULT_LEFT)
        return _beside_zero(threshold), feature, 0 if goes_left else NAN_RIGHT, *children

    grower.add_nodes(target, split, lambda at: values[~at : (~at) + 1])
