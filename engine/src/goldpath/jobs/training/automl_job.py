"""A job that the service has accepted, in its own process."""

import signal
import time
from collections.abc import Mapping
from dataclasses import asdict
from types import FrameType
from typing import Any, cast

import pandas as pd

from goldpath.automl.experiments.manager import ExperimentManager, ProblemType
from goldpath.automl.experiments.tracking import ExperimentTracker
from goldpath.automl.result import HistoryPoint
from goldpath.contract import Contract, load_contract
from goldpath.errors import ProjectError
from goldpath.jobs.training.automl import Progress, run_automl
from goldpath.presentation import step
from goldpath.registry.stores.store import RegistryError
from goldpath.serving.automl.jobs import JobRequest, JobStore, data_file
from goldpath.settings import Settings

SECONDS_BETWEEN_NOTES = 0.5


def run_job(settings: Settings, job_id: str) -> Mapping[str, Any]:
    """Do what a job was asked for, and leave its progress and its result in its folder.

    Raises:
        ProjectError: What made it fail; it is in the job's folder as well.
    """
    signal.signal(signal.SIGTERM, _stop)
    store = JobStore(settings)
    request = store.request(job_id)
    store.note(job_id, {"tried": 0, "seconds": 0.0, "best": None})
    try:
        contract = load_contract(settings.root)
        result = _run(settings, contract, store, job_id, request)
    except ProjectError as error:
        store.fail(job_id, error.message, error.fix)
        raise
    except Exception as error:
        store.fail(job_id, f"{type(error).__name__}: {error}"[:500], "read the job's log")
        raise
    store.finish(job_id, result)
    return result


def _run(
    settings: Settings, contract: Contract, store: JobStore, job_id: str, request: JobRequest
) -> Mapping[str, Any]:
    on_progress = _notes(store, job_id)
    if request.source == "gold":
        found = run_automl(
            settings,
            contract,
            request.budget_seconds,
            trials=request.trials,
            latency_ms=request.latency_ms,
            run_key=f"job-{job_id}",
            on_progress=on_progress,
        )
        return {"model_id": f"v{found.model_version}", **asdict(found)}
    features, target = _rows(settings, store, job_id, request)
    manager = ExperimentManager(contract.dataset, settings.root / settings.automl.folder)
    options: dict[str, Any] = {} if target is None else {"on_progress": on_progress}
    results = manager.run_basic_experiment(
        experiment_id=request.experiment_id,
        X=features,
        y=target,
        problem_type=cast(ProblemType, request.problem_type),
        budget=request.budget_seconds,
        trials=request.trials,
        metric=request.metric,
        time_ordered=request.time_ordered,
        groups=request.groups,
        latency_ms=request.latency_ms or settings.automl.latency_ms,
        **options,
    )
    run_id = ""
    try:
        tracker = ExperimentTracker(
            settings.experiment_name or contract.dataset, settings.tracking_uri
        )
        run_id = tracker.track_automl_experiment(results, {"source": request.source})
    except RegistryError as error:
        # The model is kept all the same; only MLflow does not know of it.
        step(f"not tracked: {error.message}")
    values = results.to_dict()
    left = ("leaderboard", "history", "options", "folder")
    return {
        "model_id": f"{results.experiment_id}.{results.run_id}",
        "mlflow_run_id": run_id,
        "questions": list(results.questions),
        **{name: value for name, value in values.items() if name not in left},
    }


def _rows(
    settings: Settings, store: JobStore, job_id: str, request: JobRequest
) -> tuple[pd.DataFrame, "pd.Series[Any] | None"]:
    """The features and the target of a request's rows or file.

    Raises:
        ProjectError: If the target's column is missing.
    """
    if request.has_rows:
        table = pd.DataFrame.from_records(store.take_rows(job_id))
    else:
        file = data_file(settings.root, request.file or "")
        table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    if request.problem_type == "clustering":
        return table, None
    if request.target not in table.columns:
        raise ProjectError(
            f"the rows have no column {request.target!r}",
            f"they have {', '.join(map(str, table.columns[:30]))}",
        )
    table = table.dropna(subset=[request.target])
    return table.drop(columns=[request.target]), table[request.target]


def _notes(store: JobStore, job_id: str) -> Progress:
    """Writes the progress now and then: a file for each configuration would cost time."""
    last = 0.0

    def note(point: HistoryPoint) -> None:
        nonlocal last
        if time.monotonic() - last < SECONDS_BETWEEN_NOTES:
            return
        last = time.monotonic()
        store.note(
            job_id,
            {"tried": point.tried, "seconds": point.elapsed, "best": point.ensemble_score},
        )

    return note


def _stop(_: int, __: FrameType | None) -> None:
    # As Ctrl-C does, so that MLflow's run is marked as stopped.
    raise KeyboardInterrupt
