"""AutoML over HTTP: experiments, jobs in the background, models and MLflow's runs.

Off unless `automl.routes` is set. No search ever runs in the service's own process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.serving.automl.bodies import (
    ID,
    MODEL_ID,
    CompareBody,
    ExperimentBody,
    PredictBody,
    TrainBody,
)
from goldpath.serving.automl.desk import Desk
from goldpath.serving.automl.jobs import BusyError, Job, JobEndedError, NoJobError
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import (
    DOCUMENTED_CREDENTIALS,
    KeyedRoute,
    TableRoute,
    for_role,
)
from goldpath.settings import Settings

PREFIX = "/api/automl"


def automl_routers(settings: Settings, contract: Contract) -> tuple[APIRouter, APIRouter]:
    """The routes that read, and those that take a body."""
    desk = Desk(settings, contract)
    common: dict[str, Any] = {
        "prefix": PREFIX,
        "dependencies": DOCUMENTED_CREDENTIALS,
        "tags": ["automl"],
    }
    reading = APIRouter(
        route_class=for_role(KeyedRoute, "automl"),
        responses=problem_answers(400, 401, 403, 404, 422, 429, 503),
        **common,
    )
    writing = APIRouter(
        route_class=for_role(TableRoute, "automl"),
        responses=problem_answers(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
        **common,
    )
    _add_experiments(reading, writing, desk)
    _add_models(reading, writing, desk)
    _add_tracking(reading, writing, desk)
    return reading, writing


def _add_experiments(reading: APIRouter, writing: APIRouter, desk: Desk) -> None:
    @writing.post("/experiments", status_code=201)
    def create_experiment(body: ExperimentBody) -> dict[str, Any]:
        """Make an experiment."""
        with answered():
            made = desk.experiments.create_experiment(
                name=body.name, description=body.description, dataset_info=body.dataset_info
            )
            return desk.experiments.get_experiment(made).to_dict()

    @reading.get("/experiments")
    def list_experiments() -> dict[str, Any]:
        """All experiments, oldest first."""
        with answered():
            found = desk.experiments.list_experiments()
            return {"experiments": [item.to_dict() for item in found]}

    @reading.get("/experiments/{experiment_id}")
    def get_experiment(experiment_id: Annotated[str, Path(pattern=ID)]) -> dict[str, Any]:
        """One experiment and its runs; their models are `experiment.run`."""
        with answered():
            return desk.experiments.get_experiment(experiment_id).to_dict()


def _add_models(reading: APIRouter, writing: APIRouter, desk: Desk) -> None:
    @writing.post("/models/train", status_code=202)
    def train(body: TrainBody, response: Response) -> dict[str, Any]:
        """Start a job in the background; ask for it under `/jobs/{id}`."""
        with answered():
            job = desk.start(body)
        response.headers["Location"] = f"{PREFIX}/jobs/{job.job_id}"
        return _shown(job)

    @reading.get("/jobs/{job_id}")
    def get_job(job_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]) -> dict[str, Any]:
        """How far a job is; its result once it is finished."""
        with answered():
            return _shown(desk.jobs.get(job_id))

    @reading.post("/jobs/{job_id}/cancel", responses=problem_answers(409))
    def cancel_job(job_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]) -> dict[str, Any]:
        """Stop a job and every process that it has started."""
        with answered():
            return _shown(desk.jobs.cancel(job_id))

    @writing.post("/models/predict")
    def predict(body: PredictBody) -> dict[str, Any]:
        """Predictions of an experiment's model; a registered version is asked by `/predict`.

        The project's hooks, decision and prediction log are of its registered versions.
        """
        with answered():
            return {"model_id": body.model_id, "predictions": desk.predict(body)}

    @reading.get("/models/{model_id}/metrics")
    def metrics(model_id: Annotated[str, Path(pattern=MODEL_ID)]) -> dict[str, Any]:
        """What is known of a model's quality."""
        with answered():
            return desk.metrics(model_id)


def _add_tracking(reading: APIRouter, writing: APIRouter, desk: Desk) -> None:
    @reading.get("/tracking/runs")
    def list_runs(most: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
        """AutoML's runs in MLflow, newest first."""
        with answered():
            return {"runs": [run.to_dict() for run in desk.tracker.list_runs(most)]}

    @reading.get("/tracking/experiments")
    def list_tracked_experiments() -> dict[str, Any]:
        """MLflow's experiments."""
        with answered():
            found = desk.tracker.list_experiments()
            return {"experiments": [item.to_dict() for item in found]}

    @writing.post("/tracking/compare")
    def compare(body: CompareBody) -> dict[str, Any]:
        """Runs side by side."""
        with answered():
            return desk.tracker.compare_runs(body.run_ids).to_dict()


@contextmanager
def answered() -> Iterator[None]:
    """Errors that a person can mend as problems."""
    try:
        yield
    except ProblemError:
        raise
    except ProjectError as error:
        raise ProblemError(_status(error), error.message, error.fix) from error


def _status(error: ProjectError) -> int:
    from goldpath.automl.experiments.results import ExperimentError
    from goldpath.automl.experiments.tracking import TrackingError
    from goldpath.registry.stores.store import RegistryError

    if isinstance(error, NoJobError | ExperimentError | TrackingError):
        return 404
    if isinstance(error, BusyError | JobEndedError):
        return 409
    # MLflow's message says "no version" for a wrong id, and otherwise that it cannot be reached.
    if isinstance(error, RegistryError):
        return 404 if "no version" in error.message else 503
    return 422


def _shown(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "state": job.state,
        "source": job.source,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "progress": job.progress,
        "result": job.result,
        "error": job.error,
        "fix": job.fix,
    }
