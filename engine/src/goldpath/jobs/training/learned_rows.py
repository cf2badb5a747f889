"""Rows that a step of the project's own wants to be learned from: what they must be."""

import pandas as pd

from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import NotEnoughDataError
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.jobs.step_order import Step
from goldpath.learning.splitting import MINIMUM_TRAINING_ROWS, Split


def usable_rows(rows: pd.DataFrame, split: Split, contract: Contract, step: Step) -> pd.DataFrame:
    """The rows in the form of the training rows: the same columns, oldest first.

    Args:
        rows: What the step handed over.
        split: The training rows as they were divided, and the test rows.
        contract: Names the target and the time.
        step: Whose rows they are.

    Raises:
        ProjectDefinitionError: If these are no rows, have other columns, or hold test rows.
        NotEnoughDataError: If they are too few, or lack a class that the training rows have.
    """
    if not isinstance(rows, pd.DataFrame):
        raise ProjectDefinitionError(
            f"{place_of(step)} gave learn_from a {type(rows).__name__}, not a DataFrame",
            "hand over rows of work.train_rows: learn_from(rows)",
        )
    columns = list(split.train.columns)
    if missing := [name for name in columns if name not in rows.columns]:
        raise ProjectDefinitionError(
            f"{place_of(step)}: the rows to learn from lack the columns {', '.join(missing)}",
            "keep the columns of work.train_rows; leave features out in config/project.yaml",
        )
    if strange := [str(name) for name in rows.columns if name not in columns]:
        raise ProjectDefinitionError(
            f"{place_of(step)}: the rows to learn from have the columns {', '.join(strange)}, "
            "which are no features",
            "drop them before learn_from; a new feature belongs in config/project.yaml",
        )
    rows = rows[columns]
    if leaked := _test_rows(rows, split, step):
        raise ProjectDefinitionError(
            f"{place_of(step)}: {leaked} of the rows to learn from are test rows",
            "start from work.train_rows, never from work.rows or work.split.test",
        )
    _require_enough(rows, split, contract, step)
    if contract.has_time:  # the folds of the search want the oldest first
        rows = rows.sort_values([EVENT_TIME, contract.entity_column], kind="stable")
    return rows.reset_index(drop=True)


def _test_rows(rows: pd.DataFrame, split: Split, step: Step) -> int:
    """How many are test rows; those that look like a training row, too, do not count."""
    kinds = split.train.dtypes.to_dict()
    try:
        ours = _hashes(rows.astype(kinds))
    except (TypeError, ValueError) as error:
        raise ProjectDefinitionError(
            f"{place_of(step)}: the rows to learn from have other types than the training rows: "
            f"{error}",
            "keep the types of work.train_rows",
        ) from error
    test = set(_hashes(split.test)) - set(_hashes(split.train))
    return int(ours.isin(test).sum())


def _hashes(rows: pd.DataFrame) -> "pd.Series[int]":
    return pd.util.hash_pandas_object(rows, index=False)


def _require_enough(rows: pd.DataFrame, split: Split, contract: Contract, step: Step) -> None:
    if len(rows) < MINIMUM_TRAINING_ROWS:
        raise NotEnoughDataError(
            f"{place_of(step)}: {len(rows)} rows to learn from; {MINIMUM_TRAINING_ROWS} are needed",
            "leave fewer rows out",
        )
    if contract.problem == "classification":
        target = contract.target.column
        if gone := sorted(set(split.train[target]) - set(rows[target])):
            raise NotEnoughDataError(
                f"{place_of(step)}: the rows to learn from hold no row of the class "
                f"{', '.join(map(str, gone))}",
                "keep rows of every class",
            )
