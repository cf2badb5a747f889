"""AutoML over HTTP: experiments, jobs in the background, models and MLflow's runs.

Off unless `automl.routes` is set. No search ever runs in the service's own process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictStr,
    model_validator,
)

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.serving.automl.jobs import (
    BusyError,
    Job,
    JobEndedError,
    JobRequest,
    JobStore,
    NoJobError,
    data_file,
)
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import (
    DOCUMENTED_CREDENTIALS,
    KeyedRoute,
    PredictionRoute,
    for_role,
)
from goldpath.settings import Settings

if TYPE_CHECKING:
    from goldpath.automl.experiment import ExperimentManager, ExperimentResults
    from goldpath.automl.tracking import ExperimentTracker
    from goldpath.learning.scoring import LoadedModel

PREFIX = "/api/automl"
ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
RUN = r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{8}$"
MODEL_ID = r"^(v[1-9][0-9]{0,8}|[A-Za-z0-9][A-Za-z0-9_-]{0,62}\.[0-9]{8}T[0-9]{6}-[0-9a-f]{8})$"
MLFLOW_ID = r"^[A-Za-z0-9_-]{1,64}$"
MODELS_KEPT = 4

# Whole numbers before fractions, so that 1 stays an integer; text is never read as a number.
Scalar = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | FiniteFloat | StrictBool
Cell = Annotated[StrictBool | Scalar | StrictStr | None, Field(union_mode="left_to_right")]
ExperimentId = Annotated[str, Field(pattern=ID)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ExperimentBody(_Body):
    """A new experiment."""

    name: str = Field(min_length=1, max_length=100)
    description: str = Field(default="", max_length=2000)
    dataset_info: dict[str, Cell | list[Cell]] = Field(default={}, max_length=50)


class TrainBody(_Body):
    """What to train on, and what it may cost. Without rows and file: the project's gold table."""

    experiment_id: ExperimentId = "default"
    problem_type: Literal["classification", "regression", "clustering"] | None = None
    target: str | None = Field(default=None, min_length=1, max_length=200)
    budget_seconds: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    trials: int | None = Field(default=None, ge=1, le=10_000)
    metric: str | None = Field(default=None, max_length=40)
    time_ordered: bool = False
    rows: list[dict[str, Cell]] | None = Field(default=None, min_length=1)
    file: str | None = Field(default=None, min_length=1, max_length=500)

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """One source, and a target where there must be one."""
        if self.rows is not None and self.file is not None:
            raise ValueError("rows and file were both given; give one, or none for the gold table")
        own = self.rows is not None or self.file is not None
        if own and self.problem_type is None:
            raise ValueError("problem_type is missing, and only the gold table has one of its own")
        if not own and self.problem_type == "clustering":
            raise ValueError("clusters are found in rows or a file; the gold table has a target")
        if own and self.problem_type != "clustering" and self.target is None:
            raise ValueError("target, the name of the column to predict, is missing")
        return self


class PredictBody(_Body):
    """Rows for a model."""

    model_id: str = Field(pattern=MODEL_ID)
    instances: list[dict[str, Cell]] = Field(min_length=1)


class CompareBody(_Body):
    """Runs to compare."""

    run_ids: list[Annotated[str, Field(pattern=MLFLOW_ID)]] = Field(min_length=2, max_length=20)


def automl_routers(settings: Settings, contract: Contract) -> tuple[APIRouter, APIRouter]:
    """The routes that read, and those that take a body."""
    desk = _Desk(settings, contract)
    common: dict[str, Any] = {
        "prefix": PREFIX,
        "dependencies": DOCUMENTED_CREDENTIALS,
        "tags": ["automl"],
    }
    reading = APIRouter(
        route_class=for_role(KeyedRoute, "automl"),
        responses=problem_answers(401, 403, 404, 422, 429, 503),
        **common,
    )
    writing = APIRouter(
        route_class=for_role(PredictionRoute, "automl"),
        responses=problem_answers(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503),
        **common,
    )
    _add_experiments(reading, writing, desk)
    _add_models(reading, writing, desk)
    _add_tracking(reading, writing, desk)
    return reading, writing


def _add_experiments(reading: APIRouter, writing: APIRouter, desk: "_Desk") -> None:
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


def _add_models(reading: APIRouter, writing: APIRouter, desk: "_Desk") -> None:
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
        """Predictions of a model that a job has made."""
        with answered():
            return {"model_id": body.model_id, "predictions": desk.predict(body)}

    @reading.get("/models/{model_id}/metrics")
    def metrics(model_id: Annotated[str, Path(pattern=MODEL_ID)]) -> dict[str, Any]:
        """What is known of a model's quality."""
        with answered():
            return desk.metrics(model_id)


def _add_tracking(reading: APIRouter, writing: APIRouter, desk: "_Desk") -> None:
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


