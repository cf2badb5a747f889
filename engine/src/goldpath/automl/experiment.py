"""Experiments: data in, the best model and everything about it out, kept as files.

`<folder>/experiments/<manager>/<experiment>/experiment.json` describes an experiment, and
`runs/<run>/` beside it holds each run's result, model and report. Every file is written once and in
one step, and no file is shared by two runs, so any number of processes may work side by side.
"""

import contextlib
import json
import os
import re
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from goldpath.automl.budget import Budget
from goldpath.automl.clustering import ClusteringEntry, find_clusters
from goldpath.automl.engine import find_model
from goldpath.automl.indexed import Indexed
from goldpath.automl.report import make_report, plain, write_report_files
from goldpath.automl.result import AutoMLResult, HistoryPoint, LeaderboardEntry
from goldpath.automl.scores import prediction_metrics
from goldpath.errors import ProjectError
from goldpath.registry.files.pipeline import read_pipeline
from goldpath.settings import AutoMLSettings, SettingsError, load_settings

ProblemType = Literal["classification", "regression", "clustering"]
PROBLEM_TYPES = ("classification", "regression", "clustering")
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
EXPERIMENTS, RUNS = "experiments", "runs"
EXPERIMENT_FILE, RESULT_FILE, MODEL_FILE = "experiment.json", "result.json", "model.skops"
REPORT_SECONDS = 10.0
LEAST_REPORT_SECONDS = 1.0


class ExperimentError(ProjectError):
    """An experiment that is not there, or cannot be made."""


@dataclass(frozen=True)
class Experiment(Indexed):
    """What is known of an experiment.

    Attributes:
        experiment_id: Names it in all calls.
        name: For people.
        description: For people.
        dataset_info: What was said about the data.
        created_at: UTC, ISO 8601.
        runs: Its runs' ids, oldest first.
    """

    experiment_id: str
    name: str
    description: str
    dataset_info: Mapping[str, Any]
    created_at: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExperimentResults(Indexed):
    """A run of an experiment; `results["score"]` reads the same as `results.score`.

    Attributes:
        experiment_id: The experiment.
        run_id: This run.
        problem_type: Classification, regression or clustering.
        metric: What was optimised.
        greater_is_better: Whether more of it is better.
        score: The best model's, on rows that its parts did not learn from (clustering: on all).
        best_single_score: The best single configuration's.
        baseline_score: The best constant prediction's; None for clusters.
        best_family: Of the best single configuration.
        best_params: Its parameters.
        metrics: The best model's, on the same rows as `score`.
        leaderboard: Every configuration, best first.
        history: The learning curve of the search.
        left_out: Families that could not be used, and why.
        rows: How many were learnt from.
        features: Names of the columns.
        classes: Labels of a classification.
        seconds: What the search took.
        budget_seconds: What it was given.
        seed: That everything random was drawn from.
        finished_at: UTC, ISO 8601.
        folder: Where the files of the run are.
        model: The fitted model; predicts for tables like the one that was given.
        labels: Clustering: each row's cluster, -1 for rows that belong to none.
    """

    experiment_id: str
    run_id: str
    problem_type: str
    metric: str
    greater_is_better: bool
    score: float
    best_single_score: float
    baseline_score: float | None
    best_family: str
    best_params: Mapping[str, Any]
    metrics: Mapping[str, float]
    leaderboard: tuple[LeaderboardEntry, ...]
    history: tuple[HistoryPoint, ...]
    left_out: Mapping[str, str]
    rows: int
    features: tuple[str, ...]
    classes: tuple[str, ...]
    seconds: float
    budget_seconds: float | None
    seed: int
    finished_at: str
    folder: str
    model: Any = field(default=None, repr=False, compare=False)
    labels: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def best_model(self) -> Any:
        """The fitted model."""
        return self.model

    @property
    def best_score(self) -> float:
        """The same as `score`."""
        return self.score


