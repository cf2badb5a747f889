"""Scores with a compiled form in NumPy: what runs where there is no C compiler.

It is also what `kernel.c` is compared with: the same steps, the same order of additions.
"""

from functools import partial

import numpy as np

from goldpath.compiled.blend import blend_answers
from goldpath.compiled.form import (
    CATEGORY,
    MISSING,
    NAN_RIGHT,
    TABLE,
    Blend,
    CompiledForm,
    Encoder,
    Trees,
    Weights,
)

BLOCK = 4096
"""Rows at a time, so that what lies between stays in the cache."""


def score_arrays(form: CompiledForm, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Score rows.

    Args:
        form: The form.
        numbers: Float64 of shape (rows, numbers), NaN where missing.
        codes: Int32 of shape (rows, categories).

    Returns:
        Float64 of shape (rows, outputs): probabilities, or the value.
    """
    if isinstance(form.model, Blend):
        parts = [
            [partial(score_arrays, part, numbers, codes) for part in member.forms]
            for member in form.model.members
        ]
        return blend_answers(form.model, parts)
    answers = np.empty((len(numbers), form.outputs))
    with np.errstate(all="ignore"):
        for start in range(0, len(numbers), BLOCK):
            rows = slice(start, start + BLOCK)
            answers[rows] = _finish(form, _margins(form, numbers[rows], codes[rows]))
    return answers


def encode_arrays(encoder: Encoder, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The model's columns, shape (rows, columns)."""
    columns = np.empty((len(numbers), len(encoder.kind)))
    for column, kind in enumerate(encoder.kind):
        source = encoder.source[column]
        if kind == TABLE:
            columns[:, column] = encoder.table[encoder.offset[column] + codes[:, source]]
            continue
        missing = np.isnan(numbers[:, source])
        value = (
            missing.astype(np.float64)
            if kind == MISSING
            else np.where(missing, encoder.fill[column], numbers[:, source])
        )
        columns[:, column] = (value - encoder.centre[column]) / encoder.scale[column]
    return columns


def _margins(form: CompiledForm, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
    columns = encode_arrays(form.encoder, numbers, codes)
    margins = np.tile(form.bias, (len(numbers), 1))
    model = form.model
    if isinstance(model, Weights):
        for column in range(columns.shape[1]):
            margins += model.weights[:, column] * columns[:, [column]]
        return margins
    assert isinstance(model, Trees)  # noqa: S101  # nosec B101
    if model.single:
        columns = columns.astype(np.float32).astype(np.float64)
    leaves = model.leaves[_walk(model, columns)]
    width = leaves.shape[2]
    for tree, target in enumerate(model.targets):
        if width == 1:
            margins[:, target] += leaves[:, tree, 0]
        else:
            margins += leaves[:, tree]
        if model.single_sums:
            margins = margins.astype(np.float32).astype(np.float64)
    return margins


def _walk(trees: Trees, columns: np.ndarray) -> np.ndarray:
    """The leaf of each row in each tree, shape (rows, trees)."""
    at = np.tile(trees.roots.astype(np.int64), (len(columns), 1))
    rows = np.arange(len(columns))[:, None]
    has_categories = bool((trees.nodes["flags"] & CATEGORY).any())
    while True:
        nodes = trees.nodes[at]
        value = columns[rows, nodes["column"]]
        right = (value > nodes["threshold"]) | (
            np.isnan(value) & ((nodes["flags"] & NAN_RIGHT) != 0)
        )
        if has_categories:
            category = (nodes["flags"] & CATEGORY) != 0
            code = np.where(category, value, 0).astype(np.int64)
            word = np.where(category, nodes["threshold"], 0).astype(np.int64) + (code >> 6)
            inside = (trees.bits[word] >> (code & 63).astype(np.uint64)) & np.uint64(1)
            right = np.where(category, inside == 0, right)
        following = nodes["left"] + right
        if np.array_equal(following, at):
            return at
        at = following


def _finish(form: CompiledForm, margins: np.ndarray) -> np.ndarray:
    if form.link == "logistic":
        positive = 1.0 / (1.0 + np.exp(-margins[:, 0]))
        return np.column_stack([1.0 - positive, positive])
    if form.link == "softmax":
        raised = np.exp(margins - margins.max(axis=1, keepdims=True))
        total = np.zeros(len(raised))
        for column in raised.T:
            total += column
        return np.asarray(raised / total[:, None])
    if form.link == "exponential":
        return np.asarray(np.exp(margins))
    return margins / form.divisor
