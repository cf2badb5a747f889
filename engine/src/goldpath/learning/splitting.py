"""Which rows a model learns from, and which it is judged on.

Rows with an event time are split by time: the newest are the test rows, as in production. Of a
forecast, and of a target of later events, the rows of one horizon before them are left out: their
targets were not known yet when the first test row was asked for. Others
are split by a hash of the entity, within each class, so that a row that was a test row stays one
when new rows arrive. Where entities repeat, all rows of one are on the same side: a model that
knows a customer's other rows would look better than it is for new customers. So are rows that are
copies of each other, as long as they do not join the entities into one heap.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from goldpath.contract import EVENT_TIME, Contract
from goldpath.durations import duration_seconds
from goldpath.errors import NotEnoughDataError
from goldpath.learning.copies import copy_groups
from goldpath.settings import SettingsError, TrainingSettings

MINIMUM_TRAINING_ROWS = 50
FEWEST_SEARCHED = 500
"""Rows of a class that a search should see."""
LARGEST_HEAP = 0.1
"""Entities that copies of rows join may hold this share of the rows; beyond, each stands alone."""


@dataclass(frozen=True)
class Split:
    """Training rows (oldest first where there is a time) and test rows.

    Attributes:
        train: Rows for the search and the fit.
        test: Rows that neither the search nor the fit may see.
        rule: How they were divided, for people.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    rule: str


def split_rows(frame: pd.DataFrame, contract: Contract, settings: TrainingSettings) -> Split:
    """Divide the gold table's rows; the same rows always give the same split.

    Args:
        frame: Entity, event time (where there is one), features and target.
        contract: Names the columns.
        settings: `test_fraction`.

    Raises:
        NotEnoughDataError: If either part would be too small, or training rows lack a class.
    """
    kind = split_rule(frame, contract, settings)
    if kind == "time":
        ordered = frame.sort_values(
            [EVENT_TIME, contract.entity_column], kind="stable", ignore_index=True
        )
        cut = ordered[EVENT_TIME].iloc[int(len(ordered) * (1 - settings.test_fraction))]
        is_test = ordered[EVENT_TIME] >= cut
        is_known = ordered[EVENT_TIME] <= cut - horizon_of(contract)
        rule = f"by time: test rows from {cut} on"
        if contract.horizon:
            between, horizon = int((~is_known & ~is_test).sum()), contract.horizon
            rule += f"; {between:,} rows less than {horizon} before are left out"
    else:
        key = pd.util.hash_pandas_object(frame[contract.entity_column].astype(str), index=False)
        copied = copy_groups(frame, contract)
        groups, is_joined = _together(frame, contract, kind, copied)
        if groups is None:
            groups = np.arange(len(frame))
        keyed = frame.assign(_group=groups, _row=key.to_numpy())
        keyed["_key"] = keyed.groupby("_group")["_row"].transform("min")
        ordered = keyed.sort_values(["_key", "_row"], kind="stable", ignore_index=True)
        if kind == "group":
            is_test = ordered["_key"].rank(method="dense", pct=True) <= settings.test_fraction
            rule = f"by groups: all rows of one {contract.entity_column} on one side"
        else:
            first = ordered.drop_duplicates("_group", ignore_index=True)
            chosen = first["_group"][_rank_within_class(first, contract) < settings.test_fraction]
            is_test = ordered["_group"].isin(chosen)
            rule = "by a hash of the entity" + (
                ", stratified by class" if contract.problem == "classification" else ""
            )
        if copied is not None:
            copies = len(copied) - len(np.unique(copied))
            rule += f"; {copies:,} rows are copies of others and " + (
                "stay on one side with them"
                if is_joined
                else f"may be on both sides: they would join too many {contract.entity_column}s"
            )
        ordered = ordered.drop(columns=["_group", "_key", "_row"])
        is_known = ~is_test
    split = Split(
        train=ordered[~is_test & is_known].reset_index(drop=True),
        test=ordered[is_test].reset_index(drop=True),
        rule=rule,
    )
    _require_enough(split, contract)
    return split


def rows_to_search(
    train: pd.DataFrame, contract: Contract, settings: TrainingSettings
) -> pd.DataFrame:
    """About `search_rows` of the training rows, drawn as the split is, in their order.

    More are drawn where a class would have fewer than 500 rows, and all where one has no more than
    that. Each class keeps its share, by which threshold and interval are chosen, and so does each
    time where there is one; rows that the split keeps together are drawn together. A table that is
    not larger is returned as it is.

    Args:
        train: Training rows.
        contract: Names the columns.
        settings: `search_rows`, `split` and `seed`.
    """
    share = settings.search_rows / len(train)
    if contract.problem == "classification":
        rarest = int(train[contract.target.column].value_counts().min())
        share = max(share, FEWEST_SEARCHED / rarest)
    if share >= 1:
        return train
    shuffled = np.random.default_rng(settings.seed).permutation(len(train))
    groups = row_groups(train, contract, settings)
    if groups is not None:  # one row of each
        shuffled = shuffled[np.unique(groups[shuffled], return_index=True)[1]]
        shuffled = np.random.default_rng(settings.seed).permutation(shuffled)
    target = train[contract.label_columns].iloc[shuffled].reset_index(drop=True)
    drawn = shuffled[(_rank_within_class(target, contract) < share).to_numpy()]
    if groups is not None:
        drawn = np.flatnonzero(np.isin(groups, groups[drawn]))
    return train.iloc[np.sort(drawn)]