class ExperimentManager:
    """Makes, runs and remembers experiments.

    Args:
        name: Keeps experiments of different purposes apart.
        folder: Where they are kept: `automl.folder` of the project where not given, and `automl` in
            the current folder where there is no project.

    Example:
        >>> import numpy as np
        >>> from goldpath import ExperimentManager
        >>> manager = ExperimentManager("pricing", folder="automl")
        >>> experiment_id = manager.create_experiment("Rents", dataset_info={"target": "rent"})
        >>> area = np.linspace(20, 120, 200)
        >>> results = manager.run_basic_experiment(
        ...     experiment_id, X=area[:, None], y=12 * area, problem_type="regression",
        ...     trials=2, families=["linear"], report=False,
        ... )
        >>> results.best_family, results["metric"]
        ('linear', 'rmse')
        >>> manager.get_results(experiment_id).run_id == results.run_id
        True
    """

    def __init__(self, name: str = "default", folder: str | Path | None = None) -> None:
        self.name = _slug(name)
        self.base = Path(folder) if folder is not None else default_folder()
        self.folder = self.base / EXPERIMENTS / self.name

    def create_experiment(
        self,
        name: str,
        description: str = "",
        dataset_info: Mapping[str, Any] | None = None,
    ) -> str:
        """Make an experiment.

        Args:
            name: For people; the id begins with it.
            description: For people.
            dataset_info: Anything about the data, such as its shape and its target.

        Returns:
            Its id.
        """
        experiment_id = f"{_slug(name)[:48]}-{uuid.uuid4().hex[:8]}"
        self._create(experiment_id, name, description, dataset_info or {})
        return experiment_id

    def run_basic_experiment(
        self,
        experiment_id: str,
        X: Any,  # noqa: N803  the name that users know
        y: Any = None,
        problem_type: ProblemType = "classification",
        budget: float | None = None,
        *,
        trials: int | None = None,
        metric: str | None = None,
        families: Sequence[str] | None = None,
        time_ordered: bool = False,
        groups: Sequence[Any] | np.ndarray | None = None,
        seed: int = 42,
        report: bool = True,
        **options: Any,
    ) -> ExperimentResults:
        """Search the best model for a table as it comes, and keep it.

        Args:
            experiment_id: An experiment; where nobody has made one of this id, it is made now.
            X: A DataFrame, an array or a list of rows; types may be mixed, values may be missing.
            y: The target, one value a row; None for clusters.
            problem_type: classification, regression or clustering.
            budget: Seconds for the search (`automl.budget_seconds` where not given); the report
                takes a quarter of it at most on top.
            trials: The most configurations.
            metric: What to optimise; see `find_model`.
            families: What to choose from; everything that can be used where not given.
            time_ordered: The rows are in the order of time.
            groups: One value a row; rows of a group stay together.
            seed: Of everything random.
            report: Whether to write `report.html` and `report.json` beside the result.
            options: Further arguments of `find_model`.

        Raises:
            ExperimentError: If the id or the problem type cannot be, or the target is missing.
            ProjectError: If the table, the target or an argument cannot be used.
            NotEnoughDataError: For too few rows or one class only.
        """
        _check_problem(problem_type, y)
        experiment_id = _checked_id(experiment_id)
        table = as_table(X)
        spent = Budget(
            seconds=budget if budget is not None or trials else _default_budget(), trials=trials
        )
        if not self._file(experiment_id).is_file():
            info = {"shape": list(table.shape)}
            self._create(experiment_id, experiment_id, "", info, or_known=True)
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        folder = self._file(experiment_id).parent / RUNS / run_id
        if problem_type == "clustering":
            results = self._clusters(experiment_id, run_id, folder, table, spent, seed)
        else:
            found = find_model(
                table,
                np.asarray(y),
                problem_type,
                spent,
                metric=metric,
                families=families,
                time_ordered=time_ordered,
                groups=groups,
                seed=seed,
                **options,
            )
            results = self._predictions(experiment_id, run_id, folder, table, y, spent, found)
        page = None
        if report and problem_type != "clustering":
            limit = float(np.clip((spent.seconds or 0) / 4, LEAST_REPORT_SECONDS, REPORT_SECONDS))
            page = make_report(
                found,
                table,
                np.asarray(y),
                title=self.get_experiment(experiment_id).name,
                budget_seconds=spent.seconds,
                rows_seen=True,
                seconds=limit,
            )
        self._keep(folder, results, page)
        return results

    def get_experiment(self, experiment_id: str) -> Experiment:
        """An experiment and its runs' ids.

        Raises:
            ExperimentError: If there is none of this id.
        """
        file = self._file(_checked_id(experiment_id))
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            known = [item.experiment_id for item in self.list_experiments()]
            raise ExperimentError(
                f"there is no experiment {experiment_id!r} of {self.name!r}",
                f"create_experiment makes one; there is {', '.join(known) or 'none yet'}",
            ) from error
        runs = file.parent / RUNS
        finished = (
            sorted(item.name for item in runs.iterdir() if (item / RESULT_FILE).is_file())
            if runs.is_dir()
            else []
        )
        return Experiment(**values, runs=tuple(finished))

    def list_experiments(self) -> list[Experiment]:
        """All experiments of this manager, oldest first."""
        found = [
            self.get_experiment(file.parent.name)
            for file in self.folder.glob(f"*/{EXPERIMENT_FILE}")
        ]
        return sorted(found, key=lambda item: (item.created_at, item.experiment_id))

    def get_results(self, experiment_id: str, run_id: str | None = None) -> ExperimentResults:
        """A former run's results with its model; the newest run where none is named.

        Raises:
            ExperimentError: If there is no such run.
        """
        experiment = self.get_experiment(experiment_id)
        if run_id is None and experiment.runs:
            run_id = experiment.runs[-1]
        if run_id is None or run_id not in experiment.runs:
            raise ExperimentError(
                f"the experiment {experiment_id!r} has no run {run_id or ''!r}",
                f"there is {', '.join(experiment.runs) or 'none yet: run_basic_experiment'}",
            )
        return read_results(self._file(experiment_id).parent / RUNS / run_id)

    def _create(
        self,
        experiment_id: str,
        name: str,
        description: str,
        dataset_info: Mapping[str, Any],
        *,
        or_known: bool = False,
    ) -> None:
        values = {
            "experiment_id": experiment_id,
            "name": name,
            "description": description,
            "dataset_info": plain(dict(dataset_info)),
            "created_at": datetime.now(UTC).isoformat(),
        }
        file = self._file(experiment_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{uuid.uuid4().hex}.part")
        part.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        try:
            # A link is made in one step and never over a file that is there.
            os.link(part, file)
        except FileExistsError as error:
            if not or_known:
                raise ExperimentError(
                    f"there is an experiment {experiment_id!r} already", "choose another name"
                ) from error
        finally:
            part.unlink()

    def _file(self, experiment_id: str) -> Path:
        return self.folder / experiment_id / EXPERIMENT_FILE

    def _predictions(
        self,
        experiment_id: str,
        run_id: str,
        folder: Path,
        table: pd.DataFrame,
        y: Any,
        budget: Budget,
        found: AutoMLResult,
    ) -> ExperimentResults:
        classes = getattr(found.model, "classes_", ())
        truth = np.asarray(y)[found.held_out_rows]
        return ExperimentResults(
            experiment_id=experiment_id,
            run_id=run_id,
            problem_type=found.problem,
            metric=found.metric,
            greater_is_better=found.greater_is_better,
            score=found.score,
            best_single_score=found.best_single_score,
            baseline_score=found.baseline_score,
            best_family=found.best.family,
            best_params=dict(found.best.parameters),
            metrics=prediction_metrics(found.problem, classes, truth, found.held_out_predictions),
            leaderboard=found.leaderboard,
            history=found.history,
            left_out=dict(found.left_out),
            rows=len(table),
            features=tuple(map(str, table.columns)),
            classes=tuple(map(str, classes)),
            seconds=found.seconds,
            budget_seconds=budget.seconds,
            seed=found.seed,
            finished_at=datetime.now(UTC).isoformat(),
            folder=str(folder),
            model=found.model,
        )

    def _clusters(
        self,
        experiment_id: str,
        run_id: str,
        folder: Path,
        table: pd.DataFrame,
        budget: Budget,
        seed: int,
    ) -> ExperimentResults:
        found = find_clusters(table, budget, seed=seed)
        board = found.leaderboard
        best = board[0]
        return ExperimentResults(
            experiment_id=experiment_id,
            run_id=run_id,
            problem_type="clustering",
            metric=found.metric,
            greater_is_better=True,
            score=found.score,
            best_single_score=found.score,
            baseline_score=None,
            best_family=best.algorithm,
            best_params=dict(best.parameters),
            metrics={
                "clusters": float(found.clusters),
                "silhouette": best.silhouette,
                "davies_bouldin": best.davies_bouldin,
                "calinski_harabasz": best.calinski_harabasz,
                "noise": best.noise,
            },
            leaderboard=tuple(map(_clustering_entry, range(len(board)), board)),
            history=(),
            left_out=dict(found.left_out),
            rows=len(table),
            features=tuple(map(str, table.columns)),
            classes=(),
            seconds=found.seconds,
            budget_seconds=budget.seconds,
            seed=seed,
            finished_at=datetime.now(UTC).isoformat(),
            folder=str(folder),
            model=found.model,
            labels=found.labels,
        )

    def _keep(self, folder: Path, results: ExperimentResults, page: Any) -> None:
        """Write a run's files elsewhere and move them into place: whole, or not there."""
        from skops.io import dump

        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".run-", dir=folder.parent) as name:
            draft = Path(name) / folder.name
            draft.mkdir()
            dump(results.model, draft / MODEL_FILE)
            if page is not None:
                write_report_files(page, draft, "report")
            values = results.to_dict()
            if results.labels is not None:
                values["labels"] = plain(results.labels)
            (draft / RESULT_FILE).write_text(
                json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8"
            )
            draft.replace(folder)


