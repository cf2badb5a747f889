"""What a version is compared with later: rows for people to look at, and the counts of all rows."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa

from goldpath.contract import EVENT_TIME
from goldpath.drift.calibration import FEWEST_WINDOWS
from goldpath.drift.compared import PREDICTION, compared_rows
from goldpath.drift.reference import Reference, build_reference
from goldpath.drift.stored_reference import write_reference
from goldpath.drift.windows import Times, window_starts
from goldpath.jobs.training.automl_store import stored_held_out
from goldpath.jobs.training.work import TrainingWork
from goldpath.lake.tables import bronze_table, quarantine_table
from goldpath.learning.search import held_out_predictions
from goldpath.presentation import step
from goldpath.registry.layout import PROFILE_FILE, REFERENCE_FILE
from goldpath.settings import MonitoringSettings
from goldpath.settings.monitoring import WindowLength

WINDOWS: tuple[WindowLength, ...] = ("1h", "1d", "1w", "1mo")


def log_drift_reference(work: TrainingWork) -> None:
    """Log the drift reference of a candidate: a sample of its rows, and the profile of all.

    Every row has a prediction as if it were new: by a model that did not learn from it.
    """
    monitoring = work.settings.monitoring
    rows = predicted_rows(work)
    shown = rows
    if len(rows) > monitoring.reference_rows:
        shown = rows.sample(monitoring.reference_rows, random_state=work.settings.training.seed)
    columns = [*work.contract.feature_names, PREDICTION]
    whole = pa.Table.from_pandas(rows[columns], preserve_index=False)
    times = _times(rows) if work.contract.has_time else None
    reference = build_reference(
        compared_rows(whole, work.definitions.compared),
        times,
        window=monitoring.window,
        season=monitoring.usual_season,
        minimum_rows=monitoring.minimum_rows,
        refused=_refused_share(work, len(rows)),
    )
    step(_told(reference, times, monitoring))
    with TemporaryDirectory() as folder:
        sample, profile = (
            Path(folder) / Path(file).name for file in (REFERENCE_FILE, PROFILE_FILE)
        )
        shown.sort_index()[columns].to_parquet(sample, index=False)
        write_reference(profile, reference)
        for file, path in ((sample, REFERENCE_FILE), (profile, PROFILE_FILE)):
            work.manager.log_file(work.run.run_id, file, str(Path(path).parent))


def predicted_rows(work: TrainingWork) -> pd.DataFrame:
    """The rows that a version is compared with, with predictions as if they were new.

    The training rows; the test rows where a step of the project's own made other rows to learn
    from, since sampled rows are not what the service will see. Of an ensemble the rows that the
    search's folds judged on: with an event time those are the newest ones.
    """
    rows, found = work.split.train, work.found
    if work.learned_otherwise:
        rows = work.split.test
        predictions = work.evaluation.predictions
        labels = predictions.probabilities is not None and not work.contract.is_binary
        values = predictions.values if labels else predictions.scores
        return rows.assign(prediction=pd.Series(values, index=rows.index)).sort_index()
    if found.ensemble is not None:
        known = stored_held_out(work.manager, work.run.run_id)
        return rows.loc[known.index].assign(prediction=known).sort_index()
    return held_out_predictions(
        rows.sort_index(),
        work.contract,
        found.family,
        found.parameters,
        work.settings.training,
        work.definitions,
        most_learnt=work.settings.monitoring.reference_rows,
    )


def _told(reference: Reference, times: Times | None, monitoring: MonitoringSettings) -> str:
    """What drift checks will know of the noise between windows."""
    rows = reference.whole.rows
    if reference.windows is not None and len(reference.windows) >= FEWEST_WINDOWS:
        return (
            f"Drift reference: {rows:,} rows, {len(reference.windows)} windows of "
            f"{monitoring.window} say how much windows differ"
        )
    found = len(reference.windows or ())
    longer = None if times is None else longer_window(times, monitoring)
    advice = (
        ""
        if longer is None
        else f"; {longer[1]} windows of {longer[0]} have enough: monitoring.window: {longer[0]}"
    )
    return (
        f"Drift reference: {rows:,} rows, of which {found} windows of {monitoring.window} have "
        f"{monitoring.minimum_rows} rows; with fewer than {FEWEST_WINDOWS} drift checks take rows "
        f"as independent of each other, and double the floors{advice}"
    )


def longer_window(times: Times, monitoring: MonitoringSettings) -> tuple[WindowLength, int] | None:
    """The shortest longer window of which enough have enough rows, and how many do.

    Args:
        times: When each row of the reference happened.
        monitoring: The present window, and how many rows a window needs.
    """
    for window in WINDOWS[WINDOWS.index(monitoring.window) + 1 :]:
        _, sizes = np.unique(window_starts(times, window), return_counts=True)
        enough = int(np.sum(sizes >= monitoring.minimum_rows))
        if enough >= FEWEST_WINDOWS:
            return window, enough
    return None


def _times(rows: pd.DataFrame) -> Times:
    times: Times = pd.to_datetime(rows[EVENT_TIME]).to_numpy("datetime64[s]")
    return times


def _refused_share(work: TrainingWork, rows: int) -> int:
    """How many rows the contract refused beside so many, as in the lake's quarantine."""
    read = work.lakehouse.snapshot(bronze_table(work.contract))
    refused = work.lakehouse.snapshot(quarantine_table(work.contract))
    if read is None or refused is None or read.rows <= refused.rows:
        return 0
    return int(np.rint(rows * refused.rows / (read.rows - refused.rows)))