def horizon_of(contract: Contract) -> pd.Timedelta:
    """How long after what is known of a row its target is known."""
    return pd.Timedelta(seconds=duration_seconds(contract.horizon) or 0)


def split_rule(
    frame: pd.DataFrame, contract: Contract, settings: TrainingSettings
) -> Literal["time", "group", "stratified"]:
    """The setting `split`, or what the data asks for where it says auto.

    Raises:
        SettingsError: If the setting needs a column that the contract lacks, or would have a
            forecast learn from the future.
    """
    if contract.horizon and settings.split not in ("auto", "time"):
        what = "a forecast" if contract.forecast else f"a target of the next {contract.horizon}"
        raise SettingsError(
            f"training.split is '{settings.split}', but the contract has {what}: rows of the "
            "future would be learned from",
            "set training.split to auto in config/training.yaml",
        )
    repeated = contract.entity is not None and frame[contract.entity_column].duplicated().any()
    if settings.split == "auto":
        return "time" if contract.has_time else "group" if repeated else "stratified"
    if settings.split == "time" and not contract.has_time:
        raise SettingsError(
            "training.split is 'time', but the contract has no event_time",
            "name the column in config/project.yaml, or set training.split to auto",
        )
    if settings.split == "group" and contract.entity is None:
        raise SettingsError(
            "training.split is 'group', but the contract has no entity",
            "name the column in config/project.yaml, or set training.split to auto",
        )
    return settings.split


def row_groups(
    frame: pd.DataFrame, contract: Contract, settings: TrainingSettings
) -> np.ndarray | None:
    """Which rows must stay together, shape (rows,); None where each may go where it likes.

    Rows of one entity stay together where entities repeat, and so do rows that are copies of each
    other. With an event time the time decides instead; of a target of events the rows of one
    entity, which share them, stay together where there are several entities.
    """
    kind = split_rule(frame, contract, settings)
    if kind == "time":
        several = contract.target.event and frame[contract.entity_column].nunique() > 1
        return _entities(frame, contract) if several else None
    return _together(frame, contract, kind, copy_groups(frame, contract))[0]


def _together(
    frame: pd.DataFrame, contract: Contract, kind: str, copied: np.ndarray | None
) -> tuple[np.ndarray | None, bool]:
    """Groups of the rows that stay together, and whether those of copies are among them."""
    if kind != "group":
        return copied, copied is not None
    entities = _entities(frame, contract)
    if copied is None:
        return entities, False
    joined = _joined(entities, copied)
    # Equal rows may chain the entities into a heap that no split can divide.
    most = max(LARGEST_HEAP * len(frame), int(np.bincount(entities).max()))
    if np.bincount(joined).max() > most:
        return entities, False
    return joined, True


def _entities(frame: pd.DataFrame, contract: Contract) -> np.ndarray:
    """The number of each row's entity."""
    names = frame[contract.entity_column].astype(str).to_numpy(dtype=object)
    return np.asarray(np.unique(names, return_inverse=True)[1])


def _joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Groups of rows that either of the two puts together, directly or through other rows."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = int(one.max()) + 1
    nodes = size + int(other.max()) + 1
    links = coo_matrix((np.ones(len(one)), (one, size + other)), shape=(nodes, nodes))
    return np.asarray(connected_components(links, directed=False)[1][one])


def _rank_within_class(ordered: pd.DataFrame, contract: Contract) -> pd.Series:
    """Each row's position within its class (or among all rows), as a share in [0, 1)."""
    if contract.problem != "classification":
        return pd.Series(np.arange(len(ordered)) / max(len(ordered), 1))
    groups = ordered.groupby(contract.target.column)
    position = groups.cumcount()
    size = groups[contract.target.column].transform("size")
    return position / size


def _require_enough(split: Split, contract: Contract) -> None:
    if len(split.train) < MINIMUM_TRAINING_ROWS or len(split.test) < 1:
        raise NotEnoughDataError(
            f"{len(split.train)} training rows and {len(split.test)} test rows; "
            f"{MINIMUM_TRAINING_ROWS} and 1 are needed",
            "bring more rows: make data",
        )
    if contract.problem == "classification":
        for name, rows in (("training", split.train), ("test", split.test)):
            present = set(rows[contract.target.column].unique())
            if len(present) < 2:
                raise NotEnoughDataError(
                    f"the {name} rows ({split.rule}) hold only the class "
                    f"{', '.join(map(str, present))}",
                    "bring rows of every class, or take `event_time` out of config/project.yaml",
                )
