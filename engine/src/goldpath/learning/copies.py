"""Rows that are copies of each other: on both sides of a split they would be known by heart.

Equal features alone make no copies: where columns are coarse, rows meet in all of them by chance,
and each stands for itself. Their labels differ then, while those of copies agree. Where coarse
columns tell the label, those agree as well; what shows it then is that few rows are different, and
that chance explains it. Without a label the latter alone decides.
"""

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.learning.frames import model_frame, target_values

FEWEST_GROUPS = 50
"""With fewer different rows than this, a split by groups would judge on a handful of them."""

CHANCE = 0.2
"""Labels within groups that differ by more than this share of what chance gives: no copies."""

COARSE = 0.2
"""With fewer different rows than this share of all, rows may be equal by coarse columns."""

FINE = 0.9
"""A column with a value of its own in this share of the different rows is not coarse."""

MET_BY_CHANCE = 0.1
"""Columns are coarse where a row meets more than this many equal ones by chance."""


def copy_groups(frame: pd.DataFrame, contract: Contract) -> np.ndarray | None:
    """Each row's group of equal rows, shape (rows,); None where no rows are copies of others.

    Args:
        frame: Typed rows, with features and target.
        contract: Names the columns.
    """
    features = model_frame(frame, contract)
    hashes = pd.util.hash_pandas_object(features, index=False).to_numpy()
    _, first, groups, sizes = np.unique(
        hashes, return_index=True, return_inverse=True, return_counts=True
    )
    repeated = sizes[groups] > 1
    if not repeated.any() or len(sizes) < FEWEST_GROUPS:
        return None
    is_doubtful = not contract.has_target or len(sizes) < COARSE * len(frame)
    if is_doubtful and _is_coarse(features, features.iloc[first]):
        return None
    target = target_values(frame, contract)
    if _disagreement(target[repeated], groups[repeated], contract) > CHANCE * _spread(
        target, contract
    ):
        return None
    return np.asarray(groups)


def share_of_copies(train: pd.DataFrame, test: pd.DataFrame, contract: Contract) -> float:
    """The share of the test rows that are copies of a training row."""
    columns = [*contract.feature_names, *contract.label_columns]
    groups = copy_groups(pd.concat([train[columns], test[columns]], ignore_index=True), contract)
    if groups is None:
        return 0.0
    return float(np.isin(groups[len(train) :], groups[: len(train)]).mean())


def _is_coarse(features: pd.DataFrame, different: pd.DataFrame) -> bool:
    """Whether columns are so coarse that rows would be equal even if columns were independent."""
    alone = int(different.nunique(dropna=False).max()) >= FINE * len(different)
    if alone and features.shape[1] > 1:
        return False
    shares = [features[name].value_counts(normalize=True, dropna=False) for name in features]
    return len(features) * float(np.prod([np.sum(share**2) for share in shares])) > MET_BY_CHANCE


def _disagreement(target: np.ndarray, groups: np.ndarray, contract: Contract) -> float:
    """How much the targets of equal rows differ: a variance, or the chance of another label."""
    if contract.problem == "regression":
        within = pd.Series(target).groupby(groups).transform("var")
        return float(within.mean())
    labels = pd.Series(target.astype(str))
    sizes = labels.groupby(groups).transform("size").to_numpy()
    same = labels.groupby([groups, labels.to_numpy()]).transform("size").to_numpy()
    return float(np.mean((sizes - same) / (sizes - 1)))


def _spread(target: np.ndarray, contract: Contract) -> float:
    """What `_disagreement` would be of rows that were put together by chance."""
    if contract.problem == "regression":
        return float(np.var(target))
    shares = pd.Series(target.astype(str)).value_counts(normalize=True).to_numpy()
    return float(1 - np.sum(shares**2))
