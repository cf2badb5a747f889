"""Which rows a model learns from, and which it is judged on.

Rows with an event time are split by time: the newest are the test rows, as in production. Others
are split by a hash of the entity within each class, so that a row that was a test row stays one
when new rows arrive.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..contract import EVENT_TIME, Contract
from ..errors import NotEnoughDataError
from ..settings import TrainingSettings

MINIMUM_TRAINING_ROWS = 50


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
        NotEnoughDataError: Where either part would be too small, or training rows lack a class.
    """
    if contract.has_time:
        ordered = frame.sort_values(
            [EVENT_TIME, contract.entity_column], kind="stable", ignore_index=True
        )
        cut = ordered[EVENT_TIME].iloc[int(len(ordered) * (1 - settings.test_fraction))]
        is_test = ordered[EVENT_TIME] >= cut
        rule = f"by time: test rows from {cut} on"
    else:
        key = pd.util.hash_pandas_object(frame[contract.entity_column].astype(str), index=False)
        ordered = frame.assign(_key=key.to_numpy()).sort_values(
            "_key", kind="stable", ignore_index=True
        )
        rank = _rank_within_class(ordered, contract)
        is_test = rank < settings.test_fraction
        ordered = ordered.drop(columns="_key")
        rule = "by a hash of the entity" + (
            ", stratified by class" if contract.problem == "classification" else ""
        )
    split = Split(
        train=ordered[~is_test].reset_index(drop=True),
        test=ordered[is_test].reset_index(drop=True),
        rule=rule,
    )
    _require_enough(split, contract)
    return split


def _rank_within_class(ordered: pd.DataFrame, contract: Contract) -> pd.Series:
    """Each row's position within its class (or among all rows), as a share in [0, 1)."""
    if contract.problem == "regression":
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