def read_results(folder: Path) -> ExperimentResults:
    """The results and the model that a run has left in its folder."""
    values = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    labels = values.pop("labels", None)
    return ExperimentResults(
        **{
            **values,
            "leaderboard": tuple(
                LeaderboardEntry(**{**entry, "fold_scores": tuple(entry["fold_scores"])})
                for entry in values["leaderboard"]
            ),
            "history": tuple(HistoryPoint(**point) for point in values["history"]),
            "features": tuple(values["features"]),
            "classes": tuple(values["classes"]),
            "folder": str(folder),
        },
        model=read_pipeline(folder / MODEL_FILE, str(folder)),
        labels=None if labels is None else np.asarray(labels),
    )


def default_folder() -> Path:
    """The project's folder for AutoML; `automl` in the current folder without a project."""
    with contextlib.suppress(SettingsError):
        settings = load_settings()
        return settings.root / settings.automl.folder
    return Path.cwd() / AutoMLSettings().folder


def as_table(values: Any) -> pd.DataFrame:
    """Rows as a DataFrame whose columns have text for names.

    Raises:
        ExperimentError: If they have no rows and columns.
    """
    if not isinstance(values, pd.DataFrame):
        try:
            values = pd.DataFrame(values)
        except (ValueError, TypeError) as error:
            raise ExperimentError(
                f"X cannot be read as rows and columns: {error}",
                "give a DataFrame, an array of two dimensions or a list of rows",
            ) from error
    table = cast(pd.DataFrame, values).reset_index(drop=True)
    if any(not isinstance(name, str) for name in table.columns):
        table = table.set_axis([str(name) for name in table.columns], axis=1)
    return table


