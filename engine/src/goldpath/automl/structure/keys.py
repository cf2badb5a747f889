"""Keys: columns whose values name who or what a row is about, and come more than once."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from goldpath.automl.columns import FEW_CATEGORIES
from goldpath.automl.folds import Fold
from goldpath.automl.structure.likeness import SURE, share_between
from goldpath.automl.structure.order import spelled

FEWEST_GROUPS = 20
LARGEST_GROUPS = 100.0
"""Rows of a value, on average: with more, a value is rather a category to learn from."""
REPEATED = 0.6
"""Share of the rows whose value must come more than once."""
LEAST_SHARE = 0.1
"""Of the target's variance that must lie between the groups."""
COMES_BACK = 0.1
"""Share of the judged rows whose value must be known for a column of many values to be learned."""
NAMED_AS_KEY = re.compile(
    r"(^|_)(id|ids|key|uuid|guid|ssn|group|groups|patient|customer|client|user|subject|person|"
    r"household|session|account|member|device|machine|student|vehicle|driver|player)$"
    r"|(^|_)(id)(_|$)|(^|_)(patient|customer|client|user|subject|person|household|session|account|"
    r"member|device|machine|student|vehicle|driver|player|group)_(id|no|nr|number|num|code|name)$"
)
WRITTEN_AS_KEY = re.compile(r"[A-Za-z]{1,12}[-_ #]?\d+|[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}.*")
LOOKED_AT = 500


@dataclass(frozen=True)
class Key:
    """A column whose values repeat.

    Attributes:
        column: Its name.
        codes: Number of each row's value, from 0; see `codes_of`.
        count: How many values there are.
        missing: Rows without a value.
        share: Of the target's variance between them; 0 where that may be chance.
        is_named: Whether its name or its values are those of a key.
    """

    column: str
    codes: np.ndarray
    count: int
    missing: int
    share: float
    is_named: bool

    @property
    def is_certain(self) -> bool:
        """Whether it is a key beyond doubt, and not a category that new rows share."""
        known = len(self.codes) - self.missing
        return self.is_named and known <= LARGEST_GROUPS * self.count


@dataclass(frozen=True)
class Repeating:
    """A column of text or whole numbers with many values that repeat.

    Attributes:
        column: Its name.
        codes: Number of each row's value, from 0; see `codes_of`.
        is_missing: Whether a row has no value.
        is_number: Whether it holds numbers.
        is_named: Whether its name or its values are those of a key.
    """

    column: str
    codes: np.ndarray
    is_missing: np.ndarray
    is_number: bool
    is_named: bool


def codes_of(column: "pd.Series[Any]") -> tuple[np.ndarray, np.ndarray]:
    """Numbers of a key's values; of missing ones nobody knows whether they are the same.

    Args:
        column: The key.

    Returns:
        A number for each row, from 0, where a row without a value has a number of its own behind
        those of all values; and which rows these are. Both of shape (rows,).
    """
    codes = np.array(pd.factorize(column)[0])
    is_missing = codes < 0
    codes[is_missing] = codes.max(initial=-1) + 1 + np.arange(is_missing.sum())
    return codes, is_missing


def repeating_columns(features: pd.DataFrame, times: Collection[str]) -> tuple[Repeating, ...]:
    """Columns of many values that repeat, without those of the names `times`, which tell a time."""
    found = []
    for name in features.columns:
        column = features[name]
        if str(name) in times or not _may_be_key(column):
            continue
        codes, is_missing = codes_of(column)
        sizes = np.bincount(codes[~is_missing])
        repeated = sizes[sizes > 1].sum()
        if len(sizes) < FEWEST_GROUPS or repeated < REPEATED * sizes.sum():
            continue
        is_number = pd.api.types.is_numeric_dtype(column)
        is_named = _is_named(name, column[~is_missing].unique())
        found.append(Repeating(str(name), codes, is_missing, is_number, is_named))
    return tuple(found)


def keys(
    features: pd.DataFrame, repeating: Sequence[Repeating], target: Sequence[np.ndarray]
) -> list[Key]:
    """Those of the repeating columns that tell the target, the most certain first."""
    by_name = {str(name): name for name in features.columns}
    found = []
    for one in repeating:
        known = ~one.is_missing
        codes, told = one.codes[known], [signal[known] for signal in target]
        share = share_between(told, codes)
        if share < LEAST_SHARE:
            continue
        column = features[by_name[one.column]][known]
        if one.is_number and _is_smooth(column, codes, told):
            continue
        count, missing = int(codes.max()) + 1, int(one.is_missing.sum())
        if one.is_named or one.is_number or count > FEW_CATEGORIES:
            found.append(Key(one.column, one.codes, count, missing, share, one.is_named))
    return sorted(found, key=lambda key: (not key.is_certain, not key.is_named, -key.share))


def never_come_back(
    repeating: Sequence[Repeating], rows: np.ndarray, folds: Sequence[Fold]
) -> list[str]:
    """Columns of many values, of which the judged rows have hardly one that was learned.

    Numbers are meant only where they are named as keys: others mean something between the values.
    A row without a value counts as one whose value is known: that it is missing may tell something.

    Args:
        repeating: Such columns.
        rows: Numbers of the rows that the folds number from 0.
        folds: Row numbers to learn from and to judge on.
    """
    found = []
    for one in repeating:
        values = int(one.codes[~one.is_missing].max(initial=-1))
        if (one.is_number and not one.is_named) or values < FEW_CATEGORIES:
            continue
        codes = np.where(one.is_missing, -1, one.codes)[rows]
        known = [np.isin(codes[judged], codes[learned]).mean() for learned, judged in folds]
        if float(np.mean(known)) < COMES_BACK:
            found.append(one.column)
    return found


def _may_be_key(column: "pd.Series[Any]") -> bool:
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        values = values[~np.isnan(values)]
        return bool(np.isfinite(values).all() and np.array_equal(values, np.floor(values)))
    return not pd.api.types.is_timedelta64_dtype(column)


def _is_named(name: Any, values: Any) -> bool:
    if NAMED_AS_KEY.search(spelled(name)):
        return True
    some = [value for value in list(values)[:LOOKED_AT] if isinstance(value, str)]
    written = sum(bool(WRITTEN_AS_KEY.fullmatch(value.strip())) for value in some)
    return len(some) > FEW_CATEGORIES and written >= 0.95 * len(some)


def _is_smooth(column: "pd.Series[Any]", codes: np.ndarray, target: Sequence[np.ndarray]) -> bool:
    """Whether neighbouring numbers have like targets, as ages have and customers have not."""
    sizes = np.bincount(codes)
    values = np.zeros(len(sizes))
    values[codes] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    order = np.argsort(values)
    for signal in target:
        means = (np.bincount(codes, weights=signal) / sizes)[order]
        means = means - means.mean()
        spread = float(np.mean(means**2))
        ratio = float(np.mean(np.diff(means) ** 2)) / max(2 * spread, 1e-12)
        if (1 - ratio) * np.sqrt(len(means)) > SURE / 2:
            return True
    return False
