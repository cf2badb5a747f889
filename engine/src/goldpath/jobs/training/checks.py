"""What training refuses to learn from: bad deliveries, rows of the future, features that leak."""

import hashlib
from datetime import datetime

import pandas as pd

from goldpath.adoption.leakage import find_leaks
from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import CheckFailedError
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.tables import quarantine_table, silver_table
from goldpath.learning.frames import model_frame
from goldpath.settings import Settings


def quarantine_share(lakehouse: Lakehouse, contract: Contract) -> float:
    """Refused rows among all that were checked."""
    refused, accepted = (
        snapshot.rows if (snapshot := lakehouse.snapshot(table)) else 0
        for table in (quarantine_table(contract), silver_table(contract))
    )
    return refused / max(refused + accepted, 1)


def refuse_quarantined(share: float, settings: Settings) -> None:
    """Stop where so many rows were refused that the rest may not stand for the whole.

    Raises:
        CheckFailedError: Names the share and the limit.
    """
    limit = settings.training.maximum_quarantine_share
    if share > limit:
        raise CheckFailedError(
            f"{share:.1%} of the rows are in quarantine; at most {limit:.0%} may be",
            "make data-report shows why; correct the source or config/project.yaml, or raise "
            "training.maximum_quarantine_share",
        )


def refuse_future_rows(rows: pd.DataFrame, contract: Contract, committed_at: datetime) -> None:
    """Stop where rows say that they became true after the table was written.

    Args:
        rows: Gold's.
        contract: Names the event time.
        committed_at: When gold's snapshot was written.

    Raises:
        CheckFailedError: Names the column, the count and an example.
    """
    if contract.event_time is None:
        return
    written = pd.Timestamp(committed_at)
    times = pd.to_datetime(rows[EVENT_TIME])
    if times.dt.tz is None:
        written = written.tz_localize(None)
    # A day of grace: times without an offset may be written in another zone.
    future = times > written + pd.Timedelta(days=1)
    if future.any():
        raise CheckFailedError(
            f"{int(future.sum())} rows lie in the future: {contract.event_time.column} up to "
            f"{times.max()}, while the table was written {written}",
            "correct the column or its format in config/project.yaml; planned events have no "
            "place in training data",
        )


def refuse_leaks(rows: pd.DataFrame, contract: Contract, settings: Settings) -> None:
    """Stop where a feature determines the target.

    Raises:
        CheckFailedError: Names the features.
    """
    target = rows[contract.target.column]
    leaks = find_leaks(
        model_frame(rows, contract), target, contract.problem, settings.training.leak_threshold
    )
    if leaks:
        found = "; ".join(f"{', '.join(leak.columns)} ({leak.reason})" for leak in leaks)
        raise CheckFailedError(
            f"features give the target {contract.target.column!r} away: {found}",
            "move them from `features` to `ignored` in config/project.yaml and run make data; "
            "if they are truly known before the prediction, raise training.leak_threshold",
        )


def rows_digest(rows: pd.DataFrame) -> str:
    """SHA-256 of rows, whatever their order in memory is called."""
    hashes = pd.util.hash_pandas_object(rows.astype("string"), index=False).to_numpy()
    return hashlib.sha256(hashes.tobytes()).hexdigest()
