"""What the routes of AutoML ask; everything heavy is imported when it is first asked for."""

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from goldpath.contract import Contract
from goldpath.learning.segments.limits import NOTHING_TO_SEARCH
from goldpath.serving.automl.bodies import Cell, PredictBody, TrainBody
from goldpath.serving.automl.jobs import Job, JobRequest, JobStore, data_file
from goldpath.serving.http.problem_error import ProblemError
from goldpath.settings import Settings

if TYPE_CHECKING:
    from goldpath.automl.experiments.manager import ExperimentManager
    from goldpath.automl.experiments.results import ExperimentResults
    from goldpath.automl.experiments.tracking import ExperimentTracker

MODELS_KEPT = 4


class Desk:
    """Jobs, experiments, models and runs, behind one counter."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self.settings, self.contract = settings, contract
        self.jobs = JobStore(settings)
        self._loaded = lru_cache(MODELS_KEPT)(self._load)

    @cached_property
    def experiments(self) -> "ExperimentManager":
        """The project's experiments."""
        from goldpath.automl.experiments.manager import ExperimentManager

        folder = self.settings.root / self.settings.automl.folder
        return ExperimentManager(self.contract.dataset, folder)

    @cached_property
    def tracker(self) -> "ExperimentTracker":
        """Their runs in MLflow."""
        from goldpath.automl.experiments.tracking import ExperimentTracker

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
        if not own and not self.contract.has_target:
            raise ProblemError(422, *NOTHING_TO_SEARCH)
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
            groups=body.groups,
            latency_ms=body.latency_ms,
            file=body.file,
            has_rows=body.rows is not None,
        )
        return self.jobs.submit(request, body.rows)

    def predict(self, body: PredictBody) -> list[dict[str, Any]]:
        """Each row's prediction by a model of an experiment, with probabilities of classes.

        Raises:
            ProblemError: 409 if the model is a registered version, which the project's hooks,
                checks, decision and log belong to; 422 if it cannot score the rows.
        """
        if _is_version(body.model_id):
            raise ProblemError(
                409,
                f"{body.model_id} is a registered version; this route asks models of experiments "
                "only, since a version is asked with the project's checks, hooks, decision and log",
                "ask POST /predict/batch; a version that is no champion is asked there with the "
                "header X-Model-Version and the role admin, once it has the alias challenger",
            )
        most = self.settings.serving.maximum_batch_rows
        if len(body.instances) > most:
            raise ProblemError(422, f"{len(body.instances)} rows; at most {most}", "send fewer")
        loaded = self._loaded(body.model_id)
        try:
            return loaded.predict(body.instances)
        except (KeyError, ValueError, TypeError) as error:
            raise ProblemError(
                422,
                f"the model cannot score these rows: {type(error).__name__}",
                "send each column as the model was trained with it",
            ) from error

    def metrics(self, model_id: str) -> dict[str, Any]:
        """Metrics of an experiment's run, or of a registered version's."""
        if not _is_version(model_id):
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

    def _load(self, model_id: str) -> "OwnModel":
        return OwnModel(self._results(model_id))

    def _results(self, model_id: str) -> "ExperimentResults":
        experiment, _, run = model_id.partition(".")
        return self.experiments.get_results(experiment, run)


class OwnModel:
    """A model of an experiment, which has no contract: its columns say what a row is."""

    def __init__(self, results: "ExperimentResults") -> None:
        self._results = results

    def predict(self, instances: list[dict[str, Cell]]) -> list[dict[str, Any]]:
        """Each row's prediction, with probabilities where there are classes."""
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


def _is_version(model_id: str) -> bool:
    """Whether an id is a registered version's, `v3`, and no experiment's, `shop.20261130T…`."""
    return model_id.startswith("v") and "." not in model_id