def _clustering_entry(number: int, entry: ClusteringEntry) -> LeaderboardEntry:
    return LeaderboardEntry(
        number=number,
        family=entry.algorithm,
        parameters=dict(entry.parameters),
        state="complete",
        score=entry.silhouette,
        fold_scores=(),
        seconds=entry.seconds,
        predict_microseconds=0.0,
        in_portfolio=True,
        weight=float(number == 0),
    )


def _check_problem(problem_type: str, y: Any) -> None:
    if problem_type not in PROBLEM_TYPES:
        raise ExperimentError(
            f"the problem type is {problem_type!r}; expected {', '.join(PROBLEM_TYPES)}",
            'say problem_type="classification"',
        )
    if problem_type != "clustering" and y is None:
        raise ExperimentError(
            f"{problem_type} needs a target, and y is None",
            'give y, or say problem_type="clustering"',
        )
    if problem_type == "clustering" and y is not None:
        raise ExperimentError("clusters are found without a target, and y was given", "say y=None")


def _checked_id(experiment_id: str) -> str:
    if not re.match(ID_PATTERN, experiment_id):
        raise ExperimentError(
            f"{str(experiment_id)[:80]!r} cannot be an experiment's id",
            "use up to 63 letters, digits, hyphens and underscores",
        )
    return experiment_id


def _slug(name: str) -> str:
    """`Previsão de Vendas` gives `previsao-de-vendas`."""
    plain_text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9_]+", "-", plain_text.lower()).strip("-_")
    return slug[:63] or "experiment"


def _default_budget() -> float:
    with contextlib.suppress(SettingsError):
        return load_settings().automl.budget_seconds
    return AutoMLSettings().budget_seconds
