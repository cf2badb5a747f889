"""Rows that the champion was trained and judged on: what it says of them is no news.

A model knows the rows that it was fitted on better than others, so its predictions of them must not
be compared with a reference as if they were new.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import ProjectError
from goldpath.lake.gold_frame import read_gold
from goldpath.lake.lakehouse import Lakehouse, LakehouseError
from goldpath.lake.shards import Shard
from goldpath.learning.frames import model_frame
from goldpath.model_version import ModelVersion
from goldpath.presentation import step
from goldpath.registry.layout import SNAPSHOT_TAG

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MOSTLY_DIFFERENT = 0.95


class UnknownTrainingRowsError(ProjectError):
    """Nobody can tell which rows a version was trained on."""


def training_rows(
    rows: "pa.Table",
    contract: Contract,
    lakehouse: Lakehouse,
    champion: ModelVersion,
    shard: Shard | None = None,
) -> np.ndarray:
    """As `known_training_rows`; where nobody can tell, no row is, and that is said."""
    try:
        return known_training_rows(rows, contract, lakehouse, champion, shard)
    except UnknownTrainingRowsError as error:
        step(f"no row is marked as the champion's own: {error.message}")
        return np.zeros(rows.num_rows, dtype=bool)


def known_training_rows(
    rows: "pa.Table",
    contract: Contract,
    lakehouse: Lakehouse,
    champion: ModelVersion,
    shard: Shard | None = None,
) -> np.ndarray:
    """Which rows were in the gold table when the champion was trained: booleans, shape (rows,).

    Args:
        rows: Typed rows with entity, event time and features.
        contract: Names the columns.
        lakehouse: Where gold is.
        champion: The version that scores.
        shard: Where the rows are those of a shard; then only its training rows are read.

    Raises:
        UnknownTrainingRowsError: If its data cannot be read, or lacks columns of the contract.
    """
    if SNAPSHOT_TAG not in champion.tags:
        raise UnknownTrainingRowsError(
            f"version {champion.version} does not say which data it was trained on "
            f"(tag {SNAPSHOT_TAG})"
        )
    try:
        # A row without an entity may have had another number, and so another shard.
        part = shard if contract.entity else None
        gold = read_gold(lakehouse, contract, int(champion.tags[SNAPSHOT_TAG]), part)
    except LakehouseError as error:
        raise UnknownTrainingRowsError(
            f"the data that version {champion.version} was trained on cannot be compared with: "
            f"{error.message}"
        ) from error
    scored: pd.DataFrame = rows.to_pandas()
    known = _digests(_values(gold, contract))
    # Without an entity a row's number tells rows apart; where no two are equal it need not.
    if contract.entity is None and len(np.unique(known)) >= MOSTLY_DIFFERENT * len(known):
        return np.isin(_digests(_values(scored, contract)), known)
    subject = contract.entity_column
    mine, theirs = (
        _digests(_values(frame, contract).assign(_subject=frame[subject].astype(str)))
        for frame in (scored, gold)
    )
    return np.isin(mine, theirs)


def _values(frame: "pd.DataFrame", contract: Contract) -> "pd.DataFrame":
    values = model_frame(frame, contract)
    if contract.has_time:
        import pandas as pd

        times: Any = pd.to_datetime(frame[EVENT_TIME])
        values = values.assign(_time=times.astype("datetime64[us]").astype("int64"))
    return values


def _digests(values: "pd.DataFrame") -> np.ndarray:
    import pandas as pd

    return np.asarray(pd.util.hash_pandas_object(values, index=False))
