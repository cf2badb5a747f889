"""Folds of the training rows: what a configuration learns from, and what it is judged on."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import NotEnoughDataError
from goldpath.learning.frames import target_values
from goldpath.learning.splitting import horizon_of, row_groups, split_rule
from goldpath.settings import TrainingSettings

Fold = tuple[np.ndarray, np.ndarray]

MANY_GROUPS = 500
"""From here on one row of each group is divided and the others follow. scikit-learn weighs each
group against each fold instead, which takes 0.6 ms a group: half a minute for 40 000 rows."""

LEAST_KNOWN = 20
"""Rows that a fold of a forecast learns from; fewer tell no configuration from another."""


def make_folds(train: pd.DataFrame, contract: Contract, settings: TrainingSettings) -> list[Fold]:
    """Row numbers of each fold's training and validation part.

    With an event time each fold validates on rows that are newer than those it learns from; of a
    forecast the rows of one horizon between them are left out.
    Otherwise all rows of one entity are on one side where entities repeat, so are copies of a row,
    and classes are stratified. Parts on which nothing can be learned or judged are left out.

    Raises:
        NotEnoughDataError: If no fold has rows of two classes on both sides, or of a forecast any
            rows to learn from.
    """
    target = target_values(train, contract)
    if split_rule(train, contract, settings) == "time":
        from sklearn.model_selection import TimeSeriesSplit

        # Blocks as long as the test set's share: with scikit-learn's default the first fold would
        # learn from a quarter of the history and choose parameters for a much smaller data set.
        block = max(1, int(len(target) * settings.test_fraction / 2))
        parts = [
            (_known(train, contract, *part), part[1])
            for part in TimeSeriesSplit(settings.cv_folds, test_size=block).split(train)
        ]
    else:
        parts = shuffled_folds(train, contract, settings)
    if contract.horizon:
        parts = _with_enough_known(parts, contract)
    usable = [part for part in parts if _can_be_judged(target, part, contract)]
    if usable:
        return usable
    if contract.problem == "regression":
        return parts  # R² is undefined on each of them, and the defaults win
    if contract.has_time and (cut := _forward_cut(target)):
        return [(np.arange(cut), np.arange(cut, len(target)))]
    rare = pd.Series(target).value_counts()
    raise NotEnoughDataError(
        f"the training rows hold {rare.iloc[-1]} of the class {rare.index[-1]}: too few to learn "
        "from some of them and to judge on others",
        "bring more rows of that class: make data",
    )


def _known(
    train: pd.DataFrame, contract: Contract, learnt: np.ndarray, held_out: np.ndarray
) -> np.ndarray:
    """The rows whose targets were known when the first held-out row was asked for."""
    if not contract.horizon:
        return learnt
    times = train[EVENT_TIME]
    known = times.iloc[learnt] <= times.iloc[held_out].min() - horizon_of(contract)
    return np.asarray(learnt[known.to_numpy()])


def _with_enough_known(parts: list[Fold], contract: Contract) -> list[Fold]:
    """The folds that have rows to learn from, where targets are known a horizon later.

    Raises:
        NotEnoughDataError: If none has.
    """
    kept = [part for part in parts if len(part[0]) >= LEAST_KNOWN]
    if not kept:
        most = max(len(learnt) for learnt, _ in parts)
        key = "forecast.horizon" if contract.forecast else "target.within"
        raise NotEnoughDataError(
            f"{key} {contract.horizon} leaves {most} training rows that were known before the "
            f"rows that a fold is judged on; {LEAST_KNOWN} are needed",
            "take a shorter horizon, or bring more history: make data",
        )
    return kept


def shuffled_folds(
    train: pd.DataFrame, contract: Contract, settings: TrainingSettings
) -> list[Fold]:
    """Folds that pay no heed to time; each row is in one validation part."""
    target = target_values(train, contract)
    groups = row_groups(train, contract, settings)
    folds, seed = settings.cv_folds, settings.seed
    # Of two classes the rare one is spread over the folds however few rows it has.
    stratified = contract.problem == "classification" and (
        contract.is_binary or pd.Series(target).value_counts().min() >= folds
    )
    return divide_rows(target, groups, folds, seed, stratified=stratified)


def divide_rows(
    target: np.ndarray, groups: np.ndarray | None, folds: int, seed: int, *, stratified: bool
) -> list[Fold]:
    """Deal rows out to folds at random, all rows of a group to the same one.

    Args:
        target: One value a row.
        groups: Each row's group; None where each row may go where it likes.
        folds: How many; fewer where there are fewer groups.
        seed: Of the shuffle.
        stratified: Whether each fold gets its share of every class.

    Raises:
        NotEnoughDataError: If all rows are of one group.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    rows = np.arange(len(target))
    if groups is not None:
        _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
        if len(first) < 2:
            raise NotEnoughDataError(
                "all training rows are of one group, so none can be held back to judge on",
                "bring rows of more entities: make data",
            )
        folds = min(folds, len(first))
        if len(first) > MANY_GROUPS:
            classes = _rarest_classes(target, groups) if stratified else target[first]
            parts = divide_rows(classes, None, folds, seed, stratified=stratified)
            return [
                (rows[~judged], rows[judged])
                for judged in (np.isin(groups, held_out) for _, held_out in parts)
            ]
        kind = StratifiedGroupKFold if stratified else GroupKFold
    else:
        kind = StratifiedKFold if stratified else KFold
    splitter = kind(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer rows than folds
        parts = list(splitter.split(rows, target, groups))
    return [part for part in parts if len(part[1])]


def _rarest_classes(target: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Of each group the class among its rows that is the rarest of all; copies have but one."""
    codes, _ = pd.factorize(target)
    sizes = np.bincount(codes)
    order = np.lexsort((codes, sizes[codes], groups))
    _, first = np.unique(groups[order], return_index=True)
    return np.asarray(codes[order[first]])


def _can_be_judged(target: np.ndarray, part: Fold, contract: Contract) -> bool:
    learnt, held_out = part
    if contract.problem == "regression":
        return bool(np.ptp(target[held_out]) > 0)
    return all(len(set(target[rows])) > 1 for rows in (learnt, held_out))


def _forward_cut(target: np.ndarray) -> int:
    """Where to cut the rows in two so that both parts have two classes; 0 where nowhere."""
    first = _first_other(target)
    last = len(target) - _first_other(target[::-1])
    return (first + last) // 2 if 0 < first <= last else 0


def _first_other(labels: Sequence[object] | np.ndarray) -> int:
    """How many of the first rows are needed to have two classes; 0 where all are of one."""
    others = np.flatnonzero(np.asarray(labels) != labels[0])
    return int(others[0]) + 1 if len(others) else 0
