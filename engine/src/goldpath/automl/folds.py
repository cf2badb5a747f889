"""Which rows a configuration learns from and which it is judged on."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from goldpath.automl.task import Task
from goldpath.errors import NotEnoughDataError, ProjectError

Fold = tuple[np.ndarray, np.ndarray]
RowNumbers = Sequence[int] | np.ndarray
FEW_ROWS = 2_500
FEWEST_ROWS = 20


def make_folds(
    task: Task,
    *,
    folds: Iterable[tuple[RowNumbers, RowNumbers]] | None,
    time_ordered: bool,
    groups: Sequence[Any] | np.ndarray | None,
    repeat: int = 0,
) -> list[Fold]:
    """Row numbers of the training and the validation part of each fold.

    Args:
        task: Its target is stratified by.
        folds: Made by the caller; checked only.
        time_ordered: Rows are in the order of time, oldest first: each fold is judged on rows
            after its own.
        groups: One value a row; rows of one group are never on both sides.
        repeat: Another number gives another random split.

    Raises:
        NotEnoughDataError: For fewer rows than folds, or one class only in a training part.
        ProjectError: If own folds overlap, or the groups are not one a row.
    """
    rows = len(task.target)
    if rows < FEWEST_ROWS:
        raise NotEnoughDataError(
            f"{rows} rows; a search needs {FEWEST_ROWS} at least", "give more rows"
        )
    if folds is not None:
        made = _checked(folds, rows)
    elif time_ordered:
        made = _by_time(rows)
    elif groups is not None:
        made = _by_group(np.asarray(groups), task, repeat)
    else:
        made = _at_random(task, 5 if rows < FEW_ROWS else 3, repeat)
    made = [fold for fold in made if _learnable(task, fold)]
    if not made:
        raise NotEnoughDataError(
            "no fold has two classes in its training part",
            "give more rows of the rarer classes",
        )
    return made


def _learnable(task: Task, fold: Fold) -> bool:
    train, validation = fold
    one_class = task.problem == "classification" and len(np.unique(task.target[train])) < 2
    return not one_class and len(train) > 1 and len(validation) > 0


def _checked(folds: Iterable[tuple[RowNumbers, RowNumbers]], rows: int) -> list[Fold]:
    made = [(np.asarray(train), np.asarray(validation)) for train, validation in folds]
    for number, (train, validation) in enumerate(made):
        both = np.concatenate([train, validation])
        if len(both) and (both.min() < 0 or both.max() >= rows):
            raise ProjectError(
                f"fold {number} names row {both.max()}; the table has {rows} rows",
                "number rows by position, from 0",
            )
        if shared := np.intersect1d(train, validation).size:
            raise ProjectError(
                f"fold {number} is judged on {shared} rows that it learns from",
                "keep its two parts apart",
            )
    return made


def _by_time(rows: int) -> list[Fold]:
    """Four blocks at the end, an eighth of the rows each; every one learns from all before it."""
    block = max(1, rows // 8)
    starts = [rows - block * number for number in range(4, 0, -1)]
    return [(np.arange(start), np.arange(start, start + block)) for start in starts]


def _by_group(groups: np.ndarray, task: Task, repeat: int) -> list[Fold]:
    if len(groups) != len(task.target):
        raise ProjectError(
            f"groups has {len(groups)} values; the table has {len(task.target)} rows",
            "give one group a row",
        )
    _, numbers = np.unique(groups, return_inverse=True)
    count = numbers.max() + 1
    folds = min(5 if len(groups) < FEW_ROWS else 3, count)
    if folds < 2:
        raise NotEnoughDataError("all rows are of one group", "give rows of two groups or more")
    # The largest groups are dealt out first, each to the fold that has least of what it holds: a
    # rare class lies in as many folds as it can, where most groups are a row and its copies.
    _, classes = np.unique(_neighbours(task), return_inverse=True)
    held = np.zeros((count, classes.max() + 1))
    np.add.at(held, (numbers, classes), 1.0)
    sizes, shares = held.sum(axis=1), held / held.sum(axis=0)
    order = np.random.default_rng(task.seed + repeat).permutation(count)
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled, rows = np.zeros((folds, shares.shape[1])), np.zeros(folds)
    fold_of = np.zeros(count, dtype=int)
    for group in order:
        least = np.lexsort((rows, (filled @ shares[group]).round(12)))[0]
        fold_of[group] = least
        filled[least] += shares[group]
        rows[least] += sizes[group]
    return _pairs(fold_of[numbers], folds)


def _at_random(task: Task, folds: int, repeat: int) -> list[Fold]:
    """Each class is dealt out over the folds in turn, so that rare ones are in as many as can be.

    Regression deals out runs of neighbouring values in the same way.
    """
    random = np.random.default_rng(task.seed + 1000 * repeat)
    order = random.permutation(len(task.target))
    order = order[np.argsort(_neighbours(task)[order], kind="stable")]
    fold_of = np.empty(len(order), dtype=int)
    fold_of[order] = np.arange(len(order)) % folds
    return _pairs(fold_of, folds)


def _neighbours(task: Task) -> np.ndarray:
    """What each row is dealt out with: its class, or its tenth of a regression's values."""
    if task.problem == "classification":
        return task.target
    return np.digitize(task.target, np.quantile(task.target, np.linspace(0, 1, 11)[1:-1]))


def _pairs(fold_of: np.ndarray, folds: int) -> list[Fold]:
    return [(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)) for k in range(folds)]
