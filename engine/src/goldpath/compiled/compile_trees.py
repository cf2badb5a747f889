"""From scikit-learn's boosted trees and forests to arrays of nodes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from goldpath.compiled.compile_columns import Column, NotCompilableError, make_form
from goldpath.compiled.form import CATEGORY, NAN_RIGHT, NODE, CompiledForm, Link, Trees


def compile_boosting(model: Any, columns: list[Column]) -> CompiledForm:
    """scikit-learn's histogram gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns, known = _boosting_columns(model, columns)
    grower = Grower()
    for iteration in model._predictors:
        for target, predictor in enumerate(iteration):
            grower.add_histogram_tree(predictor, target, known)
    margins = len(model._predictors[0]) if model._predictors else 1
    if type(model) is HistGradientBoostingClassifier:
        link: Link = "logistic" if margins == 1 else "softmax"
    else:
        link = (
            "identity"
            if model.loss in ("squared_error", "absolute_error", "quantile")
            else "exponential"
        )
    return make_form(columns, grower.trees(margins), model._baseline_prediction, link)


def _boosting_columns(model: Any, columns: list[Column]) -> tuple[list[Column], dict[int, int]]:
    """The columns in the order of the trees, and how many codes each category column has.

    scikit-learn puts category columns first and encodes them again, by the codes that it saw.
    """
    if model.is_categorical_ is None:
        return columns, {}
    first = np.flatnonzero(model.is_categorical_)
    inner = model._preprocessor.named_transformers_["encoder"]
    made: list[Column] = []
    known: dict[int, int] = {}
    for position, index in enumerate(first):
        column = columns[index]
        if column.values is None:
            raise NotCompilableError("a category column that is a number in the rows")
        seen = [value for value in inner.categories_[position] if not np.isnan(value)]
        codes = {float(value): code for code, value in enumerate(seen)}
        unknown = len(seen)  # unknown and missing are the same to the trees
        values = [codes.get(float(value), unknown) for value in column.values]
        made.append(replace(column, values=np.array(values, dtype=np.float64)))
        known[position] = len(seen)
    rest = [column for index, column in enumerate(columns) if index not in set(first.tolist())]
    return [*made, *rest], known


def compile_forest(model: Any, columns: list[Column]) -> CompiledForm:
    """A random forest, or extremely randomised trees."""
    is_classifier = hasattr(model, "classes_")
    grower = Grower()
    for member in model.estimators_:
        grower.add_tree(member.tree_, is_classifier=is_classifier)
    margins = len(model.classes_) if is_classifier else 1
    trees = replace(grower.trees(margins), single=True)
    return make_form(columns, trees, np.zeros(margins), "identity", float(len(model.estimators_)))


class Grower:
    """Collects nodes: children side by side, and behind their parent."""

    def __init__(self) -> None:
        self._nodes: list[tuple[float, int, int, int]] = []
        self._leaves: list[np.ndarray] = []
        self._roots: list[int] = []
        self._targets: list[int] = []
        self._bits: list[int] = []

    def add_histogram_tree(self, predictor: Any, target: int, known: dict[int, int]) -> None:
        """A tree of scikit-learn's histogram gradient boosting."""
        nodes = predictor.nodes

        def split(at: int) -> tuple[float, int, int, int, int]:
            node = nodes[at]
            column, goes_left = int(node["feature_idx"]), bool(node["missing_go_to_left"])
            children = int(node["left"]), int(node["right"])
            if not node["is_categorical"]:
                flags = 0 if goes_left else NAN_RIGHT
                return float(node["num_threshold"]), column, flags, *children
            words = predictor.raw_left_cat_bitsets[int(node["bitset_idx"])]
            left = sum(int(word) << (32 * index) for index, word in enumerate(words))
            left &= (1 << known[column]) - 1
            left |= int(goes_left) << known[column]
            return float(self.add_bits(left, known[column] + 1)), column, CATEGORY, *children

        self.add_nodes(
            target,
            lambda at: None if nodes[at]["is_leaf"] else split(at),
            lambda at: np.array([nodes[at]["value"]], dtype=np.float64),
        )

    def add_tree(self, tree: Any, *, is_classifier: bool) -> None:
        """A tree of scikit-learn's forests."""
        left, right = tree.children_left, tree.children_right
        goes_left = tree.missing_go_to_left

        def split(at: int) -> tuple[float, int, int, int, int] | None:
            if left[at] == right[at]:
                return None
            flags = 0 if goes_left[at] else NAN_RIGHT
            threshold, column = float(tree.threshold[at]), int(tree.feature[at])
            return threshold, column, flags, int(left[at]), int(right[at])

        def leaf(at: int) -> np.ndarray:
            values = np.asarray(tree.value[at][0], dtype=np.float64)
            return values / values.sum() if is_classifier else values

        self.add_nodes(0, split, leaf)

    def trees(self, margins: int) -> Trees:
        """Everything that was added."""
        width = len(self._leaves[0]) if self._leaves else 1
        if width not in (1, margins):
            raise NotCompilableError(f"leaves of {width} values for {margins} outputs")
        return Trees(
            nodes=np.array(self._nodes, dtype=NODE),
            roots=np.array(self._roots, dtype=np.int32),
            targets=np.array(self._targets, dtype=np.int32),
            leaves=np.array(self._leaves, dtype=np.float64).reshape(len(self._nodes), width),
            bits=np.array(self._bits, dtype=np.uint64),
        )

    def add_bits(self, members: int, size: int) -> int:
        """Keep a set of codes; returns where its bits begin."""
        start = len(self._bits)
        for word in range((size + 63) // 64):
            self._bits.append((members >> (64 * word)) & (2**64 - 1))
        return start

    def add_nodes(
        self,
        target: int,
        split: Callable[[int], tuple[float, int, int, int, int] | None],
        leaf: Callable[[int], np.ndarray],
    ) -> None:
        """A tree whose nodes are named by whole numbers, the root by 0.

        Args:
            target: Which margin it adds to.
            split: A node's threshold, column, flags and children; None where it is a leaf.
            leaf: What a leaf adds.
        """
        root = len(self._nodes)
        self._roots.append(root)
        self._targets.append(target)
        waiting = [(0, root)]
        width = 0
        self._nodes.append((0.0, 0, 0, 0))
        self._leaves.append(np.empty(0))
        for source, place in waiting:  # grows while it is walked: breadth first
            found = split(source)
            if found is None:
                values = leaf(source)
                width = len(values)
                self._nodes[place] = (np.inf, place, 0, 0)
                self._leaves[place] = values
                continue
            threshold, column, flags, left, right = found
            first = len(self._nodes)
            self._nodes[place] = (threshold, first, column, flags)
            self._nodes += [(0.0, 0, 0, 0)] * 2
            self._leaves += [np.empty(0)] * 2
            waiting += [(left, first), (right, first + 1)]
        for place in range(root, len(self._nodes)):
            if not len(self._leaves[place]):
                self._leaves[place] = np.zeros(width)
