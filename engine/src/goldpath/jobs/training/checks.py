"""What training refuses to learn from: bad deliveries, rows of the future, features that leak."""

import hashlib
from datetime import datetime

import pandas as pd

from goldpath.adoption.leakage import find_leaks
from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import CheckFailedError, NotEnoughDataError
from goldpath.jobs.labels.label_events import rows_by_label
from goldpath.lake.lakehouse import Lakehouse, Snapshot
from goldpath.lake.tables import gold_table, quarantine_table, silver_table
from goldpath.learning.frames import model_frame
from goldpath.settings import Settings


def quarantine_share(lakehouse: Lakehouse, contract: Contract) -> float:
    """Refused rows among all that were checked."""
    refused, accepted = (
        snapshot.rows if (snapshot := lakehouse.snapshot(table)) else 0
        for table in (quarantine_table(contract), silver_table(contract))
    )
    return refused / max(refused + accepted, 1)


def refuse_quarantined(share: float, contract: Contract, settings: Settings) -> None:
    """Stop where so many rows were refused that the rest may not stand for the whole.

    Raises:
        CheckFailedError: Names the share and the limit.
    """
    limit = settings.training.maximum_quarantine_share
    if share > limit:
        raise CheckFailedError(
            f"{share:.1%} of the rows are in quarantine; at most {limit:.0%} may be",
            f"make data-report shows why; correct the source or {contract.file}, or raise "
            "training.maximum_quarantine_share",
        )


def count_unlabelled(lakehouse: Lakehouse, contract: Contract, snapshot: Snapshot) -> int:
    """How many rows of gold have no label yet, where the target is made from events.

    Raises:
        NotEnoughDataError: If the others are not of both classes; names the keys of the target.
    """
    target = contract.target
    if not target.event:
        return 0
    gold = lakehouse.read(gold_table(contract), snapshot.snapshot_id)
    counts = rows_by_label(lakehouse, gold, target)
    unlabelled = counts.pop(None, 0)
    if len(counts) < len(target.classes):
        found = ", ".join(f"{rows:,} are {label}" for label, rows in counts.items())
        others = f"of the others {found}" if found else "no row has one"
        raise NotEnoughDataError(
            f"target {target.column}: of {snapshot.rows:,} rows of gold {unlabelled:,} have no "
            f"label, since the events of {target.event} are not known up to {target.within} "
            f"(target.within) after their time; {others}",
            "bring newer events, or rows that are older: make data; or correct target.within, "
            f"target.where or target.observed_until in {contract.file}",
        )
    return unlabelled


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
    """Stop where a feature determines the target, if there is one.

    Raises:
        CheckFailedError: Names the features.
    """
    if not contract.has_target:
        return
    target = rows[contract.target.column]
    leaks = find_leaks(
        model_frame(rows, contract).drop(columns=contract.text_features),
        target,
        contract.problem,
        settings.training.leak_threshold,
    )
    if leaks:
        found = "; ".join(f"{', '.join(leak.columns)} ({leak.reason})" for leak in leaks)
        raise CheckFailedError(
            f"features give the target {contract.target.column!r} away: {found}",
            f"move them from `features` to `ignored` in {contract.file} and run make data; "
            "if they are truly known before the prediction, raise training.leak_threshold",
        )


def rows_digest(rows: pd.DataFrame) -> str:
    """SHA-256 of rows, whatever their order in memory is called."""
    hashes = pd.util.hash_pandas_object(rows.astype("string"), index=False).to_numpy()
    return hashlib.sha256(hashes.tobytes()).hexdigest()
