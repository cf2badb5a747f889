"""AutoML's experiments in MLflow: a parent run for each, and a child run for each configuration.

Where MLflow is, says `MLFLOW_TRACKING_URI`; else the project's own SQLite file, or `mlflow.db` in
the current folder where there is no project.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from goldpath.automl.indexed import Indexed
from goldpath.automl.report import plain
from goldpath.automl.result import LeaderboardEntry
from goldpath.errors import ProjectError
from goldpath.registry.stores.mlflow import translate
from goldpath.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MOST_CHILDREN = 100
LONGEST = 500
RESULT = "automl_result"
KIND = "kind"
PARENT = "mlflow.parentRunId"


class TrackingError(ProjectError):
    """A run that MLflow does not know, or a result that cannot be tracked."""


@dataclass(frozen=True)
class TrackedRun(Indexed):
    """A run: what it logged.

    Attributes:
        run_id: MLflow's id.
        name: Its name.
        experiment: Its experiment's name.
        status: RUNNING, FINISHED, FAILED …
        started: When, in seconds since 1970.
        seconds: How long it took; None while it runs.
        metrics: The last value of each.
        parameters: What it logged once.
    """

    run_id: str
    name: str
    experiment: str
    status: str
    started: float
    seconds: float | None
    metrics: Mapping[str, float]
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class TrackedExperiment(Indexed):
    """An experiment of MLflow."""

    experiment_id: str
    name: str
    created: float


@dataclass(frozen=True)
class RunComparison(Indexed):
    """Runs side by side.

    Attributes:
        runs: In the order that was asked for.
        metrics: Each run's value, by metric and run; None where it has none.
        different_parameters: Values of the parameters that are not the same in all runs.
        best: The best run by metric, for metrics whose direction is known.
    """

    runs: tuple[TrackedRun, ...]
    metrics: Mapping[str, Mapping[str, float | None]]
    different_parameters: Mapping[str, Mapping[str, str | None]]
    best: Mapping[str, str]


class ExperimentTracker:
    """One experiment of MLflow.

    Args:
        name: The experiment; it is made with its first run.
        tracking_uri: MLflow's server or database; found as the module says where not given.
    """

    def __init__(self, name: str, tracking_uri: str | None = None) -> None:
        self.name = name
        self.tracking_uri, self._artifacts = _place(tracking_uri)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        if self.tracking_uri.startswith("http"):
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own client."""
        import mlflow

        return mlflow.MlflowClient(self.tracking_uri)

    @contextlib.contextmanager
    def translate(self, what: str) -> Any:
        """MLflow's exceptions as one sentence that names the server."""
        with translate(self.tracking_uri, what):
            yield

    def track_automl_experiment(
        self,
        experiment_results: Any,
        dataset_info: Mapping[str, Any] | None = None,
    ) -> str:
        """Log a result: parameters, metrics, report and model, and its configurations as children.

        A result is logged once: a second call with it returns the run that is there.

        Args:
            experiment_results: What `run_basic_experiment` or `auto_tune_model` returned.
            dataset_info: Anything about the data, such as its shape.

        Returns:
            The run's id.

        Raises:
            TrackingError: If it is no such result.
            RegistryError: If MLflow cannot be reached.
        """
        needed = ("run_id", "metrics", "leaderboard", "problem_type")
        missing = [name for name in needed if not hasattr(experiment_results, name)]
        if missing:
            raise TrackingError(
                f"a {type(experiment_results).__name__} is no result of AutoML: "
                f"it lacks {', '.join(missing)}",
                "give what run_basic_experiment or auto_tune_model returned",
            )
        with self.translate("tracking the experiment"):
            experiment = self._experiment_id()
            if known := self._known(experiment, experiment_results.run_id):
                return known
            return self._log(experiment, experiment_results, dict(dataset_info or {}))

    def list_runs(self, most: int = 100) -> tuple[TrackedRun, ...]:
        """The experiment's runs, without their children, newest first."""
        with self.translate("listing the runs"):
            found = self.client.get_experiment_by_name(self.name)
            if found is None:
                return ()
            runs = self.client.search_runs(
                [found.experiment_id],
                f"tags.{KIND} = 'automl'",
                max_results=most,
                order_by=["attributes.start_time DESC"],
            )
            return tuple(_tracked(run, self.name) for run in runs)

    def list_experiments(self) -> tuple[TrackedExperiment, ...]:
        """All experiments of this MLflow, newest first."""
        with self.translate("listing the experiments"):
            return tuple(
                TrackedExperiment(
                    str(item.experiment_id), item.name, (item.creation_time or 0) / 1000
                )
                for item in self.client.search_experiments(max_results=1000)
            )

    def compare_runs(self, run_ids: Sequence[str]) -> RunComparison:
        """Runs side by side: their metrics, and the parameters that differ.

        Raises:
            TrackingError: For fewer than two runs, or one that MLflow does not know.
        """
        if len(set(run_ids)) < 2:
            raise TrackingError(
                f"{len(set(run_ids))} run(s) were given; a comparison takes two or more",
                "list_runs says which there are",
            )
        runs = tuple(self._run(run_id) for run_id in dict.fromkeys(run_ids))
        names = sorted({name for run in runs for name in run.metrics})
        metrics = {name: {run.run_id: run.metrics.get(name) for run in runs} for name in names}
        parameters = sorted({name for run in runs for name in run.parameters})
        different = {
            name: {run.run_id: run.parameters.get(name) for run in runs}
            for name in parameters
            if len({run.parameters.get(name) for run in runs}) > 1
        }
        return RunComparison(runs, metrics, different, _best(metrics))

    def _run(self, run_id: str) -> TrackedRun:
        from mlflow.exceptions import MlflowException

        with self.translate("reading a run"):
            try:
                run = self.client.get_run(run_id)
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                raise TrackingError(
                    f"MLflow knows no run {run_id!r}", "list_runs says which there are"
                ) from error
            experiment = self.client.get_experiment(run.info.experiment_id)
            return _tracked(run, experiment.name)

    def _experiment_id(self) -> str:
        found = self.client.get_experiment_by_name(self.name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        return str(self.client.create_experiment(self.name, artifact_location=self._artifacts))

    def _known(self, experiment: str, result: str) -> str | None:
        found = self.client.search_runs(
            [experiment],
            f"tags.{RESULT} = '{result}' and attributes.status = 'FINISHED'",
            max_results=1,
        )
        return str(found[0].info.run_id) if found else None

    def _log(self, experiment: str, results: Any, dataset: dict[str, Any]) -> str:
        from mlflow.entities import Metric, Param

        run = self.client.create_run(
            experiment,
            run_name=str(getattr(results, "experiment_id", "") or results.problem_type),
            tags={RESULT: results.run_id, KIND: "automl"},
        )
        run_id = str(run.info.run_id)
        try:
            parameters = {
                "problem_type": results.problem_type,
                **{f"best_{name}": value for name, value in dict(results.best_params).items()},
                **{f"dataset_{name}": value for name, value in dataset.items()},
                **{
                    name: value
                    for name in ("best_family", "model_type", "method", "budget_seconds", "seed")
                    if (value := getattr(results, name, None)) is not None
                },
            }
            self.client.log_batch(
                run_id,
                metrics=[
                    Metric(name, float(value), 0, 0)
                    for name, value in plain(results.metrics).items()
                    if value is not None
                ],
                params=[
                    Param(name, str(plain(value))[:LONGEST]) for name, value in parameters.items()
                ],
            )
            log_configurations(self.client, experiment, run_id, results.leaderboard)
            self._log_files(run_id, results, dataset)
        except BaseException:
            self.client.set_terminated(run_id, "FAILED")
            raise
        self.client.set_terminated(run_id)
        return run_id

    def _log_files(self, run_id: str, results: Any, dataset: dict[str, Any]) -> None:
        self.client.log_dict(run_id, plain(dataset), "dataset.json")
        self.client.log_dict(run_id, results.to_dict(), "automl/result.json")
        folder = getattr(results, "folder", None)
        for name in ("report.html", "report.json"):
            if folder and (Path(folder) / name).is_file():
                self.client.log_artifact(run_id, str(Path(folder) / name), "automl")
        if getattr(results, "model", None) is None:
            return
        from skops.io import dump

        with TemporaryDirectory(prefix="tracked-") as name:
            file = Path(name) / "model.skops"
            dump(results.model, file)
            self.client.log_artifact(run_id, str(file), "automl")


def create_tracker(name: str = "automl", tracking_uri: str | None = None) -> ExperimentTracker:
    """A tracker of experiments in MLflow.

    Args:
        name: MLflow's experiment; it is made with its first run.
        tracking_uri: MLflow's server or database; the project's where not given, and `mlflow.db` in
            the current folder where there is no project.

    Returns:
        Logs results of `ExperimentManager` and `HyperparameterTuner` as runs, each configuration
        as a child run, and lists and compares them.

    Example:
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> from goldpath import HyperparameterTuner, create_tracker
        >>> results = HyperparameterTuner().auto_tune_model(
        ...     DecisionTreeRegressor(), X=[[n] for n in range(60)], y=range(60), n_iter=1
        ... )
        >>> tracker = create_tracker("rents")
        >>> run_id = tracker.track_automl_experiment(experiment_results=results)
        >>> [run.run_id == run_id for run in tracker.list_runs()]
        [True]
    """
    return ExperimentTracker(name, tracking_uri)


def log_configurations(
    client: "MlflowClient",
    experiment_id: str,
    parent: str,
    leaderboard: Sequence[LeaderboardEntry],
) -> None:
    """Log the best configurations as child runs; all of them are in the report.

    What a former call has logged for the same parent is not logged again.
    """
    from mlflow.entities import Metric, Param

    known = client.search_runs([experiment_id], f"tags.`{PARENT}` = '{parent}'", max_results=1000)
    names = {run.info.run_name for run in known if run.info.status == "FINISHED"}
    for entry in leaderboard[:MOST_CHILDREN]:
        name = f"configuration-{entry.number:04d}"
        if name in names:
            continue
        child = client.create_run(
            experiment_id, run_name=name, tags={PARENT: parent, "state": entry.state}
        )
        metrics = {"seconds": entry.seconds, "weight": entry.weight}
        if entry.predict_microseconds > 0:
            metrics["predict_microseconds"] = entry.predict_microseconds
        if entry.score is not None:
            metrics["score"] = entry.score
        values = {"family": entry.family, **entry.parameters}
        client.log_batch(
            child.info.run_id,
            metrics=[
                *(Metric(key, value, 0, 0) for key, value in metrics.items()),
                *(Metric("fold_score", s, 0, fold) for fold, s in enumerate(entry.fold_scores)),
            ],
            params=[Param(key, str(plain(value))[:LONGEST]) for key, value in values.items()],
        )
        client.set_terminated(child.info.run_id)


def _place(tracking_uri: str | None) -> tuple[str, str | None]:
    """The URI, and where the files of a new experiment go (None: MLflow's server decides)."""
    try:
        settings = load_settings()
    except SettingsError:
        settings = None
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        folder = settings.root / "mlflow" if settings else Path.cwd()
        folder.mkdir(parents=True, exist_ok=True)
        uri = settings.tracking_uri if settings else f"sqlite:///{folder / 'mlflow.db'}"
    if not uri.startswith("sqlite:"):
        return uri, None
    root = settings.root / "mlflow" if settings else Path.cwd()
    name = "artifacts" if settings else "mlartifacts"
    return uri, (root / name).as_uri()


def _tracked(run: "Run", experiment: str) -> TrackedRun:
    started, ended = run.info.start_time or 0, run.info.end_time
    return TrackedRun(
        run_id=str(run.info.run_id),
        name=str(run.info.run_name or ""),
        experiment=experiment,
        status=str(run.info.status),
        started=started / 1000,
        seconds=None if ended is None else (ended - started) / 1000,
        metrics=dict(run.data.metrics),
        parameters=dict(run.data.params),
    )


def _best(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, str]:
    """The best run by metric; what the name does not say is left out."""
    more = ("roc_auc", "accuracy", "r2", "f1", "precision", "recall", "silhouette")
    less = ("log_loss", "rmse", "mae", "brier")
    best = {}
    for name, values in metrics.items():
        present = {run: value for run, value in values.items() if value is not None}
        if any(word in name for word in less):
            best[name] = min(present, key=lambda run: present[run])
        elif any(word in name for word in more):
            best[name] = max(present, key=lambda run: present[run])
    return best
