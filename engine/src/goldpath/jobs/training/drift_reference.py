"""What a version is compared with later: rows for people to look at, and the counts of all rows."""

from collections.abc import Sequence
from dataclasses import replace
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
from goldpath.drift.texts import known_words, measured
from goldpath.drift.windows import Times, window_starts
from goldpath.jobs.drift.estimated_quality import CALIBRATION, LOSS
from goldpath.jobs.training.automl_store import stored_held_out
from goldpath.jobs.training.work import TrainingWork
from goldpath.lake.tables import bronze_table, quarantine_table
from goldpath.learning.metrics import expected_calibration_error
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
    compared = compared_rows(whole, work.definitions.compared)
    words = known_words(compared, work.contract.text_features)
    reference = build_reference(
        measured(compared, words, in_training=True),
        times,
        window=monitoring.window,
        season=monitoring.usual_season,
        minimum_rows=monitoring.minimum_rows,
        refused=_refused_share(work, len(rows)),
    )
    reference = replace(reference, words=words)
    step(_told(reference, times, monitoring))
    with TemporaryDirectory() as folder:
        sample, profile = (
            Path(folder) / Path(file).name for file in (REFERENCE_FILE, PROFILE_FILE)
        )
        _shown(work, shown.sort_index(), columns).to_parquet(sample, index=False)
        write_reference(profile, reference)
        for file, path in ((sample, REFERENCE_FILE), (profile, PROFILE_FILE)):
            work.manager.log_file(work.run.run_id, file, str(Path(path).parent))
    if work.contract.problem == "classification" and not work.contract.is_binary:
        _log_calibration(work)


def _shown(work: TrainingWork, rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The rows as they are stored: of a number with what its quality is estimated by later."""
    if work.contract.problem != "regression":
        return rows[columns]
    errors = (rows[work.contract.target.column] - rows[PREDICTION]).abs()
    return rows[columns].assign(**{LOSS: errors.astype("float64")})


def _log_calibration(work: TrainingWork) -> None:
    """How often the label that is most probable is right, beside its probability: test rows.

    Two classes have this metric anyway; of more it says whether probabilities tell the accuracy.
    """
    predictions = work.evaluation.predictions
    truth = work.split.test[work.contract.target.column].astype(str).to_numpy()
    is_right = truth == np.array(predictions.values, dtype=str)
    error = expected_calibration_error(is_right, np.array(predictions.scores))
    work.manager.log_metrics(work.run.run_id, {f"test_{CALIBRATION}": error})


def predicted_rows(work: TrainingWork) -> pd.DataFrame:
    """The rows that a version is compared with, with predictions as if they were new.

    The training rows; the test rows where a step of the project's own made other rows to learn
    from, since sampled rows are not what the service will see. Of an ensemble the rows that the
    search's folds judged on: with an event time those are the newest ones.
    """
    rows, found = work.split.train, work.found
    if not work.contract.has_target:  # there is no label that the model could know by heart
        return rows.assign(prediction=work.model.predict(rows).values).sort_index()
    if work.learned_otherwise:
        rows = work.split.test
        predictions = work.evaluation.predictions
        labels = predictions.probabilities is not None and not work.contract.is_binary
        values = predictions.values if labels else predictions.scores
        return rows.assign(prediction=pd.Series(values, index=rows.index)).sort_index()
    if found.ensemble is not None:
        known = stored_held_out(work.manager, work.run.run_id, work.decided_contract)
        return rows.loc[known.index].assign(prediction=known).sort_index()
    return held_out_predictions(
        rows.sort_index(),
        work.decided_contract,
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
        shorter = None if times is None else shorter_window(times, monitoring)
        sooner = (
            ""
            if shorter is None
            else f"; {shorter[1]} windows of {shorter[0]} have enough rows, too, and would show a "
            "shift sooner (monitoring.window)"
        )
        return (
            f"Drift reference: {rows:,} rows; how much windows of {monitoring.window} differ is "
            f"known from {len(reference.windows)} of them{sooner}"
        )
    if times is None:
        return (
            f"Drift reference: {rows:,} rows without a time, so it is not known how much they "
            "usually differ: drift checks need twice the difference"
        )
    found = len(reference.windows or ())
    longer = longer_window(times, monitoring)
    advice = (
        ""
        if longer is None
        else f". Set monitoring.window: {longer[0]}, which gives {longer[1]} windows"
    )
    return (
        f"Drift reference: {rows:,} rows. {found or 'No'} windows of {monitoring.window} have "
        f"{monitoring.minimum_rows} rows; with fewer than {FEWEST_WINDOWS} it is not known how "
        f"much windows usually differ, so drift checks need twice the difference{advice}"
    )


def longer_window(times: Times, monitoring: MonitoringSettings) -> tuple[WindowLength, int] | None:
    """The shortest longer window of which enough have enough rows, and how many do.

    Args:
        times: When each row of the reference happened.
        monitoring: The present window, and how many rows a window needs.
    """
    longer = WINDOWS[WINDOWS.index(monitoring.window) + 1 :]
    return _first_with_enough(times, longer, monitoring.minimum_rows)


def shorter_window(times: Times, monitoring: MonitoringSettings) -> tuple[WindowLength, int] | None:
    """The next shorter window, if enough of these have enough rows, and how many do."""
    place = WINDOWS.index(monitoring.window)
    return _first_with_enough(times, WINDOWS[max(place - 1, 0) : place], monitoring.minimum_rows)


def _first_with_enough(
    times: Times, windows: Sequence[WindowLength], minimum: int
) -> tuple[WindowLength, int] | None:
    for window in windows:
        _, sizes = np.unique(window_starts(times, window), return_counts=True)
        enough = int(np.sum(sizes >= minimum))
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