class _Desk:
    """What the routes ask; everything heavy is imported when it is first asked for."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self.settings, self.contract = settings, contract
        self.jobs = JobStore(settings)
        self._loaded = lru_cache(MODELS_KEPT)(self._load)

    @cached_property
    def experiments(self) -> "ExperimentManager":
        from goldpath.automl.experiment import ExperimentManager

        folder = self.settings.root / self.settings.automl.folder
        return ExperimentManager(self.contract.dataset, folder)

    @cached_property
    def tracker(self) -> "ExperimentTracker":
        from goldpath.automl.tracking import ExperimentTracker

        name = self.settings.experiment_name or self.contract.dataset
        return ExperimentTracker(name, self.settings.tracking_uri)

    def start(self, body: TrainBody) -> Job:
        """Check what can be checked before a process is started for it."""
        limits = self.settings.automl
        if body.budget_seconds is not None and body.budget_seconds > limits.maximum_job_seconds:
            raise ProblemError(
                422,
                f"budget_seconds is {body.budget_seconds:g}; at most "
                f"{limits.maximum_job_seconds:g} are allowed",
                "ask for less, or raise MLOPS_AUTOML__MAXIMUM_JOB_SECONDS",
            )
        if body.rows is not None and len(body.rows) > limits.maximum_job_rows:
            raise ProblemError(
                422,
                f"{len(body.rows)} rows; a request may carry {limits.maximum_job_rows}",
                "put them below data/ and name the file",
            )
        if body.file is not None:
            data_file(self.settings.root, body.file)
        own = body.rows is not None or body.file is not None
        if not own and body.problem_type not in (None, self.contract.problem):
            raise ProblemError(
                422,
                f"the gold table is a {self.contract.problem}, not a {body.problem_type}",
                "leave problem_type out",
            )
        trials_only = body.trials is not None and body.budget_seconds is None
        seconds = limits.maximum_job_seconds if trials_only else body.budget_seconds
        request = JobRequest(
            problem_type=body.problem_type or self.contract.problem,
            experiment_id=body.experiment_id,
            target=body.target,
            budget_seconds=seconds,
            trials=body.trials,
            metric=body.metric,
            time_ordered=body.time_ordered,
            file=body.file,
            has_rows=body.rows is not None,
        )
        return self.jobs.submit(request, body.rows)

    def predict(self, body: PredictBody) -> list[dict[str, Any]]:
        """Each row's prediction, with probabilities where there are classes."""
        most = self.settings.serving.maximum_batch_rows
        if len(body.instances) > most:
            raise ProblemError(422, f"{len(body.instances)} rows; at most {most}", "send fewer")
        loaded = self._loaded(body.model_id)
        try:
            if not isinstance(loaded, _Own):
                return _of_version(loaded, body.instances)
            return loaded.predict(body.instances)
        except (KeyError, ValueError, TypeError) as error:
            raise ProblemError(
                422,
                f"the model cannot score these rows: {type(error).__name__}",
                "send each column as the model was trained with it",
            ) from error

    def metrics(self, model_id: str) -> dict[str, Any]:
        """Metrics of an experiment's run, or of a registered version's."""
        if not model_id.startswith("v") or "." in model_id:
            results = self._results(model_id)
            names = ("problem_type", "metric", "score", "best_single_score", "baseline_score")
            values = results.to_dict()
            shown = {name: values[name] for name in (*names, "metrics", "rows", "seconds")}
            return {"model_id": model_id, **shown}
        from goldpath.registry.mlflow_manager import MLflowManager

        manager = MLflowManager(self.settings, self.contract)
        version = manager.version(model_id[1:])
        run = manager.client.get_run(version.run_id)
        return {
            "model_id": model_id,
            "problem_type": self.contract.problem,
            "metrics": dict(run.data.metrics),
        }

    def _load(self, model_id: str) -> "LoadedModel | _Own":
        if model_id.startswith("v") and "." not in model_id:
            from goldpath.registry.mlflow_manager import MLflowManager

            manager = MLflowManager(self.settings, self.contract)
            return manager.load(manager.version(model_id[1:]))
        return _Own(self._results(model_id))

    def _results(self, model_id: str) -> "ExperimentResults":
        experiment, _, run = model_id.partition(".")
        return self.experiments.get_results(experiment, run)


class _Own:
    """A model of an experiment, which has no contract: its columns say what a row is."""

    def __init__(self, results: "ExperimentResults") -> None:
        self._results = results

    def predict(self, instances: list[dict[str, Cell]]) -> list[dict[str, Any]]:
        import pandas as pd

        names = self._results.features
        missing = sorted({name for row in instances for name in names if name not in row})
        unknown = sorted({name for row in instances for name in row if name not in names})
        if missing or unknown:
            raise ProblemError(
                422,
                f"missing columns: {', '.join(missing[:20]) or 'none'}; "
                f"unknown columns: {', '.join(unknown[:20]) or 'none'}",
                f"send {', '.join(names[:50])}",
            )
        frame = pd.DataFrame.from_records([dict(row) for row in instances], columns=list(names))
        model = self._results.model
        values = [
            value.item() if hasattr(value, "item") else value for value in model.predict(frame)
        ]
        if not hasattr(model, "predict_proba"):
            return [{"prediction": value} for value in values]
        labels = [str(label) for label in model.classes_]
        return [
            {
                "prediction": value,
                "probabilities": dict(zip(labels, map(float, row), strict=True)),
            }
            for value, row in zip(values, model.predict_proba(frame), strict=True)
        ]


def _of_version(model: "LoadedModel", instances: list[dict[str, Cell]]) -> list[dict[str, Any]]:
    found = model.predict(instances)
    if found.probabilities is None:
        return [{"prediction": value} for value in found.values]
    labels = model.contract.target.classes
    return [
        {"prediction": value, "probabilities": dict(zip(labels, map(float, row), strict=True))}
        for value, row in zip(found.values, found.probabilities, strict=True)
    ]


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
    from goldpath.automl.experiment import ExperimentError
    from goldpath.automl.tracking import TrackingError
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
